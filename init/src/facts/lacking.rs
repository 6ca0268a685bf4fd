//! What the plan's templates need and this node does not have, and where it would come from.
//! May not give anything a value.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::{Plan, Reason, facts};

use super::Facts;
use crate::metadata::{self, Family, Machine};
use anymetal_supply::failure::Failure;

/// Names everything the plan's templates need and this node does not have.
pub(super) fn lacking(plan: &Plan, machine: &Machine, facts: &Facts) -> Result<(), Failure> {
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
        "private4" | "private_subnets" => {
            "an enabled private IPv4 management address: attach a private network, if the platform gives none by itself"
        }
        "private_gateway4" => "the gateway of the private IPv4 management address",
        "public4" => "an enabled public IPv4 management address",
        "public_gateway4" => "the gateway of the public IPv4 management address",
        "public6" => "an enabled public IPv6 management address",
        "public_gateway6" => "the gateway of the public IPv6 management address",
        "router_id" => "an IPv4 management address, the private one first",
        "neighbours" | "neighbour_routes" => "the machine's BGP sessions: enable BGP at the platform and create them",
        _ => "the plan",
    }
}
