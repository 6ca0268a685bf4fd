//! A site: what an author writes, and how it is checked.
//! May not touch a file but through `sys/read`, and never writes one.
//!
//! bytes → `text` → `yaml` (nodes that know their place) → `schema` (keys) → `model::Site`, or everything that is wrong.

mod authority;
mod beside;
mod cloud_config;
mod cloud_init;
pub mod diagnostic;
mod fields;
pub mod model;
mod name;
mod prefix;
mod schema;
pub mod sets;
mod text;
pub(crate) use text::decode;
pub(crate) mod url;
pub mod yaml;

use std::path::Path;

use diagnostic::{Complaint, Diagnostic, Findings, Severity, quoted};
use model::Extra;
pub use model::Site;
use schema::{Content, Draft, Part};
use yaml::lookalikes::{self, Strictness};

use crate::sys::read::{self, Refused};

/// The largest file that is read, in bytes: 1 MiB. The largest example site has 4 KiB.
pub const LARGEST: u64 = 1 << 20;

/// The site in that file, with its lock, and what its author should know; or everything that is wrong with it, and what he should know besides.
/// Findings in a file come in the order of its text, the site's own file first.
pub fn read(path: &Path) -> Result<(Site, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (mut site, mut all) = unlocked(path)?;
    let (lock, found) = beside::lock(path, &site);
    site.lock = lock;
    let stops = found.iter().any(|found| found.severity == Severity::Mistake);
    all.extend(found);
    if stops { Err(all) } else { Ok((site, all)) }
}

/// The same without its lock, which nobody looks at: for who makes it anew.
pub fn unlocked(path: &Path) -> Result<(Site, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut findings = Findings::of(path);
    let draft = bytes(path, &mut findings).and_then(|bytes| draft(&bytes, &mut findings));
    let (site, extras) = match draft {
        Some(draft) => complete(path, draft, &mut findings),
        None => (None, Vec::new()),
    };
    let mut all = findings.sorted();
    all.extend(extras);
    match site {
        Some(site) if all.iter().all(|found| found.severity == Severity::Warning) => Ok((site, all)),
        Some(_) | None => Err(all),
    }
}

/// The site in these bytes, but for what other files have to say.
fn draft(bytes: &[u8], findings: &mut Findings) -> Option<Draft> {
    let text = decode(bytes, findings)?;
    lookalikes::refuse(text, Strictness::Ours, findings)?;
    let root = yaml::parse(text, findings)?;
    schema::draft(&root, findings)
}

/// The site with upstreams' keys and the operator's own cloud-config, and what was found in files besides the site's.
fn complete(path: &Path, draft: Draft, findings: &mut Findings) -> (Option<Site>, Vec<Diagnostic>) {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut site = draft.site;
    site.secrets.file = folder.join(&site.secrets.file);
    let mut elsewhere = Vec::new();
    let mut all = true;
    for said in draft.sources {
        let mirror = beside::mirror(said, folder, findings);
        all &= mirror.is_some();
        site.sources.extend(mirror);
    }
    for said in draft.ca {
        let certificates = beside::authorities(said, folder, findings);
        all &= certificates.is_some();
        site.ca.extend(certificates.into_iter().flatten());
    }
    for Part { at, name, content } in draft.cloud_config {
        let document = match content {
            Content::Inline(node) => cloud_config::keys(&node, findings),
            Content::File(relative) => {
                let file = folder.join(&relative);
                match read::bounded(&file, LARGEST) {
                    Err(refused) => {
                        let Complaint { what, hint } = complaint(refused);
                        let hint =
                            if hint.is_empty() { "paths are relative to the site's file".to_owned() } else { hint };
                        findings.mistake(at, format!("the cloud-config {}: {what}", quoted(&relative)), hint);
                        None
                    }
                    Ok(bytes) => {
                        let mut own = Findings::of(&file);
                        let document = cloud_config::document(&bytes, &mut own);
                        elsewhere.extend(own.sorted());
                        document
                    }
                }
            }
        };
        all &= document.is_some();
        site.cloud_config.extend(document.map(|document| Extra { origin: name, document }));
    }
    (all.then_some(site), elsewhere)
}

fn bytes(path: &Path, findings: &mut Findings) -> Option<Vec<u8>> {
    read::bounded(path, LARGEST)
        .map_err(|refused| {
            let Complaint { what, hint } = complaint(refused);
            let hint = if hint.is_empty() {
                "name the site's file, as in `anymetal check site.yaml`".to_owned()
            } else {
                hint
            };
            findings.unusable(Complaint { what, hint });
        })
        .ok()
}

/// Why a file was not read. The hint is empty when only the caller knows one.
fn complaint(refused: Refused) -> Complaint {
    match refused {
        Refused::TooLarge { size: Some(size) } => Complaint::new(
            format!("{size} bytes are too many: at most {LARGEST} are read"),
            "check that this is the right file",
        ),
        Refused::TooLarge { size: None } => {
            Complaint::new(format!("more than {LARGEST} bytes come out of it"), "check that this is the right file")
        }
        Refused::Folder => Complaint::new("it is a folder", "name the file in it"),
        Refused::Odd(what) => {
            Complaint::new(format!("it is {what}, not a regular file"), "copy what is in it to a file first")
        }
        Refused::Io(error) => Complaint::new(format!("cannot be read: {error}"), ""),
    }
}

#[cfg(test)]
mod tests;
