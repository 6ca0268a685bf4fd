//! The keys of site.yaml, version 1: a tree of nodes to a site, or to everything that is wrong with it.
//! May not read a file: the operator's own cloud-config is handed on by name.

mod access;
mod canary;
mod components;
mod expose;
mod guard;
mod metadata;
mod network;
pub(super) mod outside;
mod settings;
mod signers;
pub(super) mod sources;
mod supplies;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anymetal_contract::plan::{Arch, Password};

use super::diagnostic::{Findings, Mark};
use super::fields::{self, Fields};
use super::model::{Site, Tls};
use super::name;
use super::yaml::{Kind, Node};
use crate::userdata::platform;

/// The largest serial: what canonical JSON writes exactly (RFC 8785).
const MOST_SERIAL: u64 = (1 << 53) - 1;
/// The platforms whose metadata init can read.
const PLATFORMS: [(&str, &str); 3] = [("equinix-metal", "equinix-metal"), ("vultr", "vultr"), ("file", "file")];
/// The operating systems init can set up.
const SYSTEMS: [(&str, &str); 1] = [("debian-12", "debian-12")];
/// What people call them.
const ALIASES: [(&str, &str); 11] = [
    ("equinix", "equinix-metal"),
    ("packet", "equinix-metal"),
    ("metal", "equinix-metal"),
    ("rack", "file"),
    ("nocloud", "file"),
    ("on-premises", "file"),
    ("debian", "debian-12"),
    ("bookworm", "debian-12"),
    ("debian_12", "debian-12"),
    ("amd64", "x86_64"),
    ("arm64", "aarch64"),
];
/// Keys that are looked for in the wrong place, and where they belong.
const HOMES: [(&str, &str); 40] = [
    ("v4", "anycast"),
    ("v6", "anycast"),
    ("local_asn", "bgp"),
    ("peer_asn", "bgp"),
    ("multihop", "bgp"),
    ("communities", "bgp"),
    ("nomad", "components"),
    ("consul", "components"),
    ("traefik", "components"),
    ("bindle", "components"),
    ("spin", "components"),
    ("bird", "components"),
    ("nftables", "components"),
    ("ssh", "firewall"),
    ("tcp", "firewall"),
    ("udp", "firewall"),
    ("interval", "guard"),
    ("fast_interval", "guard"),
    ("grace", "guard"),
    ("timeout", "guard"),
    ("rise", "guard"),
    ("fall", "guard"),
    ("drain", "guard"),
    ("metrics", "guard"),
    ("canaries", "guard"),
    ("quorum", "guard"),
    ("nodes", "guard.quorum"),
    ("plain_http", "metadata"),
    ("private_subnets", "metadata"),
    ("report_hosts", "metadata"),
    ("deliver", "secrets"),
    ("registration", "hippo"),
    ("administrator", "hippo"),
    ("dns_provider", "tls"),
    ("webhook", "reports"),
    ("no_proxy", "proxy"),
    ("hashicorp", "sources"),
    ("github", "sources"),
    ("debian", "sources"),
    ("debian-security", "sources"),
];

/// A site but for what other files have to say: the operator's own cloud-config, upstreams' keys, the lock.
pub(super) struct Draft {
    /// The site, its `cloud_config` and its `sources` empty.
    pub site: Site,
    /// Where upstreams are instead; the keys are still to be read.
    pub sources: Vec<sources::Said>,
    /// Certificates of authorities, or where they are; still to be read.
    pub ca: Vec<outside::Said>,
    /// Where the cloud-config is, in order.
    pub cloud_config: Vec<Part>,
}

/// One entry of `cloud_config`.
pub(super) struct Part {
    /// Where the entry stands.
    pub at: Mark,
    /// Its name in messages.
    pub name: String,
    /// What it is.
    pub content: Content,
}

/// What an entry of `cloud_config` is.
pub(super) enum Content {
    /// The path of a file, relative to the site's.
    File(String),
    /// The keys themselves.
    Inline(Node),
}

