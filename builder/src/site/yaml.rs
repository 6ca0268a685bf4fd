//! A text to a tree of nodes that know where they stand, within budgets.
//! May not know what the keys mean, nor turn a scalar into anything: `1.10` stays `1.10`.
//!
//! Plain aliases are followed while the budget lasts; merge keys, tags that change a type and several documents are refused.
//! Events are taken one by one and kept on a stack of our own, so no input is deep enough to exhaust the thread's.

mod build;
pub mod lookalikes;

use saphyr_parser::{Event, Marker, Parser, ScanError};

use self::build::Builder;
use super::diagnostic::{Findings, Mark};

/// How many nodes a document may have, aliases followed. The largest example has under two hundred.
pub const NODES: usize = 10_000;
/// How many bytes of text a document may have, aliases followed: four times the largest file that is read.
pub const TEXT: usize = 4 << 20;
/// How deep nodes may lie in each other. A site needs five.
pub const DEPTH: usize = 32;

/// A node and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins; for an alias, where the alias stands.
    pub at: Mark,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and their values, in the order of the text; no key twice.
    Mapping(Vec<(Key, Node)>),
}

/// A scalar, not interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, escapes and folding resolved.
    pub text: String,
    /// Whether it was written without quotes and may thus mean something else than text.
    pub plain: bool,
}

/// A key and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Where it begins.
    pub at: Mark,
    /// The key.
    pub scalar: Scalar,
}

impl Scalar {
    /// Whether it stands for no value at all.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

impl Node {
    /// Whether it stands for no value at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.is_null())
    }
}

/// The document's root, or `None` and why. Some mistakes (a key given twice) leave a usable tree, for more mistakes to be found in.
pub fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let mut builder = Builder::new(findings);
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                not_yaml(text, &error, builder.findings);
                return None;
            }
        };
        let at = place(span.start);
        if matches!(event, Event::DocumentStart(_)) {
            documents += 1;
            if documents > 1 {
                builder.findings.mistake(
                    at,
                    "a second document begins here",
                    "one file holds one document: remove the `---`",
                );
                return None;
            }
        }
        builder.event(event, at)?;
    }
    let root = builder.root().filter(|root| !root.is_null());
    if root.is_none() && !findings.stops() {
        findings.mistake(
            Mark::START,
            "there is nothing in this file",
            "write at least `version: 1` and what follows it",
        );
    }
    root
}

fn not_yaml(text: &str, error: &ScanError, findings: &mut Findings) {
    let at = place(*error.marker());
    if error.info().contains("recursion limit") {
        too_deep(at, findings);
        return;
    }
    // the parser puts the end of the text on a line of its own
    let (at, line) = match (text.lines().nth(at.line - 1), text.lines().enumerate().last()) {
        (None, Some((last, line))) => (Mark { line: last + 1, column: line.chars().count() + 1 }, line),
        (line, _) => (at, line.unwrap_or_default()),
    };
    let indent = &line[..line.len() - line.trim_start().len()];
    let hint = if indent.contains('\t') {
        "indent with spaces: YAML knows no tabs there"
    } else {
        "look at the lines above too: an open quote or bracket, or a wrong indentation, shows late"
    };
    findings.mistake(at, format!("not YAML: {}", error.info().trim_end_matches('.')), hint);
}

fn too_deep(at: Mark, findings: &mut Findings) {
    findings.mistake(at, format!("nested more than {DEPTH} deep"), "a site is far flatter: check the brackets here");
}

fn place(marker: Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests;
