//! What a node gets besides its plan and init: the serial, stub, unit, the operator's cloud-config, signers, secrets.
//! May not show a secret, nor its digest.

use anymetal_contract::Digest;

use super::pair::{arrow, lists};
use crate::form::Carried;

/// Every change of these, and where one of the forms is not what its release makes.
pub(super) fn host(old: &Carried, new: &Carried) -> Vec<String> {
    let mut changes = Vec::new();
    if let (Some(was), Some(is)) = (&old.host, &new.host) {
        changes.extend(arrow("serial", &was.serial, &is.serial));
        changes.extend(replaced("the script that fetches anymetal-init", Some(&was.stub), Some(&is.stub)));
        changes.extend(replaced("the unit anymetal.service", Some(&was.unit), Some(&is.unit)));
        let (before, after) = (was.cloud_config.as_ref(), is.cloud_config.as_ref());
        changes.extend(replaced("the operator's cloud-config", before, after));
        changes.extend(lists("signer", &was.signers, &is.signers));
    }
    if let (Some(was), Some(is)) = (&old.secrets, &new.secrets)
        && was != is
    {
        changes.push("secrets changed".to_owned());
    }
    if old.wrong != new.wrong {
        let told = |wrong: &String, which: &str| format!("the {which} one is not as its release makes it: {wrong}");
        let line = |wrong: &String| wrong.lines().next().unwrap_or_default().to_owned();
        changes.extend(old.wrong.as_ref().map(|wrong| told(&line(wrong), "old")));
        changes.extend(new.wrong.as_ref().map(|wrong| told(&line(wrong), "new")));
    }
    changes
}

fn replaced(what: &str, old: Option<&Digest>, new: Option<&Digest>) -> Option<String> {
    match (old, new) {
        (old, new) if old == new => None,
        (Some(old), Some(new)) => Some(format!("{what} replaced, sha256 {}… → {}…", old.short(), new.short())),
        (None, _) => Some(format!("{what} added")),
        (_, None) => Some(format!("{what} removed")),
    }
}
