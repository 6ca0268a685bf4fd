//! The first link of the chain: the firewall that the node's file says is in force.
//! May not decide what follows when it is not.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::sys::fs;
use crate::sys::nftables::{self, Table};

/// The table, of both families.
const TABLE: &str = "anymetal";
/// What stands before the generation in the table's comment.
const GENERATION: &str = "generation ";

/// What is to be in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Firewall {
    /// The file it is loaded from.
    pub(crate) file: PathBuf,
    /// The digest of the file's text, which is the table's comment.
    generation: String,
    /// The chains that have rules.
    chains: Vec<String>,
}

impl Firewall {
    /// Reads from its text what the file at this path puts in force. Fails when it names no generation.
    pub(crate) fn of(file: &Path, text: &str) -> anyhow::Result<Self> {
        let generation = text.lines().find_map(|line| line.trim().strip_prefix("comment \"")?.strip_suffix('"'));
        Ok(Self {
            file: file.to_owned(),
            generation: generation
                .and_then(|comment| comment.strip_prefix(GENERATION))
                .with_context(|| format!("reading {}: its table says no generation", file.display()))?
                .to_owned(),
            chains: chains_with_rules(text),
        })
    }

    /// Looks whether it is in force. Returns why not, in words. The file may be newer than what the guard was told, and be loaded or not yet:
    /// either generation will do, so that a change of the firewall costs no announcement.
    pub(crate) fn fails(&self) -> Option<String> {
        let why = self.lacks();
        let newer = || {
            let text = fs::read(&self.file).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
            Self::of(&self.file, &text).ok().filter(|newer| newer != self)
        };
        why.filter(|_| newer().is_none_or(|newer| newer.lacks().is_some()))
    }

    fn lacks(&self) -> Option<String> {
        match nftables::table(TABLE, &self.chains) {
            Ok(table) => self.wrong(table.as_ref()),
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// What is wrong with the table, in words.
    fn wrong(&self, table: Option<&Table>) -> Option<String> {
        let Some(table) = table else { return Some(format!("the table inet {TABLE} is not there")) };
        if table.dormant {
            return Some(format!("the table inet {TABLE} is dormant"));
        }
        let generation = table.comment.strip_prefix(GENERATION).unwrap_or_default();
        if generation != self.generation {
            let other = if generation.is_empty() { "none" } else { generation };
            return Some(format!(
                "the table inet {TABLE} is not that of {}: its generation is {other} instead of {}",
                self.file.display(),
                self.generation
            ));
        }
        let empty = self.chains.iter().zip(&table.rules).find(|(_, rules)| rules.unwrap_or(0) == 0);
        empty.map(|(chain, rules)| {
            let what = if rules.is_some() { "is empty" } else { "is not there" };
            format!("the chain {chain} of the table inet {TABLE} {what}")
        })
    }
}

/// The names of the chains of which the text has a rule: one may well be empty on this node.
fn chains_with_rules(text: &str) -> Vec<String> {
    let (mut chains, mut open) = (Vec::new(), None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ").and_then(|rest| rest.strip_suffix(" {")) {
            open = Some(name.to_owned());
        } else if line == "}" {
            open = None;
        } else if !line.is_empty() && !["#", "type ", "comment "].iter().any(|no_rule| line.starts_with(no_rule)) {
            chains.extend(open.take());
        }
    }
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "table inet anymetal\ndelete table inet anymetal\n\ntable inet anymetal {\n  comment \"generation 12ab\"\n\n  \
        chain input {\n    type filter hook input priority filter; policy drop;\n    iif lo accept\n    counter comment \"not let in\"\n  }\n  \
        chain none {\n    type filter hook forward priority filter;\n\n    # nothing here\n  }\n  chain output {\n    oif lo accept\n  }\n}\n";

    #[test]
    fn what_is_to_be_in_force_is_read_from_the_file() {
        let firewall = Firewall::of(Path::new("/etc/x.nft"), TEXT).unwrap();
        assert_eq!((firewall.generation.as_str(), firewall.chains.join(" ").as_str()), ("12ab", "input output"));
        let error = Firewall::of(Path::new("/etc/x.nft"), "table inet anymetal {\n}\n").unwrap_err();
        assert_eq!(error.to_string(), "reading /etc/x.nft: its table says no generation");
    }

    #[test]
    fn a_table_that_is_gone_emptied_or_anothers_is_named() {
        let firewall = Firewall::of(Path::new("/etc/x.nft"), TEXT).unwrap();
        let table = |comment: &str, dormant, rules: [Option<u32>; 2]| {
            firewall.wrong(Some(&Table { comment: comment.into(), dormant, rules: rules.into() }))
        };
        let both = [Some(2), Some(1)];
        assert_eq!(table("generation 12ab", false, both), None);
        for (why, said) in [
            ("the table inet anymetal is not there", firewall.wrong(None)),
            ("the table inet anymetal is dormant", table("generation 12ab", true, both)),
            (
                "the table inet anymetal is not that of /etc/x.nft: its generation is none instead of 12ab",
                table("", false, both),
            ),
            (
                "the table inet anymetal is not that of /etc/x.nft: its generation is 34cd instead of 12ab",
                table("generation 34cd", false, both),
            ),
            (
                "the chain output of the table inet anymetal is empty",
                table("generation 12ab", false, [Some(2), Some(0)]),
            ),
            (
                "the chain input of the table inet anymetal is not there",
                table("generation 12ab", false, [None, Some(1)]),
            ),
        ] {
            assert_eq!(said.as_deref(), Some(why));
        }
    }
}
