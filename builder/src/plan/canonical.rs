//! A plan to its bytes: canonical JSON, whose sha256 is the plan digest.
//! May not know what a plan says.

use anymetal_contract::Digest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The largest integer RFC 8785 writes exactly: JSON numbers are IEEE 754 doubles (section 3.2.2.3).
pub(super) const LARGEST_INTEGER: u64 = (1 << 53) - 1;

/// The bytes of a document: sorted keys, no white space, integers only, no line feed at the end (RFC 8785).
pub fn canonical(document: &impl Serialize) -> Vec<u8> {
    let value = serde_json::to_value(document).expect("our documents have text keys only");
    let mut text = String::new();
    write(&value, &mut text);
    text.into_bytes()
}

/// The plan digest, of a plan's canonical bytes.
pub fn digest(canonical: &[u8]) -> Digest {
    Digest::of(Sha256::digest(canonical).into())
}

/// RFC 8785 section 3.2, for the values our documents have. `serde_json` writes strings and integers as it asks; the order of keys is made here,
/// because a feature of `serde_json` that any other crate may switch on keeps them as they came.
fn write(value: &serde_json::Value, text: &mut String) {
    use serde_json::Value;
    match value {
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut keys: Vec<_> = members.keys().collect();
            keys.sort_by_key(|key| key.encode_utf16().collect::<Vec<_>>());
            text.push('{');
            for (place, key) in keys.into_iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                write(&Value::String(key.clone()), text);
                text.push(':');
                write(&members[key], text);
            }
            text.push('}');
        }
        Value::Number(number) => {
            assert!(
                number.as_u64().is_some_and(|n| n <= LARGEST_INTEGER),
                "a plan has small whole numbers only, not {number}"
            );
            text.push_str(&number.to_string());
        }
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_json_is_sorted_tight_and_escapes_as_rfc_8785_does() {
        let value = serde_json::json!({"b": [1, true, null], "a": {"\u{20ac}": "\u{8}\t\n\u{c}\r\"\\\u{f}/\u{7f}€", "\u{1f600}": 0, "\u{fb33}": 9_007_199_254_740_991_u64}});
        let mut text = String::new();
        write(&value, &mut text);
        // U+1F600 is written with surrogates, from U+D83D: before U+FB33 in UTF-16, behind it by code point.
        assert_eq!(
            text,
            "{\"a\":{\"€\":\"\\b\\t\\n\\f\\r\\\"\\\\\\u000f/\u{7f}€\",\"\u{1f600}\":0,\"\u{fb33}\":9007199254740991},\"b\":[1,true,null]}"
        );
    }

    #[test]
    fn a_digest_is_a_sha256() {
        // FIPS 180-2, appendix B.1
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc").as_str(), abc);
    }
}
