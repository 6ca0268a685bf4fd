//! Answers of metadata services in JSON: what is said of one that cannot be read, and in whose words a refusal is told.
//! May not know a platform, nor quote more than a line.

use std::borrow::Cow;
use std::fmt::Display;

use anymetal_contract::{Reason, text};
use anymetal_supply::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::findings::QUOTED;
use anymetal_supply::failure::Failure;

/// The document in its sender's form.
pub(super) fn document<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    json::parse(text).map_err(|why| unreadable(&why))
}

/// The document's text. A byte that is no UTF-8 spoils the field it stands in and no other; UTF-16 is named.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Failure> {
    match text::decode(bytes) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(why) if why.is_wide() => Err(unreadable(&format_args!("it is {why}"))),
        Err(_) => Ok(String::from_utf8_lossy(bytes.strip_prefix(text::MARK).unwrap_or(bytes))),
    }
}

fn unreadable(why: &dyn Display) -> Failure {
    Failure::new(Reason::MetadataInvalid, format!("reading the metadata: {why}"))
}

/// Whether the document is a refusal instead, by what its fields `error` and `errors` say.
pub(super) fn refusal(fields: [Option<&Value>; 2]) -> Result<(), Failure> {
    match fields.into_iter().flatten().find_map(words) {
        None => Ok(()),
        Some(words) => Err(refused(&words)),
    }
}

/// A refusal in these words.
pub(super) fn refused(words: &str) -> Failure {
    let words: String = words.chars().filter(|c| !c.is_control()).take(QUOTED).collect();
    Failure::new(Reason::MetadataUnreachable, format!("reading the metadata: it is an error answer: {words}"))
}

/// What an answer without success says, with the words of its body when it has any: `{"message":…}`, `{"errors":[…]}`, `{"error":…}`.
pub(super) fn excuse(status: u16, body: &str) -> String {
    let said = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| ["message", "errors", "error"].into_iter().find_map(|key| body.get(key).and_then(words)));
    match said {
        Some(said) => format!("{status}, {said}"),
        None => status.to_string(),
    }
}

/// The words of an error: a text, or a list of texts. An empty one says nothing.
fn words(value: &Value) -> Option<String> {
    let words = match value {
        Value::Null | Value::Bool(false) => return None,
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => return None,
        Value::Array(list) => list.iter().filter_map(words).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    Some(words.chars().filter(|c| !c.is_control()).take(QUOTED).collect())
}
