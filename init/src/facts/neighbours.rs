//! The BGP sessions as templates see them: the machine's neighbours with the site's word over the platform's, and the routes to them.
//! May not judge them, and shows a password as dots.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anymetal_contract::plan::Password;
use anymetal_contract::secrets::BGP_PASSWORD;
use anymetal_contract::{Plan, Reason};
use ipnet::IpNet;
use serde::Serialize;

use crate::metadata::{Machine, Way, is_link_local};
use crate::secret::Secret;
use crate::secrets::Secrets;
use anymetal_supply::failure::Failure;

/// A neighbour as a template sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Neighbour {
    /// Unique, and a word in BIRD's grammar: `edge_v4_1`.
    pub(super) name: String,
    pub(super) family: u8,
    pub(super) address: IpAddr,
    pub(super) asn: u32,
    pub(super) local_asn: u32,
    /// Empty: the interface's own link-local address.
    #[serde(serialize_with = "empty_or_itself")]
    pub(super) source: Option<IpAddr>,
    /// Empty: the routing table's.
    #[serde(serialize_with = "empty_or_itself")]
    pub(super) interface: Option<String>,
    pub(super) multihop: u8,
    /// For the judgement; templates have the routes.
    #[serde(skip)]
    pub(super) way: Way,
    #[serde(serialize_with = "empty_or_dots")]
    pub(super) password: Option<Secret>,
}

/// How to reach a neighbour that is not on-link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Route {
    pub(super) family: u8,
    pub(super) prefix: IpNet,
    pub(super) via: IpAddr,
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn empty_or_itself<T: ToString, S: serde::Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.as_ref().map(ToString::to_string).unwrap_or_default())
}

#[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
fn empty_or_dots<S: serde::Serializer>(password: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match password {
        Some(password) => password.serialize(serializer),
        None => serializer.serialize_str(""),
    }
}

/// The machine's neighbours with the site's word over the platform's. None is no list at all: no template wants an empty one.
pub(super) fn neighbours(plan: &Plan, machine: &Machine, secrets: &Secrets) -> Result<Option<Vec<Neighbour>>, Failure> {
    let password = password(plan, secrets)?;
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
                address: neighbour.address,
                asn: plan.bgp.peer_asn.unwrap_or(neighbour.asn),
                local_asn: plan.bgp.local_asn.unwrap_or(neighbour.local_asn),
                source: neighbour.source,
                interface: neighbour.interface.clone(),
                // What is link-local is on the link, whatever holds for the others.
                multihop: plan.bgp.multihop.filter(|_| !is_link_local(neighbour.address)).unwrap_or(neighbour.multihop),
                way: neighbour.way,
                password: password.or(neighbour.password.as_ref()).cloned(),
            }
        })
        .collect();
    Ok((!neighbours.is_empty()).then_some(neighbours))
}

/// The password of all sessions, when the site says that it is among the secrets.
fn password<'s>(plan: &Plan, secrets: &'s Secrets) -> Result<Option<&'s Secret>, Failure> {
    let Some(Password::Secret) = plan.bgp.password else { return Ok(None) };
    let missing = || {
        let what =
            format!("making facts: the password of the BGP sessions is the secret {BGP_PASSWORD}, and has not come");
        Failure::new(Reason::SecretsMissing, what)
    };
    secrets.value(BGP_PASSWORD).map(Some).ok_or_else(missing)
}

/// Only to neighbours that are several hops away: one on the link is reached without.
pub(super) fn routes(neighbours: &[Neighbour]) -> Vec<Route> {
    let distant = neighbours.iter().filter(|neighbour| neighbour.multihop > 1);
    let routes: BTreeSet<Route> = distant
        .filter_map(|neighbour| match neighbour.way {
            Way::Via(via) => Some(Route { family: neighbour.family, prefix: neighbour.address.into(), via }),
            Way::OnLink | Way::Default | Way::Untold => None,
        })
        .collect();
    routes.into_iter().collect()
}
