//! A site to its lock: every archive's digest and size, by all who say something of it, who have to agree.
//! May not touch the network, a file or the clock: who has the files is given, and `now`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;

use super::document::{self, Archive, Lock, Locked, Witness};
use super::fit;
use super::trouble::{Trouble, Unanswered, Unsigned};
use super::upstream::{Files, Silent, Sums, words};
use crate::component::{Artefacts, Component};
use crate::site::Site;
use crate::site::model::Choice;
use crate::sources;

/// What is asked for besides what a lock lacks.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Components that are asked for again.
    pub update: BTreeSet<String>,
    /// Components whose archives may be others than they were.
    pub accept: BTreeSet<String>,
    /// Whether the operating system's packages are asked for again.
    pub packages: bool,
    /// Components whose archives are taken by upstream's word alone, though nobody signed it and they were never seen.
    pub first: BTreeSet<String>,
    /// Whether an index of packages may be old.
    pub allow_old: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Resolved {
    /// The components' archives.
    pub components: BTreeMap<String, Locked>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// Every archive of the site. What the previous lock has, and still fits, is kept as it is, and nobody is asked. All troubles are said at once.
pub fn archives(
    site: &Site,
    previous: Option<&Lock>,
    wish: &Wish,
    files: &dyn Files,
    now: SystemTime,
) -> Result<Resolved, Vec<Trouble>> {
    let mut resolved = Resolved { components: BTreeMap::new(), notes: Vec::new() };
    let mut troubles = Vec::new();
    for (known, upstream, choice) in fit::archived(site) {
        let one = One { site, known, upstream, choice, files, now, previous, wish };
        let mut sums = None;
        let mut artefacts = BTreeMap::new();
        for arch in &site.architectures {
            let archive = one.kept(*arch).map_or_else(|| one.resolve(*arch, &mut sums, &mut resolved.notes), Ok);
            match archive {
                Ok(archive) => _ = artefacts.insert(*arch, archive),
                Err(trouble) if troubles.contains(&trouble) => {}
                Err(trouble) => troubles.push(trouble),
            }
        }
        let locked = Locked { version: choice.version.to_string(), artefacts };
        resolved.components.insert(known.name.clone(), locked);
    }
    if troubles.is_empty() { Ok(resolved) } else { Err(troubles) }
}

/// A lock of the site with these archives and packages.
pub fn lock(site: &Site, components: BTreeMap<String, Locked>, packages: BTreeMap<Arch, document::Closure>) -> Lock {
    Lock {
        kind: document::KIND.to_owned(),
        version: document::VERSION,
        site: site.name.clone(),
        os: site.os.clone(),
        components,
        packages,
    }
}

/// One component to be resolved.
struct One<'a> {
    site: &'a Site,
    known: &'static Component,
    upstream: &'static Artefacts,
    choice: &'a Choice,
    files: &'a dyn Files,
    now: SystemTime,
    previous: Option<&'a Lock>,
    wish: &'a Wish,
}

/// The checksums of a component, once they were asked for.
type Asked = Option<Result<Sums, Silent>>;

