//! A site to its plan: what every node of the site needs, no secrets, nothing node-specific.
//! May not read, write or fetch anything: versions and digests are in the site, in its lock or in the components' descriptions.

mod canonical;
mod fit;
mod missing;
mod needs;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::plan::{self, Acl, Anycast, Arch, Artefact, Certificate, Plan, Settings};
use anymetal_contract::{Abilities, Digest, Phase};

use crate::component::{self, Artefacts, Component, Source};
use crate::lock::document::Archive;
use crate::lock::{self, list};
use crate::site::Site;
use crate::site::model::{Choice, Registration};
use canonical::LARGEST_INTEGER;
pub use canonical::{canonical, digest};
pub use fit::{fit, fit_release, fit_signed};
pub use missing::Missing;
pub use needs::{Need, needs};

/// The phases every plan has work for. `wake`, `plan` and `settle` are always there and not named.
const PHASES: [Phase; 8] = [
    Phase::Metadata,
    Phase::Acquire,
    Phase::Install,
    Phase::Facts,
    Phase::Files,
    Phase::Services,
    Phase::Prove,
    Phase::Announce,
];

/// The plan of a site, for an init with these abilities. The error is the author's to mend.
pub fn make(site: &Site, abilities: &Abilities) -> Result<Plan> {
    let plan = draft(site)?;
    fit(&plan, abilities)?;
    Ok(plan)
}

/// What the site asks for, whoever is to carry it out. All that is missing is named at once.
pub fn draft(site: &Site) -> Result<Plan> {
    let (plan, missing) = sketch(site)?;
    ensure!(missing.is_empty(), "{}", missing::told(&missing));
    Ok(plan)
}

/// The same as far as it can be made, with what is still missing in it: archives whose digest nobody has asked for yet.
pub fn preview(site: &Site) -> Result<(Plan, Vec<Missing>)> {
    sketch(site)
}

/// The plan of a node of that architecture as far as it can be made, to be looked at and never to be run, and what is missing in it. An archive
/// whose digest is not known has none: zeros.
pub fn rehearsal(site: &Site, arch: Arch) -> Result<(Plan, Vec<Missing>)> {
    let (mut plan, missing) = sketch(site)?;
    for part in &mut plan.components {
        let plan::Source::Artefacts(artefacts) = &mut part.source else { continue };
        let Some(Source::Artefacts(upstream)) = component::named(&part.name).map(|known| &known.source) else {
            continue;
        };
        artefacts.entry(arch).or_insert_with(|| Artefact {
            sha256: Digest::of([0; 32]),
            size: None,
            format: upstream.format,
            members: upstream.members(arch),
            urls: Vec::new(),
        });
    }
    Ok((plan, missing))
}

/// The secrets that somebody has to bring for the site's nodes, whether or not every archive is known.
pub fn wanted_secrets(site: &Site) -> Result<BTreeSet<String>> {
    let (plan, _) = sketch(site)?;
    Ok(plan.wanted_secrets().into_iter().map(str::to_owned).collect())
}

/// The plan, and what is missing in it.
fn sketch(site: &Site) -> Result<(Plan, Vec<Missing>)> {
    let mut missing = Vec::new();
    let chosen = || component::all().iter().filter_map(|known| Some((known, site.components.get(&known.name)?)));
    let components = chosen().map(|(known, choice)| component_of(site, known, choice, &mut missing)).collect();
    let services: Vec<_> =
        chosen().flat_map(|(known, _)| known.services.iter().map(|unit| service_of(site, known, unit))).collect();
    let jobs = jobs(chosen().map(|(known, _)| known), &services)?;
    let work = jobs.iter().map(|_| Phase::Jobs).take(1);
    let mut plan = Plan {
        site: site.name.clone(),
        platform: site.platform.clone(),
        os: site.os.clone(),
        domain: site.domain.clone(),
        anycast: Anycast { v4: texts(&site.anycast4), v6: texts(&site.anycast6) },
        bgp: site.bgp.clone(),
        metadata: site.metadata.clone(),
        phases: PHASES.into_iter().chain(work).collect(),
        origins: site.origins.clone(),
        supplies: site.supplies.clone(),
        components,
        certificates: chosen().filter_map(|(known, _)| certificate_of(known)).collect(),
        files: chosen().flat_map(|(known, _)| known.files.clone()).collect(),
        services,
        jobs,
        settings: settings(site),
        deadlines: site.deadlines.clone(),
        reports: site.reports.clone(),
        proxy: site.proxy.clone(),
        ca: site.ca.clone(),
        ..Plan::default()
    };
    plan.packages =
        list::lists(site).into_iter().map(|(arch, list)| (arch, list::listed(&list::bytes(&list)))).collect();
    plan.secrets = (!plan.wanted_secrets().is_empty()).then_some(site.secrets.deliver);
    Ok((plan, missing))
}

fn texts<T: ToString>(things: &[T]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}

fn certificate_of(known: &Component) -> Option<Certificate> {
    let names = &known.certificate;
    (!names.is_empty()).then(|| Certificate { name: known.name.clone(), names: names.clone() })
}

