//! Archives that a plan pins, opened as a node will open them: what no node could install is said on the desk.
//! May not fetch one, nor keep what is in it: only that it was good, under a name that says what was looked for.

use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result};
use anymetal_archive::{Sink, unpack, unreadable};
use anymetal_contract::Reason;
use anymetal_contract::plan::{Arch, Artefact, Component, Member, Plan, Source};
use anymetal_supply::failure::Failure;
use anymetal_supply::pump::BUFFER;
use anymetal_supply::store::Store;

use super::crew;
use crate::plan::{canonical, digest};
use crate::sys::{private, write};

/// The folder of the cache that has an empty file for each archive that was good.
const GOOD: &str = "opened";
/// Changes when the readers do, so that what was good for others is looked at again.
const READERS: u32 = 1;
/// Archives that are opened at a time.
const AT_ONCE: usize = 4;

/// One archive of the plan.
struct Pinned<'p> {
    component: &'p Component,
    arch: Arch,
    artefact: &'p Artefact,
}

/// Opens every archive of the plan that is in the cache, but for those that were good before. Returns a sentence for each that no node can install.
pub fn refused(root: &Path, plan: &Plan) -> Result<Vec<String>> {
    if !root.join("sha256").is_dir() {
        return Ok(Vec::new());
    }
    let store = Store::open(root.join("sha256"))?;
    let is_good = |pinned: &Pinned<'_>| private::is_there(&root.join(GOOD).join(pinned.marker()));
    let open: Vec<_> =
        pinned(plan).into_iter().filter(|pinned| store.has(&pinned.artefact.sha256) && !is_good(pinned)).collect();
    let looked = crew::each(AT_ONCE, open.len(), |place| open[place].look(&store));
    let mut refused = Vec::new();
    for (pinned, looked) in open.iter().zip(looked) {
        match looked? {
            // where it cannot be kept, it is looked at again
            Ok(()) => _ = write::files(&root.join(GOOD), &[write::Entry::open(pinned.marker(), b"")]),
            // a damaged copy is no word against what was pinned: who hands it on says what it is
            Err(_) if !is_whole(&store, pinned)? => {}
            Err(failure) => refused.push(pinned.told(&failure)),
        }
    }
    Ok(refused)
}

fn is_whole(store: &Store, pinned: &Pinned<'_>) -> Result<bool> {
    let found = store.measure(&pinned.artefact.sha256)?;
    Ok(found.is_some_and(|(digest, _)| digest == pinned.artefact.sha256))
}

fn pinned(plan: &Plan) -> Vec<Pinned<'_>> {
    let mut all = Vec::new();
    for component in &plan.components {
        let Source::Artefacts(artefacts) = &component.source else { continue };
        all.extend(artefacts.iter().map(|(arch, artefact)| Pinned { component, arch: *arch, artefact }));
    }
    all
}

impl Pinned<'_> {
    /// The name under which it is known to be good: of the bytes, and of everything that is asked of them.
    fn marker(&self) -> String {
        let Artefact { sha256, format, members, .. } = self.artefact;
        digest(&canonical(&(READERS, sha256, format, members, self.arch))).to_string()
    }

    /// Opens it. The outer error is not the archive's.
    fn look(&self, store: &Store) -> Result<Result<(), Failure>> {
        let Artefact { sha256, format, members, .. } = self.artefact;
        let file = store.read(sha256).with_context(|| format!("opening {}", self.name()))?;
        let mut looking = Looking { arch: self.arch, asked: members };
        Ok(unpack(BufReader::with_capacity(BUFFER, file), *format, members, &mut looking))
    }

    fn name(&self) -> String {
        format!("{} {} {}", self.component.name, self.component.version, self.arch)
    }

    fn told(&self, failure: &Failure) -> String {
        let (name, why, sha256) = (self.name(), failure.chain(), &self.artefact.sha256);
        format!("no node can install {name}, sha256 {sha256}: {why}")
    }
}

/// Reads members and keeps nothing.
struct Looking<'p> {
    arch: Arch,
    asked: &'p [Member],
}

impl Sink for Looking<'_> {
    fn file(&mut self, member: &Member, from: &mut dyn Read) -> Result<(), Failure> {
        let read = |error: io::Error| unreadable(&error);
        let mut head = Vec::new();
        (&mut *from).take(20).read_to_end(&mut head).map_err(read)?;
        // of a folder that is taken as a whole, files may be for anybody
        let is_named = self.asked.iter().any(|asked| asked.member == member.member && asked.executable);
        if let Some(other) = machine(&head).filter(|found| is_named && *found != self.arch.to_string()) {
            let message = format!("the program {:?} in the archive is for {other}", member.member);
            return Err(Failure::new(Reason::ArchiveBroken, message));
        }
        io::copy(from, &mut io::sink()).map(drop).map_err(read)
    }
}

/// For which kind of machine a program is; `None` of what is no program of Linux's, as a script.
fn machine(head: &[u8]) -> Option<&'static str> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    // EI_DATA, then e_machine (elf(5))
    let number: [u8; 2] = head.get(18..20)?.try_into().ok()?;
    let number = if head[5] == 2 { u16::from_be_bytes(number) } else { u16::from_le_bytes(number) };
    Some(match number {
        3 => "i386",
        40 => "32-bit ARM",
        62 => "x86_64",
        183 => "aarch64",
        243 => "RISC-V",
        _ => "another kind of machine",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_machine_is_read_from_its_head() {
        let elf = |machine: u8| [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[2, 0, machine, 0]].concat();
        assert_eq!((machine(&elf(62)), machine(&elf(183))), (Some("x86_64"), Some("aarch64")));
        for none in [&b"#!/bin/sh\n"[..], b"\x7fELF", b""] {
            assert_eq!(machine(none), None);
        }
    }
}
