//! README's examples, run as they stand.
//! May not correct them: what a reader copies is what is run.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: starts programs and looks at what they leave"
)]

use std::fs;
use std::process::Command;

use anymetal_lab::{program, shipped};

/// The fenced blocks of that language, in order.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    readme.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

fn readme() -> String {
    fs::read_to_string(shipped::top().join("README.md")).unwrap()
}

#[test]
fn the_site_can_be_checked_built_and_rehearsed_by_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.yaml"), &blocks(&readme(), "yaml")[0]).unwrap();
    let device = shipped::top().join("tests/metadata/v4-multihop-md5.json");
    fs::copy(device, folder.path().join("device.json")).unwrap();
    // Beside the program, as a release has them.
    program::copy(env!("CARGO_BIN_EXE_anymetal"), folder.path().join("anymetal"));
    for arch in ["x86_64", "aarch64"] {
        program::copy(shipped::init(arch), folder.path().join(format!("anymetal-init-{arch}")));
    }
    let readme = readme();
    let commands: Vec<&str> = readme.lines().filter(|line| line.starts_with("anymetal ")).collect();
    assert_eq!(commands.len(), 11, "{commands:?}");
    for command in commands {
        let command = command.split('#').next().unwrap().trim();
        // A machine takes minutes, and upstreams are not there: the suites boot one and have doubles of them; here only the words are tried.
        let far = ["boot", "lock", "fetch"].iter().any(|word| command.starts_with(&format!("anymetal {word}")));
        let words = if far || command.contains("bundle") { format!("{command} --help") } else { command.to_owned() };
        let run =
            Command::new("sh").args(["-c", &format!("PATH=.:$PATH; {words}")]).current_dir(folder.path()).output();
        let run = run.unwrap();
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
    }
    for made in [
        "out/user-data",
        "out/plan.json",
        "out/sha256",
        "secrets.yaml",
        "node/etc/bird/bird.conf",
        "node/etc/anymetal/consul/consul.json",
    ] {
        assert!(folder.path().join(made).exists(), "{made} was not made");
    }
}

#[test]
fn the_two_commands_of_the_door_are_targets_of_make() {
    let makefile = fs::read_to_string(shipped::top().join("Makefile")).unwrap();
    for line in blocks(&readme(), "sh")[0].lines() {
        let target = line.split_whitespace().nth(1).unwrap();
        assert!(makefile.lines().any(|line| line.starts_with(&format!("{target}:"))), "make has no {target}");
    }
}

#[test]
fn every_place_it_names_is_there() {
    let readme = readme();
    let table = readme.split("## Find your way").nth(1).unwrap();
    let places = table.split('`').skip(1).step_by(2).filter(|place| place.contains('/') && !place.contains('<'));
    let mut seen = 0;
    for place in places {
        assert!(shipped::top().join(place).exists(), "README names {place}, which is not there");
        seen += 1;
    }
    assert!(seen > 8, "the table was not found");
}
