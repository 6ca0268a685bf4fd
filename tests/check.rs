//! `anymetal check`, as somebody at a shell sees it: streams, exit codes, and that nothing is written.
//! May not look inside: the binary is run, the words of each mistake are tested beside the code.
#![expect(clippy::disallowed_methods, reason = "the tests write files and run the binary under test")]
#![expect(clippy::unwrap_used, reason = "the functions the tests share are test code too")]

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const SMALLEST: &str = include_str!("sites/smallest.yaml");
/// What is said of it: passwords would travel in clear.
const UNCERTIFIED: &str = "1:1: warning: without `tls` bindle and hippo cannot be reached from outside, since passwords would travel in clear, \
    and applications answer by plain HTTP; hint: say in `tls` where certificates come from; `expose: plain` opens them all the same\n";
/// What it has not got.
const ORIGINS: &str = "to do: name a URL under `origins`, from which nodes fetch anymetal-init and what `anymetal build` writes to sha256/\n";

/// That so many archives are still to be asked for.
fn unlocked(count: u8) -> String {
    format!("to do: run `anymetal lock`: nobody has asked for the sha256 of {count} archives yet\n")
}

/// All that is said of the smallest site under that name.
fn smallest(name: &str) -> String {
    format!("{name}:{UNCERTIFIED}1 warning in {name}\n{ORIGINS}{}", unlocked(7))
}

fn anymetal() -> Command {
    Command::new(env!("CARGO_BIN_EXE_anymetal"))
}

fn sites() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sites")
}

/// A folder with a `site.yaml` of these bytes.
fn folder(bytes: impl AsRef<[u8]>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.yaml"), bytes).unwrap();
    folder
}

fn check(folder: &Path, site: &str) -> Output {
    anymetal().arg("check").arg(site).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

/// stdout, stderr and the exit code.
fn seen(output: &Output) -> (&str, &str, Option<i32>) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn the_smallest_site_is_one_line_on_stdout() {
    let output = check(&sites(), "smallest.yaml");
    let line = "site demo: debian-12 on equinix-metal, aarch64+x86_64, 147.75.195.143/32, 147-75-195-143.sslip.io, \
                bindle 0.8.2, bird ≥ 2.0.12, consul 1.21.5, hippo 0.20.2, nftables ≥ 1.0.6, nomad 1.10.5, spin 0.10.1, traefik 2.11.55\n";
    assert_eq!(seen(&output), (line, smallest("smallest.yaml").as_str(), Some(0)));
}

#[test]
fn the_example_with_every_key_is_a_site() {
    let output = check(&sites(), "full.yaml");
    let line = "site edge-1: debian-12 on equinix-metal, aarch64+x86_64, 147.75.195.143/32 2604:1380:45d1:fd00::7/128, cloud.example.com, \
                bindle 0.8.2, bird ≥ 2.0.12, consul 1.21.5, hippo 0.20.2, nftables ≥ 1.0.6, nomad 1.10.5, spin 0.10.1, traefik 2.11.55\n";
    assert_eq!(seen(&output), (line, unlocked(5).as_str(), Some(0)));
}

#[test]
fn files_beside_the_site_are_found_from_anywhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = check(elsewhere.path(), sites().join("full.yaml").to_str().unwrap());
    assert_eq!(seen(&output).2, Some(0), "{output:?}");
}

#[test]
fn all_mistakes_are_said_at_once_sorted_and_counted() {
    let folder = folder(
        SMALLEST.replace("site: demo", "site: Demo").replace("/32", "/28") + "domian: x\nhippo: {registration: open}\n",
    );
    let stderr = format!("site.yaml:{UNCERTIFIED}")
        + "site.yaml:3:7: the name `Demo` may hold only lower-case letters, digits and inner dashes, at most 40; hint: write `demo`\n\
        site.yaml:7:8: `147.75.195.143/28` has bits set behind its length of 28; hint: write `147.75.195.128/28`, or `147.75.195.143/32`\n\
        site.yaml:8:1: unknown key `domian`; hint: did you mean `domain`?\n\
        site.yaml:9:23: warning: with open registration anybody who reaches the address makes an account and runs code on the nodes; \
        hint: write `registration: administrator-only` unless that is what you want\n\
        3 mistakes and 2 warnings in site.yaml\n";
    assert_eq!(seen(&check(folder.path(), "site.yaml")), ("", stderr.as_str(), Some(1)));
}

