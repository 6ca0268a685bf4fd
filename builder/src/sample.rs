//! A site and an init's abilities for the tests of the rooms; no test changes them in place.
//! May not be used by what is shipped.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::plan::{Arch, Bgp, Delivery, Guard, Metadata, Report};
use anymetal_contract::{Abilities, Phase, abilities};

use crate::site::Site;
use crate::site::model::{Choice, Firewall, Hippo, Registration, Secrets, Tls};

/// A site with Consul and bird on one architecture.
pub(crate) fn site() -> Site {
    let choice = |version: &str| Choice { version: version.parse().unwrap(), ..Choice::default() };
    Site {
        name: "demo".into(),
        serial: 1,
        platform: "equinix-metal".into(),
        os: "debian-12".into(),
        architectures: BTreeSet::from([Arch::X86_64]),
        domain: "192-0-2-1.sslip.io".into(),
        anycast4: vec!["192.0.2.1/32".parse().unwrap()],
        anycast6: vec!["2001:db8::1/128".parse().unwrap()],
        bgp: Bgp::default(),
        metadata: Metadata::default(),
        components: BTreeMap::from([("consul".into(), choice("1.16.1")), ("bird".into(), choice("2.0.12"))]),
        hippo: Hippo { registration: Registration::AdministratorOnly, administrator: "admin".into() },
        tls: Tls::None,
        expose: None,
        firewall: Firewall::default(),
        guard: Guard::default(),
        secrets: Secrets { file: "secrets.yaml".into(), deliver: Delivery::UserData },
        reports: vec![Report::Platform],
        sources: BTreeMap::new(),
        origins: vec!["https://mirror.example/anymetal".into()],
        supplies: vec![],
        signers: vec![],
        cloud_config: vec![],
        deadlines: BTreeMap::new(),
        proxy: None,
        ca: vec![],
        lock: None,
    }
}

/// An init that can do all a plan of this release may ask for.
pub(crate) fn abilities() -> Abilities {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    Abilities {
        kind: abilities::KIND.into(),
        version: abilities::VERSION,
        release: "0.1.0".into(),
        plans: vec![1],
        releases: vec![1],
        phases: Phase::ALL.iter().map(|phase| phase.id().to_owned()).collect(),
        platforms: words(&["equinix-metal", "vultr", "file"]),
        formats: words(&["zip", "tar.gz", "deb"]),
        ready: words(&["active", "consul-leader", "nomad-node", "announced"]),
        secrets: words(&["user-data", "customdata", "medium"]),
        supplies: words(&["bundle", "siblings", "origins", "upstream"]),
        signatures: words(&["minisign"]),
    }
}
