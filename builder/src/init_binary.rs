//! The static init of each architecture: found, asked for its abilities, pinned by its sha256.
//! May not run one: what it can do lies as a record in its bytes, so that the init of any architecture can be asked on any machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use anymetal_contract::plan::Arch;
use anymetal_contract::{Abilities, Digest, abilities};
use sha2::{Digest as _, Sha256};

use crate::sys::inits;

/// The longest file taken for an init. The budget of a shipped one is 4 MiB, one with debugging symbols is ten times that, and `fetch-init`
/// takes no more than this.
const LONGEST: u64 = 64 << 20;

/// One init.
#[derive(Debug, Clone)]
pub struct Init {
    /// Where it was found, for messages.
    pub path: PathBuf,
    /// What it runs on.
    pub arch: Arch,
    /// All of it.
    pub bytes: Vec<u8>,
    /// The digest nodes fetch it by.
    pub sha256: Digest,
    /// What it says of itself.
    pub abilities: Abilities,
}

/// The init of each architecture wanted: from the files given, else from beside this program, else from its build tree.
/// All that are missing are named at once.
pub fn find(wanted: &BTreeSet<Arch>, given: &[PathBuf]) -> Result<BTreeMap<Arch, Init>> {
    let program = inits::own_program().context("finding out where this program lies")?;
    let mut found = BTreeMap::new();
    for path in given {
        let bytes = inits::read(path, LONGEST).with_context(|| format!("reading {}", path.display()))?;
        let init = inspect(path, bytes)?;
        if let Some(other) = found.insert(init.arch, init) {
            bail!(
                "{} and {} are both for {}\nhint: give one `--init` per architecture",
                other.path.display(),
                path.display(),
                other.arch
            );
        }
    }
    let mut missing = Vec::new();
    for arch in wanted {
        if found.contains_key(arch) {
            continue;
        }
        let places = places(&program, *arch);
        match first(&places)? {
            Some(init) => {
                ensure!(init.arch == *arch, "{} is for {}, not for {arch}\n{MAKE}", init.path.display(), init.arch);
                found.insert(*arch, init);
            }
            None => missing.push(absent(*arch, &places)),
        }
    }
    ensure!(missing.is_empty(), "{}\n{MAKE}", missing.join("\n"));
    found.retain(|arch, _| wanted.contains(arch));
    Ok(found)
}

const MAKE: &str = "hint: run `make init` in the source tree of anymetal, or give the file with `--init FILE`";

/// What these bytes are, when they are an init: the checks need nothing but the bytes.
pub fn inspect(path: &Path, bytes: Vec<u8>) -> Result<Init> {
    let (arch, abilities) = judge(&bytes).map_err(|why| anyhow!("{} {why}\n{MAKE}", path.display()))?;
    let sha256 = Digest::of(Sha256::digest(&bytes).into());
    Ok(Init { path: path.to_owned(), arch, bytes, sha256, abilities })
}

/// Where an init of that architecture may lie, in the order in which it is looked for.
fn places(program: &Path, arch: Arch) -> Vec<PathBuf> {
    let shipped = format!("{arch}-unknown-linux-musl/ship/anymetal-init");
    let folders = || program.ancestors().skip(1);
    let beside = folders().take(1).map(|folder| folder.join(format!("anymetal-init-{arch}")));
    // The second form is for a target folder that has another name (CARGO_TARGET_DIR).
    let built = folders().flat_map(|folder| [folder.join("target").join(&shipped), folder.join(&shipped)]);
    beside.chain(built).collect()
}

/// The init at the first of the places that has one.
fn first(places: &[PathBuf]) -> Result<Option<Init>> {
    for place in places {
        match inits::read(place, LONGEST) {
            Ok(bytes) => return inspect(place, bytes).map(Some),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", place.display())),
        }
    }
    Ok(None)
}

fn absent(arch: Arch, places: &[PathBuf]) -> String {
    let beside = places.first().map(|place| place.display().to_string()).unwrap_or_default();
    format!("no anymetal-init for {arch}: there is no {beside}, and none in a build tree around it")
}

/// The architecture and the abilities, or what is wrong, as the end of a sentence that begins with the file's name.
fn judge(bytes: &[u8]) -> Result<(Arch, Abilities), String> {
    let elf = Elf::read(bytes).ok_or("is no whole ELF program of 64 bits, little-endian")?;
    let arch = match elf.machine {
        62 => Arch::X86_64,
        183 => Arch::Aarch64,
        other => return Err(format!("is for a machine nobody asked for (ELF machine {other})")),
    };
    if elf.interpreted {
        return Err("is not static: it names a dynamic linker that a node may not have".to_owned());
    }
    let record = abilities::record(bytes).ok_or("is no anymetal-init: no record of abilities is in it")?;
    let abilities: Abilities = serde_json::from_str(record)
        .map_err(|error| format!("has a record of abilities that cannot be read: {error}"))?;
    if abilities.kind != abilities::KIND || abilities.version != abilities::VERSION {
        let (kind, version) = (&abilities.kind, abilities.version);
        return Err(format!(
            "has a record of abilities of another form ({kind} {version}): it belongs to another anymetal"
        ));
    }
    Ok((arch, abilities))
}

