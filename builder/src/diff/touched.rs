//! What follows on a node: files that change, units that are restarted or reloaded for it, jobs that get a new version.
//! May not know how init does it: it goes by the same words of the plan (`Service::files`, `Service::reload`, `Job::files`).

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::Digest;
use anymetal_contract::plan::{Access, Arch, Component, File, Job, Plan, Ready, Service, Source};

use super::pair::{arrow, pairs};
use crate::form::Carried;

/// Below it, a changed file needs a restart of its unit, for systemd applies most of it only then.
const UNITS: &str = "/etc/systemd/";

/// Why something is not as it was.
struct Touched<'p> {
    /// By the file's name: what of it changed.
    files: BTreeMap<&'p str, Vec<String>>,
    components: BTreeSet<&'p str>,
    facts: BTreeSet<&'static str>,
    init: bool,
    /// What the guard keeps watch by, besides files: facts, reports, what has to answer.
    watch: bool,
}

/// Facts of the plan's own that the guard has in its document.
const WATCHED: [&str; 7] = ["site", "domains", "anycast4", "anycast6", "tls", "expose", "guard"];

/// Files, then units, then jobs.
pub(super) fn touched(old: &Carried, new: &Carried) -> Vec<String> {
    let (was, is) = (&old.plan, &new.plan);
    let facts = facts(was, is);
    let files = pairs(&was.files, &is.files, |file| &file.name);
    let changed = files.iter().filter_map(|(name, old, new)| {
        let why = match (old, new) {
            (Some(old), Some(new)) => file(old, new, was, is, &facts),
            _ => vec!["it".to_owned()],
        };
        (!why.is_empty()).then_some((*name, why))
    });
    let components = pairs(&was.components, &is.components, |component| &component.name).into_iter();
    let components = components.filter(|(_, old, new)| old.map(program) != new.map(program)).map(|(name, ..)| name);
    let init = matches!((&old.inits, &new.inits), (Some(old), Some(new)) if old != new);
    let answers = |plan: &Plan| plan.jobs.iter().map(|job| job.answers.clone()).collect::<Vec<_>>();
    let heard =
        |plan: &Plan| (!plan.reports.is_empty()).then(|| (plan.reports.clone(), plan.ca.clone(), plan.proxy.clone()));
    let watch =
        WATCHED.iter().any(|fact| facts.contains(fact)) || heard(was) != heard(is) || answers(was) != answers(is);
    let touched = Touched { files: changed.collect(), components: components.collect(), facts, init, watch };
    let told = files.iter().filter_map(|(name, old, new)| {
        let path = new.or(*old).map(|file| &file.path)?;
        match (old, new) {
            (None, _) => Some(format!("file {path} added")),
            (_, None) => Some(format!("file {path} no longer written")),
            _ => touched.files.get(name).map(|why| format!("file {path} changes: {}", why.join(", "))),
        }
    });
    let units = pairs(&was.services, &is.services, |service| &service.unit).into_iter();
    let units = units.flat_map(|(unit, old, new)| match (old, new) {
        (Some(old), Some(new)) => service(old, new, is, &touched),
        (None, _) => vec![format!("unit {unit} added")],
        _ => vec![format!("unit {unit} no longer run")],
    });
    let jobs = pairs(&was.jobs, &is.jobs, |job| &job.name).into_iter();
    let jobs = jobs.filter_map(|(name, old, new)| match (old, new) {
        (Some(old), Some(new)) => job(old, new, is, &touched),
        (None, _) => Some(format!("job {name} added")),
        _ => Some(format!("job {name} no longer run")),
    });
    told.chain(units).chain(jobs).collect()
}

/// What a unit runs: its version and its bytes.
fn program(component: &Component) -> (&str, Vec<(&Arch, &Digest)>) {
    let archives = match &component.source {
        Source::Artefacts(artefacts) => artefacts.iter().map(|(arch, artefact)| (arch, &artefact.sha256)).collect(),
        Source::HostPackage(_) => Vec::new(),
    };
    (&component.version, archives)
}

