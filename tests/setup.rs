//! `make`'s own set-up on a machine whose apt is busy. The programs of the machine are doubles, found before the real ones.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a suite: writes programs and runs one")]

use std::fs;
use std::path::Path;
use std::process::Command;

use anymetal_lab::program;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/setup-packages");

/// How it ended, what it said, and what apt-get and dpkg were asked. `apt` is the body of an apt-get, in which `$n` says for the how manieth time it
/// is asked.
fn run(apt: &str, wait: &str) -> (Option<i32>, String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().display();
    let put =
        |name: &str, body: &str| program::put(folder.path().join(name), format!("#!/bin/sh\nhere={here}\n{body}\n"));
    put("id", "echo 0");
    put("dpkg-query", "exit 1");
    put("dpkg", "echo \"dpkg $*\" >>\"$here/asked\"");
    put(
        "apt-get",
        &format!(
            "for word; do case $word in update|install) echo \"$word\" >>\"$here/asked\";; esac; done\nn=$(grep -vc dpkg \"$here/asked\")\n{apt}"
        ),
    );
    let path = format!("{here}:/usr/bin:/bin");
    let ran = Command::new("sh")
        .args([SCRIPT, "libx"])
        .env("PATH", path)
        .env("ANYMETAL_SETUP_WAIT", wait)
        .env("ANYMETAL_SETUP_PAUSE", "0")
        .output()
        .unwrap();
    let asked = fs::read_to_string(Path::new(folder.path()).join("asked")).unwrap_or_default();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    (ran.status.code(), said, asked.lines().map(str::to_owned).collect())
}

#[test]
fn locks_and_mirrors_that_pass_are_waited_for_with_a_word() {
    let (code, said, asked) = run(
        "case $n in 1|2) echo 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 9 (apt-get)'; exit 100;;\n\
         4) echo 'E: Failed to fetch http://mirror.example/x.deb  Hash Sum mismatch'; exit 100;; esac",
        "900",
    );
    assert_eq!((code, asked.join(" ").as_str()), (Some(0), "update update update install install"), "{said}");
    let words =
        "waiting, 900 s at most: E: Could not get lock /var/lib/apt/lists/lock. It is held by process 9 (apt-get)\n";
    assert_eq!(said.matches(words).count(), 1, "{said}");
    assert!(
        said.contains("waiting, 900 s at most: E: Failed to fetch http://mirror.example/x.deb  Hash Sum mismatch\n"),
        "{said}"
    );
}

#[test]
fn a_wait_has_its_end_and_what_will_not_pass_none() {
    let (code, said, asked) = run("echo 'E: Could not get lock /var/lib/dpkg/lock-frontend.'; exit 100", "0");
    assert_eq!((code, asked.len()), (Some(1), 1), "{said}");
    assert!(said.contains("apt-get could not do it within 0 s\nhint: "), "{said}");
    let (code, said, asked) = run("[ $n = 1 ] || { echo 'E: Unable to locate package libx'; exit 100; }", "900");
    assert_eq!((code, asked.join(" ").as_str()), (Some(1), "update install"), "{said}");
    assert!(said.ends_with("E: Unable to locate package libx\n"), "{said}");
}

#[test]
fn a_dpkg_that_was_cut_off_goes_on() {
    let (code, said, asked) = run(
        "case $n in 2) echo \"E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\"; exit 100;; esac",
        "900",
    );
    let expected = "update install dpkg --force-confdef --force-confold --configure -a install";
    assert_eq!((code, asked.join(" ").as_str()), (Some(0), expected), "{said}");
}
