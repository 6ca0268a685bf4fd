//! `signers`: whose signatures count.
//! May not take a secret key, nor repeat one that was pasted here.

use std::collections::BTreeMap;

use crate::sign::PublicKey;
use crate::site::diagnostic::{Complaint, Findings, quoted};
use crate::site::fields;
use crate::site::yaml::Node;

/// What a public key looks like.
const LIKE: &str = "write the 56 characters of a public key, `RW…`, as `anymetal sign --new-key FILE` prints them";

/// Public keys in minisign's form, none twice.
pub(super) fn signers(node: Option<&Node>, findings: &mut Findings) -> Vec<PublicKey> {
    let example = "signers: [RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ]";
    let Some((node, items)) = node.and_then(|node| Some((node, fields::list(node, "signers", example, findings)?)))
    else {
        return Vec::new();
    };
    if items.is_empty() {
        findings.mistake(node.at, "`signers` names no key", "name one, or remove the line: then nobody has to sign");
    }
    let mut seen = BTreeMap::new();
    let mut signers = Vec::new();
    for item in items {
        let Some(text) = fields::text(item, "a public key", findings) else { continue };
        let Some(key) = findings.keep(item.at, read(text)) else { continue };
        if let Some(first) = seen.insert(key.clone(), item.at) {
            findings.mistake(
                item.at,
                format!("the key {} is given twice, first at {first}", key.id()),
                "keep one of them",
            );
            continue;
        }
        signers.push(key);
    }
    signers
}

fn read(text: &str) -> Result<PublicKey, Complaint> {
    PublicKey::read(text).ok_or_else(|| {
        // a secret key has 212 characters; what is no longer than a public one may be shown
        if text.len() > 100 {
            let hint = "take the one in the file FILE.pub instead, and the secret one out of this file; who has read it may sign";
            Complaint::new("this is no public key, and perhaps a secret one", hint)
        } else {
            Complaint::new(format!("{} is no public key", quoted(text)), LIKE)
        }
    })
}
