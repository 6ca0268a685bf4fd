//! Inputs that are wrong, and inputs that are hostile: `check` and `build` agree, nothing blocks, nothing steers a terminal.
//! May not know the words of a mistake: those are tested beside the code.

use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use anymetal::plan::canonical;
use serde_json::Value;

use super::desk::{Desk, SITE, stderr, stdout};

#[test]
fn check_refuses_what_build_refuses_and_takes_what_build_takes() {
    let desk = Desk::new();
    let origin = |origin: &str| SITE.replace("http://192.0.2.80/anymetal", origin);
    let with = |lines: &str| format!("{SITE}{lines}");
    for (text, good) in [
        (SITE.to_owned(), true),
        (with("cloud_config: [{packages: [jq]}]\n"), true),
        (origin("'http://a/$(id)'"), false),
        (origin("'http://a/*'"), false),
        (origin("\"http://a/'\""), false),
        (origin("'http://a/`id`'"), false),
        (origin("'http://a/a b'"), false),
        (origin("'http://u:p@a/'"), false),
        (with("reports: [webhook: 'http://a/T0K3N']\n"), false),
        (with("cloud_config: [{write_files: [{path: /etc/anymetal/plan.json, content: x}]}]\n"), false),
        (with("cloud_config: [{write_files: [{path: /tmp/x, content: x}]}]\n"), false),
        (with("cloud_config: [{write_files: [{path: /etc/a, content: x}, {path: /etc//a, content: y}]}]\n"), false),
        (with("cloud_config: [{phone_home: {url: 'http://x/'}}]\n"), false),
        (with("cloud_config: [{runcmd: ['echo image_tag=x']}]\n"), false),
        (with("cloud_config: [{runcmd: {a: b}}]\n"), false),
        (with("cloud_config: [{write_files: [{path: /etc/a, defer: true}]}]\n"), false),
        (with("expose: plain\n"), false),
        (with("bgp: {password: secret}\n"), false),
    ] {
        desk.put("site.yaml", &text);
        let (check, build) = (desk.run(&["check", "site.yaml"]), desk.build(&[]));
        let expected = Some(i32::from(!good));
        let said = format!("{text}\ncheck: {}\nbuild: {}", stderr(&check), stderr(&build));
        assert_eq!((check.status.code(), build.status.code()), (expected, expected), "{said}");
        fs::remove_dir_all(desk.path("out")).unwrap_or_default();
    }
}

#[test]
fn what_is_still_to_be_done_before_a_build_is_said() {
    let desk = Desk::new();
    let text = SITE
        .replace("origins: [http://192.0.2.80/anymetal]\n", "")
        .replace("{nomad: none}", "{consul: 1.9.0, nomad: none}");
    desk.put("site.yaml", &text);
    let check = desk.run(&["check", "site.yaml"]);
    let said = "to do: name a URL under `origins`, from which nodes fetch anymetal-init and what `anymetal build` writes to sha256/\n\
                to do: run `anymetal lock`: nobody has asked for the sha256 of 1 archive yet\n";
    assert!(check.status.success() && stderr(&check) == said, "{}", stderr(&check));
}

/// `anymetal` with these words, ended when it blocks.
fn limited(desk: &Desk, words: &[&str]) -> Output {
    let program = desk.path("bin/anymetal");
    let mut command = Command::new("timeout");
    command.arg("20").arg(program).args(words).current_dir(desk.path(""));
    command.output().unwrap()
}

#[test]
fn what_is_no_regular_file_is_named_at_once_wherever_a_file_is_read() {
    let desk = Desk::new();
    desk.built(&[]);
    assert!(desk.run(&["sign", "--new-key", "site.key"]).status.success());
    let fifo = desk.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _listener = UnixListener::bind(desk.path("socket")).unwrap();
    for (name, what) in [("fifo", "a named pipe"), ("socket", "a socket"), ("/dev/zero", "a device")] {
        desk.put("secret-site.yaml", &format!("{SITE}secrets: {{file: {name}}}\n"));
        desk.put("extra-site.yaml", &format!("{SITE}cloud_config: [{name}]\n"));
        for words in [
            &["check", name][..],
            &["build", name, "-o", "other"],
            &["build", "site.yaml", "-o", "other", "--init", name],
            &["build", "site.yaml", "-o", "other", "--sign", name],
            &["check", "secret-site.yaml"],
            &["build", "secret-site.yaml", "-o", "other"],
            &["secrets", "new", "secret-site.yaml"],
            &["check", "extra-site.yaml"],
            &["lock", name],
            &["fetch", name],
            &["verify", name],
            &["verify", "out", "--key", name],
            &["diff", name, "out"],
            &["sign", name, "--key", "site.key"],
            &["sign", "out", "--key", name],
            &["rehearse", "site.yaml", "--metadata", name, "-o", "node", "--init", "bin/anymetal-init-x86_64"],
        ] {
            let output = limited(&desk, words);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
            assert!(said.contains(what) || said.contains("plain file"), "{words:?}: {said}");
            assert!(!desk.path("other").exists(), "{words:?}");
        }
    }
    // nor is one replaced
    for name in ["out/user-data", "out/plan.json"] {
        let desk = Desk::new();
        fs::create_dir(desk.path("out")).unwrap();
        assert!(Command::new("mkfifo").arg(desk.path(name)).status().unwrap().success());
        let output = limited(&desk, &["build", "site.yaml", "-o", "out"]);
        assert_ne!(output.status.code(), Some(0), "{name}");
        assert!(
            stderr(&output).contains("is a named pipe, not a regular file")
                || stderr(&output).contains("it is a named pipe"),
            "{}",
            stderr(&output)
        );
    }
}

