//! What a version's folder says of itself: which archive it came from, and the digest of each file.
//! May not be believed without looking: the files' own digests are measured against it.

use std::collections::BTreeMap;
use std::path::Path;

use anymetal_archive::{is_folder, place_of};
use anymetal_contract::Digest;
use anymetal_contract::plan::{Artefact, Member};
use serde::{Deserialize, Serialize};

use crate::sys::tree;

/// The record's name in the version's folder.
pub(super) const NAME: &str = anymetal_archive::RECORD;
/// Bytes of a record that are read; a thousand files need a quarter of it.
const MOST: u64 = 1 << 20;
const KIND: &str = "anymetal.installed";
const VERSION: u32 = 1;

/// One version's folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    kind: String,
    version: u32,
    artefact: Digest,
    files: BTreeMap<String, File>,
}

/// One file of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    member: String,
    executable: bool,
    sha256: Digest,
}

/// The permission bits of a file.
pub(super) const fn mode(executable: bool) -> u32 {
    if executable { 0o755 } else { 0o644 }
}

impl Record {
    pub(super) fn of(artefact: &Artefact) -> Self {
        Self { kind: KIND.into(), version: VERSION, artefact: artefact.sha256.clone(), files: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, member: &Member, sha256: Digest) {
        let Member { member, file, executable } = member.clone();
        self.files.insert(file, File { member, executable, sha256 });
    }

    /// The record's text, the same for the same content.
    pub(super) fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a record of strings and digests is JSON");
        text.push('\n');
        text
    }
}

/// Whether the folder holds what this artefact's members are, byte for byte and mode for mode. Says what is wrong when it does not;
/// `None` of a reason when there is nothing at all.
pub(super) fn check(dir: &Path, artefact: &Artefact) -> anyhow::Result<Result<(), Option<String>>> {
    let Some(text) = tree::text(&dir.join(NAME), MOST) else {
        return Ok(Err(dir.exists().then(|| "it has no record of what it holds".to_owned())));
    };
    let Ok(record) = serde_json::from_str::<Record>(&text) else {
        return Ok(Err(Some("its record of what it holds cannot be read".into())));
    };
    if (record.kind.as_str(), record.version) != (KIND, VERSION) || record.artefact != artefact.sha256 {
        return Ok(Err(Some("it came from another archive".into())));
    }
    // Every file is one that is asked for, at its place; every file that is asked for by name is there, every folder has one at least.
    let members = &artefact.members;
    let asked = |(place, file): (&String, &File)| place_of(members, &file.member).as_ref() == Some(place);
    let there = |member: &Member| {
        if is_folder(member) {
            return record.files.values().any(|file| file.member.starts_with(&member.member));
        }
        record
            .files
            .get(&member.file)
            .is_some_and(|file| (&file.member, file.executable) == (&member.member, member.executable))
    };
    if !record.files.iter().all(asked) || !members.iter().all(there) {
        return Ok(Err(Some("it holds other members".into())));
    }
    for (name, file) in &record.files {
        let found = tree::measure(&dir.join(name))?;
        let wanted = tree::Found { digest: file.sha256.clone(), mode: mode(file.executable) };
        if found.as_ref() != Some(&wanted) {
            let what = if found.is_some() { "was changed" } else { "is missing" };
            return Ok(Err(Some(format!("{name} {what}"))));
        }
    }
    Ok(Ok(()))
}
