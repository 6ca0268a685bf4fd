//! Nothing is rendered that the program refuses which it is for: thousands of documents, with the real BIRD and nft as judges.
//! May not know what a document says: `strangers` makes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anymetal_contract::plan::Arch;
use serde_json::Value;

use super::strangers::{Stranger, stranger};
use super::{node, secrets};
use crate::facts;
use crate::metadata::{self, Machine, is_link_local};
use crate::render::render;
use anymetal_supply::failure::Failure;

/// So many documents are made, and so many of them at least are accepted by the readers, and rendered.
const MADE: u64 = 3_800;
const ACCEPTED: usize = 2_000;

/// What the judges refuse, so that it is known that they judge.
const CONTROLS: [(&str, &str); 2] = [
    ("control.nft", "table inet t {\n chain c {\n  ip saddr { } accept\n }\n}\n"),
    (
        "control.conf",
        "router id 10.0.0.1;\nprotocol device {}\nprotocol bgp a {\n  local fe80::5 as 1;\n  neighbor fe80::1 as 2;\n  direct;\n  \
         ipv6 { import none; export none; };\n}\n",
    ),
];

/// How many of each kind of document were accepted.
type Kinds = BTreeMap<&'static str, usize>;

#[test]
fn whatever_the_readers_accept_is_accepted_by_bird_and_nft() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in CONTROLS {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let half = |first| (first..MADE).step_by(2).filter_map(|number| put(folder.path(), number)).collect::<Vec<_>>();
    let kinds: Vec<Vec<&str>> = thread::scope(|scope| {
        let halves = [0, 1].map(|first| scope.spawn(move || half(first)));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    let mut count = Kinds::new();
    kinds.iter().flatten().for_each(|kind| *count.entry(kind).or_default() += 1);
    println!("of {MADE} documents {} are accepted: {count:?}", kinds.len());
    assert!(kinds.len() >= ACCEPTED, "only {} of {MADE} documents are accepted", kinds.len());
    for kind in KINDS {
        assert!(count.get(kind).is_some_and(|count| *count >= 30), "too few documents have {kind}: {count:?}");
    }
    let said = judged(folder.path());
    let refused: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("REFUSED ")).collect();
    let (controls, faults): (Vec<&str>, Vec<&str>) = refused.iter().partition(|name| name.starts_with("control."));
    assert_eq!(controls, ["control.nft", "control.conf"], "the judges do not judge: {said}");
    let Some(fault) = faults.first() else { return };
    let text = std::fs::read_to_string(folder.path().join(fault)).unwrap();
    let number = fault.split('-').next().and_then(|number| number.parse().ok()).unwrap();
    panic!("{} files are refused:\n{said}\n{fault}:\n{text}\nof {}", faults.len(), stranger(number).document);
}

/// Writes what both programs read of the document of this number. Returns what is remarkable in it; `None` when it is refused.
fn put(folder: &Path, number: u64) -> Option<Vec<&'static str>> {
    let stranger = stranger(number);
    let (machine, files) = rendered(&stranger).ok()?;
    for (name, text) in files {
        match name.rsplit('.').next() {
            Some("json") => assert!(serde_json::from_str::<Value>(&text).is_ok(), "{name} of {number}:\n{text}"),
            Some("yaml") => assert!(serde_yaml::from_str::<Value>(&text).is_ok(), "{name} of {number}:\n{text}"),
            Some("conf" | "nft") if !name.contains("sysctl") => {
                std::fs::write(folder.join(format!("{number}-{}", name.replace('/', "-"))), text).unwrap();
            }
            _ => {}
        }
    }
    Some(remarkable(&stranger, &machine))
}

/// The machine, and its files by name; or why a node would refuse the document.
fn rendered(Stranger { plan, document }: &Stranger) -> Result<(Machine, Vec<(String, String)>), Failure> {
    let resolvers = ["127.0.0.53", "fe80::1", "::ffff:10.0.0.53", "::"].map(|one| one.parse().unwrap());
    let machine = Machine { resolvers: resolvers.into(), ..metadata::read(&plan.platform, document)? };
    let facts = facts::make(plan, &machine, &secrets(), Arch::X86_64)?;
    // What has its facts is rendered: an error is a fault of ours.
    let text = |file| render(file, &facts, &secrets()).unwrap_or_else(|failure| panic!("{}", failure.chain()));
    let files = plan.files.iter().map(|file| (file.name.clone(), text(file))).collect();
    Ok((machine, files))
}

/// Without these the property says little.
const KINDS: [&str; 7] =
    ["no private subnet", "an interface", "link-local", "several hops", "a backslash", "more than ASCII", "IPv6 only"];

fn remarkable(stranger: &Stranger, machine: &Machine) -> Vec<&'static str> {
    let passwords = || machine.neighbours.iter().filter_map(|neighbour| neighbour.password.as_ref());
    let any = |test: fn(&metadata::Neighbour) -> bool| machine.neighbours.iter().any(test);
    let seen = [
        machine.private_subnets.is_empty(),
        any(|neighbour| neighbour.interface.is_some()),
        any(|neighbour| is_link_local(neighbour.address)),
        any(|neighbour| neighbour.multihop > 1),
        passwords().any(|password| password.expose().contains('\\')),
        passwords().any(|password| !password.expose().is_ascii()),
        stranger.plan.anycast.v4.is_empty(),
    ];
    KINDS.into_iter().zip(seen).filter(|(_, seen)| *seen).map(|(kind, _)| kind).collect()
}

/// What nft and BIRD say of all files of the folder, with a line for each that is refused. Both at once, each in one process after the other.
fn judged(folder: &Path) -> String {
    const NFT: &str = "for file in *.nft; do nft --check --file \"$file\" 2>&1 || echo \"REFUSED $file\"; done";
    const BIRD: &str = "for file in *.conf; do bird -p -c \"$file\" 2>&1 || echo \"REFUSED $file\"; done";
    let mut plain = Command::new("sh");
    plain.args(["-uc", BIRD]).env("PATH", super::path());
    let judges = [node(folder, NFT), plain].map(|mut judge| {
        judge
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("running {judge:?}: {error}"))
    });
    judges.map(|judge| String::from_utf8_lossy(&judge.wait_with_output().unwrap().stdout).into_owned()).concat()
}
