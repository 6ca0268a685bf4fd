//! A restart of the guard in order: what the old one had proven is left to the new one, for a moment, and a timer of systemd's withdraws it when
//! there is no new one.
//! May not announce: what is left is announced already, or it is not left.

use std::time::Duration;

use anymetal_contract::place;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::status;
use crate::sys::{clock, fs, process};
use crate::world::World;

/// How long what was left may be taken: the next guard is there within a tenth of a second, on a slow machine within two.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long the timer, once it is due, waits to see a guard live: one that is being started says so in its first round.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);
/// How long a program of systemd's may take.
const LIMIT: Duration = Duration::from_secs(2);
const UNIT: &str = "anymetal-guard.service";

/// The document at [`place::GUARD_HANDOVER`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Left {
    /// Since the machine was started, in milliseconds.
    at: u64,
    prefixes: Vec<IpNet>,
}

/// Leaves what this unit's guard announces to the next one. Returns whether it did: only where systemd is about to start it again, nothing but
/// `announced` is left, and a timer runs that withdraws when nobody has come.
pub(super) fn leave(world: &World) -> anyhow::Result<bool> {
    let Some((before, _)) = status(world)? else { return Ok(false) };
    if before.stance != "announced" || !is_restart()? {
        return Ok(false);
    }
    look_after(world)?;
    let prefixes = before.prefixes.iter().map(|prefix| prefix.parse()).collect::<Result<_, _>>()?;
    let left = Left { at: u64::try_from(clock::since_boot().as_millis())?, prefixes };
    let text = serde_json::to_string(&left).expect("the document has only text for keys");
    fs::replace_lightly(&world.at(place::GUARD_HANDOVER), text.as_bytes(), 0o644)?;
    Ok(true)
}

/// What the guard before this one has left, when that was just now. It can be taken once.
pub(super) fn take(world: &World) -> Option<Vec<IpNet>> {
    let path = world.at(place::GUARD_HANDOVER);
    let bytes = fs::read_if_there(&path).ok()??;
    fs::remove(&path).ok()?;
    read(&bytes, clock::since_boot())
}

fn read(bytes: &[u8], now: Duration) -> Option<Vec<IpNet>> {
    let left: Left = serde_json::from_slice(bytes).ok()?;
    let age = now.checked_sub(Duration::from_millis(left.at))?;
    (age <= TAKEN_WITHIN).then_some(left.prefixes)
}

/// Whether a guard lives, now or in a moment.
pub(super) fn is_taken(world: &World) -> bool {
    let due = clock::monotonic() + SEEN_WITHIN;
    loop {
        if matches!(status(world), Ok(Some((_, true)))) {
            return true;
        }
        if clock::monotonic() >= due {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether systemd is restarting the unit by somebody's order, and not stopping it, nor picking it up after a crash.
fn is_restart() -> anyhow::Result<bool> {
    let arguments = ["list-jobs", "--no-legend", "--plain", "--no-pager", UNIT];
    Ok(is_restarted(&ask("systemctl", &arguments)?))
}

fn ask(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let said = process::run(program, arguments, LIMIT)?;
    anyhow::ensure!(said.success, "running {program}: {}: {}", said.ending, said.last_lines(3).join("; "));
    Ok(said.output)
}

/// Of lines like `1234 anymetal-guard.service restart running`.
fn is_restarted(jobs: &str) -> bool {
    jobs.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(UNIT) && words.next() == Some("restart")
    })
}

/// Has systemd look after the guard once, a moment from now. Nothing is waited for: by default a timer needs all that comes early at boot.
fn look_after(world: &World) -> anyhow::Result<()> {
    let after = format!("--on-active={}", TAKEN_WITHIN.as_secs());
    let root = world.root.display().to_string();
    let how = ["--quiet", "--collect", "--no-block", "--property=DefaultDependencies=no"];
    let when = ["--timer-property=DefaultDependencies=no", "--timer-property=AccuracySec=100ms", &after];
    let what = [place::INIT, "guard", "--withdraw-unless-kept", "--root", &root];
    ask("systemd-run", &[&how[..], &when, &what].concat()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_restart_by_order_is_one() {
        for (jobs, is) in [
            ("1234 anymetal-guard.service restart running\n", true),
            ("  7 bird.service restart waiting\n1234 anymetal-guard.service stop running\n", false),
            ("1234 anymetal-guard.service start waiting\n", false),
            ("No jobs running.\n", false),
            ("", false),
        ] {
            assert_eq!(is_restarted(jobs), is, "{jobs}");
        }
    }

    #[test]
    fn what_was_left_is_taken_for_a_moment() {
        let left = br#"{"at":60000,"prefixes":["198.51.100.7/32"]}"#;
        let prefixes: Vec<IpNet> = vec!["198.51.100.7/32".parse().unwrap()];
        let at = Duration::from_millis;
        assert_eq!(read(left, at(60_000)), Some(prefixes.clone()));
        assert_eq!(read(left, at(65_000)), Some(prefixes));
        assert_eq!(read(left, at(65_001)), None, "it is old");
        assert_eq!(read(left, at(59_999)), None, "it is of another run of the machine");
        assert_eq!(read(b"{}", at(1)), None);
    }
}
