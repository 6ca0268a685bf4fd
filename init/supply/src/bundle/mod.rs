//! Reading a bundle: the one tar of a site, in the one form that the builder writes. Headers are walked and all that is small is read when it is opened;
//! blobs are found, and not looked into: whoever copies one hashes it. May not open a file, and may not trust one.

pub mod header;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::bundle::{INDEX, Index, KIND, VERSION};
use anymetal_contract::release::{self, FILE, Release, SIGNATURE};
use anymetal_contract::{Digest, place};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::json;
use header::{BLOCK, END, padding};

/// The largest index and release that are read, in bytes. The index of a whole site has 20 KiB.
const MOST_DOCUMENT: u64 = 4 << 20;
/// The largest signature, in bytes. One in minisign's form has 300.
const MOST_SIGNATURE: u64 = 4096;

/// A bundle whose members are those that its index names, each in its place.
#[derive(Debug)]
pub struct Bundle {
    file: File,
    text: Vec<u8>,
    index: Index,
    release_text: Vec<u8>,
    release: Release,
    signature: Option<Vec<u8>>,
    /// Where the content of each blob begins, and its size.
    places: BTreeMap<Digest, (u64, u64)>,
}

/// The content of one blob, to be read once.
#[derive(Debug, Clone)]
pub struct Section<'b> {
    file: &'b File,
    at: u64,
    left: u64,
}

impl Bundle {
    /// Walks the headers to the end. Every byte but those of the blobs is judged here; the error says what is wrong with which member.
    pub fn open(file: File) -> Result<Self> {
        let metadata = file.metadata().context("asking for its size")?;
        ensure!(metadata.is_file(), "it is not a plain file");
        let mut walk =
            Walk { file: &file, length: metadata.len(), at: 0, padding: 0, last: "its beginning".to_owned() };
        let text = walk.document(INDEX, MOST_DOCUMENT)?;
        let index = index(&text)?;
        let release_text = walk.document(FILE, MOST_DOCUMENT)?;
        let digest = Digest::of(Sha256::digest(&release_text).into());
        ensure!(digest == index.release, "{FILE} has other bytes: sha256 {digest}, the index says {}", index.release);
        let release = release(&release_text)?;
        agree(&index, &release)?;
        let mut block = walk.block()?;
        let mut signature = None;
        if header::name(&block) == SIGNATURE {
            signature = Some(walk.content(&block, SIGNATURE, MOST_SIGNATURE)?);
            block = walk.block()?;
        }
        let mut places = BTreeMap::new();
        for blob in &index.blobs {
            let name = place::blob(&blob.sha256);
            let size = header::read(&block, &name)?;
            ensure!(size == blob.size, "{name} has {size} bytes, the index says {}", blob.size);
            places.insert(blob.sha256.clone(), (walk.enter(&name, size)?, size));
            block = walk.block()?;
        }
        walk.end(&block)?;
        Ok(Self { file, text, index, release_text, release, signature, places })
    }

    /// What is in it.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The bytes of the index.
    pub fn index_text(&self) -> &[u8] {
        &self.text
    }

    /// The bytes of the release, whose digest is the one in the index.
    pub fn release_text(&self) -> &[u8] {
        &self.release_text
    }

    /// What the release says. The index says the same of the site, the plan and the inits.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The bytes of the release's signature, when it has one. Nobody has judged it.
    pub fn signature(&self) -> Option<&[u8]> {
        self.signature.as_deref()
    }

    /// The content of a blob, which nobody has hashed.
    pub fn blob(&self, digest: &Digest) -> Option<Section<'_>> {
        self.places.get(digest).map(|(at, size)| Section { file: &self.file, at: *at, left: *size })
    }
}

impl Section<'_> {
    /// Bytes that are still to be read.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.file.read_at(&mut buffer[..most], self.at)?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the bundle became shorter while it was read"));
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

/// The way through the file: what comes next, and behind what.
struct Walk<'f> {
    file: &'f File,
    length: u64,
    at: u64,
    /// Zeros of the last member that are still to come.
    padding: usize,
    last: String,
}

