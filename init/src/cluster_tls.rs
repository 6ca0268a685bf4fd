//! The certificates by which this node's services know one another: made from the site's CA, kept while they serve.
//! May not start or restart anything: what runs with them is told by `services` and `jobs` from the files themselves.

use std::path::Path;

use anyhow::Context as _;
use anymetal_contract::plan::Certificate;
use anymetal_contract::secrets::CLUSTER_CA;
use anymetal_contract::{Outcome, Reason, place};
use anymetal_pki::Authority;

use crate::access;
use crate::files;
use crate::phase::Steps;
use crate::sys::{clock, fs};
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// The file of the certificate, and the one of its key.
pub(crate) fn paths(certificate: &Certificate) -> [String; 2] {
    let name = &certificate.name;
    [format!("{}/{name}.pem", place::TLS), format!("{}/{name}-key.pem", place::TLS)]
}

/// Makes it so that the CA's certificate and those of the plan are there and serve. Returns the names of what was written.
pub(crate) fn ensure(world: &World, steps: &dyn Steps) -> Result<Vec<String>, Failure> {
    let certificates = &world.plan().certificates;
    if certificates.is_empty() {
        return Ok(Vec::new());
    }
    let secret = access::known(world, CLUSTER_CA)?;
    let authority = Authority::read(&world.plan().site, secret.expose()).because(Reason::SecretsInvalid)?;
    let mut written = Vec::new();
    if own(world, &authority).because(Reason::HostFault)? {
        steps.step("tls/ca.pem", Outcome::Done, &format!("written to {}", place::CA));
        written.push("tls/ca.pem".to_owned());
    }
    for certificate in certificates {
        let step = format!("tls/{}.pem", certificate.name);
        match one(world, &authority, certificate).because(Reason::HostFault)? {
            Some(why) => {
                steps.step(&step, Outcome::Done, &format!("a new certificate: {why}"));
                written.push(step);
            }
            None => steps.step(&step, Outcome::Same, "the certificate serves"),
        }
    }
    Ok(written)
}

/// The authority's own certificate. Returns whether it was written.
fn own(world: &World, authority: &Authority) -> anyhow::Result<bool> {
    let path = world.at(place::CA);
    let there = fs::read_if_there(&path)?.filter(|there| authority.is_own(there));
    let bytes = there.unwrap_or_else(|| authority.certificate().into_bytes());
    keep(&path, &bytes, 0o644)
}

/// One certificate with its key. Returns why it was made, when it was. The key goes first: with a kill in between the two do not fit, and are made
/// again.
fn one(world: &World, authority: &Authority, certificate: &Certificate) -> anyhow::Result<Option<&'static str>> {
    let [path, key_path] = paths(certificate).map(|path| world.at(path));
    let now = clock::wall();
    let there = fs::read_if_there(&path)?.zip(fs::read_if_there(&key_path)?);
    let refused = match &there {
        None => Some("there was none"),
        Some((certificate_is, key)) => authority.refuses((certificate_is, key), &certificate.names, now),
    };
    let (bytes, key) = if let (Some(there), None) = (there, refused) {
        there
    } else {
        let made = authority.issue(&certificate.names, now);
        let made = made.with_context(|| format!("making the certificate of {}", certificate.name))?;
        (made.certificate.into_bytes(), made.key.into_bytes())
    };
    keep(&key_path, &key, 0o600)?;
    keep(&path, &bytes, 0o644)?;
    Ok(refused)
}

/// Makes it so that the file has these bytes and this mode. Returns whether anything was done.
fn keep(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<bool> {
    if files::is_so(path, bytes, mode, None)? {
        return Ok(false);
    }
    fs::replace(path, bytes, mode)?;
    Ok(true)
}

#[cfg(test)]
#[path = "cluster_tls_tests.rs"]
mod tests;
