//! Upstreams' files: over the network, or from a folder that somebody carried in.
//! May not judge what comes: `lock` does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anymetal_supply::http::{Limits, Outside};
use anymetal_supply::pump::BUFFER;
use anymetal_supply::store::digest_of;

use super::outside::{Asker, Tell, Vouched};
use super::read;
use crate::lock::upstream::{Files, Measured, Refusal, base_name};
use crate::sources;

/// Files on the network.
pub struct Network {
    asker: Asker,
    bases: BTreeMap<String, String>,
}

impl Network {
    /// `bases` are the URLs that stand for upstreams, by their names; such an upstream is not asked itself.
    pub fn new(bases: BTreeMap<String, String>, outside: &Outside, tell: Tell) -> Self {
        Self { asker: Asker::new(Limits::QUESTION, outside, tell), bases }
    }
}

impl Files for Network {
    fn document(&self, _: &str, url: &str, most: u64, signed: bool) -> Result<Vec<u8>, Refusal> {
        let url = sources::instead(&self.bases, url);
        let vouched = if signed { Vouched::Otherwise("its signature vouches for what comes") } else { Vouched::Not };
        let answer = self.asker.get(&url, most, vouched).map_err(|error| silent(&error))?;
        answered(&url, answer.status)?;
        Ok(answer.body)
    }

    fn place(&self, _: &str, url: &str) -> String {
        sources::instead(&self.bases, url)
    }

    fn measure(&self, _: &str, url: &str) -> Result<Measured, Refusal> {
        let url = sources::instead(&self.bases, url);
        // not HEAD: what releases are redirected to is often signed for GET alone
        let pinned = Vouched::Otherwise("the digest pins the archive");
        let stream = self.asker.open(&url, pinned).map_err(|error| silent(&error))?;
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
    fn document(&self, component: &str, url: &str, most: u64, _: bool) -> Result<Vec<u8>, Refusal> {
        let place = self.place(component, url)?;
        read::bounded(&place, most).map_err(|refused| Refusal {
            why: format!("reading {}: {}", place.display(), refused.told(most)),
            absent: false,
        })
    }

    fn place(&self, component: &str, url: &str) -> String {
        Self::place(self, component, url).map_or_else(|refusal| refusal.why, |place| place.display().to_string())
    }

    fn measure(&self, component: &str, url: &str) -> Result<Measured, Refusal> {
        let place = self.place(component, url)?;
        let failed =
            |error: anyhow::Error| Refusal { why: format!("reading {}: {error:#}", place.display()), absent: false };
        let (mut file, _) = read::open(&place).map_err(|refused| failed(refused.told(u64::MAX)))?;
        let (digest, size) =
            digest_of(&mut file, &mut vec![0; BUFFER]).map_err(|error| failed(anyhow::Error::new(error)))?;
        Ok(Measured { size, sha256: Some((digest, place.display().to_string())) })
    }
}
