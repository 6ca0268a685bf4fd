//! What the site wishes: its names, certificates, accounts, the guard, and how a boot goes.
//! May not show a secret: of those there are only names in a plan.

use std::collections::BTreeSet;

use anymetal_contract::Phase;
use anymetal_contract::plan::{
    Canary, Certificate, Delivery, Guard, Plan, Proxy, Quorum, Report, Settings, Supply, Tls,
};
use anymetal_supply::origin::shown;

use super::pair::{arrow, keyed, lists, pairs, perhaps, sets};
use crate::plan;

/// What the whole site is.
pub(super) fn site(old: &Plan, new: &Plan) -> Vec<String> {
    [
        arrow("site", &old.site, &new.site),
        arrow("platform", &old.platform, &new.platform),
        arrow("operating system", &old.os, &new.os),
        arrow("domain", &old.domain, &new.domain),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Certificates, accounts and the guard.
pub(super) fn settings(old: &Plan, new: &Plan) -> Vec<String> {
    let certificate = |(name, old, new): (&str, Option<&Certificate>, Option<&Certificate>)| match (old, new) {
        (None, _) => Some(format!("certificate of {name} added")),
        (_, None) => Some(format!("certificate of {name} removed")),
        (Some(old), Some(new)) => {
            let names = |certificate: &Certificate| certificate.names.join(", ");
            arrow(&format!("certificate of {name}: names"), &names(old), &names(new))
        }
    };
    let certificates = pairs(&old.certificates, &new.certificates, |one| &one.name).into_iter().filter_map(certificate);
    let (old, new) = (&old.settings, &new.settings);
    let mut words: Vec<_> = [
        arrow("certificates", &tls(&old.tls), &tls(&new.tls)),
        arrow("bindle and hippo from outside", &routers(old), &routers(new)),
        arrow("hippo: who may make an account", &old.hippo.registration, &new.hippo.registration),
        arrow("hippo: administrator", &old.hippo.administrator, &new.hippo.administrator),
    ]
    .into_iter()
    .flatten()
    .collect();
    words.extend(certificates);
    words.extend(guard(&old.guard, &new.guard));
    words
}

fn tls(tls: &Tls) -> String {
    match tls {
        Tls::None => "none".to_owned(),
        Tls::Acme { email, dns_provider } => format!("from ACME ({email}, by DNS at {dns_provider})"),
        Tls::Files { certificate, key } => format!("from files ({certificate}, {key})"),
    }
}

/// How those that ask for passwords are reached.
fn routers(settings: &Settings) -> &'static str {
    match (settings.opens_platform(), &settings.tls) {
        (false, _) => "closed",
        (true, Tls::None) => "by plain HTTP, passwords in clear",
        (true, _) => "by https",
    }
}

fn guard(old: &Guard, new: &Guard) -> Vec<String> {
    let seconds = |label: &str, old: u32, new: u32| (old != new).then(|| format!("guard: {label} {old} s → {new} s"));
    let mut words: Vec<_> = [
        seconds("between rounds", old.interval, new.interval),
        seconds("between rounds that are bad", old.fast_interval, new.fast_interval),
        seconds("for one proof", old.timeout, new.timeout),
        arrow("guard: good rounds until it announces", &old.rise, &new.rise),
        arrow("guard: bad rounds until it withdraws", &old.fall, &new.fall),
        seconds("for draining", old.drain, new.drain),
        arrow("guard: port of metrics", &old.metrics, &new.metrics),
    ]
    .into_iter()
    .flatten()
    .collect();
    let of = |(url, old, new): (&str, Option<&Canary>, Option<&Canary>)| match (old, new) {
        (None, _) => Some(format!("guard: canary {} added", shown(url))),
        (_, None) => Some(format!("guard: canary {} removed", shown(url))),
        (old, new) => (old != new).then(|| format!("guard: canary {} expects another answer", shown(url))),
    };
    words.extend(pairs(&old.canaries, &new.canaries, |canary| &canary.url).into_iter().filter_map(of));
    let quorum = |quorum: &Quorum| format!("{} with {}", quorum.community, quorum.nodes.join(", "));
    let (was, is) = (old.quorum.as_ref().map(quorum), new.quorum.as_ref().map(quorum));
    words.extend(perhaps("guard: quorum", was.as_ref(), is.as_ref(), "none"));
    words
}

/// How a boot goes: phases, where things come from, secrets, deadlines, reports.
pub(super) fn course(old: &Plan, new: &Plan) -> Vec<String> {
    let phases = |plan: &Plan| plan.phases.iter().map(|phase| phase.id()).collect::<Vec<_>>();
    let mut words = lists("phase", &phases(old), &phases(new));
    let origins = |plan: &Plan| plan.origins.iter().map(|origin| shown(origin)).collect::<Vec<_>>();
    words.extend(lists("origin", &origins(old), &origins(new)));
    let supplies = |plan: &Plan| plan.supplies.iter().map(|supply: &Supply| supply.id()).collect::<Vec<_>>().join(", ");
    let or_all = |words: String| if words.is_empty() { "(as it is by itself)".to_owned() } else { words };
    words.extend(arrow("archives are taken from", &or_all(supplies(old)), &or_all(supplies(new))));
    let secrets = |plan: &Plan| plan.wanted_secrets().into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    let (was, is): (Vec<_>, Vec<_>) = (secrets(old).into_iter().collect(), secrets(new).into_iter().collect());
    words.extend(sets(
        &was,
        &is,
        |name| format!("secret {name} wanted"),
        |name| format!("secret {name} no longer wanted"),
    ));
    let delivery = |plan: &Plan| plan.secrets.map(Delivery::id);
    words.extend(perhaps("secrets come by", delivery(old).as_ref(), delivery(new).as_ref(), "nothing"));
    let deadline = |(phase, old, new): (&Phase, Option<&u32>, Option<&u32>)| {
        let text = |seconds: Option<&u32>| seconds.map_or_else(|| "(the default)".to_owned(), |s| format!("{s} s"));
        (old != new).then(|| format!("deadline of {} {} → {}", phase.id(), text(old), text(new)))
    };
    words.extend(keyed(&old.deadlines, &new.deadlines).into_iter().filter_map(deadline));
    let reports = |plan: &Plan| plan.reports.iter().copied().map(report).collect::<Vec<_>>();
    words.extend(lists("report", &reports(old), &reports(new)));
    let proxy = |plan: &Plan| {
        plan.proxy.as_ref().map(|Proxy { url, no_proxy }| match no_proxy.as_slice() {
            [] => url.clone(),
            exempt => format!("{url}, but not for {}", exempt.join(", ")),
        })
    };
    words.extend(perhaps("proxy", proxy(old).as_ref(), proxy(new).as_ref(), "none"));
    let ca =
        |plan: &Plan| plan.ca.iter().map(|text| plan::digest(text.as_bytes()).short().to_owned()).collect::<Vec<_>>();
    words.extend(lists("ca", &ca(old), &ca(new)));
    words
}

fn report(report: Report) -> String {
    match report {
        Report::Platform => "to the platform".to_owned(),
        Report::Webhook => "to a webhook".to_owned(),
    }
}