impl One<'_> {
    /// What the previous lock has of this version.
    fn previous(&self, arch: Arch) -> Option<&Archive> {
        self.previous?.archive(&self.known.name, &self.choice.version.to_string(), arch)
    }

    /// The same, when nobody has to be asked for it.
    fn kept(&self, arch: Arch) -> Option<Archive> {
        let archive = self.previous(arch).filter(|_| !self.wish.update.contains(&self.known.name))?;
        let differs = fit::archive_of(self.known, self.upstream, self.choice, arch, archive);
        differs.is_none().then(|| archive.clone())
    }

    fn name(&self, arch: Arch) -> String {
        format!("{} {} for {arch}", self.known.name, self.choice.version)
    }

    fn resolve(&self, arch: Arch, sums: &mut Asked, notes: &mut Vec<String>) -> Result<Archive, Trouble> {
        let name = self.name(arch);
        let urls = fit::urls(self.upstream, self.choice, arch);
        let said = self.said(arch, sums, notes)?;
        let (sha256, first) = &said[0];
        if let Some((other, witness)) = said.iter().find(|(digest, _)| digest != sha256) {
            let (one, two) = (words(first), words(witness));
            return Err(Trouble::Wrong(format!(
                "{name}: its sha256 is {sha256}, {one}; and {other}, {two}\nhint: find out who is right; an archive that is not upstream's needs `urls` of its own in the site"
            )));
        }
        let pinned = self.choice.artefacts.contains_key(&arch);
        let accepted = pinned || self.wish.accept.contains(&self.known.name);
        if let Some(locked) = self.previous(arch).filter(|locked| locked.sha256 != *sha256 && !accepted) {
            let component = &self.known.name;
            return Err(Trouble::Wrong(format!(
                "{name}: the lock has sha256 {}, and now it is {sha256}, {}: upstream replaced what it had released\nhint: find out why; `--accept {component}` takes the new one",
                locked.sha256,
                words(first)
            )));
        }
        self.vouched(arch, &said)?;
        let size = self.size(arch, sha256, &urls)?;
        let witnesses = said.iter().map(|(_, witness)| witness.clone()).collect();
        Ok(Archive { sha256: sha256.clone(), size, urls, witnesses })
    }

    /// Who says what the archive's digest is; at least one does.
    fn said(&self, arch: Arch, sums: &mut Asked, notes: &mut Vec<String>) -> Result<Vec<(Digest, Witness)>, Trouble> {
        let (name, version) = (self.name(arch), self.choice.version);
        let pin = self.choice.artefacts.get(&arch);
        let site = pin.map(|pin| (pin.sha256.clone(), Witness::Site));
        if let Some(own) = site.clone().filter(|_| pin.is_some_and(|pin| !pin.urls.is_empty())) {
            return Ok(vec![own]);
        }
        let known = self.upstream.digest(version, arch).map(|digest| (digest.clone(), Witness::Known));
        let others: Vec<_> = known.into_iter().chain(site).collect();
        let pin_it = format!("hint: pin it in the site, `components.{}.artefacts.{arch}.sha256`", self.known.name);
        let Some(url) = self.upstream.url(version, arch) else {
            return Err(Trouble::Wrong(format!("{name}: upstream does not build it\n{pin_it} and `urls`")));
        };
        match sums.get_or_insert_with(|| self.ask()) {
            Ok(sums) => {
                let upstreams = sums.of(&url).map_err(|why| Trouble::Wrong(format!("{name}: {why}\n{pin_it}")))?;
                Ok([upstreams].into_iter().chain(others).collect())
            }
            Err(Silent::Wrong(why)) => Err(Trouble::Wrong(format!("{} {version}: {why}", self.known.name))),
            Err(Silent::Refused(refusal)) => {
                let Some((_, witness)) = others.first() else {
                    let (what, why) = (format!("{name}: nobody knows its sha256"), &refusal.why);
                    if refusal.absent {
                        return Err(Trouble::Wrong(format!("{what}; {why}\n{pin_it}")));
                    }
                    return Err(self.unanswered(what, why.clone(), pin_it.trim_start_matches("hint: ")));
                };
                notes.push(format!(
                    "{name}: upstream's checksums cannot be had, so its sha256 is the one {}; {}",
                    words(witness),
                    refusal.why
                ));
                Ok(others)
            }
        }
    }

    /// Whether somebody answers for the digest but the server that has the archive too: a signature, this release, the site, or the lock that has
    /// seen it before.
    fn vouched(&self, arch: Arch, said: &[(Digest, Witness)]) -> Result<(), Trouble> {
        let alone = said.iter().all(|(_, witness)| matches!(witness, Witness::Checksums | Witness::FirstSeen));
        let seen = self.previous(arch).is_some_and(|locked| said.iter().all(|(digest, _)| *digest == locked.sha256));
        let component = &self.known.name;
        let told = [&self.wish.first, &self.wish.accept].into_iter().any(|names| names.contains(component));
        if !alone || seen || told {
            return Ok(());
        }
        let (component, version) = (component.clone(), self.choice.version.to_string());
        Err(Trouble::Unsigned(Unsigned { component, version, arch, sha256: said[0].0.clone() }))
    }

    fn ask(&self) -> Result<Sums, Silent> {
        let checksums = self.upstream.checksums(self.choice.version);
        let keyring = sources::keyring(self.site, &checksums.source);
        let keyring = keyring.map_err(|why| Silent::Wrong(format!("{why:#}")))?;
        Sums::ask(self.files, &self.known.name, &checksums, keyring.as_ref(), self.now)
    }

    /// The archive's size: the site's word, what was locked of the same bytes, or that of who has it.
    fn size(&self, arch: Arch, sha256: &Digest, urls: &[String]) -> Result<u64, Trouble> {
        if let Some(size) = self.choice.artefacts.get(&arch).and_then(|pin| pin.size) {
            return Ok(size);
        }
        if let Some(locked) = self.previous(arch).filter(|locked| locked.sha256 == *sha256) {
            return Ok(locked.size);
        }
        let name = self.name(arch);
        let mut refused = Vec::new();
        for url in urls {
            match self.files.measure(&self.known.name, url) {
                Err(refusal) => refused.push(refusal.why),
                Ok(measured) => match measured.sha256 {
                    Some((other, place)) if other != *sha256 => {
                        return Err(Trouble::Wrong(format!(
                            "{name}: its sha256 is {sha256}, and that of {place} is {other}\nhint: carry that file in again"
                        )));
                    }
                    _ => return Ok(measured.size),
                },
            }
        }
        let hint = "`--from DIR` takes it from a file of that name";
        Err(self.unanswered(format!("{name}: nobody tells its size"), refused.join("; "), hint))
    }

    fn unanswered(&self, what: String, why: String, hint: &str) -> Trouble {
        let component = format!("{} {}", self.known.name, self.choice.version);
        Trouble::Unanswered(Unanswered { component, what, why, hint: hint.to_owned() })
    }
}

#[cfg(test)]
mod tests;
