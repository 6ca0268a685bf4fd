//! The phase `wake`: who this machine is, which plan it has, where the last run left off.
//! May not read what is in the plan: the phase `plan` does.

use anymetal_contract::{Digest, Outcome, Reason, place};
use sha2::{Digest as _, Sha256};

use crate::ledger::{Keeper, What};
use crate::phase::{Answer, Steps};
use crate::release;
use crate::sys::fs;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

const MACHINE_ID: &str = "/etc/machine-id";

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let bytes = fs::read_if_there(&world.at(MACHINE_ID)).because(Reason::HostFault)?;
    let machine_id = machine_id(bytes.as_deref())?;
    // What cannot be read is told by the phase `plan`.
    let release = release::pins(world).ok().flatten().map(|pins| pins.release.sha256);
    let plan = fs::read(&world.plan_file).ok().map(|bytes| digest(&bytes));
    fs::make_folder(&world.at(place::STATE), 0o700).because(Reason::HostFault)?;
    let begun =
        Keeper::begin(&world.at(place::LEDGER), &machine_id, &What { release, plan }).because(Reason::HostFault)?;
    if let Some(why) = begun.set_aside {
        steps.step("ledger", Outcome::Done, &format!("set aside as {}.old, since {why}", place::LEDGER));
    }
    let _only_wake_makes_it = world.ledger.set(begun.keeper);
    Ok(Answer::Done(format!("machine {machine_id}, {}", begun.sentence)))
}

/// The sha256 of these bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Sha256::digest(bytes).into())
}

/// The machine id in `/etc/machine-id` (machine-id(5)): 32 lower-case hexadecimal digits and a line feed.
fn machine_id(bytes: Option<&[u8]>) -> Result<String, Failure> {
    let missing = |what: String| Failure::new(Reason::MachineIdMissing, what);
    let Some(bytes) = bytes else { return Err(missing(format!("there is no {MACHINE_ID}"))) };
    let text = String::from_utf8_lossy(bytes);
    let id = text.trim_end();
    if id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        Ok(id.to_owned())
    } else {
        let shown: String = id.chars().take(40).collect();
        Err(missing(format!("{MACHINE_ID} has {shown:?}, not 32 lower-case hexadecimal digits")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_hexadecimal_digits_are_a_machine_id() {
        let good = "0123456789abcdef0123456789abcdef";
        assert_eq!(machine_id(Some(format!("{good}\n").as_bytes())).unwrap(), good);
        for (bytes, said) in [
            (None, "there is no /etc/machine-id"),
            (Some("".as_bytes()), "has \"\", not 32"),
            (Some(b"uninitialized\n"), "has \"uninitialized\", not 32"),
            (Some(b"0123456789ABCDEF0123456789ABCDEF\n"), "not 32 lower-case"),
        ] {
            let failure = machine_id(bytes).unwrap_err();
            assert_eq!(failure.reason, Reason::MachineIdMissing);
            assert!(failure.chain().contains(said), "{:?} does not say {said:?}", failure.chain());
        }
    }
}