/// What of a file changes.
fn file(old: &File, new: &File, was: &Plan, is: &Plan, facts: &BTreeSet<&'static str>) -> Vec<String> {
    let mut why = Vec::new();
    why.extend(arrow("place", &old.path, &new.path));
    why.extend(arrow("mode", &old.mode, &new.mode));
    why.extend(arrow("owner", &old.owner, &new.owner));
    if old.body != new.body {
        why.push(format!("its template ({})", lines(&old.body, &new.body)));
    }
    let stale = new.needs.iter().filter(|need| facts.contains(need.as_str()));
    why.extend(stale.map(|fact| format!("the fact `{fact}`")));
    if new.needs.iter().any(|need| need == "components") {
        why.extend(named(&new.body, was, is));
    }
    if old.check != new.check {
        why.push("what checks it".to_owned());
    }
    if why.is_empty() && (&old.needs, &old.secrets) != (&new.needs, &new.secrets) {
        why.push("what it may name".to_owned());
    }
    why
}

/// `lines: 3 added, 1 removed`: lines that only one of the two has.
fn lines(old: &str, new: &str) -> String {
    let count = |text: &str| {
        let mut lines = BTreeMap::<String, usize>::new();
        text.lines().for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
        lines
    };
    let (old, new) = (count(old), count(new));
    let more = |one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>| {
        one.iter().map(|(line, times)| times.saturating_sub(other.get(line).copied().unwrap_or(0))).sum::<usize>()
    };
    match (more(&new, &old), more(&old, &new)) {
        (0, 0) => "the same lines in another order".to_owned(),
        (added, removed) => format!("lines: {added} added, {removed} removed"),
    }
}

/// What a template that names components has of them: their versions and features, and whether they are there.
fn named(body: &str, was: &Plan, is: &Plan) -> Vec<String> {
    let pairs = pairs(&was.components, &is.components, |component| &component.name);
    let of = |(name, old, new): (&str, Option<&Component>, Option<&Component>)| {
        let says = |what: &str| body.contains(&format!("components.{name}{what}"));
        let (Some(old), Some(new)) = (old, new) else { return says("").then(|| format!("whether there is a {name}")) };
        let version = (old.version != new.version && says(".version")).then(|| format!("the version of {name}"));
        version.or_else(|| (old.features != new.features && says(".features")).then(|| format!("what {name} can do")))
    };
    pairs.into_iter().filter_map(of).collect()
}

