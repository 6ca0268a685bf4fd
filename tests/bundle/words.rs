//! What `anymetal verify` and `anymetal diff` say.

use std::fs;

use anymetal_contract::plan::Arch;
use anymetal_lab::init_double::Double;
use anymetal_lab::program;

use crate::desk::{Desk, archives, cached, digest, site};

#[test]
fn forms_of_one_build_are_whole_and_the_same() {
    let desk = Desk::built();
    let plan = digest(&desk.read("out/plan.json"));
    let blob = cached(&archives()[0].1);
    let forms = ["out/bundle.tar", "out/user-data", "out/plan.json", "out", "site.yaml", &blob];
    let lines = [
        format!("out/bundle.tar bundle plan sha256:{plan} 4 blobs whole"),
        format!("out/user-data user-data plan sha256:{plan}"),
        format!("out/plan.json plan sha256:{plan}"),
        format!("out folder plan sha256:{plan} 2 blobs whole"),
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
    let first = format!("anymetal: out/bundle.tar carries another plan than out/plan.json: sha256 {old}, not {new}\n");
    assert!(said.starts_with(&first), "{said}");
}

#[test]
fn another_init_is_a_difference_and_a_missing_one_too() {
    let desk = Desk::built();
    fs::rename(desk.path("out"), desk.path("old")).unwrap();
    program::put(desk.path("bin/anymetal-init-x86_64"), Double { code: 7, ..Double::of(Arch::X86_64) }.elf());
    desk.build(&[]);
    let said = desk.refuses(&["verify", "old/user-data", "out/bundle.tar"]);
    assert!(said.starts_with("anymetal: out/bundle.tar has another anymetal-init than old/user-data: "), "{said}");
    let init = digest(&desk.read("bin/anymetal-init-x86_64"));
    fs::remove_file(desk.path(&format!("out/sha256/{init}"))).unwrap();
    let said = desk.refuses(&["verify", "out"]);
    let missing =
        format!("anymetal: out: sha256/{init} (anymetal-init x86_64) is missing\nhint: `anymetal build` writes it\n");
    assert_eq!(said, missing);
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
    assert!(said.starts_with("anymetal: cache: there is no plan.json in it\nhint: "), "{said}");
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
    let pins = |site: String| {
        site.replace("1.21.5", "1.22.7")
            .replace(&digest(&archives()[0].1).to_string(), &digest(b"new").to_string())
            .replace("size: 3001", "size: 3")
    };
    desk.cache(b"new");
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
