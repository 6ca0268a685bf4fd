//! What apt-get could not do just now is asked of it again. The programs of the host are doubles, found before the real ones.

#![expect(clippy::disallowed_methods, reason = "a suite writes the doubles, and reads what they were asked")]

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::acquire::tests::{Heard, artefact_of, component, world_of};

/// A node that lacks a package, and its programs.
struct Host {
    folder: tempfile::TempDir,
    world: World,
}

impl Host {
    /// One whose apt-get is this script, in which `$n` says for the how manieth time it is asked to `update` or to install.
    fn with(apt: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut consul = component("consul", "1.8.7", artefact_of(b"x"));
        consul.packages = vec!["libx".into()];
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        let host = Self { world: world_of(&root, vec![consul], &[]), folder };
        host.program("dpkg-query", "[ -e \"$here/installed\" ] && echo installed || { echo not-installed; exit 1; }");
        host.program("dpkg", "");
        host.program("apt-get", &format!("case \"$*\" in *update*) what=update;; *) what=install;; esac\necho >>\"$here/$what.n\"; n=$(wc -l <\"$here/$what.n\")\n{apt}"));
        host
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.folder.path().join(name);
        let here = self.folder.path().display();
        let log = "echo \"${0##*/} $*\" >>\"$here/asked\"; env >\"$here/${0##*/}.env\"";
        std::fs::write(&path, format!("#!/bin/sh\nhere={here}\n{log}\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn ensure(&self) -> Result<Became, Failure> {
        let mut path = OsString::from(self.folder.path());
        path.push(":/usr/bin:/bin");
        packages::ensure(&self.world, &Heard::default(), &path)
    }

    fn asked(&self, program: &str) -> Vec<String> {
        let asked = std::fs::read_to_string(self.folder.path().join("asked")).unwrap_or_default();
        asked.lines().filter(|line| line.starts_with(program)).map(str::to_owned).collect()
    }
}

const GOOD: &str = "touch \"$here/installed\"";

#[test]
fn lists_that_somebody_else_holds_are_waited_for() {
    let host = Host::with(&format!(
        "case $what-$n in update-1) echo 'E: Could not get lock /var/lib/apt/lists/lock.'; exit 100;;\n\
         install-1) echo 'E: Unable to locate package libx'; exit 100;; install-2) {GOOD};; esac"
    ));
    let Became::Waits(words) = host.ensure().unwrap() else { panic!("it does not wait") };
    assert!(
        words.starts_with("packages: the system lacks libx, and apt-get cannot install that yet: exit status 100\n"),
        "{words}"
    );
    assert!(words.contains("Could not get lock /var/lib/apt/lists/lock"), "{words}");
    assert_eq!(host.ensure().unwrap(), Became::Changed);
    assert_eq!(host.ensure().unwrap(), Became::Same);
    assert_eq!(host.asked("apt-get").len(), 4);
}

#[test]
fn a_package_that_good_lists_do_not_have_is_final() {
    let host = Host::with("[ $what = update ] || { echo 'E: Unable to locate package libx'; exit 100; }");
    let failure = host.ensure().unwrap_err();
    assert_eq!(failure.reason, Reason::HostPackageMissing);
    let chain = failure.chain();
    assert!(chain.starts_with("the system lacks libx, and apt-get cannot install that: exit status 100\n"), "{chain}");
}

#[test]
fn a_dpkg_that_was_cut_off_goes_on_first() {
    let host = Host::with(&format!(
        "case $what-$n in install-1) echo \"E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\"; \
         exit 100;; install-2) {GOOD};; esac"
    ));
    assert_eq!(host.ensure().unwrap(), Became::Changed);
    assert_eq!(host.asked("dpkg "), ["dpkg --force-confdef --force-confold --configure -a"]);
}

#[test]
fn apt_goes_the_nodes_way_outside() {
    let mut host = Host::with(GOOD);
    host.world.way = serde_json::from_str(r#"{"proxies":{"ALL_PROXY":"http://user:hunter2@p:1"}}"#).unwrap();
    assert_eq!(host.ensure().unwrap(), Became::Changed);
    let environment = std::fs::read_to_string(host.folder.path().join("apt-get.env")).unwrap();
    for line in [
        "http_proxy=http://user:hunter2@p:1",
        "https_proxy=http://user:hunter2@p:1",
        "no_proxy=localhost,127.0.0.1,::1",
        "LC_ALL=C",
    ] {
        assert!(environment.lines().any(|is| is == line), "{line} is not in\n{environment}");
    }
    assert!(!host.asked("apt-get").concat().contains("hunter2"), "a password is for all to see");
}
