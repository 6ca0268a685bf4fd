//! Documents that no platform ever sent: what every reader must survive, for the property tests of each.
//! May not know a platform.

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::Machine;
use anymetal_supply::failure::Failure;

/// The longest thing a reader may say of a document of a few kilobytes, in bytes.
const LONGEST: usize = 64 * 1024;

/// Any JSON value, with the words and numbers that matter more often than chance would have it.
pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0u8..=200).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "10.66.142.16",
            "::",
            "fc00::e",
            "255.255.255.255",
            "0.0.0.0/0",
            "10.0.0.0/40",
            "4",
            "-1",
            "4294967296",
            "",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,8}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Every place of a document.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(list) => list.iter().enumerate().map(|(i, child)| (i.to_string(), child)).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, child)| (key.replace('~', "~0").replace('/', "~1"), child)).collect()
        }
        _ => Vec::new(),
    };
    for (key, child) in children {
        let here = format!("{at}/{key}");
        places(child, &here, into);
        into.push(here);
    }
}

/// What is done to a document.
#[derive(Debug)]
pub(super) struct Changes {
    values: Vec<(Index, Value)>,
    keys: Vec<(Index, String)>,
    cut: Option<Index>,
}

/// Values that become others, a key that becomes another, and now and then an end too early.
pub(super) fn any_changes() -> impl Strategy<Value = Changes> {
    let values = prop::collection::vec((any::<Index>(), any_json()), 1..4);
    let keys = prop::collection::vec((any::<Index>(), "[a-z_-]{1,8}"), 0..2);
    let cut = prop::option::weighted(0.2, any::<Index>());
    (values, keys, cut).prop_map(|(values, keys, cut)| Changes { values, keys, cut })
}

impl Changes {
    /// The text of the document with these changes.
    pub(super) fn made_to(&self, document: &Value) -> String {
        let mut document = document.clone();
        for (place, value) in &self.values {
            let mut all = Vec::new();
            places(&document, "", &mut all);
            if !all.is_empty() {
                let at: &String = place.get(&all);
                *document.pointer_mut(at).unwrap() = value.clone();
            }
        }
        for (place, key) in &self.keys {
            let mut all = Vec::new();
            places(&document, "", &mut all);
            let Some(at) = (!all.is_empty()).then(|| place.get::<String>(&all)) else { continue };
            let (parent, last) = at.rsplit_once('/').unwrap();
            if let Some(Value::Object(map)) = document.pointer_mut(parent)
                && let Some(value) = map.remove(last)
            {
                map.insert(key.clone(), value);
            }
        }
        let text = document.to_string();
        let end = self.cut.map_or(text.len(), |cut| cut.index(text.len() + 1));
        String::from_utf8_lossy(&text.as_bytes()[..end]).into_owned()
    }
}

/// The reader takes the text or refuses it; it does not panic, does not tell the password, and does not talk without end.
pub(super) fn survives(
    read: fn(&str) -> Result<Machine, Failure>,
    text: &str,
    password: &str,
) -> Result<(), TestCaseError> {
    let said = match read(text) {
        Ok(machine) => format!("{machine:?} {}", machine.warnings.join(" ")),
        Err(failure) => failure.chain(),
    };
    prop_assert!(!said.contains(password), "{said}");
    prop_assert!(said.len() < LONGEST, "{} bytes: {said}", said.len());
    Ok(())
}
