//! Values for the closed list of names templates may use: a pure function of plan, machine and architecture.
//! May not know a platform, and may not show a password: [`Facts::context`] alone hands it to the template that declared it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anymetal_contract::plan::{Arch, Component, Firewall, Hippo, Source, Tls};
use anymetal_contract::{Plan, Reason, facts, place};
use serde::Serialize;

use crate::failure::Failure;
use crate::metadata::{self, Family, Machine, Management, Way};
use crate::phase::{Answer, Steps};
use crate::secret::Secret;
use crate::world::World;

/// The facts of one node. Serialises to the names of [`facts::NAMES`], passwords as dots; a name without a value is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Facts {
    site: String,
    platform: String,
    domain: String,
    node: String,
    arch: Arch,
    anycast4: Vec<String>,
    anycast6: Vec<String>,
    communities: Vec<String>,
    components: BTreeMap<String, Installed>,
    domains: Vec<String>,
    hippo: Hippo,
    tls: Tls,
    firewall: Firewall,
    metadata_service: Vec<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metro: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facility: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_gateway4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_subnets: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_gateway4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_gateway6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    router_id: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbours: Option<Vec<Neighbour>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    neighbour_routes: Option<Vec<Route>>,
}

/// Where a component is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Installed {
    version: String,
    /// Empty for what the operating system brings: that is found on PATH.
    dir: String,
    /// What holds of this version and not of every version of the component.
    features: BTreeSet<String>,
}

/// Where the machine's metadata is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Endpoint {
    family: u8,
    address: String,
    ports: BTreeSet<u16>,
}

/// A neighbour as a template sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Neighbour {
    /// Unique, and a word in BIRD's grammar: `edge_v4_1`.
    name: String,
    family: u8,
    address: String,
    asn: u32,
    local_asn: u32,
    source: String,
    multihop: u8,
    #[serde(serialize_with = "empty_or_dots")]
    password: Option<Secret>,
}

