//! Values for the closed list of names templates may use: a pure function of plan, machine, secrets and architecture.
//! May not know a platform, and may not show a password: [`Facts::context`] alone hands it to the template that declared it.

mod lacking;
mod neighbours;
mod sound;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anymetal_contract::plan::{Arch, Component, Expose, Firewall, Guard, Hippo, Source, Tls};
use anymetal_contract::{Outcome, Plan, facts, place};
use serde::Serialize;

use crate::metadata::{self, Family, Machine, Management};
use crate::phase::{Answer, Steps};
use crate::secret::Secret;
use crate::secrets::Secrets;
use crate::world::World;
use anymetal_supply::failure::Failure;
use neighbours::{Neighbour, Route};
pub(crate) use sound::doubts;

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
    expose: &'static str,
    #[serde(skip)]
    routed: bool,
    firewall: Firewall,
    guard: Guard,
    metadata_service: Vec<Endpoint>,
    resolvers: Vec<Resolver>,
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

/// A name server that the machine's programs ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Resolver {
    family: u8,
    address: IpAddr,
}

/// The work of the phase `facts`.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    if world.facts.get().is_some() {
        return Ok(Answer::Same("the facts were made before".into()));
    }
    let facts = make(world.plan(), world.machine(), &world.secrets(), world.arch)?;
    let count = facts.values().len();
    world.facts.get_or_init(|| facts);
    for doubt in doubts(world.plan(), world.machine()) {
        steps.step("warning", Outcome::Done, &doubt);
    }
    Ok(Answer::Done(format!("{count} of {} facts have a value", facts::NAMES.len())))
}

/// The facts, when every template of the plan has what it needs; otherwise one failure that names all that is missing.
pub(crate) fn make(plan: &Plan, machine: &Machine, secrets: &Secrets, arch: Arch) -> Result<Facts, Failure> {
    let neighbours = neighbours::neighbours(plan, machine, secrets)?;
    let private_subnets = metadata::private_subnets(plan, machine)?;
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
        expose: plan.settings.expose.map_or("", Expose::id),
        routed: plan.settings.opens_platform(),
        firewall: plan.settings.firewall.clone(),
        guard: plan.settings.guard.clone(),
        metadata_service: endpoints(&machine.service),
        resolvers: machine
            .resolvers
            .iter()
            .map(|&address| Resolver { family: Family::of(address).number(), address })
            .collect(),
        node_id: machine.id.clone(),
        metro: machine.metro.clone(),
        facility: machine.facility.clone(),
        private4: machine.private4.as_ref().map(address),
        private_gateway4: machine.private4.as_ref().and_then(gateway),
        private_subnets: machine.private4.as_ref().map(|_| private_subnets.iter().map(ToString::to_string).collect()),
        public4: machine.public4.as_ref().map(address),
        public_gateway4: machine.public4.as_ref().and_then(gateway),
        public6: machine.public6.as_ref().map(address),
        public_gateway6: machine.public6.as_ref().and_then(gateway),
        // The private address: it is there on every machine that speaks BGP, and nobody outside the network learns of it.
        router_id: machine.private4.map(|link| link.address).or(machine.public4.map(|link| link.address)),
        neighbour_routes: neighbours.as_deref().map(neighbours::routes),
        neighbours,
    };
    lacking::lacking(plan, machine, &facts)?;
    sound::judge(
        facts.neighbours.as_deref().unwrap_or_default(),
        facts.neighbour_routes.as_deref().unwrap_or_default(),
    )?;
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

    /// The node's name.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    /// The names of the sessions with the neighbours.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = &str> {
        self.neighbours.iter().flatten().map(|neighbour| neighbour.name.as_str())
    }

    /// The names the platform answers under, the site's first.
    pub(crate) fn domains(&self) -> &[String] {
        &self.domains
    }

    /// How the proxy gets certificates.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Whether Hippo and Bindle have routers from outside.
    pub(crate) fn routed(&self) -> bool {
        self.routed
    }

    /// Every password among them.
    pub(crate) fn passwords(&self) -> impl Iterator<Item = &Secret> {
        self.neighbours.iter().flatten().filter_map(|neighbour| neighbour.password.as_ref())
    }
}

#[cfg(test)]
mod tests;
