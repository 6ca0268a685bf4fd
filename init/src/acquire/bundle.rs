//! The bundle near at hand: on the node's own disk, else on a volume; and blobs out of it.
//! May not trust it: a blob counts by its digest, and one that is damaged is named and asked for elsewhere.

use std::fs::File;

use anyhow::Context as _;
use anymetal_contract::{Digest, Outcome, Reason, place};

use super::blob::Blob;
use super::supply::{Told, wanted};
use crate::phase::Steps;
use crate::sys::{fs, medium};
use crate::world::World;
use crate::{release, signature, trust};
use anymetal_supply::bundle::{Bundle, Section};
use anymetal_supply::failure::Failure;
use anymetal_supply::origin::Missed;
use anymetal_supply::store::Store;
use anymetal_supply::take::take;
use anymetal_supply::transfer::Got;

/// The step's name.
const STEP: &str = "bundle";

/// A bundle that may give blobs.
pub(super) struct Near {
    bundle: Bundle,
    /// Where it is, for people: `the bundle /var/lib/anymetal/bundle.tar`.
    name: String,
}

/// A file that may be a bundle, and where it is; when there is one.
type Named = Option<(String, File)>;

/// The first bundle that can be used; what is wrong with one is said, and that it belongs to another plan.
pub(super) fn find(world: &World, steps: &dyn Steps) -> Option<Near> {
    let own = || {
        let file = fs::open_if_there(&world.at(place::BUNDLE))?;
        Ok(file.map(|file| (format!("the bundle {}", place::BUNDLE), file)))
    };
    let volume = || {
        let found = if world.is_node() { medium::open(&place::MEDIUM, place::MEDIUM_BUNDLE)? } else { None };
        Ok(found.map(|(label, file)| (format!("the bundle {} on the volume {label}", place::MEDIUM_BUNDLE), file)))
    };
    let looks: [&dyn Fn() -> anyhow::Result<Named>; 2] = [&own, &volume];
    for look in looks {
        let near = look().and_then(|found| found.map(|(name, file)| open(world, name, file)).transpose());
        match near {
            Ok(None) => {}
            Ok(Some(near)) => {
                if let Some(other) = near.of_another(world) {
                    let words = format!("{} is of another {other}…; its blobs count by their digests", near.name);
                    steps.step(STEP, Outcome::Progress, &words);
                }
                return Some(near);
            }
            Err(error) => steps.step(STEP, Outcome::Progress, &format!("{error:#}; nothing is taken from it")),
        }
    }
    None
}

/// Walks it, and judges who signed its release where somebody has to.
fn open(world: &World, name: String, file: File) -> anyhow::Result<Near> {
    let bundle = Bundle::open(file).with_context(|| format!("{name} is damaged or no bundle"))?;
    let text = bundle.signature().map(String::from_utf8_lossy);
    let from = format!("{} in {name}", anymetal_contract::release::SIGNATURE);
    let judged = trust::read(world)
        .and_then(|before| signature::check(world, before.as_ref(), bundle.release_text(), text.as_deref(), &from));
    judged.map_err(|failure| failure.error).with_context(|| format!("{name} is refused"))?;
    Ok(Near { bundle, name })
}

impl Near {
    /// Copies the blob into the store; `None` when the bundle does not have it.
    pub(super) fn give(&self, store: &Store, blob: &Blob, watch: &Told) -> Option<Result<Got, Missed>> {
        let copy = self.bundle.blob(blob.sha256)?;
        Some(match take(store, &wanted(blob), copy, watch) {
            Ok(Ok(bytes)) => Ok(Got::Fetched { bytes, base: self.name.clone() }),
            Ok(Err(wrong)) => Err(Missed::Never(self.damaged(blob.sha256, &wrong))),
            Err(failure) => Err(Missed::Never(failure)),
        })
    }

    /// The content of a blob, which nobody has hashed.
    pub(super) fn copy(&self, digest: &Digest) -> Option<Section<'_>> {
        self.bundle.blob(digest)
    }

    /// Which release it is of, or plan where the node has no release, when it is not this node's.
    fn of_another(&self, world: &World) -> Option<String> {
        let index = self.bundle.index();
        match (release::pins(world).ok().flatten(), world.plan.get()) {
            (Some(pins), _) if pins.release.sha256 == index.release => None,
            (Some(_), _) => Some(format!("release, {}", index.release.short())),
            (None, Some(planned)) if planned.digest == index.plan => None,
            (None, _) => Some(format!("plan, {}", index.plan.short())),
        }
    }

    /// Where it is, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn damaged(&self, digest: &Digest, wrong: &str) -> Failure {
        let message = format!("{} is damaged: its member {} {wrong}", self.name, place::blob(digest));
        Failure::new(Reason::ArtefactMismatch, message)
    }
}