/// What is asked of an ELF program; see the System V ABI, chapters 4 and 5.
struct Elf {
    machine: u16,
    interpreted: bool,
}

impl Elf {
    /// None when the bytes are no 64-bit little-endian program, or a header points out of them.
    fn read(bytes: &[u8]) -> Option<Self> {
        const PT_INTERP: u32 = 3;
        if !bytes.starts_with(b"\x7fELF\x02\x01\x01") || !matches!(half(bytes, 16)?, 2 | 3) {
            return None; // ET_EXEC and ET_DYN (static-pie) are programs
        }
        let start = usize::try_from(u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?)).ok()?;
        let (size, count) = (usize::from(half(bytes, 54)?), usize::from(half(bytes, 56)?));
        if size < 56 || count == 0 {
            return None;
        }
        let table = bytes.get(start..start.checked_add(size * count)?)?;
        let kind = |header: &[u8]| u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let interpreted = table.chunks_exact(size).any(|header| kind(header) == PT_INTERP);
        Some(Self { machine: half(bytes, 18)?, interpreted })
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests put doubles on disk")]

    use anymetal_lab::init_double::{ABILITIES, Double};
    use proptest::prelude::*;

    use super::*;

    fn refused(double: &Double) -> String {
        inspect(Path::new("some/init"), double.elf()).unwrap_err().to_string()
    }

    #[test]
    fn architecture_abilities_and_digest_are_read_from_the_bytes() {
        for arch in Arch::ALL {
            let double = Double::of(arch);
            let init = inspect(Path::new("some/init"), double.elf()).unwrap();
            assert_eq!((init.arch, init.abilities.release.as_str()), (arch, "0.0.0-double"));
            assert_eq!(init.sha256, Digest::of(Sha256::digest(double.elf()).into()));
        }
    }

    #[test]
    fn what_is_no_init_is_refused_with_the_file_the_reason_and_what_to_do() {
        let good = Double::of(Arch::X86_64);
        let other = |abilities: &str| Double { abilities: abilities.into(), ..good.clone() };
        for (double, what) in [
            (Double { interpreter: true, ..good.clone() }, "some/init is not static: it names a dynamic linker"),
            (other(""), "some/init is no anymetal-init: no record of abilities"),
            (other("{\"kind\":1"), "has a record of abilities that cannot be read: "),
            (other(&ABILITIES.replace("\"version\":1", "\"version\":2")), "of another form (anymetal.abilities 2)"),
        ] {
            let error = refused(&double);
            assert!(error.contains(what) && error.ends_with(MAKE), "{error}");
        }
        let mut sparc = good.elf();
        sparc[18] = 43;
        let error = inspect(Path::new("some/init"), sparc).unwrap_err().to_string();
        assert!(error.contains("(ELF machine 43)"), "{error}");
        let script = inspect(Path::new("some/init"), b"#!/bin/sh\n".to_vec()).unwrap_err().to_string();
        assert!(script.contains("some/init is no whole ELF program"), "{script}");
    }

    #[test]
    fn given_files_go_before_what_lies_around_and_two_of_a_kind_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["one", "two"] {
            std::fs::write(path(name), Double::of(Arch::Aarch64).elf()).unwrap();
        }
        let wanted = BTreeSet::from([Arch::Aarch64]);
        assert_eq!(find(&wanted, &[path("one")]).unwrap()[&Arch::Aarch64].path, path("one"));
        let error = find(&wanted, &[path("one"), path("two")]).unwrap_err().to_string();
        assert!(error.contains("are both for aarch64"), "{error}");
        let error = format!("{:#}", find(&wanted, &[path("none")]).unwrap_err());
        assert!(error.contains(&format!("reading {}", path("none").display())), "{error}");
        let error = format!("{:#}", find(&wanted, &[dir.path().to_owned()]).unwrap_err());
        assert!(error.contains("not a plain file"), "{error}");
    }

    #[test]
    fn inits_are_looked_for_beside_the_program_then_in_build_trees_around_it() {
        let places = places(Path::new("/src/target/debug/anymetal"), Arch::Aarch64);
        let shipped = "aarch64-unknown-linux-musl/ship/anymetal-init";
        let place = |wanted: &str| places.iter().position(|place| place == Path::new(wanted)).expect(wanted);
        assert_eq!(place("/src/target/debug/anymetal-init-aarch64"), 0);
        assert!(place(&format!("/src/target/{shipped}")) > 0);

        let dir = tempfile::tempdir().unwrap();
        let built = dir.path().join("target").join(shipped);
        std::fs::create_dir_all(built.parent().unwrap()).unwrap();
        std::fs::write(&built, Double::of(Arch::Aarch64).elf()).unwrap();
        let found = first(&super::places(&dir.path().join("target/debug/anymetal"), Arch::Aarch64)).unwrap().unwrap();
        assert_eq!(found.path, built);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(at in 0usize..200, byte in any::<u8>(), length in 0usize..1200) {
            let mut bytes = Double::of(Arch::X86_64).elf();
            bytes[at] = byte;
            bytes.truncate(length);
            let _either = inspect(Path::new("some/init"), bytes);
        }
    }
}
