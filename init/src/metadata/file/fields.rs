//! Reading nodes as what they should be, so that every key that is wrong is named in the same words.
//! May not know any key, nor quote a value of the wrong type.

use std::ops::RangeInclusive;

use super::super::findings::{Findings, quoted};
use super::super::node::Node;

/// An object being read: keys are taken one by one, and what is left at the end is unknown.
pub(super) struct Fields<'n> {
    /// Where it is, empty for the document.
    at: String,
    left: Vec<(&'n str, &'n Node)>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The node as an object.
    pub(super) fn of(at: impl Into<String>, node: &'n Node, findings: &mut Findings) -> Option<Self> {
        let at = at.into();
        let Node::Map(entries) = node else {
            findings.problem(named(&at), "must be an object");
            return None;
        };
        let mut left: Vec<(&str, &Node)> = entries.iter().map(|(key, node)| (key.as_str(), node)).collect();
        left.sort_by_key(|(key, _)| *key);
        for pair in left.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            findings.problem(named(&at), format_args!("has the key {} twice", quoted(pair[0].0)));
        }
        left.dedup_by_key(|(key, _)| *key);
        Some(Self { at, left, known: Vec::new() })
    }

    /// The value of a key that may be left out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        let found = self.left.iter().position(|(written, _)| *written == key)?;
        Some(self.left.remove(found).1).filter(|node| !matches!(node, Node::Nothing))
    }

    /// The value of a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, findings: &mut Findings) -> Option<&'n Node> {
        let node = self.take(key);
        if node.is_none() {
            findings.problem(named(&self.at), format_args!("has no {key}"));
        }
        node
    }

    /// Where the value of a key is.
    pub(super) fn place(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    /// A text that may be left out.
    pub(super) fn text(&mut self, key: &'static str, findings: &mut Findings) -> Option<&'n str> {
        let node = self.take(key)?;
        text(self.place(key), node, findings)
    }

    /// A whole number in this range.
    pub(super) fn number(
        &self,
        key: &str,
        node: &Node,
        range: RangeInclusive<u64>,
        findings: &mut Findings,
    ) -> Option<u64> {
        match node {
            Node::Number(number) if range.contains(number) => return Some(*number),
            _ => findings.problem(
                self.place(key),
                format_args!("must be a whole number from {} to {}", range.start(), range.end()),
            ),
        }
        None
    }

    /// Names every key that nobody took.
    pub(super) fn end(self, findings: &mut Findings) {
        for (key, _) in &self.left {
            let known = self.known.join(", ");
            findings
                .problem(named(&self.at), format_args!("has the unknown key {}: known here are {known}", quoted(key)));
        }
    }
}

/// A text.
pub(super) fn text<'n>(at: impl Into<String>, node: &'n Node, findings: &mut Findings) -> Option<&'n str> {
    if let Node::Text(text) = node {
        return Some(text);
    }
    findings.problem(at.into(), "must be a text");
    None
}

/// A list, with each item's place.
pub(super) fn list<'n>(at: &str, node: &'n Node, findings: &mut Findings) -> Vec<(String, &'n Node)> {
    let Node::List(items) = node else {
        findings.problem(at, "must be a list");
        return Vec::new();
    };
    items.iter().enumerate().map(|(i, item)| (format!("{at}[{i}]"), item)).collect()
}

fn named(at: &str) -> &str {
    if at.is_empty() { "the document" } else { at }
}
