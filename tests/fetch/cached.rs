//! `anymetal cache`: what it says of a cache, and what it takes out of one.
//! May not fetch more than a test begins with.

use std::fs;

use super::desk::{Blob, Desk, flip, good};

/// A desk whose site needs this blob and whose cache has it.
fn with(blob: &Blob) -> Desk {
    let server = good(std::slice::from_ref(blob));
    let desk = Desk::new(std::slice::from_ref(blob), &[&server.url()]);
    desk.fetch(&[]).done();
    desk
}

#[test]
fn a_blob_changed_at_any_of_a_hundred_places_is_found_and_named() {
    let blob = Blob::consul(50_000, 30);
    let desk = with(&blob);
    let verify = ["cache", "verify", "--cache", "cache"];
    assert_eq!(desk.run(&verify).done(), ["verified 1 blob, 0 damaged"]);
    let named = format!("cache/sha256/{} is damaged: its bytes have sha256:", blob.hex());
    for place in (0..100).map(|step| step * 505) {
        flip(&desk.blob(&blob), place);
        let ran = desk.run(&verify);
        assert_eq!(ran.code, Some(2), "byte {place}");
        assert!(ran.stdout.starts_with(&named), "byte {place}: {}", ran.stdout);
        assert_eq!(ran.lines()[1..], ["verified 1 blob, 1 damaged"]);
        flip(&desk.blob(&blob), place);
    }
    flip(&desk.blob(&blob), 50_000 - 1);
    let removed = desk.run(&["cache", "verify", "--remove", "--cache", "cache"]);
    assert!(removed.done()[0].ends_with("; removed"), "{}", removed.stdout);
    assert!(desk.cached().is_empty());
    assert_eq!(desk.run(&verify).done(), ["verified 0 blobs, 0 damaged"]);
}

#[test]
fn what_is_there_is_counted_and_listed_with_the_names_that_sites_know() {
    let blob = Blob::consul(2000, 31);
    let desk = with(&blob);
    let (stranger, part) = ("ab".repeat(32), "cd".repeat(32));
    desk.put(&format!("cache/sha256/{stranger}"), "twelve bytes");
    desk.put(&format!("cache/sha256/{part}.part"), "half");
    let words = |more: &[&'static str]| [&["cache", "--cache", "cache"], more].concat();
    assert_eq!(desk.run(&words(&[])).done(), ["cache: 2 blobs, 2012 bytes; 1 unfinished, 4 bytes"]);
    let mut lines = [format!("sha256:{stranger} 12 bytes"), format!("sha256:{} 2000 bytes {}", blob.hex(), blob.name)];
    lines.sort();
    assert_eq!(desk.run(&words(&["list", "site.yaml"])).done(), lines);
    let bare = desk.run(&words(&["list"]));
    assert!(!bare.stdout.contains("consul") && bare.done().len() == 2, "{bare:?}");
}

#[test]
fn a_cache_is_the_users_own_unless_another_is_named() {
    let desk = Desk::new(&[Blob::consul(2000, 32)], &[]);
    for (home, root) in [("XDG_CACHE_HOME", "anymetal"), ("HOME", ".cache/anymetal")] {
        let mut command = desk.anymetal(&["cache"]);
        let output = command.env_remove("XDG_CACHE_HOME").env(home, desk.path("mine")).output().unwrap();
        let said = format!("{}: 0 blobs, 0 bytes\n", desk.path("mine").join(root).display());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), said);
    }
}

#[test]
fn what_no_site_needs_goes_and_what_one_needs_stays() {
    let (mine, yours) = (Blob::consul(3000, 33), Blob::consul(4000, 34));
    let desk = with(&mine);
    let other = Desk::new(std::slice::from_ref(&yours), &[]);
    desk.put("yours.yaml", fs::read(other.path("site.yaml")).unwrap());
    let stranger = "ab".repeat(32);
    desk.put(&format!("cache/sha256/{stranger}"), "twelve bytes");
    desk.put(&format!("cache/sha256/{}.part", "cd".repeat(32)), "half");
    desk.put(&format!("cache/sha256/{}.part", mine.hex()), "of no use: it is there whole");
    desk.put(&format!("cache/sha256/{}.part", yours.hex()), &yours.bytes[..100]);
    desk.put("cache/sha256/note.txt", "nobody's blob");
    let before = desk.cached();
    let prune =
        |more: &[&'static str]| desk.run(&[&["cache", "--cache", "cache", "prune", "site.yaml"], more].concat());

    let dry = prune(&["yours.yaml", "--dry-run"]);
    assert_eq!(dry.done().last(), Some(&"would remove 1 of 2 blobs and 2 unfinished, 44 bytes"));
    assert_eq!(desk.cached(), before, "a dry run removed something");

    let ran = prune(&["yours.yaml"]);
    assert_eq!(ran.done()[0], format!("sha256:{stranger} 12 bytes"));
    assert_eq!(ran.done().last(), Some(&"removed 1 of 2 blobs and 2 unfinished, 44 bytes"));
    let mut left = [mine.hex(), format!("{}.part", yours.hex()), "note.txt".into()];
    left.sort();
    assert_eq!(desk.cached(), left);

    assert_eq!(prune(&[]).done().last(), Some(&"removed 0 of 1 blob and 1 unfinished, 100 bytes"));
    let ran = prune(&["nowhere.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{}", ran.stderr);
    assert_eq!(desk.run(&["cache", "prune", "--cache", "cache"]).code, Some(1), "no site was named");
    assert!(desk.blob(&mine).exists());
}
