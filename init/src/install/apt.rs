//! apt-get, asked for packages of the system's own archive; and what its words mean: done, not just now, or never.
//! May not choose a package.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::sys::process::{self, Said};

/// How long apt may take for its lists, and then for its packages: a slow mirror, a slow disk, and somebody else who holds its lock.
const WORK: Duration = Duration::from_mins(10);
/// How many of apt's last lines are told.
const TOLD: usize = 10;
/// Its words are looked at, so they are to be English; and nobody is there to be asked.
const PLAIN: [&str; 2] = ["LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"];
/// Whoever else runs dpkg at a first boot (unattended upgrades do) is waited for. Of its lists apt does not wait for the lock: we do.
const APT: [&str; 5] = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"];
/// What dpkg left half done when it was cut off, done to its end, as apt says one has to.
const RESUME: [&str; 5] = ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"];
/// apt's words for a package that is in none of its lists.
const UNKNOWN: [&str; 3] =
    ["Unable to locate package", "has no installation candidate", "Couldn't find any package by"];
/// apt's word for what [`RESUME`] mends.
const INTERRUPTED: &str = "dpkg was interrupted";
/// What apt says of lists that it could not renew, although it ends with 0.
const INCOMPLETE: [&str; 5] =
    ["W: Failed to fetch", "Some index files failed to download", "Err:", "E:", "W: An error occurred"];

/// The apt-get of this machine.
pub(super) struct Apt<'a> {
    /// Where programs are looked up.
    pub(super) path: &'a OsStr,
    /// The way outside, for programs.
    pub(super) variables: Vec<(&'static str, String)>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Installed,
    /// It may do better before long; its words.
    NotYet(String),
    /// It would say the same again; its words.
    Never(String),
}

impl Apt<'_> {
    /// Renews the lists and installs these. What was cut off earlier is done to its end first; `tell` hears of that.
    pub(super) fn install(&self, packages: &[&str], tell: impl Fn(&str)) -> Ended {
        let renewed = match self.run(&[&APT[..], &["update"]].concat()) {
            Ok(said) => said,
            Err(error) => return Ended::NotYet(format!("{error:#}")),
        };
        let install = [&APT[..], &["install", "--no-install-recommends", "--"], packages].concat();
        let mut said = self.run(&install);
        if said.as_ref().is_ok_and(|said| said.output.contains(INTERRUPTED)) {
            tell("dpkg was cut off earlier, and goes on: dpkg --configure -a");
            let resumed = self.run(&RESUME);
            said = if resumed.as_ref().is_ok_and(|said| said.success) { self.run(&install) } else { resumed };
        }
        match said {
            Ok(said) => judge(&renewed, &said),
            Err(error) => Ended::NotYet(format!("{error:#}")),
        }
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<Said> {
        let mut path = OsString::from("PATH=");
        path.push(self.path);
        let arguments: Vec<OsString> =
            PLAIN.iter().map(OsString::from).chain([path]).chain(words.iter().map(OsString::from)).collect();
        process::run_in("env", &arguments, &self.variables, WORK)
    }
}

/// What it means. Only a package that is unknown although the lists are new will stay so; a lock, a mirror that is being filled, names that do not
/// resolve, all of that passes.
fn judge(renewed: &Said, said: &Said) -> Ended {
    if said.success {
        return Ended::Installed;
    }
    let is_new =
        renewed.success && !renewed.output.lines().any(|line| INCOMPLETE.iter().any(|word| line.starts_with(word)));
    let is_unknown = UNKNOWN.iter().any(|word| said.output.contains(word));
    // env(1): there is no such program.
    let is_absent = said.ending == "exit status 127";
    let complaints = if is_new { Vec::new() } else { renewed.last_lines(TOLD / 2) };
    let words = format!("{}\n{}", said.ending, [complaints, said.last_lines(TOLD)].concat().join("\n"));
    if is_absent || (is_new && is_unknown) { Ended::Never(words) } else { Ended::NotYet(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(output: &str) -> Said {
        let success = output == "fine";
        let ending = if success { "exit status 0" } else { "exit status 100" };
        Said { success, ending: ending.to_owned(), output: output.to_owned() }
    }

    #[test]
    fn only_a_package_that_new_lists_do_not_have_is_never_to_come() {
        let unknown = "Reading package lists...\nE: Unable to locate package libx\n";
        let ignored = Said {
            success: true,
            ..said(
                "W: Failed to fetch http://mirror.example/debian/dists/bookworm/InRelease  Temporary failure resolving 'mirror.example'\nW: Some index files failed to download. They have been ignored, or old ones used instead.\n",
            )
        };
        let locked = said(
            "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 411 (apt-get)\nE: Unable to lock directory /var/lib/apt/lists/\n",
        );
        assert!(matches!(judge(&said("fine"), &said(unknown)), Ended::Never(_)));
        assert!(matches!(
            judge(&said("fine"), &said("E: Package 'libx' has no installation candidate")),
            Ended::Never(_)
        ));
        assert!(matches!(
            judge(&said("fine"), &Said { ending: "exit status 127".into(), ..said("env: 'apt-get': No such file") }),
            Ended::Never(_)
        ));
        assert_eq!(judge(&locked, &said("fine")), Ended::Installed);
        for (renewed, outcome) in [
            (locked, unknown),
            (ignored, unknown),
            (said("E: The repository does not have a Release file."), unknown),
            (said("fine"), "E: Failed to fetch http://mirror.example/x.deb  Hash Sum mismatch"),
            (
                said("fine"),
                "E: Failed to fetch http://mirror.example/x.deb  File has unexpected size (1 != 2). Mirror sync in progress?",
            ),
            (
                said("fine"),
                "E: Failed to fetch http://mirror.example/x.deb  503  Service Unavailable [IP: 192.0.2.1 80]",
            ),
            (
                said("fine"),
                "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 9 (unattended-upgr)",
            ),
            (said("fine"), "E: Sub-process /usr/bin/dpkg returned an error code (1)"),
            (
                said("fine"),
                "debconf: DbDriver \"config\": /var/cache/debconf/config.dat is locked by another process: Resource temporarily unavailable",
            ),
        ] {
            let ended = judge(&renewed, &said(outcome));
            let Ended::NotYet(words) = ended else { panic!("{outcome} is {ended:?}") };
            assert!(
                words.starts_with("exit status 100\n") && words.contains(outcome.trim_end().lines().last().unwrap()),
                "{words}"
            );
        }
    }
}