#[test]
fn a_warning_alone_does_not_fail() {
    let folder = folder(format!("{SMALLEST}hippo: {{registration: open}}\n"));
    let output = check(folder.path(), "site.yaml");
    let (stdout, stderr, code) = seen(&output);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("site demo: "), "{stdout}");
    assert!(
        stderr.contains("\nsite.yaml:8:23: warning: ") && stderr.contains("\n2 warnings in site.yaml\n"),
        "{stderr}"
    );
}

#[test]
fn a_site_without_the_platform_shows_the_set_it_has() {
    let folder = folder(format!("{SMALLEST}components: {{nomad: none}}\n"));
    let output = check(folder.path(), "site.yaml");
    assert!(seen(&output).0.ends_with(".sslip.io, bird ≥ 2.0.12, consul 1.21.5, nftables ≥ 1.0.6\n"), "{output:?}");
}

#[test]
fn secrets_are_looked_at_when_they_are_there() {
    let folder = folder(format!("{SMALLEST}components: {{nomad: none}}\n"));
    let secrets = folder.path().join("secrets.yaml");
    let made = anymetal().args(["secrets", "new", "site.yaml"]).current_dir(folder.path()).output().unwrap();
    assert_eq!((seen(&made).0, seen(&made).2), ("secrets.yaml\n", Some(0)));
    assert_eq!(seen(&check(folder.path(), "site.yaml")).1, ORIGINS);

    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o644)).unwrap();
    let warning = "secrets.yaml: warning: others on this machine may read it: its mode is 0644; hint: `chmod 600 secrets.yaml`\n\
        1 warning in secrets.yaml\n";
    let open = check(folder.path(), "site.yaml");
    assert_eq!((seen(&open).1, seen(&open).2), (format!("{warning}{ORIGINS}").as_str(), Some(0)));

    fs::write(&secrets, "version: 1\nsite: demo\nconsul_agent: hunter2\n").unwrap();
    let wrong = check(folder.path(), "site.yaml");
    let (stdout, stderr, code) = seen(&wrong);
    assert_eq!((stdout, code), ("", Some(1)));
    assert!(
        stderr.contains("secrets.yaml:3:15: `consul_agent` is not a UUID") && !stderr.contains("hunter2"),
        "{stderr}"
    );
    assert!(stderr.ends_with(" and 1 warning in secrets.yaml\n"), "{stderr}");
}

#[test]
fn a_file_that_cannot_be_read_is_your_input() {
    let folder = tempfile::tempdir().unwrap();
    let hint = "hint: name the site's file, as in `anymetal check site.yaml`";
    let missing =
        format!("site.yaml: cannot be read: No such file or directory (os error 2); {hint}\n1 mistake in site.yaml\n");
    assert_eq!(seen(&check(folder.path(), "site.yaml")), ("", missing.as_str(), Some(1)));
    let a_folder = ".: it is a folder; hint: name the file in it\n1 mistake in .\n";
    assert_eq!(seen(&check(folder.path(), ".")), ("", a_folder, Some(1)));
}

#[test]
fn a_hundred_megabytes_are_refused_by_their_size() {
    let folder = folder("");
    File::options().write(true).open(folder.path().join("site.yaml")).unwrap().set_len(100_000_000).unwrap();
    let stderr = "site.yaml: 100000000 bytes are too many: at most 1048576 are read; hint: check that this is the right file\n1 mistake in site.yaml\n";
    assert_eq!(seen(&check(folder.path(), "site.yaml")), ("", stderr, Some(1)));
}

#[test]
fn a_device_without_end_is_refused_too() {
    let stderr = "/dev/zero: it is a device, not a regular file; hint: copy what is in it to a file first\n1 mistake in /dev/zero\n";
    assert_eq!(seen(&check(Path::new("/"), "/dev/zero")), ("", stderr, Some(1)));
}

