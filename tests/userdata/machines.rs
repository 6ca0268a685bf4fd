//! The document of one machine, on its way beside what all machines of a site get: with cloud-init's own merging, of 22.4 and of 25.1.
//! May not have an opinion of its own on how cloud-init merges.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use anymetal_contract::place;
use anymetal_lab::{cloud_init, shipped};

use super::desk::{Desk, SITE, stderr, stdout};

const MACHINE: &str = r#"{"kind": "anymetal.machine", "version": 1, "hostname": "edge-1", "addresses": {"private4": {"address": "10.7.0.5/24"}},
  "neighbours": [{"address": "10.7.0.1", "asn": 64512, "local_asn": 64513, "password": "it's: #1 \\ é"}]}
"#;

/// A desk whose site is of racks.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.put("site.yaml", &SITE.replace("platform: equinix-metal", "platform: file"));
    desk.put("edge-1.json", MACHINE);
    desk
}

/// What each cloud-init there is makes of it: the paths that are written, and how many commands are run.
fn merged(sources: &[String]) -> Vec<(Vec<String>, usize)> {
    let newer = shipped::cloud_init25();
    if newer.is_none() {
        eprintln!("without a cloud-init of 2025: `make cloud-init25` has not laid one down");
    }
    let one = |modules: Option<&Path>| {
        let mut python = Command::new("/usr/bin/python3");
        python.arg(shipped::top().join("tests/userdata/cloud_init.py"));
        python.args(modules.iter().flat_map(|modules| [Path::new("--path"), modules])).args(sources);
        let output = python.output().expect("install python3");
        assert!(output.status.success(), "install cloud-init? {}", stderr(&output));
        let said = stdout(&output);
        let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
        let version = lines.remove(0);
        assert_eq!(version.starts_with("25."), modules.is_some(), "it is {version}");
        let commands = lines.pop().unwrap().parse().unwrap();
        (lines, commands)
    };
    [Some(None), newer.as_deref().map(Some)].into_iter().flatten().map(one).collect()
}

#[test]
fn a_machine_has_a_user_data_with_its_document_in_it() {
    let desk = desk();
    desk.put("edge-2.json", &format!("\u{feff}{}", MACHINE.replace("edge-1", "edge-2").replace('\n', "\r\n")));
    let said = desk.built(&["--machine", "edge-1.json", "edge-2.json"]);
    for (name, document) in [("edge-1", MACHINE.to_owned()), ("edge-2", MACHINE.replace("edge-1", "edge-2"))] {
        let path = desk.path(&format!("out/user-data.{name}"));
        let text = fs::read_to_string(&path).unwrap();
        assert!(said.contains(&format!("user-data.{name} {} bytes\n", text.len())), "{said}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let written = cloud_init::written(&text).unwrap();
        let machine = written.iter().find(|file| file.path == place::MACHINE).expect("the document is written");
        assert_eq!((String::from_utf8_lossy(&machine.content).as_ref(), machine.mode), (&*document, 0o600));
        super::desk::assert_schema_accepts(&path);
        for (paths, commands) in merged(&[format!("user-data={}", path.display())]) {
            assert!(paths.contains(&place::PINS.to_owned()) && paths.contains(&place::MACHINE.to_owned()), "{paths:?}");
            assert_eq!(commands, 4);
        }
    }
    assert!(!fs::read_to_string(desk.path("out/user-data")).unwrap().contains("machine"));
    let verified = desk.run(&["verify", "out"]);
    assert!(verified.status.success(), "{}{}", stdout(&verified), stderr(&verified));
    // what stands elsewhere in it is compared as in the one of all machines
    let path = desk.path("out/user-data.edge-1");
    fs::write(&path, fs::read_to_string(&path).unwrap() + "bootcmd: [evil]\n").unwrap();
    let verified = desk.run(&["verify", "out"]);
    assert_eq!(verified.status.code(), Some(1), "{}", stderr(&verified));
    assert!(stderr(&verified).contains("user-data.edge-1"), "{}", stderr(&verified));
}

#[test]
fn a_part_of_the_machines_own_arrives_by_readmes_words_and_by_no_others() {
    let desk = desk();
    desk.built(&[]);
    let readme = fs::read_to_string(shipped::top().join("README.md")).unwrap();
    let how = readme.lines().find(|line| line.starts_with("merge_how: ")).expect("README says how");
    let part = format!("write_files:\n- {{path: {}, permissions: \"0600\", content: '{{}}'}}\n", place::MACHINE);
    desk.put("bare", &format!("#cloud-config\n{part}"));
    desk.put("part", &format!("#cloud-config\n{how}\n{part}"));
    let [ours, bare, part] = ["out/user-data", "bare", "part"].map(|name| desk.path(name).display().to_string());
    let all = |found: &(Vec<String>, usize)| {
        found.0.contains(&place::PINS.to_owned()) && found.0.contains(&place::MACHINE.to_owned()) && found.1 == 4
    };
    let second = merged(&[format!("user-data={ours}:{part}")]);
    assert!(second.iter().all(all), "{second:?}");
    for lost in [
        vec![format!("user-data={ours}:{bare}")],
        vec![format!("user-data={bare}:{ours}")],
        vec![format!("user-data={part}:{ours}")],
        vec![format!("user-data={ours}"), format!("vendor-data={bare}")],
        vec![format!("user-data={ours}"), format!("vendor-data={part}")],
    ] {
        let found = merged(&lost);
        assert!(!found.iter().any(all), "{lost:?}: {found:?}");
    }
}

#[test]
fn a_document_that_is_none_or_that_nobody_would_read_is_refused() {
    let desk = desk();
    desk.put("twin.json", MACHINE);
    desk.put("other.json", &MACHINE.replace("anymetal.machine", "anymetal.plan"));
    desk.put("slash.json", &MACHINE.replace("edge-1", "../edge"));
    desk.put("broken.json", &MACHINE[..80]);
    for (files, said) in [
        (&["edge-1.json", "twin.json"][..], "edge-1.json and twin.json are both of edge-1\nhint: "),
        (
            &["other.json"],
            "reading other.json: it is no machine's own document: its `kind` is not \"anymetal.machine\"",
        ),
        (&["slash.json"], "reading slash.json: its `hostname` is no name of letters, digits, hyphens and dots"),
        (&["broken.json"], "reading broken.json: it is no JSON object of a machine, at 1:80"),
        (&["nothing.json"], "reading nothing.json: "),
    ] {
        desk.refused(&[&["--machine"], files].concat(), said);
    }
    desk.put("site.yaml", SITE);
    desk.refused(&["--machine", "edge-1.json"], "the platform equinix-metal describes its machines itself");
    desk.put("site.yaml", &format!("{SITE}cloud_config: [{{write_files: [{{path: {}}}]}}]\n", place::MACHINE));
    desk.refused(&[], "which is anymetal's own; `anymetal build --machine FILE` brings it");
}
