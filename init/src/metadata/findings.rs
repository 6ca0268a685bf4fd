//! What a reader finds besides the machine, and how the things that every platform tells are judged, so that all say it alike.
//! May not stop at the first mistake, grow without limit, or quote a password.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use anymetal_contract::Reason;

use super::border;
use super::machine::{Machine, is_link_local};
use anymetal_supply::failure::Failure;

/// Text quoted from a document is cut to this many characters: enough to recognise it, too little to fill a console.
pub(super) const QUOTED: usize = 120;
/// So many problems and warnings are kept; of more only the number is said. A person mends them a few at a time, and a hostile document
/// of a megabyte must not become a message of fifty.
const KEPT: usize = 40;

/// What reading found besides the machine.
#[derive(Default)]
pub(super) struct Findings {
    /// Each makes the document unusable.
    problems: First,
    /// Each is told, and the boot goes on.
    warnings: First,
}

/// The first of many sentences.
#[derive(Default)]
struct First {
    kept: Vec<String>,
    left_out: usize,
}

impl First {
    fn add(&mut self, at: impl Display, what: impl Display) {
        if self.kept.len() < KEPT {
            self.kept.push(format!("{at} {what}"));
        } else {
            self.left_out += 1;
        }
    }

    fn all(mut self) -> Vec<String> {
        if self.left_out > 0 {
            self.kept.push(format!("and {} more like these", self.left_out));
        }
        self.kept
    }
}

impl Findings {
    pub(super) fn problem(&mut self, at: impl Display, what: impl Display) {
        self.problems.add(at, what);
    }

    pub(super) fn warn(&mut self, at: impl Display, what: impl Display) {
        self.warnings.add(at, what);
    }

    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.kept.len() + self.problems.left_out
    }

    /// Parses a text form; says what it should have been.
    pub(super) fn parse<T: FromStr>(&mut self, at: impl Display, text: &str, kind: &str) -> Option<T> {
        let parsed = text.trim().parse().ok();
        if parsed.is_none() {
            self.problem(at, format_args!("is {}, which is not {kind}", quoted(text)));
        }
        parsed
    }

    /// Reads an address that may have the interface behind it which it is on, as in `fe80::1%eth0` (RFC 4007 section 11).
    pub(super) fn scoped(&mut self, at: impl Display, text: &str) -> Option<(IpAddr, Option<String>)> {
        let Some((address, zone)) = text.trim().split_once('%') else {
            return Some((self.parse(at, text, "an IP address")?, None));
        };
        match address.parse() {
            Err(_) => self.problem(at, format_args!("is {}, which is not an IP address", quoted(text))),
            Ok(address) if !is_link_local(address) => {
                self.problem(at, format_args!("is {}, and only a link-local address has an interface", quoted(text)));
            }
            Ok(address) => return Some((address, Some(self.interface(at, zone)?))),
        }
        None
    }

    /// Reads the name of an interface.
    pub(super) fn interface(&mut self, at: impl Display, name: &str) -> Option<String> {
        match border::bad_interface(name) {
            None => return Some(name.to_owned()),
            Some(what) => self.problem(at, what),
        }
        None
    }

    /// A name that ends up in messages and files. Empty means not told.
    pub(super) fn text(&mut self, at: &str, text: Option<String>) -> Option<String> {
        let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())?;
        if let Some(what) = border::bad_word(&text) {
            self.problem(at, what);
        }
        Some(text)
    }

    /// The hostname, or the id in its place.
    pub(super) fn hostname(&mut self, hostname: Option<String>, id: Option<&str>) -> String {
        let hostname =
            hostname.map(|name| name.trim().trim_end_matches('.').to_owned()).filter(|name| !name.is_empty());
        if let Some(what) = hostname.as_deref().or(id).and_then(border::bad_hostname) {
            self.problem(if hostname.is_some() { "hostname" } else { "id, in place of a hostname," }, what);
        }
        match (hostname, id) {
            (Some(hostname), _) => hostname,
            (None, Some(id)) => {
                self.warn("hostname", format_args!("is missing: the machine goes by its id {}", quoted(id)));
                id.to_owned()
            }
            (None, None) => {
                self.problem("hostname", "and id are both missing: this does not describe a machine");
                String::new()
            }
        }
    }

    /// An autonomous system number.
    pub(super) fn asn(&mut self, at: &str, field: &str, asn: Option<u32>) -> Option<u32> {
        match asn {
            None => self.problem(at, format_args!("has no {field}")),
            Some(asn) if border::is_reserved(asn) => {
                self.problem(at, format_args!("has {field} {asn}, which nobody may have"));
            }
            Some(_) => return asn,
        }
        None
    }

    /// The machine with its warnings, unless there are problems.
    pub(super) fn judge(mut self, mut machine: Machine) -> Result<Machine, Failure> {
        border::judge(&machine, &mut self);
        let problems = self.problems.all();
        if problems.is_empty() {
            machine.warnings = self.warnings.all();
            return Ok(machine);
        }
        Err(Failure::new(Reason::MetadataInvalid, format!("reading the metadata: {}", problems.join("; "))))
    }
}

/// A text of the document as it may stand in a message.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(QUOTED).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_sentences_the_first_are_kept_and_the_rest_is_counted() {
        let mut findings = Findings::default();
        for i in 0..10_000 {
            findings.problem(format_args!("field[{i}]"), "is odd");
        }
        let said = findings.problems.all();
        assert_eq!((said.len(), said[39].as_str()), (41, "field[39] is odd"));
        assert_eq!(said[40], "and 9960 more like these");
    }
}