#[test]
fn a_site_may_come_through_a_pipe() {
    let mut child = anymetal()
        .args(["check", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(SMALLEST.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr, code) = seen(&output);
    assert_eq!((stderr, code), (smallest("/dev/stdin").as_str(), Some(0)));
    assert!(stdout.starts_with("site demo: "), "{stdout}");
}

#[test]
fn an_anchor_bomb_is_refused() {
    let mut bomb = SMALLEST.to_owned() + "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
    for level in 1..30 {
        let before = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", [before.as_str(); 9].join(", ")).unwrap();
    }
    let folder = folder(bomb);
    let output = check(folder.path(), "site.yaml");
    let (stdout, stderr, code) = seen(&output);
    assert_eq!((stdout, code), ("", Some(1)));
    assert!(stderr.contains(": aliases expand to more than 10000 nodes; hint: "), "{stderr}");
    assert_eq!(stderr.lines().last(), Some("1 mistake in site.yaml"));
}

#[test]
fn bytes_that_are_not_text_are_named_with_their_place() {
    for (bytes, said) in [
        (&b"version: 1\nsite: \xE9\n"[..], "site.yaml:2:7: not UTF-8: the byte 0xE9; hint: save it as UTF-8"),
        (
            b"version: 1\n\0",
            "site.yaml:2:1: the character U+0000 may not stand in YAML; hint: remove it, or write it as an escape between double quotes",
        ),
        (
            b"version: [\n",
            "site.yaml:1:11: not YAML: while parsing a node, did not find expected node content; hint: look at the lines above too: an open quote or bracket, or a wrong indentation, shows late",
        ),
    ] {
        let folder = folder(bytes);
        let stderr = format!("{said}\n1 mistake in site.yaml\n");
        assert_eq!(seen(&check(folder.path(), "site.yaml")), ("", stderr.as_str(), Some(1)));
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_of_another_system_are_accepted() {
    let folder = folder(format!("\u{FEFF}{}", SMALLEST.replace('\n', "\r\n")));
    assert_eq!(seen(&check(folder.path(), "site.yaml")).2, Some(0));
}

#[test]
fn nothing_is_written() {
    for text in [SMALLEST.to_owned(), format!("{SMALLEST}domian: x\n")] {
        let folder = folder(&text);
        check(folder.path(), "site.yaml");
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["site.yaml"]);
        assert_eq!(fs::read_to_string(folder.path().join("site.yaml")).unwrap(), text);
    }
}

#[test]
fn the_answer_depends_on_the_site_alone() {
    let first = check(&sites(), "full.yaml");
    let other = anymetal()
        .args(["check", "full.yaml"])
        .current_dir(sites())
        .env_clear()
        .env("TZ", "Asia/Kathmandu")
        .env("LC_ALL", "tr_TR.UTF-8")
        .output()
        .unwrap();
    assert_eq!(seen(&first), seen(&other));
}

#[test]
fn what_was_typed_wrong_is_your_input_and_help_is_data() {
    for (arguments, code) in [(&["check"][..], 1), (&["frobnicate"], 1), (&["check", "--frob"], 1), (&[], 1)] {
        let output = anymetal().args(arguments).output().unwrap();
        let (stdout, stderr, seen) = seen(&output);
        assert_eq!((stdout, seen), ("", Some(code)), "{arguments:?}");
        assert!(stderr.contains("Usage: "), "{stderr}");
    }
    for arguments in [&["--help"][..], &["check", "--help"], &["--version"]] {
        let output = anymetal().args(arguments).output().unwrap();
        let (stdout, stderr, code) = seen(&output);
        assert_eq!((stderr, code), ("", Some(0)));
        assert!(stdout.lines().all(|line| line.chars().count() <= 80), "help is wider than 80 columns:\n{stdout}");
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let mut child = anymetal()
        .args(["check", "full.yaml"])
        .current_dir(sites())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(seen(&output), ("", unlocked(5).as_str(), Some(0)));
}