/// How to reach a neighbour that is not on-link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Route {
    family: u8,
    prefix: String,
    via: String,
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn empty_or_dots<S: serde::Serializer>(password: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match password {
        Some(password) => password.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

/// The work of the phase `facts`.
pub(crate) fn work(world: &World, _steps: &dyn Steps) -> Result<Answer, Failure> {
    if world.facts.get().is_some() {
        return Ok(Answer::Same("the facts were made before".into()));
    }
    let facts = make(world.plan(), world.machine(), world.arch)?;
    let count = facts.values().len();
    world.facts.get_or_init(|| facts);
    Ok(Answer::Done(format!("{count} of {} facts have a value", facts::NAMES.len())))
}

/// The facts, when every template of the plan has what it needs; otherwise one failure that names all that is missing.
pub(crate) fn make(plan: &Plan, machine: &Machine, arch: Arch) -> Result<Facts, Failure> {
    let neighbours = neighbours(plan, machine);
    let facts = Facts {
        site: plan.site.clone(),
        platform: plan.platform.clone(),
        domain: plan.domain.clone(),
        node: machine.hostname.clone(),
        arch,
        anycast4: plan.anycast.v4.clone(),
        anycast6: plan.anycast.v6.clone(),
        communities: plan.bgp.communities.clone(),
        components: plan.components.iter().map(|component| (component.name.clone(), installed(component))).collect(),
        domains: domains(&plan.domain, machine),
        hippo: plan.settings.hippo.clone(),
        tls: plan.settings.tls.clone(),
        firewall: plan.settings.firewall.clone(),
        metadata_service: endpoints(&machine.service),
        node_id: machine.id.clone(),
        metro: machine.metro.clone(),
        facility: machine.facility.clone(),
        private4: machine.private4.as_ref().map(address),
        private_gateway4: machine.private4.as_ref().and_then(gateway),
        private_subnets: machine
            .private4
            .as_ref()
            .and_then(gateway)
            .map(|_| machine.private_subnets.iter().map(ToString::to_string).collect()),
        public4: machine.public4.as_ref().map(address),
        public_gateway4: machine.public4.as_ref().and_then(gateway),
        public6: machine.public6.as_ref().map(address),
        public_gateway6: machine.public6.as_ref().and_then(gateway),
        // The private address: it is there on every machine that speaks BGP, and nobody outside the network learns of it.
        router_id: machine.private4.map(|link| link.address).or(machine.public4.map(|link| link.address)),
        neighbour_routes: neighbours.as_ref().map(|_| routes(plan, machine)),
        neighbours,
    };
    lacking(plan, machine, &facts)?;
    Ok(facts)
}

fn installed(component: &Component) -> Installed {
    let dir = match component.source {
        Source::Artefacts(_) => format!("{}/{}/current", place::OPT, component.name),
        Source::HostPackage(_) => String::new(),
    };
    Installed { version: component.version.clone(), dir, features: component.features.clone() }
}

/// Zones in which every address has a name already: `198-51-100-7.sslip.io`. Their owners say so at their own sites.
const ZONES_OF_ADDRESSES: [&str; 2] = [".sslip.io", ".nip.io"];

/// The names the platform answers under: the site's, then this node's own. In a zone of addresses the node's is that of its public address;
/// elsewhere it is its hostname below the site's domain, for which the operator makes an entry.
fn domains(domain: &str, machine: &Machine) -> Vec<String> {
    let zone = ZONES_OF_ADDRESSES.into_iter().find(|zone| domain.ends_with(zone));
    let own = match (zone, &machine.public4) {
        (Some(zone), Some(public)) => format!("{}{zone}", public.address.to_string().replace('.', "-")),
        _ => format!("{}.{domain}", label(&machine.hostname)),
    };
    if own == domain { vec![own] } else { vec![domain.to_owned(), own] }
}

/// A hostname's first label, as DNS takes it (RFC 1123 section 2.1).
fn label(hostname: &str) -> String {
    let first = hostname.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let plain: String = first.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { "node".to_owned() } else { plain.to_owned() }
}

/// By address, with all ports it was met at.
fn endpoints(service: &BTreeSet<SocketAddr>) -> Vec<Endpoint> {
    let mut ports: BTreeMap<IpAddr, BTreeSet<u16>> = BTreeMap::new();
    for socket in service {
        ports.entry(socket.ip()).or_default().insert(socket.port());
    }
    let endpoint = |(address, ports): (IpAddr, BTreeSet<u16>)| Endpoint {
        family: Family::of(address).number(),
        address: address.to_string(),
        ports,
    };
    ports.into_iter().map(endpoint).collect()
}

fn address<A: ToString>(link: &Management<A>) -> String {
    link.address.to_string()
}

fn gateway<A: ToString>(link: &Management<A>) -> Option<String> {
    link.gateway.as_ref().map(ToString::to_string)
}

/// The machine's neighbours with the site's word over the platform's. None is no list at all: no template wants an empty one.
fn neighbours(plan: &Plan, machine: &Machine) -> Option<Vec<Neighbour>> {
    let mut count = BTreeMap::new();
    let neighbours: Vec<Neighbour> = machine
        .neighbours
        .iter()
        .map(|neighbour| {
            let family = neighbour.family.number();
            let n = count.entry(family).and_modify(|n| *n += 1).or_insert(1);
            Neighbour {
                name: format!("edge_v{family}_{n}"),
                family,
                address: neighbour.address.to_string(),
                asn: plan.bgp.peer_asn.unwrap_or(neighbour.asn),
                local_asn: plan.bgp.local_asn.unwrap_or(neighbour.local_asn),
                source: neighbour.source.to_string(),
                multihop: plan.bgp.multihop.unwrap_or(neighbour.multihop),
                password: neighbour.password.clone(),
            }
        })
        .collect();
    (!neighbours.is_empty()).then_some(neighbours)
}

/// Only to neighbours that are several hops away: one on the link is reached without.
fn routes(plan: &Plan, machine: &Machine) -> Vec<Route> {
    let routes: BTreeSet<Route> = machine
        .neighbours
        .iter()
        .filter(|neighbour| plan.bgp.multihop.unwrap_or(neighbour.multihop) > 1)
        .filter_map(|neighbour| {
            let family = neighbour.family.number();
            let length = if family == 4 { 32 } else { 128 };
            let Way::Via(via) = neighbour.way else { return None };
            let via = via.to_string();
            Some(Route { family, prefix: format!("{}/{length}", neighbour.address), via })
        })
        .collect();
    routes.into_iter().collect()
}

impl Facts {
    /// Every name that has a value, passwords as dots.
    pub(crate) fn values(&self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(values)) => values,
            other => unreachable!("facts are a map of plain values, not {other:?}"),
        }
    }

    /// The values of these names for a template, and only these; passwords in the clear, because a configuration needs them.
    pub(crate) fn context(&self, names: &[String]) -> tera::Context {
        let mut values = self.values();
        if let Some(serde_json::Value::Array(shown)) = values.get_mut("neighbours") {
            for (neighbour, shown) in self.neighbours.iter().flatten().zip(shown) {
                shown["password"] = neighbour.password.as_ref().map_or("", Secret::expose).into();
            }
        }
        let mut context = tera::Context::new();
        for name in names {
            if let Some(value) = values.get(name) {
                context.insert(name.clone(), value);
            }
        }
        context
    }

    /// The names the platform answers under, the site's first.
    pub(crate) fn domains(&self) -> &[String] {
        &self.domains
    }

    /// How the proxy gets certificates.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Every password among them.
    pub(crate) fn passwords(&self) -> impl Iterator<Item = &Secret> {
        self.neighbours.iter().flatten().filter_map(|neighbour| neighbour.password.as_ref())
    }
}

