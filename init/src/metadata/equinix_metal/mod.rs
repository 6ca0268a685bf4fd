//! Equinix Metal (once Packet): where its metadata is, and what its answers mean.
//! May not touch the network, and nothing outside this room may know these words.

use anymetal_contract::Reason;
use serde_json::Value;

use super::{Machine, Platform};
use crate::failure::Failure;

mod convert;
mod neighbours;
mod wire;

pub(super) const PLATFORM: Platform = Platform {
    name: "equinix-metal",
    // The current name, the old one (which answers plain HTTP too, for a clock that no certificate fits), and the old one's address,
    // for a machine without DNS: the order of OSIE, the platform's own installer.
    bases: &[
        "https://metadata.platformequinix.com",
        "https://metadata.packet.net",
        "http://metadata.packet.net",
        "http://147.75.207.1",
    ],
    path: "/metadata",
    read,
    excuse,
};

/// Text quoted from a document is cut to this many characters: enough to recognise it, too little to fill a console.
const QUOTED: usize = 120;

fn read(text: &str) -> Result<Machine, Failure> {
    let document: wire::EquinixMetadata = serde_json::from_str(text).map_err(|error| unreadable(&error, text))?;
    if let Some(words) = [&document.error, &document.errors].into_iter().flatten().find_map(words) {
        let message = format!("reading the metadata: it is an error answer: {words}");
        return Err(Failure::new(Reason::MetadataUnreachable, message));
    }
    convert::machine(document).map_err(|problems| {
        Failure::new(Reason::MetadataInvalid, format!("reading the metadata: {}", problems.join("; ")))
    })
}

fn unreadable(error: &serde_json::Error, text: &str) -> Failure {
    let what = match error.classify() {
        serde_json::error::Category::Eof if text.trim().is_empty() => "it is empty".to_owned(),
        serde_json::error::Category::Eof => format!("it is cut off after {} bytes: {error}", text.len()),
        serde_json::error::Category::Data => format!("a field is not of its type: {error}"),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => format!("it is not JSON: {error}"),
    };
    Failure::new(Reason::MetadataInvalid, format!("reading the metadata: {what}"))
}

/// 404 for a machine it does not know yet, `{"message":…}`; 500 with `{"errors":[…]}`; `{"error":…}` in older forms.
fn excuse(status: u16, body: &str) -> String {
    let said = serde_json::from_str::<Value>(body)
        .ok()
        .and_then(|body| ["message", "errors", "error"].into_iter().find_map(|key| body.get(key).and_then(words)));
    match said {
        Some(said) if status == 404 && said.contains("resource not found") => {
            format!("{status}, {said}: the service does not know this machine yet")
        }
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

/// A text of the document as it may stand in a message.
fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(QUOTED).collect::<String>())
}

#[cfg(test)]
mod tests;
