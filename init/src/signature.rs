//! Who may sign plans for this node, and whether one of them did. Without a list of signers a plan needs no signature.
//! May not read a plan: what is signed is bytes.

use anymetal_contract::{Reason, place};
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::signature::{self, KeyId, PublicKey};

use crate::sys::fs;
use crate::world::World;

/// The keys that may sign; `None` when there is no list of them. A list that cannot be used is an error: it was meant to keep something out.
pub(crate) fn signers(world: &World) -> Result<Option<Vec<PublicKey>>, Failure> {
    let path = world.at(place::SIGNERS);
    // a link to nothing is no list that is not there
    if !fs::is_there(&path) {
        return Ok(None);
    }
    let text = fs::read_text(&path).because(Reason::SignersUnusable)?;
    let keys = signature::signers(&text);
    keys.map(Some).map_err(|what| Failure::new(Reason::SignersUnusable, format!("reading {}: {what}", place::SIGNERS)))
}

/// Which of the signers signed these bytes; `None` when nobody has to. `signature` is the text of the signature that came with them, `from`
/// is where it should be.
pub(crate) fn check(
    world: &World,
    bytes: &[u8],
    signature: Option<&str>,
    from: &str,
) -> Result<Option<KeyId>, Failure> {
    let Some(signers) = signers(world)? else { return Ok(None) };
    let checking = |reason, what: String| Failure::new(reason, format!("checking who signed the plan: {what}"));
    let Some(text) = signature else {
        let what = format!("there is no {from}, and {} names who has to sign", place::SIGNERS);
        return Err(checking(Reason::PlanUnsigned, what));
    };
    let judged = signature::check(&signers, bytes, text);
    judged.map(Some).map_err(|refused| checking(Reason::PlanSignatureWrong, format!("{from}: {refused}")))
}

