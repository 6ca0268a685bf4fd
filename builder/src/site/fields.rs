//! Reading nodes as what they should be: a mapping of known keys, a list, a text, a whole number, one of a few words.
//! May not know any key of a site; every way of being wrong is said here, so that all keys say it alike.

use std::ops::RangeInclusive;

use super::diagnostic::{Findings, Mark, either, nearest, quoted};
use super::yaml::{Key, Kind, Node, Scalar};

/// A mapping being read: keys are taken one by one, and what is left at the end is unknown.
pub(super) struct Fields<'n> {
    /// The dotted name of the mapping, empty for the document.
    name: &'n str,
    at: Mark,
    left: Vec<&'n (Key, Node)>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The node as a mapping called `name`; `example` is what one looks like.
    pub(super) fn of(node: &'n Node, name: &'n str, example: &str, findings: &mut Findings) -> Option<Self> {
        match &node.kind {
            Kind::Mapping(entries) => {
                Some(Self { name, at: node.at, left: entries.iter().collect(), known: Vec::new() })
            }
            Kind::Scalar(_) | Kind::Sequence(_) => {
                let name = if name.is_empty() { "a site".to_owned() } else { format!("`{name}`") };
                wrong(node, &name, "a mapping of keys", &format!("write it like `{example}`"), findings);
                None
            }
        }
    }

    /// The value of a key that may be left out.
    pub(super) fn take(&mut self, key: &'static str, findings: &mut Findings) -> Option<&'n Node> {
        self.known.push(key);
        let found = self.left.iter().position(|(written, _)| written.scalar.text == key)?;
        let (written, value) = self.left.remove(found);
        if value.is_null() {
            let what = format!("`{}` has no value", self.dotted(key));
            findings.mistake(written.at, what, "give it one, or remove the line");
            return None;
        }
        Some(value)
    }

    /// The value of a key that may be left out and may stand there without one, and where the key stands.
    pub(super) fn take_even_null(&mut self, key: &'static str) -> Option<(Mark, &'n Node)> {
        self.known.push(key);
        let found = self.left.iter().position(|(written, _)| written.scalar.text == key)?;
        let (written, value) = self.left.remove(found);
        Some((written.at, value))
    }

    /// The value of a key that must be there.
    pub(super) fn need(&mut self, key: &'static str, hint: &str, findings: &mut Findings) -> Option<&'n Node> {
        if !self.left.iter().any(|(written, _)| written.scalar.text == key) {
            self.known.push(key);
            findings.mistake(self.at, format!("`{}` is missing", self.dotted(key)), hint);
            return None;
        }
        self.take(key, findings)
    }

    /// Where the key stands, when it does and has not been taken.
    pub(super) fn written(&self, key: &str) -> Option<Mark> {
        self.left.iter().find(|(written, _)| written.scalar.text == key).map(|(written, _)| written.at)
    }

    /// Reports every key that nobody took. `homes` are keys that belong elsewhere, with where.
    pub(super) fn end(self, homes: &[(&str, &str)], findings: &mut Findings) {
        for (key, _) in &self.left {
            let written = key.scalar.text.as_str();
            let place = if self.name.is_empty() { String::new() } else { format!(" in `{}`", self.name) };
            let what = format!("unknown key {}{place}", quoted(written));
            let home = homes.iter().find(|(name, home)| *name == written && *home != self.name);
            let hint = if secret(written) {
                "secrets do not belong in a site: they have a document of their own, mode 0600".to_owned()
            } else if let Some((_, home)) = home {
                format!("it belongs under `{home}`")
            } else if let Some(word) = nearest(written, self.known.iter().copied()) {
                format!("did you mean `{word}`?")
            } else {
                format!("known here: {}", either(self.known.iter().copied()))
            };
            findings.mistake(key.at, what, hint);
        }
    }

    fn dotted(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

/// A list of at least one item, called `name`.
pub(super) fn list<'n>(node: &'n Node, name: &str, example: &str, findings: &mut Findings) -> Option<&'n [Node]> {
    let Kind::Sequence(items) = &node.kind else {
        wrong(node, &format!("`{name}`"), "a list", &format!("write it like `{example}`"), findings);
        return None;
    };
    Some(items)
}

/// A scalar's text, whatever it would mean to a YAML reader with types: `1.10`, `no` and `010` are what they look like.
pub(super) fn text<'n>(node: &'n Node, name: &str, findings: &mut Findings) -> Option<&'n str> {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() && !scalar.text.is_empty() => Some(&scalar.text),
        Kind::Scalar(_) | Kind::Sequence(_) | Kind::Mapping(_) => {
            let hint = match &node.kind {
                Kind::Scalar(_) => "write it out, or remove the line",
                Kind::Mapping(_) => "put text with a colon in it between quotes",
                Kind::Sequence(_) => "write one text, without the brackets or the dash",
            };
            wrong(node, name, "text", hint, findings);
            None
        }
    }
}

/// A whole number in decimal digits.
pub(super) fn number(node: &Node, name: &str, range: RangeInclusive<u64>, findings: &mut Findings) -> Option<u64> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    let Kind::Scalar(Scalar { text, plain }) = &node.kind else {
        wrong(node, name, &expected, "write one number", findings);
        return None;
    };
    let digits = text.replace(['_', ','], "");
    let digits = digits.trim_start_matches('+');
    let decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let hint = if decimal && !plain {
        "remove the quotes".to_owned()
    } else if decimal && digits.len() > 1 && digits.starts_with('0') {
        "remove the zero in front: some readers take it for an octal number".to_owned()
    } else if decimal && digits != text {
        format!("write {digits}")
    } else {
        match digits.parse() {
            Ok(value) if decimal && range.contains(&value) => return Some(value),
            _ => "write a number in that range, in decimal digits".to_owned(),
        }
    };
    wrong(node, name, &expected, &hint, findings);
    None
}

/// One of a few words; `aliases` are what people write for them.
pub(super) fn word<T: Copy>(
    node: &Node,
    name: &str,
    words: &[(&str, T)],
    aliases: &[(&str, &str)],
    findings: &mut Findings,
) -> Option<T> {
    let written = text(node, name, findings)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == written) {
        return Some(*value);
    }
    let alias = aliases.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(written)).map(|(_, word)| *word);
    let names = || words.iter().map(|(word, _)| *word);
    let hint = match alias.or_else(|| nearest(written, names())) {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!("write {}", either(names())),
    };
    findings.mistake(node.at, format!("{name} cannot be {}", quoted(written)), hint);
    None
}

/// Says what was expected and what is there.
pub(super) fn wrong(node: &Node, name: &str, expected: &str, hint: &str, findings: &mut Findings) {
    findings.mistake(node.at, format!("{name} must be {expected}, found {}", found(node)), hint);
}

/// A node in a few words.
fn found(node: &Node) -> String {
    match &node.kind {
        Kind::Sequence(items) if items.is_empty() => "an empty list".to_owned(),
        Kind::Sequence(_) => "a list".to_owned(),
        Kind::Mapping(_) => "a mapping".to_owned(),
        Kind::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
        Kind::Scalar(Scalar { text, plain: false }) => format!("the text {}", quoted(text)),
        Kind::Scalar(Scalar { text, plain: true }) => quoted(text),
    }
}

/// Whether a key sounds like something nobody else should read.
fn secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["password", "passwd", "secret", "token", "md5", "credential", "jwt", "gossip", "encrypt", "private_key", "api_key"]
        .iter()
        .any(|word| key.contains(word))
}
