//! A site's packages of the operating system: what is kept of the previous lock, and what `debian` resolves anew.
//! May not touch the network, a file or the clock: who has the archive is given, and `now`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use anymetal_contract::plan::Arch;

use super::debian::{self, Archive, Ask, Fetch, Once};
use super::document::{Closure, Lock};
use super::fit;
use super::openpgp::Keyring;
use super::resolve::Wish;
use super::trouble::Trouble;
use crate::site::Site;
use crate::sources;

/// The upstreams that together are Debian's archive.
pub const UPSTREAMS: [&str; 2] = ["debian", "debian-security"];

/// The packages for each architecture. What the previous lock has for the same wants is kept, unless all are to be asked for again.
pub fn closures(
    site: &Site,
    previous: Option<&Lock>,
    wish: &Wish,
    fetch: &dyn Fetch,
    now: SystemTime,
) -> Result<BTreeMap<Arch, Closure>, Trouble> {
    let wanted = fit::wanted(site);
    let previous = previous.filter(|lock| lock.os == site.os);
    let watched = Watched { inner: fetch, failed: Cell::new(false) };
    let once = Once::new(&watched);
    let closure = |arch: &Arch| -> Result<(Arch, Closure)> {
        let previous = previous.and_then(|lock| lock.packages.get(arch));
        if let Some(kept) = previous.filter(|closure| !wish.packages && closure.wanted.iter().eq(&wanted)) {
            return Ok((*arch, kept.clone()));
        }
        let (archive, keyring) = (Archive::named(&site.os)?, keyring(site)?);
        let ask = Ask {
            archive: &archive,
            fetch: &once,
            keyring: &keyring,
            arch: *arch,
            wanted: &wanted,
            previous,
            now,
            allow_old: wish.allow_old,
        };
        Ok((*arch, debian::closure(&ask).with_context(|| format!("resolving the packages for {arch}"))?))
    };
    let closures: Result<_> = site.architectures.iter().map(closure).collect();
    closures.map_err(|error| {
        let text = format!("{error:#}");
        if watched.failed.get() { Trouble::World(text) } else { Trouble::Wrong(text) }
    })
}

/// Whoever may sign one part of the archive may sign the other.
fn keyring(site: &Site) -> Result<Keyring> {
    let rings = UPSTREAMS.iter().filter_map(|name| sources::keyring(site, name).transpose());
    Ok(Keyring::joined(rings.collect::<Result<Vec<_>>>()?))
}

/// Remembers whether the world failed.
struct Watched<'a> {
    inner: &'a dyn Fetch,
    failed: Cell<bool>,
}

impl Fetch for Watched<'_> {
    fn get(&self, url: &str, most: u64) -> Result<Vec<u8>> {
        self.inner.get(url, most).inspect_err(|_| self.failed.set(true))
    }

    fn place(&self, url: &str) -> String {
        self.inner.place(url)
    }
}
