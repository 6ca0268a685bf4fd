//! Plans of sites, as they come out.

use anymetal_contract::plan::{Bgp, Ready, Report};

use anymetal_contract::Digest;

use super::*;
use crate::sample::{abilities, site as sample};
use crate::site::model::Pin;

#[test]
fn a_plan_has_the_sites_words_and_the_components_files_and_units() {
    let plan = make(&sample(), &abilities()).unwrap();
    assert_eq!(plan.anycast, Anycast { v4: vec!["192.0.2.1/32".into()], v6: vec!["2001:db8::1/128".into()] });
    assert_eq!(plan.components.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["consul", "bird"]);
    let files: Vec<_> = plan.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["consul/consul.json", "consul/consul.service", "bird/bird.conf", "bird/anymetal-guard.service"]);
    assert_eq!(plan.services[0].files, ["consul/consul.json", "consul/consul.service"]);
    let units: Vec<_> =
        plan.services.iter().map(|service| (service.component.as_str(), service.unit.as_str())).collect();
    let bird = [("bird", "bird.service"), ("bird", "anymetal-guard.service")];
    assert_eq!((&units[1..], &plan.services[2].ready), (&bird[..], &Ready::Announced));
}

/// The sample with the whole platform, its archives pinned.
fn whole() -> Site {
    let mut site = sample();
    for known in component::all() {
        let pin = Pin { sha256: "ab".repeat(32).parse().unwrap(), size: None, urls: vec![] };
        let artefacts = if known.is_host_package() { BTreeMap::new() } else { BTreeMap::from([(Arch::X86_64, pin)]) };
        let choice = Choice { version: known.default, artefacts, ..Choice::default() };
        site.components.insert(known.name.clone(), choice);
    }
    site
}

#[test]
fn jobs_go_to_nomads_api_with_its_management_token_in_a_phase_of_their_own() {
    let plan = draft(&whole()).unwrap();
    let jobs: Vec<_> = plan.jobs.iter().map(|job| (job.name.as_str(), job.api.as_str(), job.token.as_str())).collect();
    let (api, token) = ("https://127.0.0.1:4646", "nomad_management");
    assert_eq!(jobs, [("traefik", api, token), ("bindle", api, token), ("hippo", api, token)]);
    assert!(plan.phases.contains(&Phase::Jobs));
    assert!(!draft(&sample()).unwrap().phases.contains(&Phase::Jobs));
}

#[test]
fn features_packages_and_users_come_from_the_description_unless_the_site_says_otherwise() {
    let mut site = whole();
    site.components.get_mut("spin").unwrap().packages = Some(vec!["libc6".into()]);
    let plan = draft(&site).unwrap();
    let component = |name: &str| plan.components.iter().find(|component| component.name == name).unwrap();
    assert_eq!(component("nomad").features, BTreeSet::from(["denied-uids".to_owned(), "notify".to_owned()]));
    assert_eq!(component("bindle").packages, ["libssl1.1"]);
    assert_eq!(component("bindle").user.as_deref(), Some("bindle"));
    assert_eq!(component("spin").packages, ["libc6"]);
    let plan::Source::Artefacts(hippo) = &component("hippo").source else { panic!("hippo comes in archives") };
    assert_eq!(hippo[&Arch::X86_64].members[0].member, "linux-x64/");
}

#[test]
fn only_who_is_there_gets_a_token() {
    let tokens = |site: &Site| {
        let services = draft(site).unwrap().services;
        let accesses = services.into_iter().filter_map(|service| service.access);
        let named = |access: plan::Access| {
            let tokens = access.tokens.into_iter().map(|token| token.secret).collect::<Vec<_>>();
            (tokens, access.policies.into_keys().collect::<Vec<_>>())
        };
        accesses.map(named).collect::<Vec<_>>()
    };
    let texts = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let alone = (texts(&["consul_agent", "consul_guard"]), texts(&["anymetal-agent", "anymetal-guard"]));
    assert_eq!(tokens(&sample()), [alone]);
    let consul = (
        texts(&["consul_agent", "consul_guard", "consul_nomad", "consul_traefik"]),
        texts(&["anymetal-agent", "anymetal-guard", "anymetal-nomad", "anymetal-traefik"]),
    );
    let nomad = (texts(&["nomad_guard", "nomad_hippo"]), texts(&["anymetal-guard", "anymetal-hippo"]));
    assert_eq!(tokens(&whole()), [consul, nomad]);
}

#[test]
fn the_guard_has_a_token_of_its_own_with_each_that_it_asks() {
    let readers = |site: &Site| {
        let services = draft(site).unwrap().services;
        services.into_iter().filter_map(|service| service.access?.reader).collect::<Vec<_>>()
    };
    assert_eq!(readers(&sample()), ["consul_guard"]);
    assert_eq!(readers(&whole()), ["consul_guard", "nomad_guard"]);
    assert!(wanted_secrets(&sample()).unwrap().contains("cluster_ca"));
    // Nomad makes its own
    let wanted = wanted_secrets(&whole()).unwrap();
    assert!(wanted.contains("consul_guard") && !wanted.contains("nomad_guard"), "{wanted:?}");
}

