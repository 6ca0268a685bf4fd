//! A file of secrets that is there and lacks some: the same file with those at its end.
//! May not write it, nor change a value that is in it: nodes that are up have that one.

use std::collections::BTreeSet;

use anyhow::Result;

use super::fresh::{self, Random};
use super::written::key;
use super::{load, read};
use crate::site::Site;
use crate::site::diagnostic::{Complaint, Diagnostic, Findings};

/// What becomes of the file.
#[derive(Debug)]
pub enum Added {
    /// It has all that the site needs.
    Nothing,
    /// These are added.
    These {
        /// The secrets' names.
        names: BTreeSet<String>,
        /// What stands in the file for them.
        keys: Vec<String>,
        /// The file then.
        text: String,
    },
    /// It has mistakes, or a form to which nothing can be added.
    Refused,
}

/// The site's file of secrets with what it lacks, and all that is found in it.
pub fn added(site: &Site, wanted: &BTreeSet<String>, random: Random<'_>) -> Result<(Added, Vec<Diagnostic>)> {
    let mut findings = Findings::of(&site.secrets.file);
    let old = load(&site.secrets.file, &mut findings);
    let written = old.as_ref().and_then(|old| read(old, site, wanted, &mut findings));
    let (Some(old), Some(written), false) = (old, written, findings.stops()) else {
        return Ok((Added::Refused, findings.sorted()));
    };
    let lacking = written.lacking;
    if lacking.is_empty() {
        return Ok((Added::Nothing, findings.sorted()));
    }
    let text = fresh::added(&old, site, &lacking, random)?;
    let keys: Vec<_> = lacking.iter().map(|name| key(name).to_owned()).collect();
    if takes(&text, site, wanted) {
        return Ok((Added::These { names: lacking, keys, text }, findings.sorted()));
    }
    let names = listed(&keys);
    findings.unusable(Complaint::new(
        format!("it lacks {names}, and nothing can be added at its end"),
        "write each name on a line of its own that begins in the first column",
    ));
    Ok((Added::Refused, findings.sorted()))
}

/// Each between backticks.
fn listed(keys: &[String]) -> String {
    keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

/// Whether the text is read as a whole file: what is added below a mapping in braces, say, is not part of it. A value that is still to be
/// filled in is a mistake of another kind.
fn takes(text: &str, site: &Site, wanted: &BTreeSet<String>) -> bool {
    let written = read(text, site, wanted, &mut Findings::of(&site.secrets.file));
    written.is_some_and(|written| written.lacking.is_empty())
}
