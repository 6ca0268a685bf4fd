//! What upstream says of a version's archives: its file of checksums, and whose signature it has.
//! May not touch the network or a file: [`Files`] is the border.

use std::time::SystemTime;

use anymetal_contract::{Digest, terminal};

use super::document::Witness;
use super::openpgp::Keyring;
use super::sums;
use crate::component::Checksums;

/// Who has upstreams' files. Asked by upstream's own addresses; whether a mirror or a folder answers is its business.
pub trait Files {
    /// A document of at most `most` bytes. Of a folder it is the file of that name, in a folder named for the component or in itself. Where it is
    /// `signed`, nothing else has to vouch for it.
    fn document(&self, component: &str, url: &str, most: u64, signed: bool) -> Result<Vec<u8>, Refusal>;

    /// Where a document is, for messages: the address that is asked, or the file that is read.
    fn place(&self, _component: &str, url: &str) -> String {
        url.to_owned()
    }

    /// How long an archive is whose digest is known, and its digest when all of it was at hand.
    fn measure(&self, component: &str, url: &str) -> Result<Measured, Refusal>;
}

/// Why a file could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In words, with its place.
    pub why: String,
    /// Whether whoever was asked has no such file, rather than that nobody answered.
    pub absent: bool,
}

/// An archive that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measured {
    /// In bytes.
    pub size: u64,
    /// Its sha256, and where it is, when it was read.
    pub sha256: Option<(Digest, String)>,
}

/// A file of checksums whose signature, where there has to be one, is good.
#[derive(Debug, Clone)]
pub struct Sums {
    /// Where they were asked for or read.
    place: String,
    bytes: Vec<u8>,
    witness: Witness,
}

/// Why there are no checksums.
#[derive(Debug)]
pub enum Silent {
    /// They cannot be had.
    Refused(Refusal),
    /// They are there, and must not be believed.
    Wrong(String),
}

impl Sums {
    /// Asks for the checksums of a version. `keyring` holds who may sign them; it is needed when they are signed.
    pub fn ask(
        files: &dyn Files,
        component: &str,
        checksums: &Checksums,
        keyring: Option<&Keyring>,
        now: SystemTime,
    ) -> Result<Self, Silent> {
        let has_signature = checksums.signature.is_some();
        let get = |url: &str| files.document(component, url, sums::LARGEST, has_signature).map_err(Silent::Refused);
        let bytes = get(&checksums.url)?;
        let place = files.place(component, &checksums.url);
        let mut witness = Witness::Checksums;
        if let Some(url) = &checksums.signature {
            let signature = get(url)?;
            let keyring = keyring.ok_or_else(|| Silent::Wrong(format!("nobody is known who signs {place}")))?;
            let signer = keyring.verify_detached(&bytes, &signature, now);
            let signer = signer.map_err(|why| {
                Silent::Wrong(format!("verifying {place} by {}: {why:#}", files.place(component, url)))
            })?;
            witness = Witness::Signed(signer);
        }
        Ok(Self { place, bytes, witness })
    }

    /// What they say of the archive at this address, and by whose word. The error is a sentence.
    pub fn of(&self, archive: &str) -> Result<(Digest, Witness), String> {
        let name = base_name(archive);
        let reading = || format!("reading {}", self.place);
        match sums::digest(&self.bytes, name) {
            Ok(Some(digest)) => Ok((digest, self.witness.clone())),
            Ok(None) => Err(format!("{}: it has no line for {name}", reading())),
            Err(why) => Err(format!("{}: {why:#}", reading())),
        }
    }
}

/// The last part of a URL's path.
pub fn base_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

/// A witness in words.
pub fn words(witness: &Witness) -> String {
    match witness {
        Witness::Signed(key) => format!("signed by {}", terminal::one_line(key)),
        Witness::Checksums => "upstream's checksums".to_owned(),
        Witness::Known => "known to this anymetal".to_owned(),
        Witness::Site => "pinned by the site".to_owned(),
        Witness::FirstSeen => "as first seen".to_owned(),
    }
}
