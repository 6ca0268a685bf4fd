//! A document for the tests of the rooms below.

use super::document::Document;

/// A node with two neighbours, two prefixes and a chain of one link.
pub(crate) fn document() -> Document {
    Document::read(
        br#"{"kind":"anymetal.guard","version":1,"site":"demo","node":"n1","bird":"/run/bird/bird.ctl","ca":"/etc/anymetal/tls/ca.pem",
        "neighbours":["metal_v4_1","metal_v4_2"],"prefixes":["198.51.100.7/32","2001:db8::7/128"],
        "rules":{"interval":2,"fast_interval":1,"timeout":2,"rise":3,"fall":2,"grace":10,"drain":30,"metrics":9469},
        "links":[{"name":"consul","ask":{"consul":{"api":"https://127.0.0.1:8501","token":"hunter2"}}}]}"#,
    )
    .unwrap()
}

#[test]
fn a_token_is_written_for_the_guard_and_shown_to_nobody() {
    let document = document();
    assert!(document.text().contains("hunter2"));
    assert!(!format!("{document:?}").contains("hunter2"));
    assert_eq!(document.hidden().len(), 1);
    assert_eq!(Document::read(document.text().as_bytes()).unwrap(), document);
}
