//! The list of packages: what is a list for this machine, and what of it a machine lacks. Pure.

use anymetal_contract::Digest;

use super::*;

fn list(packages: &[(&str, &str)]) -> Packages {
    let package = |(name, version): &(&str, &str)| Package {
        name: (*name).into(),
        version: (*version).into(),
        sha256: Digest::of([7; 32]),
        size: 9,
        urls: vec![],
    };
    Packages {
        kind: KIND.into(),
        version: VERSION,
        os: "debian-12".into(),
        arch: Arch::X86_64,
        packages: packages.iter().map(package).collect(),
    }
}

fn text(list: &Packages) -> String {
    serde_json::to_value(list).unwrap().to_string()
}

#[test]
fn what_is_there_in_that_version_or_a_newer_one_is_not_missing_and_the_order_stays() {
    let list = list(&[("libz", "1:1.2-3"), ("bird2", "2.0.12-7"), ("new", "1.0"), ("old", "2.0"), ("alike", "3")]);
    let installed = [("bird2", "2.0.13-1"), ("old", "1.9"), ("alike", "3")].map(|(n, v)| (n.into(), v.into()));
    let mut asked = Vec::new();
    let lacking = lacking(&list, &installed.into(), |has, wanted| {
        asked.push(format!("{has} {wanted}"));
        Ok(has == "2.0.13-1")
    });
    let names: Vec<_> = lacking.unwrap().into_iter().map(|package| package.name).collect();
    assert_eq!(names, ["libz", "new", "old"]);
    assert_eq!(asked, ["2.0.13-1 2.0.12-7", "1.9 2.0"], "equal versions need no comparison");
}

#[test]
fn a_list_that_is_not_for_this_machine_or_not_sound_is_refused_with_what_is_wrong() {
    let good = list(&[("bird2", "2.0.12-7")]);
    let read = |text: &str| parse(text.as_bytes(), "debian-12", Arch::X86_64);
    assert_eq!(read(&text(&good)).unwrap(), good);
    let swapped = |from: &str, to: &str| text(&good).replace(from, to);
    for (bytes, said) in [
        (swapped("anymetal.packages", "anymetal.plan"), "it is \"anymetal.plan\" version 1, this init reads"),
        (swapped("\"version\":1", "\"version\":2"), "it is \"anymetal.packages\" version 2, this init reads"),
        (swapped("debian-12", "debian-13"), "it is for debian-13 on x86_64, this machine has debian-12 on x86_64"),
        (swapped("x86_64", "aarch64"), "it is for debian-12 on aarch64"),
        (swapped("{\"arch", "{ \"arch"), "it is not canonical JSON"),
        (swapped("{\"arch", "{\"aloft\":1,\"arch"), "unknown field `aloft`"),
        (swapped("bird2", "--root=x"), "\"--root=x\" \"2.0.12-7\" is no package and version"),
        (swapped("bird2", "bird*"), "\"bird*\" \"2.0.12-7\" is no package and version"),
        (swapped("2.0.12-7", "-i"), "\"bird2\" \"-i\" is no package and version"),
        (text(&list(&[("bird2", "1"), ("bird2", "2")])), "bird2 stands in it twice"),
        (String::new(), "EOF while parsing"),
    ] {
        let failure = read(&bytes).expect_err(&bytes);
        assert_eq!(failure.reason, Reason::PackagesUnsound);
        assert!(failure.chain().contains(said), "{:?} does not say {said:?}", failure.chain());
    }
}
