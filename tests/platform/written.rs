//! One component packed and written, and the lists of them all.
//! May not decide what is in an archive: `recipe` and `given` do.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "part of a program of the lab and of suites")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal::sys::parts;
use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;
use sha2::{Digest as _, Sha256};

use crate::consul::{self, Pinned};
use crate::given::Given;
use crate::pack::{self, File};
use crate::recipe::{Content, Form, Recipe, Stand};

/// Who packs consul out of Debian's archive, and what it is pinned to.
const DEMO: &str = include_str!("../../images/demo/site.yaml");
/// The lowest version of what comes from the operating system.
const BIRD: &str = "2.0.12";
/// In the place of a program that nothing runs.
const IDLE: &str = "#!/bin/sh\necho 'not here: this archive was packed by a test suite' >&2\nexit 1\n";

/// A component, packed.
pub struct Packed {
    pub name: &'static str,
    pub version: String,
    pub real: bool,
    pub archive: Pinned,
}

impl Packed {
    pub const fn kind(&self) -> &'static str {
        if self.real { "real" } else { "double" }
    }
}

/// Packs a component, the real one when it is given, into `OUT/sha256/<hex>`.
pub fn component(recipe: &'static Recipe, given: Option<&Given>, out: &Path) -> anyhow::Result<Packed> {
    let packed =
        |version: &str, real, archive| Packed { name: recipe.component, version: version.to_owned(), real, archive };
    if given.is_none() && recipe.form == Form::Demo {
        consul::make(out, DEMO, Arch::X86_64)?;
        return Ok(packed(recipe.version, true, consul::pinned(DEMO, Arch::X86_64)?));
    }
    let mut files = match given {
        Some(given) if recipe.form == Form::Folder => all(&given.folder, Path::new(""))?,
        _ => members(recipe, given)?,
    };
    for file in &mut files {
        file.name.insert_str(0, recipe.top);
    }
    let archive = match recipe.form {
        Form::Zip | Form::Demo => pack::zip(&files)?,
        Form::TarGz | Form::Folder => pack::tar_gz(&files)?,
    };
    let pinned = Pinned { sha256: Digest::of(Sha256::digest(&archive).into()), size: archive.len() as u64 };
    parts::write(&out.join("sha256").join(pinned.sha256.as_str()), &archive)?;
    Ok(match given {
        Some(given) => packed(&given.version, true, pinned),
        None => packed(recipe.version, recipe.members.iter().all(|member| real(member.content)), pinned),
    })
}

/// Whether a member is what its makers' would be; what does nothing does not count.
const fn real(content: Content) -> bool {
    match content {
        Content::Program(stand) => stand.real(),
        Content::Idle | Content::Filler(_) => true,
    }
}

/// The members of a recipe, with the programs given or our own.
fn members(recipe: &Recipe, given: Option<&Given>) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    for member in recipe.members {
        let theirs = given.map(|given| given.folder.join(member.name)).filter(|path| path.is_file());
        let (executable, bytes) = match (member.content, theirs) {
            (Content::Filler(_), Some(path)) => (false, parts::read(&path)?),
            (_, Some(path)) => (true, parts::read(&path)?),
            (Content::Filler(text), None) => (false, text.as_bytes().to_vec()),
            (Content::Idle, None) => (true, IDLE.as_bytes().to_vec()),
            (Content::Program(stand), None) => (true, own(stand)?),
        };
        files.push(File { name: member.name.to_owned(), executable, bytes });
    }
    Ok(files)
}

/// A program of our own, out of the folder it is built in.
fn own(stand: Stand) -> anyhow::Result<Vec<u8>> {
    let (folder, name) = match stand {
        Stand::Double(name) => ("doubles", name),
        Stand::Built(name) => ("bindle", name),
        Stand::Debian => anyhow::bail!("packing what Debian has: it is the demo's to pack"),
    };
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../target")
        .join(folder)
        .join("x86_64-unknown-linux-musl/release")
        .join(name);
    anyhow::ensure!(path.is_file(), "reading {name}: {} is not there\nhint: `make platform` builds it", path.display());
    parts::read(&path)
}

/// Every file below a folder, by name; programs are those that are.
fn all(folder: &Path, below: &Path) -> anyhow::Result<Vec<File>> {
    use std::os::unix::fs::PermissionsExt as _;
    let here = folder.join(below);
    let doing = || format!("reading {}", here.display());
    let mut names: Vec<_> = std::fs::read_dir(&here)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>())
        .with_context(doing)?;
    names.sort();
    let mut files = Vec::new();
    for name in names {
        let name = below.join(name);
        let path = folder.join(&name);
        let about = std::fs::metadata(&path).with_context(|| format!("reading {}", path.display()))?;
        if about.is_dir() {
            files.extend(all(folder, &name)?);
        } else {
            let executable = about.permissions().mode() & 0o111 != 0;
            files.push(File { name: name.display().to_string(), executable, bytes: parts::read(&path)? });
        }
    }
    Ok(files)
}

/// Writes what a site must say of these components, and which of them are real.
pub fn lists(out: &Path, packed: &[Packed]) -> anyhow::Result<()> {
    let (yaml, text) = (yaml(packed), text(packed));
    parts::write(&out.join("components.yaml"), yaml.as_bytes())?;
    parts::write(&out.join("components.txt"), text.as_bytes())
}

fn yaml(packed: &[Packed]) -> String {
    let mut yaml = String::from(
        "# Made by platform-artefacts. What is a double and what is real stands in components.txt.\n# The suites ask Bindle and Hippo by name, without certificates.\nexpose: plain\ncomponents:\n",
    );
    for one in packed {
        let Packed { name, version, archive, .. } = one;
        let _ = write!(
            yaml,
            "  {name}:\n    version: {version}\n    artefacts:\n      x86_64:\n        sha256: {}\n        size: {}\n",
            archive.sha256, archive.size
        );
        // This Bindle is static, which its makers' is not. The others keep the packages their makers' need, so that looking for them is played.
        if *name == "bindle" {
            yaml.push_str("    packages: []\n");
        }
    }
    let _ = writeln!(yaml, "  bird: {BIRD}");
    yaml
}

fn text(packed: &[Packed]) -> String {
    packed.iter().fold(String::new(), |mut text, one| {
        let _ = writeln!(text, "{} {} {}", one.name, one.version, one.kind());
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_say_what_a_site_must_and_what_is_a_double() {
        let archive = Pinned { sha256: Digest::of(Sha256::digest(b"x").into()), size: 7 };
        let one = |name, real| Packed { name, version: "1.2.3".into(), real, archive: archive.clone() };
        let packed = [one("bindle", true), one("nomad", false)];
        assert_eq!(text(&packed), "bindle 1.2.3 real\nnomad 1.2.3 double\n");
        let site: serde_yaml::Value = serde_yaml::from_str(&yaml(&packed)).unwrap();
        let nomad = &site["components"]["nomad"];
        assert_eq!(nomad["artefacts"]["x86_64"]["size"], 7);
        assert_eq!(nomad["packages"], serde_yaml::Value::Null);
        assert_eq!(site["components"]["bindle"]["packages"], serde_yaml::Value::Sequence(vec![]));
        assert_eq!(site["components"]["bird"], BIRD);
    }
}
