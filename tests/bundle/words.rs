//! What `anymetal verify` and `anymetal diff` say.

use std::fs;

use anymetal_contract::bundle::Index;
use anymetal_contract::place;
use anymetal_contract::plan::Arch;
use anymetal_lab::archive::zip_of;
use anymetal_lab::init_double::Double;
use anymetal_lab::program;
use anymetal_supply::bundle::header::{END, header, padding};

use crate::desk::{Desk, archives, cached, digest, other, site};

#[test]
fn forms_of_one_build_are_whole_and_the_same() {
    let desk = Desk::built();
    let plan = digest(&desk.read("out/plan.json"));
    let blob = cached(&archives()[0].1);
    let release = digest(&desk.read("out/release.json"));
    let forms = ["out/bundle.tar", "out/user-data", "out/release.json", "out/plan.json", "out", "site.yaml", &blob];
    let lines = [
        format!("out/bundle.tar bundle plan sha256:{plan} 6 blobs whole"),
        format!("out/user-data user-data plan sha256:{plan}"),
        format!("out/release.json release sha256:{release} serial 1 plan sha256:{plan}"),
        format!("out/plan.json plan sha256:{plan}"),
        format!("out folder plan sha256:{plan} 4 blobs whole"),
        format!("site.yaml site plan sha256:{plan}"),
        format!("{blob} blob sha256:{} whole", digest(&archives()[0].1)),
    ];
    let said = desk.says(&[&["verify"], &forms[..]].concat());
    assert_eq!(said.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn the_first_difference_of_two_plans_is_said_in_words() {
    let desk = Desk::built();
    let old = digest(&desk.read("out/plan.json"));
    fs::rename(desk.path("out"), desk.path("old")).unwrap();
    desk.put("site.yaml", site().replace("192.0.2.1/32", "192.0.2.2/32"));
    desk.build(&[]);
    let new = digest(&desk.read("out/plan.json"));
    let said = desk.refuses(&["verify", "old/bundle.tar", "out/user-data"]);
    let sentence = format!(
        "anymetal: out/user-data carries another plan than old/bundle.tar: sha256 {new}, not {old}\n\
         the first difference: domain 192-0-2-1.sslip.io → 192-0-2-2.sslip.io\n"
    );
    assert_eq!(said, sentence);
    // a folder whose own forms are of two builds
    fs::copy(desk.path("old/bundle.tar"), desk.path("out/bundle.tar")).unwrap();
    let said = desk.refuses(&["verify", "out"]);
    let first =
        format!("anymetal: out/bundle.tar carries another plan than out/release.json: sha256 {old}, not {new}\n");
    assert!(said.starts_with(&first), "{said}");
}

#[test]
fn another_init_is_a_difference_and_a_missing_one_too() {
    let desk = Desk::built();
    fs::rename(desk.path("out"), desk.path("old")).unwrap();
    program::put(desk.path("bin/anymetal-init-x86_64"), Double { code: 7, ..Double::of(Arch::X86_64) }.elf());
    desk.build(&[]);
    let said = desk.refuses(&["verify", "old/user-data", "out/bundle.tar"]);
    assert!(said.starts_with("anymetal: out/bundle.tar has another release than old/user-data\nthe first difference: anymetal-init for x86_64"), "{said}");
    let init = digest(&desk.read("bin/anymetal-init-x86_64"));
    fs::remove_file(desk.path(&format!("out/sha256/{init}"))).unwrap();
    let said = desk.refuses(&["verify", "out"]);
    let missing =
        format!("anymetal: out: sha256/{init} (anymetal-init x86_64) is missing\nhint: `anymetal build` writes it\n");
    assert_eq!(said, missing);
}

/// What row 2 of an adversary's report did: the index is signed by nobody, and may say nothing of its own.
#[test]
fn a_foreign_init_in_a_bundles_index_is_refused() {
    let desk = Desk::built();
    let (release, plan) = (desk.read("out/release.json"), desk.read("out/plan.json"));
    let ours = digest(&desk.read("bin/anymetal-init-x86_64"));
    let evil = Double { code: 66, ..Double::of(Arch::X86_64) }.elf();
    let mut index: Index = serde_json::from_slice(&other_bytes(&desk, "index.json")).unwrap();
    let mut blobs: Vec<_> = archives().into_iter().map(|(_, bytes)| bytes).collect();
    blobs.extend([release.clone(), plan, desk.read("bin/anymetal-init-aarch64"), evil.clone()]);
    blobs.sort_by_key(|blob| digest(blob));
    index.inits.insert(Arch::X86_64, digest(&evil));
    for blob in &mut index.blobs {
        if blob.sha256 == ours {
            (blob.sha256, blob.size) = (digest(&evil), evil.len() as u64);
        }
    }
    index.blobs.sort_by(|one, other| one.sha256.cmp(&other.sha256));
    let index = anymetal::plan::canonical(&index);
    let mut members = vec![("index.json".to_owned(), index), ("release.json".to_owned(), release)];
    members.extend(blobs.into_iter().map(|blob| (place::blob(&digest(&blob)), blob)));
    let mut bytes = Vec::new();
    for (name, content) in members {
        bytes.extend(header(&name, content.len() as u64));
        bytes.extend(&content);
        bytes.resize(bytes.len() + padding(content.len() as u64), 0);
    }
    bytes.extend(END);
    desk.put("evil.tar", &bytes);
    let refused = "anymetal: evil.tar: index.json names another anymetal-init than its release pins\n";
    assert_eq!(desk.refuses(&["verify", "evil.tar"]), refused);
    assert_eq!(desk.refuses(&["diff", "out", "evil.tar"]), refused);
}

/// A member of the bundle that was built.
fn other_bytes(desk: &Desk, member: &str) -> Vec<u8> {
    other("tar", &["xOf", "out/bundle.tar", member], &desk.path("")).into_bytes()
}

#[test]
fn what_is_no_form_is_said_to_be_none() {
    let desk = Desk::built();
    desk.put("note.txt", "hello");
    let said = desk.refuses(&["verify", "note.txt"]);
    assert!(said.starts_with("anymetal: note.txt: it is none of our forms\nhint: "), "{said}");
    let said = desk.refuses(&["verify", "out/none"]);
    assert!(said.starts_with("anymetal: out/none: opening out/none: "), "{said}");
    let said = desk.refuses(&["verify", "cache"]);
    assert!(said.starts_with("anymetal: cache: there is no release.json in it\nhint: "), "{said}");
    let blob = cached(&archives()[0].1);
    desk.put(&blob, "other");
    let said = desk.refuses(&["verify", &blob]);
    assert_eq!(said, format!("anymetal: {blob} has other bytes: sha256 {}\n", digest(b"other")));
    let said = desk.refuses(&["diff", &blob, "out"]);
    assert!(said.starts_with(&format!("anymetal: {blob} carries no plan\nhint: ")), "{said}");
}

#[test]
fn what_another_site_changes_is_said_in_words() {
    let desk = Desk::built();
    assert_eq!(desk.says(&["diff", "out/bundle.tar", "out/user-data"]), "no change for a node\n");
    desk.says(&["diff", "--exit-code", "out", "site.yaml"]);
    fs::rename(desk.path("out"), desk.path("old")).unwrap();
    let new = zip_of("consul", 1003, 3);
    let pins = |site: String| {
        site.replace("1.21.5", "1.22.7")
            .replace(&digest(&archives()[0].1).to_string(), &digest(&new).to_string())
            .replace("size: 3001", "size: 1003")
    };
    desk.cache(&new);
    let more = "domain: example.org\nfirewall: {tcp: [8080]}\n";
    let next = pins(site())
        .replace("192.0.2.1/32", "192.0.2.1/32, 198.51.100.7/32")
        .replace("origins: [", "origins: [https://mirror.example/am, ")
        + more;
    desk.put("site.yaml", next);
    program::put(desk.path("bin/anymetal-init-x86_64"), Double { code: 7, ..Double::of(Arch::X86_64) }.elf());
    desk.build(&[]);
    let was = digest(&Double::of(Arch::X86_64).elf()).short().to_owned();
    let expected = format!(
        "domain 192-0-2-1.sslip.io → example.org
consul 1.21.5 → 1.22.7
anymetal-init for x86_64 replaced, sha256 {was}… → {}…
prefix 198.51.100.7/32 added: announced from now on
port 8080/tcp opened to everybody
file /etc/anymetal/firewall/anymetal.nft changes: the fact `firewall`
file /etc/bird/bird.conf changes: the fact `anycast4`
unit anymetal-firewall.service reloaded: /etc/anymetal/firewall/anymetal.nft
unit consul.service restarted: consul
unit bird.service reloaded: /etc/bird/bird.conf
unit anymetal-guard.service restarted: anymetal-init, what it keeps watch by
origin https://mirror.example/am added
",
        digest(&desk.read("bin/anymetal-init-x86_64")).short()
    );
    let said = desk.says(&["diff", "old", "out/bundle.tar"]);
    assert_eq!(said, expected);
    assert_eq!(desk.run(&["diff", "--exit-code", "old", "out"]).status.code(), Some(1));
    // user-data and bundle know the same of a node
    assert_eq!(desk.says(&["diff", "old/user-data", "out/user-data"]), said);
}