/// The site as far as it can be understood. It is right only when the findings hold no mistake.
pub(super) fn draft(root: &Node, findings: &mut Findings) -> Option<Draft> {
    let mut fields = Fields::of(root, "", "version: 1", findings)?;
    version(root, &mut fields, findings)?;
    let f = &mut *findings;
    let name = fields.need("site", "name the site, as in `site: demo`", f).and_then(|node| {
        let text = fields::text(node, "`site`", f)?;
        f.keep(node.at, name::site(text))
    });
    let serial = fields.take("serial", f).and_then(|node| fields::number(node, "`serial`", 1..=MOST_SERIAL, f));
    let platform = fields
        .need("platform", "write `platform: equinix-metal`", f)
        .and_then(|node| fields::word(node, "`platform`", &PLATFORMS, &ALIASES, f));
    let os = fields
        .need("os", "write `os: debian-12`", f)
        .and_then(|node| fields::word(node, "`os`", &SYSTEMS, &ALIASES, f));
    let architectures = architectures(fields.take("architectures", f), f);
    let (anycast4, anycast6) =
        network::anycast(fields.need("anycast", "write `anycast: {v4: [147.75.195.143/32]}`", f), f);
    let (domain, domain_at) = domain(fields.take("domain", f), f);
    let mut bgp = network::bgp(fields.take("bgp", f), f);
    let os = os.unwrap_or_default();
    let components = components::components(fields.take("components", f), &architectures, os, f);
    let hippo = settings::hippo(fields.take("hippo", f), f);
    let tls = fields.take("tls", f);
    let tls_at = tls.map_or(Mark::START, |node| node.at);
    let tls = tls::tls(tls, f);
    let announced = |address: IpAddr| match address {
        IpAddr::V4(address) => anycast4.iter().any(|prefix| prefix.contains(&address)),
        IpAddr::V6(address) => anycast6.iter().any(|prefix| prefix.contains(&address)),
    };
    let expose = expose::expose(fields.take("expose", f), &components, (&tls, tls_at), f);
    let traefik = components.contains_key("traefik").then_some(&tls);
    let beside = guard::Beside { communities: &bgp.communities, anycast: &announced, traefik };
    let guard = guard::guard(fields.take("guard", f), &beside, f);
    let firewall = access::firewall(fields.take("firewall", f), f);
    let metadata = metadata::metadata(fields.take("metadata", f), f);
    let gives = platform.map(platform::named);
    if gives.is_some_and(|gives| !gives.tells_password) {
        bgp.password = Some(Password::Secret);
    }
    let secrets = access::secrets(fields.take("secrets", f), gives.is_none_or(|gives| gives.customdata), f);
    let reports = settings::reports(fields.take("reports", f), f);
    let origins = settings::urls(fields.take("origins", f), "origins", super::url::Use::Base, f);
    let supplies = supplies::supplies(fields.take("supplies", f), f);
    let signers = signers::signers(fields.take("signers", f), f);
    let sources = sources::sources(fields.take("sources", f), f);
    let proxy = outside::proxy(fields.take("proxy", f), f);
    let ca = outside::ca(fields.take("ca", f), f);
    let cloud_config = parts(fields.take("cloud_config", f), f);
    let deadlines = settings::deadlines(fields.take("deadlines", f), f);
    fields.end(&HOMES, f);

    let domain = domain.or_else(|| name::default_domain(&anycast4, &anycast6)).unwrap_or_default();
    if matches!(tls, Tls::Acme { .. }) && name::borrowed(&domain) {
        let what = format!("a DNS challenge cannot be answered for `{domain}`: the zone is not yours");
        f.mistake(domain_at.unwrap_or(tls_at), what, "set `domain` to a name in a zone that `tls.dns_provider` holds");
    }
    let site = Site {
        name: name.unwrap_or_default(),
        serial: serial.unwrap_or(1),
        platform: platform.unwrap_or_default().to_owned(),
        os: os.to_owned(),
        architectures,
        domain,
        anycast4,
        anycast6,
        bgp,
        metadata,
        components,
        hippo,
        tls,
        expose,
        firewall,
        guard,
        secrets,
        reports,
        sources: BTreeMap::new(),
        origins,
        supplies,
        signers,
        cloud_config: Vec::new(),
        deadlines,
        proxy,
        ca: Vec::new(),
        lock: None,
    };
    Some(Draft { site, sources, ca, cloud_config })
}

/// `version: 1`, before anything else. Without it no key means anything, so `None` ends the reading.
fn version(root: &Node, fields: &mut Fields<'_>, findings: &mut Findings) -> Option<()> {
    let at = fields.written("version");
    let node = fields.need("version", "begin the file with `version: 1`", findings);
    if at.is_none() {
        return Some(()); // said; the keys are most likely those of version 1
    }
    if let (Some(at), Kind::Mapping(entries)) = (at, &root.kind)
        && entries.first().is_some_and(|(first, _)| first.scalar.text != "version")
    {
        findings.mistake(at, "`version` must be the first key", "move this line to the top");
    }
    let node = node?;
    match fields::number(node, "`version`", 1..=u64::from(u32::MAX), findings)? {
        1 => Some(()),
        other => {
            let what = format!("version {other} of the site format is not known to this anymetal");
            findings.mistake(node.at, what, "write `version: 1`, or use the anymetal that the site was written for");
            None
        }
    }
}

fn architectures(node: Option<&Node>, findings: &mut Findings) -> BTreeSet<Arch> {
    let Some(node) = node else { return BTreeSet::from(Arch::ALL) };
    let Some(items) = fields::list(node, "architectures", "architectures: [x86_64, aarch64]", findings) else {
        return BTreeSet::from(Arch::ALL);
    };
    let words = Arch::ALL.map(|arch| (arch.id(), arch));
    let mut chosen = BTreeSet::new();
    for item in items {
        let Some(arch) = fields::word(item, "an architecture", &words, &ALIASES, findings) else { continue };
        if !chosen.insert(arch) {
            findings.mistake(item.at, format!("`{arch}` is given twice"), "keep one of them");
        }
    }
    if items.is_empty() {
        findings.mistake(node.at, "a site needs at least one architecture", "write `architectures: [x86_64]`");
    }
    chosen
}

/// The domain and where it stands. A domain that is wrong is taken for one, so that no default is judged in its place.
fn domain(node: Option<&Node>, findings: &mut Findings) -> (Option<String>, Option<Mark>) {
    let Some(node) = node else { return (None, None) };
    let good = fields::text(node, "`domain`", findings).and_then(|text| findings.keep(node.at, name::domain(text)));
    (Some(good.unwrap_or_default()), Some(node.at))
}

fn parts(node: Option<&Node>, findings: &mut Findings) -> Vec<Part> {
    let example = "cloud_config: [extra.yaml]";
    let Some(items) = node.and_then(|node| fields::list(node, "cloud_config", example, findings)) else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let name = format!("cloud_config[{index}]");
        let content = match &item.kind {
            Kind::Mapping(_) => Content::Inline(item.clone()),
            Kind::Scalar(_) => match fields::text(item, &format!("`{name}`"), findings) {
                Some(path) => Content::File(path.to_owned()),
                None => continue,
            },
            Kind::Sequence(_) => {
                let hint = "write a path, or the keys of a cloud-config";
                fields::wrong(item, &format!("`{name}`"), "a file's path or a mapping", hint, findings);
                continue;
            }
        };
        let name = if let Content::File(path) = &content { path.clone() } else { name };
        parts.push(Part { at: item.at, name, content });
    }
    parts
}
