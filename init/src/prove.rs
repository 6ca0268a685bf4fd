//! The phase `prove`: what the guard keeps watch by is written, and the whole chain of proofs has held once, end to end.
//! May not announce, nor put addresses on the loopback of a machine that is no node: that would be somebody's workstation.

use anyhow::Context as _;
use anymetal_contract::{Outcome, Reason, place};

use crate::guard::{self, Document, Firewall, Proven};
use crate::outside::Way;
use crate::phase::{Answer, Steps};
use crate::plan::count;
use crate::report;
use crate::sys::fs;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// The file that is the firewall, as the plan calls it.
pub(crate) const FIREWALL: &str = "nftables/anymetal.nft";

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let document = document(world).because(Reason::Internal)?;
    write(world, &document, steps).because(Reason::HostFault)?;
    if world.is_node() {
        let mut done = Vec::new();
        guard::own(&document.prefixes, &mut done).because(Reason::HostFault)?;
        for what in done {
            steps.step("guard", Outcome::Done, &what);
        }
    }
    let proofs = guard::whole(&document, !world.is_node());
    if let Some(failed) = proofs.last().and_then(Proven::failed) {
        let message = format!("{}: {}", failed.proof, world.without_secrets(&failed.why));
        return Ok(Answer::waiting(Reason::ProofFailed, message));
    }
    let names: Vec<&str> = proofs.iter().map(|proven| proven.name.as_str()).collect();
    Ok(Answer::Done(format!("{} hold: {}", count(names.len(), "proof"), names.join(", "))))
}

/// Writes the document, and gives up what an earlier one had and this one has not: BIRD's file has lost it before.
fn write(world: &World, document: &Document, steps: &dyn Steps) -> anyhow::Result<()> {
    let (path, text) = (world.at(place::GUARD), document.text());
    let before = fs::read_if_there(&path)?;
    if before.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    if let Some(Ok(before)) = before.map(|bytes| Document::read(&bytes))
        && world.is_node()
    {
        let gone: Vec<_> = before.prefixes.into_iter().filter(|prefix| !document.prefixes.contains(prefix)).collect();
        for what in guard::give_up(&gone)? {
            steps.step("guard", Outcome::Done, &what);
        }
    }
    fs::replace(&path, text.as_bytes(), 0o600)?;
    steps.step("guard", Outcome::Done, &format!("written to {}", place::GUARD));
    Ok(())
}

fn document(world: &World) -> anyhow::Result<Document> {
    let places = (world.at(place::BIRD_SOCKET), world.at(place::CA));
    let reports = report::known(world);
    let way = if reports.is_empty() { Way::default() } else { world.way() };
    let document = Document::make(places, world.plan(), world.facts(), &world.secrets(), reports)?;
    Ok(document.with_way(way).with_firewall(firewall(world)?))
}

/// What the plan's firewall puts in force, when it has one.
fn firewall(world: &World) -> anyhow::Result<Option<Firewall>> {
    let Some(file) = world.plan().files.iter().find(|file| file.name == FIREWALL) else { return Ok(None) };
    let path = world.at(&file.path);
    let text = String::from_utf8(fs::read(&path)?).with_context(|| format!("reading {}", path.display()))?;
    Firewall::of(&path, &text).map(Some)
}
