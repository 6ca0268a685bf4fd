//! Upstreams' files: over the network, or from a folder that somebody carried in.
//! May not judge what comes: `lock` does.
#![expect(clippy::disallowed_methods, reason = "a room of sys: reads what was carried in")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anymetal_contract::Digest;
use anymetal_supply::http::{Certificates, Http, Limits};
use sha2::{Digest as _, Sha256};

use super::read::{self, Refused};
use crate::lock::upstream::{Files, Measured, Refusal, base_name};
use crate::sources;

/// Files on the network.
pub struct Network {
    http: Http,
    bases: BTreeMap<String, String>,
}

impl Network {
    /// `bases` are the URLs that stand for upstreams, by their names; such an upstream is not asked itself.
    pub fn new(bases: BTreeMap<String, String>) -> Self {
        Self { http: Http::new(Limits::QUESTION, Certificates::Checked), bases }
    }
}

impl Files for Network {
    fn document(&self, _: &str, url: &str, most: u64) -> Result<Vec<u8>, Refusal> {
        let url = sources::instead(&self.bases, url);
        let answer = self.http.get(&url, most).map_err(|error| silent(&error))?;
        answered(&url, answer.status)?;
        Ok(answer.body)
    }

    fn measure(&self, _: &str, url: &str) -> Result<Measured, Refusal> {
        let url = sources::instead(&self.bases, url);
        // not HEAD: what releases are redirected to is often signed for GET alone
        let stream = self.http.open(&url, 0).map_err(|error| silent(&error))?;
        answered(&url, stream.status)?;
        let none = || Refusal { why: format!("asking {url}: it does not say how long it is"), absent: false };
        Ok(Measured { size: stream.length.ok_or_else(none)?, sha256: None })
    }
}

fn silent(error: &anyhow::Error) -> Refusal {
    Refusal { why: format!("{error:#}"), absent: false }
}

fn answered(url: &str, status: u16) -> Result<(), Refusal> {
    let refusal =
        || Refusal { why: format!("asking {url}: it answered {status}"), absent: matches!(status, 404 | 410) };
    (status == 200).then_some(()).ok_or_else(refusal)
}

/// Files in a folder, by their names: below a folder named for the component, or in the folder itself.
pub struct Folder(pub PathBuf);

impl Folder {
    fn place(&self, component: &str, url: &str) -> Result<PathBuf, Refusal> {
        let name = base_name(url);
        let places = [self.0.join(component).join(name), self.0.join(name)];
        let here = places.iter().find(|place| !name.is_empty() && place.is_file());
        let none = || Refusal { why: format!("there is no {name} in {}", self.0.display()), absent: true };
        here.cloned().ok_or_else(none)
    }
}

impl Files for Folder {
    fn document(&self, component: &str, url: &str, most: u64) -> Result<Vec<u8>, Refusal> {
        let place = self.place(component, url)?;
        read::bounded(&place, most).map_err(|refused| {
            let why = match refused {
                Refused::TooLarge { .. } => format!("it is longer than {most} bytes"),
                Refused::Folder => "it is a folder".to_owned(),
                Refused::Io(error) => error.to_string(),
            };
            Refusal { why: format!("reading {}: {why}", place.display()), absent: false }
        })
    }

    fn measure(&self, component: &str, url: &str) -> Result<Measured, Refusal> {
        let place = self.place(component, url)?;
        let failed = |error: io::Error| Refusal { why: format!("reading {}: {error}", place.display()), absent: false };
        let (size, digest) = digest(&place).map_err(failed)?;
        Ok(Measured { size, sha256: Some((digest, place.display().to_string())) })
    }
}

/// The size and the digest of a file, which is read to its end.
fn digest(path: &Path) -> io::Result<(u64, Digest)> {
    let mut file = File::open(path)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, Digest::of(hash.finalize().into()))),
            length => {
                hash.update(&buffer[..length]);
                size += length as u64;
            }
        }
    }
}
