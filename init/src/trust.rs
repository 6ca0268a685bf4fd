//! What this node remembers of the releases it has run: the site, the highest serial, who may sign the next one. It outlives every user-data.
//! May not judge a signature.

use anymetal_contract::{Digest, Reason, Release, place};
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::signature::PublicKey;
use serde::{Deserialize, Serialize};

use crate::sys::fs;
use crate::world::World;

const KIND: &str = "anymetal.trust";
const VERSION: u32 = 1;

/// The document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trust {
    kind: String,
    version: u32,
    site: String,
    serial: u64,
    release: Digest,
    /// Who may sign the next release; nobody has to when there is none.
    #[serde(default)]
    signers: Vec<String>,
}

/// What the node remembers; `None` before its first release. A document that cannot be read is an error: it was kept to keep something out.
pub(crate) fn read(world: &World) -> Result<Option<Trust>, Failure> {
    let bytes = fs::read_if_there(&world.at(place::TRUST)).because(Reason::HostFault)?;
    let Some(bytes) = bytes else { return Ok(None) };
    let wrong = |why: String| Failure::new(Reason::SignersUnusable, format!("reading {}: {why}", place::TRUST));
    let trust: Trust = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if trust.kind != KIND || trust.version != VERSION {
        return Err(wrong(format!("it is {} version {}", trust.kind, trust.version)));
    }
    Ok(Some(trust))
}

/// Remembers this release. Returns whether that is new.
pub(crate) fn keep(world: &World, release: &Release, digest: &Digest) -> Result<bool, Failure> {
    let Release { site, serial, signers, .. } = release.clone();
    let trust = Trust { kind: KIND.to_owned(), version: VERSION, site, serial, release: digest.clone(), signers };
    if read(world)?.as_ref() == Some(&trust) {
        return Ok(false);
    }
    let bytes = serde_json::to_vec(&trust).because(Reason::Internal)?;
    fs::replace(&world.at(place::TRUST), &bytes, 0o600).because(Reason::HostFault)?;
    Ok(true)
}

impl Trust {
    /// The keys of whom the next release needs a signature; `None` when it needs none.
    pub(crate) fn signers(&self) -> Result<Option<Vec<PublicKey>>, Failure> {
        let key = |text: &String| {
            let wrong =
                || Failure::new(Reason::SignersUnusable, format!("{} has a signer that is no key", place::TRUST));
            PublicKey::read(text).ok_or_else(wrong)
        };
        let keys = self.signers.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        Ok((!keys.is_empty()).then_some(keys))
    }

    /// Whether this release may come after what the node remembers; why not, in words. A sentence worth saying when it may, and is odd.
    pub(crate) fn judge(&self, release: &Release, digest: &Digest) -> Result<Option<String>, String> {
        if release.site != self.site {
            return Err(format!("it is of the site {}, and this node is one of {}", release.site, self.site));
        }
        let (theirs, ours) = (release.serial, self.serial);
        if theirs < ours {
            return Err(format!("its serial is {theirs}, and this node has run serial {ours}"));
        }
        let same = theirs == ours && *digest != self.release;
        Ok(same.then(|| {
            format!(
                "release {} has serial {theirs}, as {} had; raise `serial` with every release",
                digest.short(),
                self.release.short()
            )
        }))
    }

    /// The highest serial.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }
}