fn component_of(site: &Site, known: &Component, choice: &Choice, missing: &mut Vec<Missing>) -> plan::Component {
    let version = choice.version;
    let source = match &known.source {
        Source::HostPackage(host) => plan::Source::HostPackage(host.package.clone()),
        Source::Artefacts(upstream) => {
            let mut artefacts = BTreeMap::new();
            for arch in &site.architectures {
                let locked = site.lock.as_ref();
                let locked = locked.and_then(|lock| lock.archive(&known.name, &version.to_string(), *arch));
                match artefact_of(known, upstream, choice, locked, *arch) {
                    Ok(artefact) => _ = artefacts.insert(*arch, artefact),
                    Err(one) => missing.push(one),
                }
            }
            plan::Source::Artefacts(artefacts)
        }
    };
    let upstreams = || known.packages(version, &site.os).map(str::to_owned).collect();
    plan::Component {
        features: known.features(version),
        packages: choice.packages.clone().unwrap_or_else(upstreams),
        user: known.user.clone(),
        ..plan::Component::new(&known.name, version.to_string(), source)
    }
}

fn artefact_of(
    component: &Component,
    upstream: &Artefacts,
    choice: &Choice,
    locked: Option<&Archive>,
    arch: Arch,
) -> Result<Artefact, Missing> {
    let (name, version) = (&component.name, choice.version);
    let pin = choice.artefacts.get(&arch);
    let locked = locked.filter(|locked| pin.is_none_or(|pin| pin.sha256 == locked.sha256));
    let known = || locked.map(|locked| &locked.sha256).or_else(|| upstream.digest(version, arch));
    let Some(sha256) = pin.map(|pin| &pin.sha256).or_else(known) else {
        let known = texts(&upstream.pinned(arch).collect::<Vec<_>>()).join(", ");
        let known = if known.is_empty() { "of no version is it known".to_owned() } else { format!("known: {known}") };
        let (component, version) = (name.clone(), version.to_string());
        return Err(Missing::Digest { component, version, arch, known });
    };
    let size = pin.and_then(|pin| pin.size).or(locked.map(|locked| locked.size));
    if size.is_some_and(|size| size > LARGEST_INTEGER) {
        return Err(Missing::Other(format!("component {name} {version}: its size for {arch} is over 2^53")));
    }
    let urls = locked.filter(|_| pin.is_none()).map(|locked| locked.urls.clone());
    let urls = urls.unwrap_or_else(|| lock::fit::urls(upstream, choice, arch));
    Ok(Artefact { sha256: sha256.clone(), size, format: upstream.format, members: upstream.members(arch), urls })
}

fn service_of(site: &Site, known: &Component, service: &component::Service) -> plan::Service {
    plan::Service {
        unit: service.unit.clone(),
        component: known.name.clone(),
        files: service.files.iter().map(|file| format!("{}/{file}", known.name)).collect(),
        reload: service.reload,
        data: service.data.clone(),
        ready: service.ready.clone(),
        access: service.access.as_ref().map(|access| access_of(site, access)),
    }
}

/// The tokens of components that are there, and the policies those have.
fn access_of(site: &Site, access: &component::Access) -> plan::Access {
    let there = |token: &&component::Token| {
        token.component.as_ref().is_none_or(|component| site.components.contains_key(component))
    };
    let tokens: Vec<_> = access.tokens.iter().filter(there).collect();
    let had: BTreeSet<_> = tokens.iter().flat_map(|token| &token.policies).collect();
    let policies = access.policies.iter().filter(|(name, _)| had.contains(name));
    let token =
        |token: &&component::Token| plan::Token { secret: token.secret.clone(), policies: token.policies.clone() };
    plan::Access {
        of: access.of,
        api: access.api.clone(),
        management: access.management.clone(),
        reader: access.reader.clone(),
        policies: policies.map(|(name, policy)| (name.clone(), policy.clone())).collect(),
        tokens: tokens.iter().map(token).collect(),
        namespaces: access.namespaces.clone(),
    }
}

/// The jobs of these components, to go to the Nomad among the services.
fn jobs<'a>(chosen: impl Iterator<Item = &'a Component>, services: &[plan::Service]) -> Result<Vec<plan::Job>> {
    let mut accesses = services.iter().filter_map(|service| service.access.as_ref());
    let nomad = accesses.find(|access| access.of == Acl::Nomad);
    let job = |job: &plan::Job| {
        let nomad = nomad.with_context(|| format!("the job {} has no Nomad to run it", job.name))?;
        Ok(plan::Job { api: nomad.api.clone(), token: nomad.management.clone(), ..job.clone() })
    };
    chosen.flat_map(|known| &known.jobs).map(job).collect()
}

fn settings(site: &Site) -> Settings {
    // the words of `Hippo:RegistrationMode`
    let registration = match site.hippo.registration {
        Registration::AdministratorOnly => "AdministratorOnly",
        Registration::Closed => "Closed",
        Registration::Open => "Open",
    };
    let hippo = plan::Hippo { registration: registration.to_owned(), administrator: site.hippo.administrator.clone() };
    let firewall = plan::Firewall {
        ssh4: texts(&site.firewall.ssh4),
        ssh6: texts(&site.firewall.ssh6),
        tcp: site.firewall.tcp.clone(),
        udp: site.firewall.udp.clone(),
    };
    Settings { hippo, tls: site.tls.clone(), firewall, guard: site.guard.clone(), expose: site.expose }
}

#[cfg(test)]
mod tests;
