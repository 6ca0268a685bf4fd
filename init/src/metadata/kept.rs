//! The last good metadata document, kept on the node, so that a node that was up once needs nobody to come up again.
//! May not decide when it is used: `fetch` does. What it holds is as secret as the document.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::Context as _;
use anymetal_contract::{Digest, place};
use serde::{Deserialize, Serialize};

use crate::sys::{clock, fs};
use crate::wake::digest;
use crate::world::World;

const KIND: &str = "anymetal.metadata";
const VERSION: u32 = 1;

/// The document, and what it is bound to. No `Debug`: passwords and secrets stand in it.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    kind: String,
    version: u32,
    machine_id: String,
    platform: String,
    /// Who answered it, or where it lay.
    pub(super) from: String,
    /// When, RFC 3339.
    pub(super) since: String,
    /// Where the service was answered, for a time when its name cannot be looked up.
    pub(super) service: BTreeSet<SocketAddr>,
    /// Of the document's text: a disk may keep a file and lose a bit of it.
    sha256: Digest,
    pub(super) document: String,
}

/// What is kept.
pub(super) enum Recalled {
    Nothing,
    /// It may not be used, and why.
    Unusable(String),
    Good(Box<Kept>),
}

/// Keeps a document that has been accepted, in place of the one before. Does nothing where no machine id is known: in a world without a ledger.
pub(super) fn keep(world: &World, platform: &str, from: &str, document: &str) -> anyhow::Result<()> {
    let Some(machine_id) = machine_id(world) else { return Ok(()) };
    let kept = Kept {
        kind: KIND.to_owned(),
        version: VERSION,
        machine_id,
        platform: platform.to_owned(),
        from: from.to_owned(),
        since: humantime::format_rfc3339_seconds(clock::wall()).to_string(),
        service: world.machine().service.clone(),
        sha256: digest(document.as_bytes()),
        document: document.to_owned(),
    };
    let mut text = serde_json::to_vec(&kept)?;
    text.push(b'\n');
    fs::replace(&world.at(place::METADATA), &text, 0o600).context("keeping the metadata")
}

/// What is kept for this machine on this platform. The reason why something is unusable never quotes it.
pub(super) fn recall(world: &World, platform: &str) -> Recalled {
    let Some(machine_id) = machine_id(world) else { return Recalled::Nothing };
    let bytes = match fs::read_if_there(&world.at(place::METADATA)) {
        Ok(None) => return Recalled::Nothing,
        Ok(Some(bytes)) => bytes,
        Err(error) => return Recalled::Unusable(format!("{error:#}")),
    };
    let kept: Kept = match serde_json::from_slice(&bytes) {
        Ok(kept) => kept,
        Err(error) => {
            return Recalled::Unusable(format!("it is damaged (line {}, column {})", error.line(), error.column()));
        }
    };
    let why = if kept.kind != KIND || kept.version != VERSION {
        "it is of another kind or version".to_owned()
    } else if kept.machine_id != machine_id {
        "it is of another machine".to_owned()
    } else if kept.platform != platform {
        format!("it is of the platform {:?}", kept.platform.chars().take(40).collect::<String>())
    } else if kept.sha256 != digest(kept.document.as_bytes()) {
        "it is damaged: its digest is another".to_owned()
    } else {
        return Recalled::Good(Box::new(kept));
    };
    Recalled::Unusable(why)
}

fn machine_id(world: &World) -> Option<String> {
    world.ledger.get().map(|ledger| ledger.ask(|ledger| ledger.machine_id.clone()))
}