#[test]
fn every_plan_proves_and_announces() {
    for site in [sample(), whole()] {
        let phases = draft(&site).unwrap().phases;
        assert!(phases.contains(&Phase::Prove) && phases.contains(&Phase::Announce), "{phases:?}");
    }
}

#[test]
fn settings_are_in_the_words_of_those_who_read_them() {
    let mut site = sample();
    site.hippo.registration = Registration::Closed;
    site.tls = plan::Tls::Acme { email: "ops@example.com".into(), dns_provider: "route53".into() };
    site.firewall.ssh4 = vec!["198.51.100.0/24".parse().unwrap()];
    site.firewall.tcp = vec![8080];
    site.guard = plan::Guard { fall: 7, ..plan::Guard::default() };
    let settings = draft(&site).unwrap().settings;
    assert_eq!(settings.guard, site.guard);
    let firewall = &settings.firewall;
    assert_eq!(
        (&firewall.ssh4[..], &firewall.ssh6[..]),
        (&["198.51.100.0/24".to_owned()][..], &["::/0".to_owned()][..])
    );
    assert_eq!((&firewall.tcp[..], &firewall.udp[..]), (&[8080][..], &[][..]));
    assert_eq!((settings.hippo.registration.as_str(), settings.hippo.administrator.as_str()), ("Closed", "admin"));
    assert_eq!(settings.tls, plan::Tls::Acme { email: "ops@example.com".into(), dns_provider: "route53".into() });
}

#[test]
fn what_nodes_take_from_is_the_sites_word() {
    let mut site = sample();
    assert!(draft(&site).unwrap().supplies.is_empty());
    site.supplies = vec![plan::Supply::Origins, plan::Supply::Bundle];
    assert_eq!(draft(&site).unwrap().supplies, site.supplies);
}

#[test]
fn a_known_digest_comes_with_upstreams_url_and_a_pin_goes_before_it() {
    let mut site = sample();
    let artefact = |site: &Site| match draft(site).unwrap().components.remove(0).source {
        plan::Source::Artefacts(mut artefacts) => artefacts.remove(&Arch::X86_64).unwrap(),
        plan::Source::HostPackage(_) => panic!("consul comes in archives"),
    };
    assert_eq!(artefact(&site).urls, ["https://releases.hashicorp.com/consul/1.16.1/consul_1.16.1_linux_amd64.zip"]);

    let sha256: Digest = "ab".repeat(32).parse().unwrap();
    let pin = Pin { sha256: sha256.clone(), size: Some(7), urls: vec!["https://mine.example/c.zip".into()] };
    let artefacts = BTreeMap::from([(Arch::X86_64, pin)]);
    site.components.insert(
        "consul".into(),
        Choice { version: "1.8.7".parse().unwrap(), artefacts, named: true, ..Choice::default() },
    );
    let pinned = artefact(&site);
    assert_eq!((pinned.sha256, pinned.size), (sha256, Some(7)));
    assert_eq!(pinned.urls, ["https://mine.example/c.zip"]);
}

#[test]
fn every_digest_that_is_not_known_is_named_with_the_key_that_pins_it() {
    let mut site = sample();
    site.architectures = Arch::ALL.into();
    site.components.insert("consul".into(), Choice { version: "1.8.7".parse().unwrap(), ..Choice::default() });
    let error = format!("{:#}", draft(&site).unwrap_err());
    assert!(error.contains("no sha256 is known for 2 archives: consul 1.8.7 (aarch64, x86_64)\n"), "{error}");
    assert!(error.contains("`components.consul.artefacts.") && error.matches("hint: ").count() == 1, "{error}");
}

#[test]
fn the_canonical_bytes_are_the_plan_and_nothing_else() {
    let mut site = sample();
    site.components.clear();
    site.bgp = Bgp::default();
    site.reports = vec![Report::Platform];
    let bytes = canonical(&draft(&site).unwrap());
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        r#"{"anycast":{"v4":["192.0.2.1/32"],"v6":["2001:db8::1/128"]},"bgp":{},"components":[],"deadlines":{},"domain":"192-0-2-1.sslip.io","files":[],"jobs":[],"kind":"anymetal.plan","origins":["https://mirror.example/anymetal"],"os":"debian-12","phases":["metadata","acquire","install","facts","files","services","prove","announce"],"platform":"equinix-metal","reports":["platform"],"services":[],"settings":{"firewall":{"ssh4":["0.0.0.0/0"],"ssh6":["::/0"],"tcp":[],"udp":[]},"guard":{"drain":30,"fall":2,"fast_interval":1,"grace":10,"interval":1,"metrics":9469,"rise":3,"timeout":1},"hippo":{"administrator":"admin","registration":"AdministratorOnly"},"tls":{"mode":"none"}},"site":"demo","version":1}"#
    );
    assert_eq!(serde_json::from_slice::<Plan>(&bytes).unwrap(), draft(&site).unwrap());
}
