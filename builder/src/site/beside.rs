//! What lies beside a site and belongs to it: upstreams' keys that it names, and its lock.
//! May not touch a file but through `sys/read`.

use std::io::ErrorKind;
use std::path::Path;

use super::diagnostic::{Complaint, Diagnostic, Findings, quoted};
use super::model::{Mirror, Site};
use super::schema::outside;
use super::schema::sources::Said;
use super::{LARGEST, authority, complaint};
use crate::lock::openpgp::Keyring;
use crate::lock::{Lock, document, fit};
use crate::sys::clock;
use crate::sys::read::{self, Refused};

/// Where an upstream is instead, with its keys. Their path is relative to the site's folder.
pub(super) fn mirror(said: Said, folder: &Path, findings: &mut Findings) -> Option<(String, Mirror)> {
    let Said { name, url, key } = said;
    let key = match key {
        None => None,
        Some((at, relative)) => {
            let bytes = read::bounded(&folder.join(&relative), LARGEST).map_err(|refused| {
                let Complaint { what, hint } = complaint(refused);
                let hint = if hint.is_empty() { "paths are relative to the site's file".to_owned() } else { hint };
                Complaint::new(format!("the key {}: {what}", quoted(&relative)), hint)
            });
            let bytes = findings.keep(at, bytes)?;
            let read = Keyring::read(&bytes).map_err(|error| {
                let hint = "name a file of public OpenPGP keys, as `gpg --export --armor` writes one";
                Complaint::new(format!("the key {}: {error:#}", quoted(&relative)), hint)
            });
            findings.keep(at, read)?;
            Some(bytes)
        }
    };
    Some((name.to_owned(), Mirror { url, key }))
}

/// The certificates of an entry of `ca`: its own text, or that of a file whose path is relative to the site's folder.
pub(super) fn authorities(said: outside::Said, folder: &Path, findings: &mut Findings) -> Option<Vec<String>> {
    let outside::Said { at, text } = said;
    let (name, bytes) = if text.contains("-----BEGIN ") {
        ("this entry of `ca`".to_owned(), text.into_bytes())
    } else {
        let name = format!("the file {} of `ca`", quoted(&text));
        let bytes = read::bounded(&folder.join(&text), LARGEST).map_err(|refused| {
            let Complaint { what, hint } = complaint(refused);
            let hint = if hint.is_empty() { "paths are relative to the site's file".to_owned() } else { hint };
            Complaint::new(format!("{name}: {what}"), hint)
        });
        (name, findings.keep(at, bytes)?)
    };
    let brought = findings.keep(at, authority::read(&name, &bytes, clock::now()))?;
    for Complaint { what, hint } in brought.warnings {
        findings.warning(at, what, hint);
    }
    Some(brought.certificates)
}

/// The lock beside the site, when there is one; and what is wrong with it, which only `anymetal lock` mends.
pub(super) fn lock(path: &Path, site: &Site) -> (Option<Lock>, Vec<Diagnostic>) {
    let place = Lock::path(path);
    let mut findings = Findings::of(&place);
    let lock = match read::bounded(&place, document::LARGEST) {
        Err(Refused::Io(error)) if error.kind() == ErrorKind::NotFound => None,
        Err(refused) => {
            findings.unusable(Complaint::new(complaint(refused).what, hint(path)));
            None
        }
        Ok(bytes) => {
            let lock = Lock::read(&bytes).map_err(|error| format!("{error:#}"));
            lock.map_err(|what| findings.unusable(Complaint::new(what, hint(path)))).ok()
        }
    };
    for difference in lock.iter().flat_map(|lock| fit::differences(site, lock)).filter(|difference| difference.stops) {
        findings.unusable(Complaint::new(difference.what, hint(path)));
    }
    (lock, findings.sorted())
}

fn hint(path: &Path) -> String {
    format!("run `anymetal lock {}`", path.display())
}