/// Every path to a text in it.
fn texts(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| texts(item, &format!("{at}/{place}"), found));
        }
        Value::Object(members) => {
            let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
            members.iter().for_each(|(key, item)| texts(item, &format!("{at}/{}", escaped(key)), found));
        }
        _ => {}
    }
}

/// What clears a screen, changes a title, turns the reading direction, takes no room, and would be a line of its own.
const HOSTILE: &str = "\u{1b}[2J\u{9b}\u{1b}]0;pwn\u{7}\u{202e}\u{2066}\u{200b}\r\nanymetal: all good";

fn assert_harmless(output: &Output, of: &str) {
    for text in [stdout(output), stderr(output)] {
        let odd = text.chars().find(|c| *c != '\n' && anymetal_contract::terminal::steers(*c));
        assert_eq!(odd, None, "{of}: {text:?}");
        assert!(!text.contains("\nanymetal: all good"), "{of}: {text:?}");
    }
}

/// A text as JSON and YAML quote it, all that is not ASCII escaped.
fn canonical_text(text: &str) -> String {
    let escaped =
        |c: char| if c.is_ascii_graphic() && c != '"' { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[test]
fn no_text_of_a_plan_a_lock_or_a_bundle_steers_the_terminal() {
    let desk = Desk::new();
    desk.built(&[]);
    let good: Value = serde_json::from_slice(&fs::read(desk.path("out/plan.json")).unwrap()).unwrap();
    let mut places = Vec::new();
    texts(&good, "", &mut places);
    assert!(places.len() > 50, "{places:?}");
    for place in places {
        let mut other = good.clone();
        let text = other.pointer_mut(&place).unwrap();
        *text = format!("{}{HOSTILE}", text.as_str().unwrap()).into();
        fs::write(desk.path("other.json"), canonical(&other)).unwrap();
        assert_harmless(&desk.run(&["diff", "out/plan.json", "other.json"]), &place);
        assert_harmless(&desk.run(&["verify", "out/plan.json", "other.json"]), &place);
    }
    // a release, and a user-data
    let release: Value = serde_json::from_slice(&fs::read(desk.path("out/release.json")).unwrap()).unwrap();
    let user_data = fs::read_to_string(desk.path("out/user-data")).unwrap();
    for change in ["site", "stub", "kind", HOSTILE] {
        let mut other = release.clone();
        other[change] = HOSTILE.into();
        fs::create_dir_all(desk.path("other")).unwrap();
        fs::copy(desk.path("out/plan.json"), desk.path("other/plan.json")).unwrap();
        fs::write(desk.path("other/release.json"), canonical(&other)).unwrap();
        for words in [&["verify", "other/release.json"][..], &["diff", "out", "other/release.json"]] {
            let output = desk.run(words);
            assert_ne!(output.status.code(), Some(0), "{words:?}");
            assert_harmless(&output, change);
        }
    }
    fs::copy(desk.path("out/release.json"), desk.path("other/release.json")).unwrap();
    desk.put("other/user-data", &format!("{user_data}{}: 1\n", canonical_text(HOSTILE)));
    let output = desk.run(&["verify", "other/user-data"]);
    assert!(stderr(&output).contains("the operator's part of it ("), "{}", stderr(&output));
    assert_harmless(&output, "a key of the user-data");
    assert_harmless(&desk.run(&["diff", "out", "other/user-data"]), "a key of the user-data");
    // an unknown key, whose name is quoted
    let mut other = good.clone();
    other[HOSTILE] = 1.into();
    fs::write(desk.path("other.json"), canonical(&other)).unwrap();
    for words in
        [&["diff", "other.json", "out"][..], &["verify", "other.json"], &["sign", "other.json", "--key", "site.yaml"]]
    {
        assert_harmless(&desk.run(words), "a key");
    }
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o644);
    header.as_mut_bytes()[..HOSTILE.len()].copy_from_slice(HOSTILE.as_bytes());
    header.set_cksum();
    tar.append(&header, &b"x"[..]).unwrap();
    fs::write(desk.path("other.tar"), tar.into_inner().unwrap()).unwrap();
    assert_harmless(&desk.run(&["verify", "other.tar"]), "a member's name");
    assert_harmless(&desk.run(&["verify", HOSTILE]), "a file's name");
    desk.put(
        "site.lock",
        &format!("{{\"kind\": \"anymetal.lock\", \"version\": 1, {:?}: 1, \"sha256\": \"x\"}}", "\u{1b}[2J")
            .replace("\\u{1b}", "\\u001b\\n\\u202e"),
    );
    for words in [&["check", "site.yaml"][..], &["lock", "site.yaml", "--check"], &["verify", "site.lock"]] {
        let output = desk.run(words);
        assert_ne!(output.status.code(), Some(0), "{words:?}");
        assert_harmless(&output, "a lock");
    }
}
