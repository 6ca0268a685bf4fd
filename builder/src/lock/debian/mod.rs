//! Debian's packages that a site wants, and all they need over what every machine has: from signed indexes to a list with a digest each.
//! May not touch the network, a file or the clock: the caller brings a way to fetch, and `now`.

mod archive;
mod date;
mod fetch;
mod index;
mod pool;
mod release;
mod solve;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use anyhow::{Context as _, Error, Result, ensure};
use anymetal_contract::packages::Package;
use anymetal_contract::plan::Arch;

use super::document::Closure;
use super::openpgp::Keyring;
pub use archive::{Archive, Base, Source};
pub use fetch::{Absent, Fetch, Once};
use index::Stanza;
use pool::{Place, Pool};
use release::Release;

/// What is to be resolved, and by what.
pub struct Ask<'a> {
    /// The archive of the operating system.
    pub archive: &'a Archive,
    /// Who has its files.
    pub fetch: &'a dyn Fetch,
    /// Whose signature its indexes must have.
    pub keyring: &'a Keyring,
    /// For which machines.
    pub arch: Arch,
    /// The names of the packages that components want.
    pub wanted: &'a BTreeSet<String>,
    /// What was resolved last time: no index may be older than its one.
    pub previous: Option<&'a Closure>,
    /// Whether an index has expired is judged by it, and nothing else.
    pub now: SystemTime,
    /// Whether an index may be taken that is old and does not say until when it is to be believed.
    pub allow_old: bool,
}

/// The wanted packages and all they need over the base, pinned, in an order in which they can be installed. A wanted package that is in the base
/// is not listed.
pub fn closure(ask: &Ask<'_>) -> Result<Closure> {
    let architecture = ask.arch.debian();
    let releases = ask.archive.suites.iter().map(|source| Ok((source, release_of(ask, source)?)));
    let releases = releases.collect::<Result<Vec<_>>>()?;
    if !ask.allow_old {
        let all: Vec<_> = releases.iter().map(|(source, release)| (*source, release)).collect();
        release::judge_ages(&all, ask.now)?;
    }
    let (mut suites, mut texts) = (BTreeMap::new(), Vec::new());
    for (source, release) in releases {
        let component = &ask.archive.component;
        let text = index::fetch(ask.fetch, source, &release, component, architecture)
            .with_context(|| format!("reading the index of {} for {architecture}", source.name))?;
        suites.insert(source.name.clone(), release.suite);
        texts.push((source, text));
    }
    let texts: Vec<(&Source, &str)> = texts.iter().map(|(source, text)| (*source, text.as_str())).collect();
    let packages = resolve(&ask.archive.base, &texts, architecture, ask.wanted)?;
    Ok(Closure { suites, wanted: ask.wanted.iter().cloned().collect(), packages })
}

/// The signed list of a suite's indexes: `InRelease`, or `Release` with its signature beside it, as apt asks for them.
fn release_of(ask: &Ask<'_>, source: &Source) -> Result<Release> {
    let get = |name: &str| {
        let url = format!("{}/dists/{}/{name}", source.url, source.name);
        let place = ask.fetch.place(&url);
        let bytes = ask.fetch.get(&url, release::LARGEST).with_context(|| format!("fetching {place}"))?;
        anyhow::Ok((place, bytes))
    };
    let previous = ask.previous.and_then(|previous| previous.suites.get(&source.name));
    match get("InRelease") {
        Ok((url, bytes)) => Release::read(&source.name, &bytes, ask.keyring, ask.now, previous)
            .with_context(|| format!("reading {url}")),
        Err(refused) => {
            let Some(((url, bytes), (_, signature))) = get("Release").ok().zip(get("Release.gpg").ok()) else {
                return Err(without_release(ask, source, refused));
            };
            Release::read_detached(&source.name, (&bytes, &signature), ask.keyring, ask.now, previous)
                .with_context(|| format!("reading {url}"))
        }
    }
}

/// Says whether the archive is one without suites, when it was there but had none of what was asked for.
fn without_release(ask: &Ask<'_>, source: &Source, refused: Error) -> Error {
    if !refused.chain().any(<dyn std::error::Error>::is::<Absent>) {
        return refused;
    }
    let is_there = |name: &&&str| ask.fetch.get(&format!("{}/{name}", source.url), release::LARGEST).is_ok();
    match ["InRelease", "Release"].iter().find(is_there) {
        Some(name) => refused.context(format!(
            "the archive is a flat one, with {name} at its top, and has no suite {}\n\
             hint: have its tool write suites below `dists`: none of another kind is read",
            source.name
        )),
        None => refused,
    }
}

/// The same from the indexes' texts.
fn resolve(
    base: &Base,
    texts: &[(&Source, &str)],
    architecture: &str,
    wanted: &BTreeSet<String>,
) -> Result<Vec<Package>> {
    let mut stanzas = Vec::new();
    for (source, text) in texts {
        stanzas.extend(index::read(text, source).with_context(|| format!("reading the index of {}", source.name))?);
    }
    let pool = Pool::new(stanzas, architecture)?;
    let roots = places(&pool, texts, architecture, wanted)?;
    let base = pool.base(base);
    let mut given = pool.reach(&base, &BTreeMap::new())?;
    let there = solve::solve(&BTreeMap::new(), &given, &base).context("resolving what every machine has")?;
    given.retain(|place, _| there.contains(place));
    let reached = pool.reach(&roots, &given)?;
    let chosen = solve::solve(&given, &reached, &roots)?;
    solve::ordered(&given, &reached, &chosen)?.into_iter().map(|place| pinned(pool.package(place))).collect()
}

/// Where the wanted packages are. All that are not there are named at once.
fn places(
    pool: &Pool<'_>,
    texts: &[(&Source, &str)],
    architecture: &str,
    wanted: &BTreeSet<String>,
) -> Result<BTreeSet<Place>> {
    let missing: Vec<String> = wanted
        .iter()
        .filter(|name| pool.place(name).is_none())
        .map(|name| match pool.providers(name).as_slice() {
            [] => name.clone(),
            providers => format!("{name} (but others that provide it: {})", providers.join(", ")),
        })
        .collect();
    let suites: Vec<&str> = texts.iter().map(|(source, _)| source.name.as_str()).collect();
    ensure!(
        missing.is_empty(),
        "no package for {architecture} in {} is called {}\nhint: name packages of this release of Debian",
        suites.join(", "),
        missing.join(", ")
    );
    Ok(wanted.iter().filter_map(|name| pool.place(name)).collect())
}

/// One package, which all suites that have it must describe as the same bytes; and all places where it is.
fn pinned(stanzas: &[Stanza<'_>]) -> Result<Package> {
    let mut package = stanzas[0].pinned()?;
    for (before, other) in stanzas.iter().zip(&stanzas[1..]) {
        ensure!(before.source != other.source, "the index describes {other} twice, and not alike");
        let same = other.pinned()?;
        ensure!(
            (&same.sha256, same.size) == (&package.sha256, package.size),
            "{} and {} have one version and other bytes: sha256 {} and {}",
            stanzas[0],
            other,
            package.sha256,
            same.sha256
        );
        package.urls.extend(same.urls);
    }
    package.urls.sort();
    package.urls.dedup();
    Ok(package)
}

#[cfg(test)]
mod tests;
