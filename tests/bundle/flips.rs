//! Forms with a changed byte, cut off, or with something behind: `verify` finds each, and names the file.

use crate::desk::{Desk, archives, cached, digest};

/// One byte of the bundle, by what it belongs to.
fn places(whole: &[u8]) -> Vec<usize> {
    let mut places = Vec::new();
    let mut at = 0;
    // every header, content and filling: at its ends and in between
    while whole[at] != 0 {
        let size = std::str::from_utf8(&whole[at + 124..at + 135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        let (content, end) = (at + 512, at + 512 + size.div_ceil(512) * 512);
        places.extend(
            [0, 20, 99, 100, 110, 130, 140, 150, 156, 157, 200, 257, 264, 300, 330, 400, 511].map(|byte| at + byte),
        );
        places.extend((0..8).map(|eighth| content + size * eighth / 8));
        places.push(content + size - 1);
        places.extend((content + size..end).step_by(97));
        places.extend((content + size < end).then_some(end - 1));
        at = end;
    }
    places.extend((at..whole.len()).step_by(101));
    places.push(whole.len() - 1);
    places.dedup();
    places
}

#[test]
fn more_than_a_hundred_changed_bytes_of_a_bundle_are_all_found() {
    let desk = Desk::built();
    let whole = desk.read("out/bundle.tar");
    let places = places(&whole);
    assert!(places.len() > 150, "only {} places", places.len());
    desk.says(&["verify", "out/bundle.tar"]);
    for (nth, at) in places.into_iter().enumerate() {
        let mut other = whole.clone();
        other[at] ^= 1 << (nth % 8);
        desk.put("other.tar", &other);
        let said = desk.refuses(&["verify", "other.tar"]);
        assert!(said.starts_with("anymetal: other.tar: ") && said.lines().count() == 1, "byte {at}: {said}");
    }
}

#[test]
fn a_changed_blob_is_named_with_what_it_is_and_what_it_has_become() {
    let desk = Desk::built();
    let (_, bytes) = &archives()[0];
    let mut whole = desk.read("out/bundle.tar");
    let at = whole.windows(bytes.len()).position(|window| window == bytes).unwrap();
    whole[at + 1234] ^= 0x80;
    let wrong = digest(&whole[at..at + bytes.len()]);
    desk.put("out/bundle.tar", &whole);
    let sentence = format!(
        "anymetal: out/bundle.tar: sha256/{} (consul 1.21.5 x86_64) has other bytes: sha256 {wrong}\n",
        digest(bytes)
    );
    assert_eq!(desk.refuses(&["verify", "out/bundle.tar"]), sentence);
    assert_eq!(desk.refuses(&["verify", "out"]), sentence);
}

#[test]
fn what_is_cut_off_or_goes_on_is_found() {
    let desk = Desk::built();
    let whole = desk.read("out/bundle.tar");
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        desk.put("other.tar", &whole[..length]);
        let said = desk.refuses(&["verify", "other.tar"]);
        assert!(said.starts_with("anymetal: other.tar: ") && said.contains("cut off"), "{length} bytes: {said}");
    }
    for more in [1, 512, 10_240] {
        desk.put("other.tar", [whole.clone(), vec![0; more]].concat());
        assert_eq!(
            desk.refuses(&["verify", "other.tar"]),
            format!("anymetal: other.tar: {more} bytes stand behind its end mark\n")
        );
    }
}

#[test]
fn a_changed_byte_of_any_other_form_is_found_where_something_pins_it() {
    let desk = Desk::built();
    let blob = cached(&archives()[1].1);
    for (form, places) in [("out/plan.json", 40), (blob.as_str(), 40)] {
        let whole = desk.read(form);
        for at in (0..whole.len()).step_by(whole.len() / places) {
            let mut other = whole.clone();
            other[at] ^= 1;
            desk.put(form, &other);
            // a plan is another plan then, which shows beside the others
            let said = desk.refuses(&["verify", "out/bundle.tar", form]);
            assert!(said.starts_with(&format!("anymetal: {form}")), "{form}, byte {at}: {said}");
        }
        desk.put(form, whole);
    }
    let whole = String::from_utf8(desk.read("out/user-data")).unwrap();
    let ours = whole.find("/etc/anymetal/fetch-init").unwrap()..whole.find("/etc/anymetal/secrets.json").unwrap();
    for at in ours.step_by(151) {
        let mut other = whole.clone().into_bytes();
        other[at] = if other[at] == b'A' { b'B' } else { b'A' };
        if other == whole.as_bytes() || whole.as_bytes()[at].is_ascii_whitespace() {
            continue;
        }
        desk.put("out/user-data", &other);
        let said = desk.refuses(&["verify", "out/user-data", "out/bundle.tar"]);
        assert!(said.starts_with("anymetal: out/"), "byte {at}: {said}");
        assert!(!said.contains("c0000000"), "a secret is shown: {said}");
    }
}