/// Facts of the plan's own that are not as they were, by the names of [`anymetal_contract::facts`]; versions are in [`named`].
fn facts(old: &Plan, new: &Plan) -> BTreeSet<&'static str> {
    let sessions = |plan: &Plan| {
        let bgp = &plan.bgp;
        (bgp.local_asn, bgp.peer_asn, bgp.multihop, bgp.password.is_some())
    };
    let changed: [(&[&'static str], bool); 13] = [
        (&["site"], old.site != new.site),
        (&["platform"], old.platform != new.platform),
        (&["domain", "domains"], old.domain != new.domain),
        (&["anycast4"], old.anycast.v4 != new.anycast.v4),
        (&["anycast6"], old.anycast.v6 != new.anycast.v6),
        (&["communities"], old.bgp.communities != new.bgp.communities),
        (&["private_subnets"], old.metadata.private_subnets != new.metadata.private_subnets),
        (&["neighbours"], sessions(old) != sessions(new)),
        (&["hippo"], old.settings.hippo != new.settings.hippo),
        (&["tls"], old.settings.tls != new.settings.tls),
        (&["expose"], old.settings.expose != new.settings.expose),
        (&["firewall"], old.settings.firewall != new.settings.firewall),
        (&["guard"], old.settings.guard != new.settings.guard),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).flat_map(|(names, _)| names.iter().copied()).collect()
}

/// What becomes of a unit.
fn service(old: &Service, new: &Service, is: &Plan, touched: &Touched<'_>) -> Vec<String> {
    let path = |name: &str| is.files.iter().find(|file| file.name == name).map_or("", |file| &file.path);
    let files = new.files.iter().filter(|name| touched.files.contains_key(name.as_str()));
    let (units, config): (Vec<_>, Vec<_>) = files.map(|name| path(name)).partition(|path| path.starts_with(UNITS));
    let mut why: Vec<String> = Vec::new();
    if touched.components.contains(new.component.as_str()) || old.component != new.component {
        why.push(new.component.clone());
    }
    if touched.init && new.ready == Ready::Announced {
        why.push("anymetal-init".to_owned());
    }
    why.extend(units.iter().map(ToString::to_string));
    let mut config: Vec<String> = config.iter().map(ToString::to_string).collect();
    config.extend((touched.watch && new.ready == Ready::Announced).then(|| "what it keeps watch by".to_owned()));
    let restarts = !why.is_empty() || (!config.is_empty() && !new.reload);
    why.extend(config);
    if why.is_empty() && old.files != new.files {
        why.push("other files belong to it".to_owned());
    }
    let unit = &new.unit;
    let mut words = Vec::new();
    if !why.is_empty() {
        words.push(format!("unit {unit} {}: {}", if restarts { "restarted" } else { "reloaded" }, why.join(", ")));
    }
    if old.ready != new.ready || old.data != new.data || old.reload != new.reload {
        words.push(format!("unit {unit}: other rules for when it is ready, reloaded or mended"));
    }
    if old.access != new.access {
        words.push(format!("unit {unit}: access changes{}", access(old.access.as_ref(), new.access.as_ref())));
    }
    words
}

/// Which policies and tokens, when there is access control before and after.
fn access(old: Option<&Access>, new: Option<&Access>) -> String {
    let (Some(old), Some(new)) = (old, new) else { return String::new() };
    let policies = super::pair::keyed(&old.policies, &new.policies);
    let policies = policies.into_iter().filter(|(_, old, new)| old != new).map(|(name, ..)| format!("policy {name}"));
    let tokens = pairs(&old.tokens, &new.tokens, |token| &token.secret);
    let tokens = tokens.into_iter().filter(|(_, old, new)| old != new).map(|(name, ..)| format!("token {name}"));
    let namespaces = super::pair::keyed(&old.namespaces, &new.namespaces);
    let namespaces =
        namespaces.into_iter().filter(|(_, old, new)| old != new).map(|(name, ..)| format!("namespace {name}"));
    let all: Vec<_> = policies.chain(tokens).chain(namespaces).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

/// Why a job gets a new version.
fn job(old: &Job, new: &Job, is: &Plan, touched: &Touched<'_>) -> Option<String> {
    let path =
        |name: &String| is.files.iter().find(|file| file.name == *name).map_or(name.clone(), |file| file.path.clone());
    let mut why = Vec::new();
    if touched.components.contains(new.component.as_str()) || old.component != new.component {
        why.push(new.component.clone());
    }
    if old.body != new.body {
        why.push(format!("its template ({})", lines(&old.body, &new.body)));
    }
    why.extend(
        new.needs.iter().filter(|need| touched.facts.contains(need.as_str())).map(|fact| format!("the fact `{fact}`")),
    );
    why.extend(new.files.iter().filter(|name| touched.files.contains_key(name.as_str())).map(path));
    if old.namespace != new.namespace {
        why.push(format!("namespace {}", new.namespace));
    }
    let rest = |job: &Job| {
        (
            job.answers.clone(),
            job.secrets.clone(),
            job.api.clone(),
            job.token.clone(),
            job.files.clone(),
            job.needs.clone(),
        )
    };
    if why.is_empty() && rest(old) != rest(new) {
        return Some(format!("job {}: other rules for when it is healthy, or what it may name", new.name));
    }
    (!why.is_empty()).then(|| format!("job {} gets a new version: {}", new.name, why.join(", ")))
}
