//! The phase `prove`: what the guard keeps watch by is written, and the whole chain of proofs has held once, end to end.
//! May not announce, nor put addresses on the loopback of a machine that is no node: that would be somebody's workstation.

use anymetal_contract::{Outcome, Reason, place};

use crate::guard::{self, Document, Proven};
use crate::phase::{Answer, Steps};
use crate::plan::count;
use crate::report;
use crate::sys::fs;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let document = document(world).because(Reason::Internal)?;
    write(world, &document, steps).because(Reason::HostFault)?;
    if world.is_node() {
        for what in guard::own(&document.prefixes).because(Reason::HostFault)? {
            steps.step("guard", Outcome::Done, &what);
        }
    }
    let proofs = guard::whole(&document);
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
    Document::make(places, world.plan(), world.facts(), &world.secrets(), report::known(world))
}
