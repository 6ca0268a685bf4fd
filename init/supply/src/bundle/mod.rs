//! Reading a bundle: the one tar of a site, in the one form that the builder writes. Headers are walked and all that is small is read when it is opened;
//! blobs are found, and not looked into: whoever copies one hashes it. May not open a file, and may not trust one.

pub mod header;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::bundle::{INDEX, Index, KIND, PLAN, SIGNATURE, VERSION};
use anymetal_contract::{Digest, place};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use header::{BLOCK, END, padding};

/// The largest index and plan that are read, in bytes. Those of a whole site have 20 KiB.
const MOST_DOCUMENT: u64 = 4 << 20;
/// The largest signature, in bytes. One in minisign's form has 300.
const MOST_SIGNATURE: u64 = 4096;

/// A bundle whose members are those that its index names, each in its place.
#[derive(Debug)]
pub struct Bundle {
    file: File,
    text: Vec<u8>,
    index: Index,
    plan: Vec<u8>,
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
        let plan = walk.document(PLAN, MOST_DOCUMENT)?;
        let digest = Digest::of(Sha256::digest(&plan).into());
        ensure!(digest == index.plan, "{PLAN} has other bytes: sha256 {digest}, the index says {}", index.plan);
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
        Ok(Self { file, text, index, plan, signature, places })
    }

    /// What is in it.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The bytes of the index.
    pub fn index_text(&self) -> &[u8] {
        &self.text
    }

    /// The bytes of the plan, whose digest is the one in the index.
    pub fn plan(&self) -> &[u8] {
        &self.plan
    }

    /// The bytes of the plan's signature, when it has one. Nobody has judged it.
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

/// The index in these bytes.
fn index(text: &[u8]) -> Result<Index> {
    /// What tells forms apart.
    #[derive(Deserialize)]
    struct Form {
        kind: String,
        version: u32,
    }
    let form: Form = serde_json::from_slice(text).with_context(|| format!("{INDEX} is no document of ours"))?;
    ensure!(form.kind == KIND, "{INDEX} is of kind {:?}, not {KIND:?}", form.kind);
    ensure!(form.version == VERSION, "{INDEX} has version {}, and version {VERSION} is read", form.version);
    let index: Index = serde_json::from_slice(text).with_context(|| format!("{INDEX} does not have its form"))?;
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
