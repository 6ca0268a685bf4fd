//! A site, its plan and its inits to a release: all that nodes run, by digest, under the site's serial.
//! May not sign one: `sign` does.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::plan::Arch;
use anymetal_contract::release::{KIND, Pinned, Release, VERSION};
use anymetal_contract::{Digest, Pins};

use crate::plan;
use crate::site::Site;
use crate::userdata::{self, host};

/// What a node gets besides its plan and init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The release's serial.
    pub serial: u64,
    /// The digest of the script that fetches init.
    pub stub: Digest,
    /// The digest of the unit that runs both.
    pub unit: Digest,
    /// The digest of what the operator's cloud-config adds, when it does.
    pub cloud_config: Option<Digest>,
    /// Who may sign the next release.
    pub signers: Vec<String>,
}

impl Host {
    /// Returns what the nodes of this site get. Fails when the operator's cloud-config cannot be merged into ours.
    pub fn of_site(site: &Site) -> Result<Self> {
        Ok(Self {
            serial: site.serial,
            stub: plan::digest(host::fetch_init()?.body.as_bytes()),
            unit: plan::digest(host::unit(site.proxy.as_ref())?.body.as_bytes()),
            cloud_config: userdata::operator(&site.platform, &site.cloud_config)?.map(|part| part.digest()),
            signers: site.signers.iter().map(crate::sign::PublicKey::text).collect(),
        })
    }

    /// Returns what this release pins.
    pub fn of(release: &Release) -> Self {
        let Release { serial, stub, unit, cloud_config, signers, .. } = release.clone();
        Self { serial, stub, unit, cloud_config, signers }
    }
}

/// Makes the release of a site, from its canonical plan and the inits that nodes are to run.
pub fn draft(site: &Site, plan: &[u8], inits: BTreeMap<Arch, Pinned>) -> Result<Release> {
    let Host { serial, stub, unit, cloud_config, signers } = Host::of_site(site)?;
    Ok(Release {
        kind: KIND.to_owned(),
        version: VERSION,
        site: site.name.clone(),
        serial,
        plan: pinned(plan),
        inits,
        stub,
        unit,
        cloud_config,
        signers,
    })
}

/// Returns the digest and the size of these bytes.
pub fn pinned(bytes: &[u8]) -> Pinned {
    Pinned { sha256: plan::digest(bytes), size: bytes.len() as u64 }
}

/// Returns what user-data pins of this release. Fails when an origin is no plain URL.
pub fn pins(release: &Release, text: &[u8], origins: &[String]) -> Result<Pins> {
    origins.iter().try_for_each(|origin| host::judge(origin))?;
    Ok(Pins { release: pinned(text), inits: release.init_digests(), origins: origins.to_vec() })
}

/// Reads a release, whose bytes have to be canonical.
pub fn read(text: &[u8]) -> Result<Release> {
    let release = anymetal_supply::bundle::release(text)?;
    ensure!(
        plan::canonical(&release) == text,
        "the release is not as anymetal writes it: canonical JSON\nhint: build again, and sign what that writes"
    );
    Ok(release)
}

/// Reads the keys that may sign the next release.
pub fn signers(release: &Release) -> Result<Vec<crate::sign::PublicKey>> {
    let read = |text: &String| crate::sign::PublicKey::read(text).context("the release names a signer that is no key");
    release.signers.iter().map(read).collect()
}
