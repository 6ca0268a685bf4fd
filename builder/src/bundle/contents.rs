//! What is in a bundle: every blob that the nodes of a plan need, the index that names them, and where each comes from.
//! May not touch a file: where blobs lie is told.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use anymetal_contract::bundle::{Blob, INDEX, Index, KIND, VERSION};
use anymetal_contract::packages::Packages;
use anymetal_contract::plan::Arch;
use anymetal_contract::release::{FILE, SIGNATURE};
use anymetal_contract::{Digest, Plan, Release, place};
use anymetal_supply::bundle::header::{BLOCK, END, LARGEST, padding};

use crate::init_binary::Init;
use crate::plan;

/// What a bundle is made of.
#[derive(Debug, Clone, Copy)]
pub struct Cargo<'c> {
    /// The plan.
    pub plan: &'c Plan,
    /// The same, canonical.
    pub text: &'c [u8],
    /// The release that pins it, its canonical bytes first.
    pub release: (&'c [u8], &'c Release),
    /// The release's signature, in minisign's form.
    pub signature: Option<&'c [u8]>,
    /// The init of each architecture.
    pub inits: &'c [Init],
    /// The lists of packages that the plan pins.
    pub lists: &'c BTreeMap<Arch, Packages>,
    /// Where blobs lie, and how many bytes they have.
    pub cached: &'c BTreeMap<Digest, (PathBuf, u64)>,
}

/// A bundle as it is to be written: its members, in their order.
#[derive(Debug)]
pub struct Layout<'c> {
    pub(super) members: Vec<Member<'c>>,
    blobs: usize,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member<'c> {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) content: Content<'c>,
}

/// Where a member's bytes are.
#[derive(Debug)]
pub(super) enum Content<'c> {
    Bytes(Cow<'c, [u8]>),
    /// In this file, with this digest.
    File(&'c Path, Digest),
}

/// What a blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// For people: `consul 1.21.5 x86_64`; of one that is several things, all of them, separated by commas.
    pub name: String,
    /// In bytes, when it is known.
    pub size: Option<u64>,
}

/// Every blob that belongs to a release: itself, its plan, its inits, what the plan and its lists pin, and the lists.
pub fn blobs(release: (&[u8], &Release), plan: &Plan, lists: &BTreeMap<Arch, Packages>) -> BTreeMap<Digest, Named> {
    let (text, release) = release;
    let needs = plan::needs(plan, lists).into_iter().map(|need| (need.sha256, need.name, need.size));
    let packages =
        plan.packages.iter().map(|(arch, list)| (list.sha256.clone(), format!("packages {arch}"), Some(list.size)));
    let inits = release.inits.iter();
    let inits = inits.map(|(arch, init)| (init.sha256.clone(), format!("anymetal-init {arch}"), Some(init.size)));
    let documents = [
        (plan::digest(text), "the release".to_owned(), Some(text.len() as u64)),
        (release.plan.sha256.clone(), "the plan".to_owned(), Some(release.plan.size)),
    ];
    let mut blobs: BTreeMap<Digest, Named> = BTreeMap::new();
    for (sha256, name, size) in needs.chain(packages).chain(inits).chain(documents) {
        match blobs.get_mut(&sha256) {
            None => _ = blobs.insert(sha256, Named { name, size }),
            Some(known) => *known = Named { name: format!("{}, {name}", known.name), size: known.size.or(size) },
        }
    }
    blobs
}

/// The index of a release's bundle, in which blobs have these names and sizes.
pub fn index((text, release): (&[u8], &Release), blobs: Vec<Blob>) -> Index {
    Index {
        kind: KIND.to_owned(),
        version: VERSION,
        site: release.site.clone(),
        release: plan::digest(text),
        plan: release.plan.sha256.clone(),
        inits: release.init_digests(),
        blobs,
    }
}

impl<'c> Layout<'c> {
    /// Every member in its place. The error names all blobs that are nowhere.
    pub fn of(cargo: Cargo<'c>) -> Result<Self> {
        let mut made: BTreeMap<Digest, Cow<'c, [u8]>> =
            cargo.inits.iter().map(|init| (init.sha256.clone(), Cow::Borrowed(&*init.bytes))).collect();
        for bytes in [cargo.release.0, cargo.text] {
            made.insert(plan::digest(bytes), Cow::Borrowed(bytes));
        }
        for (arch, listed) in &cargo.plan.packages {
            let text = cargo.lists.get(arch).map(plan::canonical).filter(|text| plan::digest(text) == listed.sha256);
            let text = text.with_context(|| {
                format!("no list of packages for {arch} is the one the plan pins, sha256 {}", listed.sha256)
            })?;
            made.insert(listed.sha256.clone(), Cow::Owned(text));
        }
        let (mut members, mut listed, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for (sha256, Named { name, size: pinned }) in blobs(cargo.release, cargo.plan, cargo.lists) {
            let (size, content) = match (made.remove(&sha256), cargo.cached.get(&sha256)) {
                (Some(bytes), _) => (bytes.len() as u64, Content::Bytes(bytes)),
                (None, Some((path, size))) => (*size, Content::File(path, sha256.clone())),
                (None, None) => {
                    missing.push(format!("{name} is not in the cache, sha256 {sha256}"));
                    continue;
                }
            };
            sound(&content, size, pinned, &name)?;
            members.push(Member { name: place::blob(&sha256), size, content });
            listed.push(Blob { sha256, size, name });
        }
        ensure!(missing.is_empty(), "{}\nhint: `anymetal fetch SITE` brings what is missing", missing.join("\n"));
        let blobs = listed.len();
        let index = plan::canonical(&index(cargo.release, listed));
        let signature = cargo.signature.map(|signature| (SIGNATURE, signature.into()));
        let first = [(INDEX, index.into()), (FILE, cargo.release.0.into())].into_iter().chain(signature);
        let first = first.map(|(name, bytes): (&str, Cow<'c, [u8]>)| Member {
            name: name.to_owned(),
            size: bytes.len() as u64,
            content: Content::Bytes(bytes),
        });
        Ok(Self { members: first.chain(members).collect(), blobs })
    }

    /// How many bytes the tar has.
    pub fn size(&self) -> u64 {
        let of = |member: &Member<'_>| BLOCK as u64 + member.size + padding(member.size) as u64;
        self.members.iter().map(of).sum::<u64>() + END.len() as u64
    }

    /// How many blobs are in it.
    pub fn blobs(&self) -> usize {
        self.blobs
    }

    /// The bytes of a member that is not taken from a file.
    pub(super) fn bytes_of(&self, name: &str) -> Option<&[u8]> {
        let found = self.members.iter().find(|member| member.name == name)?;
        if let Content::Bytes(bytes) = &found.content { Some(bytes) } else { None }
    }
}

/// Whether a blob can be what is pinned, by its size.
fn sound(content: &Content<'_>, size: u64, pinned: Option<u64>, name: &str) -> Result<()> {
    let called = match content {
        Content::Bytes(_) => name.to_owned(),
        Content::File(path, _) => format!("{} ({name})", path.display()),
    };
    if let Some(pinned) = pinned.filter(|pinned| *pinned != size) {
        return Err(anyhow!("{called} has {size} bytes, and {pinned} are pinned\n{}", hint()));
    }
    ensure!(size <= LARGEST, "{called} has {size} bytes, and a member of a bundle has at most {LARGEST}");
    Ok(())
}

/// What to do about a file that is not what its name says.
pub(super) fn hint() -> &'static str {
    "hint: remove it; `anymetal fetch SITE` brings the right one"
}