/// The same of the plan that lies on this node.
pub(crate) fn check_own(world: &World, plan: &[u8]) -> Result<Option<KeyId>, Failure> {
    let bytes = fs::read_if_there(&world.at(place::SIGNATURE)).because(Reason::PlanUnsigned)?;
    // what is no text is no signature, and is told as one that cannot be read
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    check(world, plan, text.as_deref(), place::SIGNATURE)
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare their own files")]

    use std::os::unix::fs::symlink;

    use anymetal_contract::plan::Arch;
    use tempfile::TempDir;

    use super::*;
    use crate::plan;
    use crate::world::Overrides;

    // Made by minisign 0.11 with `-W`, `-t 'anymetal plan'` and `-c anymetal`.
    pub(crate) const KEY: &str = "RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ\n";
    pub(crate) const SIGNATURE: &str = concat!(
        "untrusted comment: anymetal\n",
        "RUTLD4XAwkHHNr6DVhRZ9F6aFJC93Fc5MbvmY6e4pS622KjbXgTlVH8Qx3xlp6tXbwSCryBhze4kt80ZyMpbYyzWIclihowBUgs=\n",
        "trusted comment: anymetal plan\n",
        "Y/fck563Ocx75UDkxyNjziYZQFAVh70KjKZWln5f7L72FrwWepAuDK2oq27wGBnawogEFieTLsupmnOqZDndCQ==\n",
    );
    pub(crate) const PLAN: &str = "{\"kind\":\"anymetal.plan\"}";
    pub(crate) const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";

    struct Silent;

    impl crate::phase::Steps for Silent {
        fn step(&self, _: &str, _: anymetal_contract::Outcome, _: &str) {}
        fn progress(&self, _: &str, _: u64, _: Option<u64>, _: anymetal_contract::Unit) {}
    }

    fn root(files: &[(&str, &str)]) -> (TempDir, World) {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
        std::fs::create_dir_all(world.at("/etc/anymetal")).unwrap();
        for (path, text) in files {
            std::fs::write(world.at(path), text).unwrap();
        }
        (folder, world)
    }

    /// Why the phase `plan` stops.
    fn refused(world: &World) -> Failure {
        plan::work(world, &Silent).unwrap_err()
    }

    #[test]
    fn a_plan_signed_by_one_of_the_signers_goes_on_and_so_does_one_that_needs_no_signature() {
        let both = format!("{OTHER}{KEY}");
        for files in [
            &[(place::SIGNERS, KEY), (place::SIGNATURE, SIGNATURE)][..],
            &[(place::SIGNERS, &both), (place::SIGNATURE, SIGNATURE)],
            &[],
            // nobody asked for it, so nobody judges it
            &[(place::SIGNATURE, "nonsense")],
        ] {
            let (_folder, world) = root(files);
            std::fs::write(world.at(place::PLAN), PLAN).unwrap();
            let failure = refused(&world);
            // it is no whole plan, which is looked at only after the signature
            assert_eq!(failure.reason, Reason::PlanUnreadable, "{}", failure.chain());
        }
    }

    #[test]
    fn what_is_not_signed_by_one_of_the_signers_stops_the_boot_at_plan() {
        let signed = (place::SIGNATURE, SIGNATURE);
        for (files, reason, said) in [
            (&[(place::SIGNERS, KEY)][..], Reason::PlanUnsigned, "there is no /etc/anymetal/plan.json.minisig"),
            (
                &[(place::SIGNERS, OTHER), signed],
                Reason::PlanSignatureWrong,
                "by the key 36C741C2C0850FCB, which is none",
            ),
            (
                &[(place::SIGNERS, KEY), (place::SIGNATURE, "")],
                Reason::PlanSignatureWrong,
                "cannot be read: it is cut off",
            ),
            (&[(place::SIGNERS, ""), signed], Reason::SignersUnusable, "there is no public key in it"),
            (&[(place::SIGNERS, "RWQ\n"), signed], Reason::SignersUnusable, "its line 1 is no public key"),
            (
                &[(place::SIGNERS, &format!("{KEY}RWQ\n")), signed],
                Reason::SignersUnusable,
                "its line 2 is no public key",
            ),
        ] {
            let (_folder, world) = root(files);
            std::fs::write(world.at(place::PLAN), PLAN).unwrap();
            let failure = refused(&world);
            assert_eq!(failure.reason, reason, "{}", failure.chain());
            assert!(failure.chain().contains(said), "{:?} does not say {said:?}", failure.chain());
        }
    }

    #[test]
    fn a_list_of_signers_that_cannot_be_read_is_not_taken_for_none() {
        let (_folder, world) = root(&[(place::PLAN, PLAN), (place::SIGNATURE, SIGNATURE)]);
        symlink("nowhere", world.at(place::SIGNERS)).unwrap();
        assert_eq!(refused(&world).reason, Reason::SignersUnusable);
        std::fs::remove_file(world.at(place::SIGNERS)).unwrap();
        std::fs::create_dir(world.at(place::SIGNERS)).unwrap();
        assert_eq!(refused(&world).reason, Reason::SignersUnusable);
        std::fs::remove_dir(world.at(place::SIGNERS)).unwrap();
        std::fs::write(world.at(place::SIGNERS), [0xff, 0xfe]).unwrap();
        assert_eq!(refused(&world).reason, Reason::SignersUnusable);
    }

    #[test]
    fn every_changed_byte_of_plan_and_signature_stops_the_boot() {
        let (_folder, world) = root(&[(place::SIGNERS, KEY), (place::SIGNATURE, SIGNATURE), (place::PLAN, PLAN)]);
        for (path, text) in [(place::PLAN, PLAN), (place::SIGNATURE, SIGNATURE)] {
            for at in 0..text.len() {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] ^= 1;
                std::fs::write(world.at(path), &bytes).unwrap();
                let failure = refused(&world);
                assert_eq!(failure.reason, Reason::PlanSignatureWrong, "byte {at} of {path}: {}", failure.chain());
            }
            std::fs::write(world.at(path), text).unwrap();
        }
        assert_eq!(refused(&world).reason, Reason::PlanUnreadable, "the files are as they were");
    }
}
