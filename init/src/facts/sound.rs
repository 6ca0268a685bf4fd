//! What BIRD takes without a word and what then never works: its own check reads a configuration, it does not ask whether it can.
//! May not quote a password.

use anymetal_contract::{Plan, Reason};
use ipnet::IpNet;

use super::neighbours::{Neighbour, Route};
use crate::bird;
use crate::metadata::{Accepted, Family, Machine, Way, is_link_local};
use crate::secret::Secret;
use anymetal_supply::failure::Failure;

/// Whether every session can come up; names every reason why one cannot, and what to do.
pub(super) fn judge(neighbours: &[Neighbour], routes: &[Route]) -> Result<(), Failure> {
    let mut faults: Vec<String> = neighbours
        .iter()
        .flat_map(|neighbour| {
            let Neighbour { name, address, .. } = neighbour;
            let of_one = [channel(neighbour), interface(neighbour), way(neighbour, routes), password(neighbour)];
            of_one.into_iter().flatten().map(move |fault| format!("the session {name} with {address} {fault}"))
        })
        .collect();
    for (i, one) in neighbours.iter().enumerate() {
        let earlier = &neighbours[..i];
        if earlier.iter().any(|other| other.name == one.name) {
            faults.push(format!("two sessions are named {}: report this, the names are ours", one.name));
        }
        if earlier.iter().any(|other| (other.address, &other.interface) == (one.address, &one.interface)) {
            faults.push(format!("two sessions are with {}: remove one of them", one.address));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Reason::BgpUnsound, format!("making facts: {}", faults.join("; "))))
}

/// A session carries the prefixes of its family, in a channel of that family.
fn channel(neighbour: &Neighbour) -> Option<String> {
    let Neighbour { family, address, source, .. } = neighbour;
    let source = source.unwrap_or(*address);
    let families = [*address, source].map(|address| Family::of(address).number());
    if families != [*family; 2] {
        return Some(format!(
            "comes from {source} and has a channel for IPv{family}, so nothing would be spoken of: all three must be of one family"
        ));
    }
    (neighbour.source == Some(*address))
        .then(|| "is with this machine itself: correct the neighbour's address".to_owned())
}

/// BIRD takes no link-local session without an interface, and none with an interface over several hops.
fn interface(neighbour: &Neighbour) -> Option<String> {
    let Neighbour { address, source, interface, multihop, .. } = neighbour;
    let local = is_link_local(*address) || source.is_some_and(is_link_local);
    match interface {
        None if local => Some("is link-local, and nobody says on which interface: name it in the metadata".to_owned()),
        Some(interface) if *multihop > 1 => Some(format!(
            "is bound to the interface {interface} and may be {multihop} hops away, which BIRD cannot do: remove `bgp.multihop` from the site, \
             or the interface from the metadata"
        )),
        _ => None,
    }
}

fn way(neighbour: &Neighbour, routes: &[Route]) -> Option<String> {
    let Neighbour { address, source, multihop, way, .. } = neighbour;
    let source = source.unwrap_or(*address);
    let has_route = || routes.iter().any(|route| route.prefix == IpNet::from(*address));
    match way {
        Way::OnLink => None,
        _ if *multihop < 2 => Some(format!(
            "is to be on the link, and is not on that of {source}, so BIRD would wait for it for ever: \
             set `bgp.multihop` in the site to the hops it may be away"
        )),
        Way::Untold => Some(format!(
            "is {multihop} hops away, and nobody says who forwards to it: give the link of {source} a gateway, or remove `bgp.multihop` \
             from the site if it is on the link"
        )),
        Way::Via(gateway) if is_link_local(*gateway) => Some(format!(
            "goes by {gateway}, which only an interface leads to, so BIRD would have no route: name a gateway with an address of the link"
        )),
        Way::Via(gateway) if !has_route() => Some(format!("goes by {gateway}, and there is no route: report this")),
        Way::Default | Way::Via(_) => None,
    }
}

fn password(neighbour: &Neighbour) -> Option<String> {
    let fault = neighbour.password.as_ref().map(Secret::expose).and_then(bird::unusable)?;
    Some(format!("has a password {fault}: agree on another one with the network"))
}

/// What may well be meant and will most likely not do: prefixes of the site that neighbours say they do not accept. One sentence for all
/// neighbours that accept the same.
pub(crate) fn doubts(plan: &Plan, machine: &Machine) -> Vec<String> {
    let prefixes: Vec<IpNet> =
        plan.anycast.v4.iter().chain(&plan.anycast.v6).filter_map(|prefix| prefix.parse().ok()).collect();
    let mut doubts: Vec<(String, String)> = Vec::new();
    for neighbour in &machine.neighbours {
        let doubt = neighbour.accepts.as_ref().and_then(|accepts| doubt(neighbour.family, accepts, &prefixes));
        let Some(doubt) = doubt else { continue };
        match doubts.iter_mut().find(|(_, same)| *same == doubt) {
            Some((who, _)) => *who = format!("{who} and {}", neighbour.address),
            None => doubts.push((neighbour.address.to_string(), doubt)),
        }
    }
    let sentence = |(who, doubt)| format!("by the metadata {who} will not accept {doubt}");
    doubts.into_iter().map(sentence).collect()
}

/// So many prefixes are named of what a neighbour accepts.
const NAMED: usize = 10;

fn doubt(family: Family, accepts: &[Accepted], prefixes: &[IpNet]) -> Option<String> {
    let refused: Vec<String> = prefixes
        .iter()
        .filter(|prefix| Family::of(prefix.addr()) == family && !accepts.iter().any(|accepted| accepted.takes(prefix)))
        .map(ToString::to_string)
        .collect();
    if refused.is_empty() {
        return None;
    }
    let whole = |accepted: &Accepted| if accepted.exact { " whole" } else { "" };
    let mut named: Vec<String> =
        accepts.iter().take(NAMED).map(|accepted| format!("{}{}", accepted.prefix, whole(accepted))).collect();
    if accepts.len() > NAMED {
        named.push(format!("{} more", accepts.len() - NAMED));
    }
    let accepted = if named.is_empty() { "nothing".to_owned() } else { format!("only {}", named.join(", ")) };
    Some(format!(
        "{}, {accepted}: have the prefix assigned to the project, or take it out of the site",
        refused.join(" and ")
    ))
}

#[cfg(test)]
mod tests;
