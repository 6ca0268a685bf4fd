//! The phase `prove`: what the guard keeps watch by is written, and the whole chain of proofs has held once, end to end.
//! May not announce.

use std::time::Duration;

use anymetal_contract::{Outcome, Reason, place};

use crate::bird::Control;
use crate::failure::{Because as _, Failure};
use crate::guard::{self, Document, Proven};
use crate::phase::{Answer, Steps};
use crate::plan::count;
use crate::sys::http::{Certificates, Http, Limits};
use crate::sys::{clock, fs};
use crate::world::World;

/// How long BIRD may take to answer.
const BIRD: Duration = Duration::from_secs(2);

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let document = document(world).because(Reason::Internal)?;
    write(world, &document, steps).because(Reason::HostFault)?;
    // Below a root that is no node they would be put on somebody's workstation.
    if world.is_node() {
        for what in guard::own(&document.prefixes).because(Reason::HostFault)? {
            steps.step("guard", Outcome::Done, &what);
        }
    }
    let began = clock::monotonic();
    let asked = Control::open(&document.bird, BIRD).and_then(|mut control| control.protocols());
    let mut proofs = vec![guard::neighbour(&document, &asked, began.elapsed())];
    if proofs[0].why.is_none() {
        let limit = Duration::from_secs(u64::from(document.rules.timeout));
        proofs.extend(guard::links(&document, &Http::afresh(Limits::within(limit), Certificates::Ignored)));
    }
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
    if let Some(Ok(before)) = before.map(|bytes| Document::read(&bytes)) {
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
    let plan = world.plan();
    let to = guard::reports(plan, world.machine().user_state_url.as_deref(), world.overrides.report.as_deref());
    Document::make(world.at(place::BIRD_SOCKET), plan, world.facts(), &world.secrets(), to)
}
