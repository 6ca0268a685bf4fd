//! The first link of the chain: the firewall that the node's file says is in force.
//! May not decide what follows when it is not.

use std::collections::BTreeMap;
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
    /// The chains that have rules, and how many rules of others lead to each.
    chains: BTreeMap<String, u32>,
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
        match nftables::table(TABLE, self.chains.keys()) {
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
        // The kernel counts a chain's own rules and those that lead to it together.
        let is_empty = |led_to: u32, uses: Option<u32>| uses.unwrap_or(0) <= led_to;
        let empty = self.chains.iter().zip(&table.uses).find(|((_, led_to), uses)| is_empty(**led_to, **uses));
        empty.map(|((chain, _), uses)| {
            let what = if uses.is_some() { "is empty" } else { "is not there" };
            format!("the chain {chain} of the table inet {TABLE} {what}")
        })
    }
}

/// The chains of which the text has a rule, for one may well be empty on this node, each with how many rules lead to it.
fn chains_with_rules(text: &str) -> BTreeMap<String, u32> {
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
    let words: Vec<&str> =
        text.lines().filter(|line| !line.trim().starts_with('#')).flat_map(str::split_whitespace).collect();
    let leads =
        |chain: &str| words.windows(2).filter(|pair| ["jump", "goto"].contains(&pair[0]) && pair[1] == chain).count();
    chains.into_iter().map(|chain| (chain.clone(), u32::try_from(leads(&chain)).unwrap_or(u32::MAX))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "table inet anymetal\ndelete table inet anymetal\n\ntable inet anymetal {\n  comment \"generation 12ab\"\n\n  \
        chain input {\n    type filter hook input priority filter; policy drop;\n    iif lo accept\n    counter comment \"not let in\"\n  }\n  \
        chain none {\n    type filter hook forward priority filter;\n\n    # nothing here\n  }\n  chain output {\n    # a jump own in words\n    oif lo accept\n    jump own\n    tcp dport 1 goto own\n  }\n  \
        chain own {\n    counter reject\n  }\n}\n";

    #[test]
    fn what_is_to_be_in_force_is_read_from_the_file() {
        let firewall = Firewall::of(Path::new("/etc/x.nft"), TEXT).unwrap();
        let chains: Vec<_> = firewall.chains.iter().map(|(chain, led_to)| (chain.as_str(), *led_to)).collect();
        assert_eq!(firewall.generation, "12ab");
        assert_eq!(chains, [("input", 0), ("output", 0), ("own", 2)]);
        let error = Firewall::of(Path::new("/etc/x.nft"), "table inet anymetal {\n}\n").unwrap_err();
        assert_eq!(error.to_string(), "reading /etc/x.nft: its table says no generation");
    }

    #[test]
    fn a_table_that_is_gone_emptied_or_anothers_is_named() {
        let firewall = Firewall::of(Path::new("/etc/x.nft"), TEXT).unwrap();
        let table = |comment: &str, dormant, uses: [Option<u32>; 3]| {
            firewall.wrong(Some(&Table { comment: comment.into(), dormant, uses: uses.into() }))
        };
        let all = [Some(2), Some(3), Some(3)];
        assert_eq!(table("generation 12ab", false, all), None);
        for (why, said) in [
            ("the table inet anymetal is not there", firewall.wrong(None)),
            ("the table inet anymetal is dormant", table("generation 12ab", true, all)),
            (
                "the table inet anymetal is not that of /etc/x.nft: its generation is none instead of 12ab",
                table("", false, all),
            ),
            (
                "the table inet anymetal is not that of /etc/x.nft: its generation is 34cd instead of 12ab",
                table("generation 34cd", false, all),
            ),
            (
                "the chain output of the table inet anymetal is empty",
                table("generation 12ab", false, [Some(2), Some(0), Some(3)]),
            ),
            (
                "the chain input of the table inet anymetal is not there",
                table("generation 12ab", false, [None, Some(3), Some(3)]),
            ),
            (
                "the chain own of the table inet anymetal is empty",
                table("generation 12ab", false, [Some(2), Some(3), Some(2)]),
            ),
        ] {
            assert_eq!(said.as_deref(), Some(why));
        }
    }
}