/// Names everything the plan's templates need and this node does not have.
fn lacking(plan: &Plan, machine: &Machine, facts: &Facts) -> Result<(), Failure> {
    let values = facts.values();
    let mut unknown = Vec::new();
    let mut by_file = Vec::new();
    let mut missing = BTreeSet::new();
    for (title, needs) in needing(plan) {
        let names = |list: &[&str]| format!("{title} needs {}", list.join(", "));
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let (known, odd): (Vec<&str>, Vec<&str>) = needs.into_iter().partition(|name| facts::named(name).is_some());
        if !odd.is_empty() {
            unknown.push(names(&odd));
        }
        let lacks: Vec<&str> = known.into_iter().filter(|name| !values.contains_key(*name)).collect();
        if !lacks.is_empty() {
            by_file.push(names(&lacks));
            missing.extend(lacks);
        }
    }
    if !unknown.is_empty() {
        let message = format!("making facts: {}, which no fact is named", unknown.join("; "));
        return Err(Failure::new(Reason::TemplateBroken, message));
    }
    let unheard = unheard(plan, machine, facts);
    if by_file.is_empty() && unheard.is_none() {
        return Ok(());
    }
    let mut sources: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in missing {
        sources.entry(source(name)).or_default().push(name);
    }
    let sources = sources.into_iter().map(|(source, names)| {
        format!("{} {} from {source}", names.join(" and "), if names.len() == 1 { "comes" } else { "come" })
    });
    let parts: Vec<String> = by_file.into_iter().chain(unheard).chain(sources).collect();
    Err(Failure::new(Reason::FactsMissing, format!("making facts: {}", parts.join("; "))))
}

/// Everything of the plan that is rendered on the node, with the facts it needs.
fn needing(plan: &Plan) -> impl Iterator<Item = (String, &[String])> {
    let files = plan.files.iter().map(|file| (file.name.clone(), file.needs.as_slice()));
    let jobs = plan.jobs.iter().map(|job| (format!("the job {}", job.name), job.needs.as_slice()));
    let accesses = plan.services.iter().filter_map(|service| service.access.as_ref());
    let policies = accesses.flat_map(|access| &access.policies);
    let policies = policies.map(|(name, policy)| (format!("the policy {name}"), policy.needs.as_slice()));
    files.chain(jobs).chain(policies)
}

/// There are neighbours, a template that lists them, and a family to announce that none of them speaks.
fn unheard(plan: &Plan, machine: &Machine, facts: &Facts) -> Option<String> {
    let file = plan.files.iter().find(|file| file.needs.iter().any(|name| name == "neighbours"))?;
    facts.neighbours.as_ref()?;
    let families: Vec<&str> = metadata::unspoken(&plan.anycast, machine).into_iter().map(Family::name).collect();
    let families = families.join(" and ");
    (!families.is_empty()).then(|| {
        format!(
            "{} needs neighbours for {families}, which the site announces: create the BGP session of that family",
            file.name
        )
    })
}

/// What would give a name its value.
fn source(name: &str) -> &'static str {
    match name {
        "node_id" => "the machine's id in the metadata",
        "metro" => "the metro in the metadata",
        "facility" => "the facility in the metadata",
        "private4" => "an enabled private IPv4 management address",
        "private_gateway4" | "private_subnets" => "the gateway of the private IPv4 management address",
        "public4" => "an enabled public IPv4 management address",
        "public_gateway4" => "the gateway of the public IPv4 management address",
        "public6" => "an enabled public IPv6 management address",
        "public_gateway6" => "the gateway of the public IPv6 management address",
        "router_id" => "an IPv4 management address, the private one first",
        "neighbours" | "neighbour_routes" => "the machine's BGP sessions: enable BGP on the project and create them",
        _ => "the plan",
    }
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