impl Walk<'_> {
    /// The next block, behind the zeros of the last member.
    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut bytes = [0; 2 * BLOCK];
        let bytes = &mut bytes[..self.padding + BLOCK];
        ensure!(self.length - self.at >= bytes.len() as u64, "it is cut off behind {}", self.last);
        self.file.read_exact_at(bytes, self.at).with_context(|| format!("reading what is behind {}", self.last))?;
        self.at += bytes.len() as u64;
        let (zeros, block) = bytes.split_at(self.padding);
        ensure!(zeros.iter().all(|byte| *byte == 0), "there is something between {} and what comes next", self.last);
        Ok(block.try_into().expect("what is left is a block"))
    }

    /// Past the content of a member: where it begins.
    fn enter(&mut self, name: &str, size: u64) -> Result<u64> {
        let left = self.length - self.at;
        ensure!(size <= left, "{name} is cut off: it has {size} bytes, and {left} are there");
        let begin = self.at;
        self.at += size;
        self.padding = padding(size);
        name.clone_into(&mut self.last);
        Ok(begin)
    }

    /// The content of the member with this header.
    fn content(&mut self, block: &[u8; BLOCK], name: &str, most: u64) -> Result<Vec<u8>> {
        let size = header::read(block, name)?;
        ensure!(size <= most, "{name} has {size} bytes, and at most {most} are read");
        let begin = self.enter(name, size)?;
        let mut bytes = vec![0; usize::try_from(size).context("making room")?];
        self.file.read_exact_at(&mut bytes, begin).with_context(|| format!("reading {name}"))?;
        Ok(bytes)
    }

    fn document(&mut self, name: &str, most: u64) -> Result<Vec<u8>> {
        let block = self.block()?;
        self.content(&block, name, most)
    }

    /// The end mark, of which this is the first block, and nothing behind it.
    fn end(&mut self, block: &[u8; BLOCK]) -> Result<()> {
        ensure!(
            *block == END[..BLOCK],
            "behind {} there is {:?}, which the index does not name",
            self.last,
            header::name(block)
        );
        self.padding = 0;
        "its last member".clone_into(&mut self.last);
        ensure!(self.block()? == END[..BLOCK], "its end mark is not whole");
        ensure!(self.at == self.length, "{} bytes stand behind its end mark", self.length - self.at);
        Ok(())
    }
}

/// The document in the bytes of this member. What the error quotes of it is on one line.
fn document<D: DeserializeOwned>(text: &[u8], member: &str, kind: &str, version: u32) -> Result<D> {
    /// What tells forms apart.
    #[derive(Deserialize)]
    struct Form {
        kind: String,
        version: u32,
    }
    let form: Form = json::exact(text).with_context(|| format!("{member} is no document of ours"))?;
    ensure!(form.kind == kind, "{member} is of kind {:?}, not {kind:?}", form.kind);
    ensure!(form.version == version, "{member} has version {}, and version {version} is read", form.version);
    json::exact(text).with_context(|| format!("{member} does not have its form"))
}

/// Reads the release in these bytes. Fails when they are another document or another version of it.
pub fn release(text: &[u8]) -> Result<Release> {
    document(text, FILE, release::KIND, release::VERSION)
}

/// Fails where the index, which nobody signs, says something else than the release, or does not have what that pins.
fn agree(index: &Index, release: &Release) -> Result<()> {
    ensure!(index.site == release.site, "{INDEX} is of the site {:?}, its release of {:?}", index.site, release.site);
    let Index { plan, inits, .. } = index;
    let pinned = &release.plan.sha256;
    ensure!(plan == pinned, "{INDEX} names the plan sha256 {plan}, its release pins {pinned}");
    ensure!(*inits == release.init_digests(), "{INDEX} names another anymetal-init than its release pins");
    for (what, sha256) in [("release", &index.release), ("plan", plan)] {
        let there = index.blobs.binary_search_by(|blob| blob.sha256.cmp(sha256)).is_ok();
        ensure!(there, "{INDEX} names a {what} that is not among its blobs, sha256 {sha256}");
    }
    Ok(())
}

/// The index in these bytes.
fn index(text: &[u8]) -> Result<Index> {
    let index: Index = document(text, INDEX, KIND, VERSION)?;
    let blobs = &index.blobs;
    ensure!(
        blobs.is_sorted_by(|one, next| one.sha256 < next.sha256),
        "{INDEX} does not name its blobs by digest, each once"
    );
    for (arch, init) in &index.inits {
        let there = blobs.binary_search_by(|blob| blob.sha256.cmp(init)).is_ok();
        ensure!(there, "{INDEX} names an init for {arch} that is not among its blobs, sha256 {init}");
    }
    Ok(index)
}

#[cfg(test)]
mod tests;
