//! The descriptions as they are embedded, and what is said of one that is wrong.

use anymetal_contract::plan::{Acl, Arch, Ready};

use super::*;

fn folder(name: &str) -> &'static Folder {
    FOLDERS.iter().find(|folder| folder.name == name).unwrap()
}

fn artefacts(name: &str) -> &'static Artefacts {
    match &named(name).unwrap().source {
        Source::Artefacts(artefacts) => artefacts,
        Source::HostPackage(_) => panic!("{name} comes from the operating system"),
    }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[test]
fn every_embedded_component_is_whole() {
    for folder in FOLDERS {
        let component = read(folder).unwrap();
        let name = folder.name;
        let used = component.files.len() + component.jobs.len();
        assert_eq!(used, folder.templates.len(), "{name} embeds a template it does not use");
        for other in component.clashes.iter().flat_map(|clash| clash.with.keys()).chain(&component.under) {
            assert!(named(other).is_some(), "{name} speaks of {other}, which is no component");
        }
        for package in component.missing.values().flat_map(BTreeMap::keys) {
            let asked = component.packages.values().flatten().any(|asked| asked.name == *package);
            assert!(asked, "{name} misses {package}, and does not ask for it");
        }
        let Source::Artefacts(artefacts) = component.source else { continue };
        for arch in Arch::ALL {
            assert!(artefacts.url(component.default, arch).unwrap().starts_with("https://"), "{name}");
            let archive = artefacts.url(component.default, arch).unwrap();
            let checksums = artefacts.checksums(component.default);
            let source = &crate::sources::all()[&checksums.source];
            let base = format!("{}/", source.url);
            for url in [Some(&archive), Some(&checksums.url), checksums.signature.as_ref()].into_iter().flatten() {
                assert!(url.starts_with(&base) && !url.contains('{'), "{name}: {url}");
            }
            assert_eq!(checksums.signature.is_some(), source.is_signed(), "{name}");
            for pinned in artefacts.pinned(arch) {
                assert!(pinned >= component.lowest.version, "{name} {pinned}");
                assert!(!component.barred.iter().any(|barred| barred.versions.holds(pinned)), "{name} {pinned}");
            }
        }
    }
}

#[test]
fn upstream_has_its_own_names_of_architectures() {
    let consul = artefacts("consul");
    let url = "https://releases.hashicorp.com/consul/1.16.1/consul_1.16.1_linux_arm64.zip";
    assert_eq!(consul.url(version("1.16.1"), Arch::Aarch64).as_deref(), Some(url));
    assert_eq!(
        consul.digest(version("1.16.1"), Arch::X86_64).unwrap().as_str(),
        "1d48942fa9f1d0df3f56a1622c7a46e9b85924ed9976338912101bb5519aadf1"
    );
    assert_eq!(consul.digest(version("1.8.7"), Arch::X86_64), None);
    let members = |arch| artefacts("hippo").members(arch).into_iter().map(|member| member.member).collect::<Vec<_>>();
    assert_eq!(
        (members(Arch::X86_64), members(Arch::Aarch64)),
        (vec!["linux-x64/".into()], vec!["linux-arm64/".into()])
    );
    for (name, arch, url) in [
        ("bindle", Arch::X86_64, "https://bindle.blob.core.windows.net/releases/bindle-v0.8.2-linux-amd64.tar.gz"),
        (
            "spin",
            Arch::Aarch64,
            "https://github.com/fermyon/spin/releases/download/v0.10.1/spin-v0.10.1-linux-aarch64.tar.gz",
        ),
        (
            "hippo",
            Arch::X86_64,
            "https://github.com/deislabs/hippo/releases/download/v0.20.2/hippo-server-linux-x64.tar.gz",
        ),
        (
            "traefik",
            Arch::Aarch64,
            "https://github.com/traefik/traefik/releases/download/v2.11.55/traefik_v2.11.55_linux_arm64.tar.gz",
        ),
    ] {
        assert_eq!(artefacts(name).url(named(name).unwrap().default, arch).as_deref(), Some(url));
    }
}

#[test]
fn what_changed_at_a_version_is_a_feature_of_it() {
    let features =
        |name: &str, text: &str| named(name).unwrap().features(version(text)).into_iter().collect::<Vec<_>>();
    assert_eq!(features("consul", "1.10.12"), [""; 0]);
    assert_eq!(features("consul", "1.11.0"), ["initial-management"]);
    assert_eq!(features("nomad", "1.7.7"), [""; 0]);
    assert_eq!(features("nomad", "1.8.0"), ["notify"]);
    assert_eq!(features("nomad", "2.0.5"), ["denied-uids", "notify"]);
}

#[test]
fn packages_are_those_of_the_system_and_the_version() {
    let packages = |name: &str, text: &str, os| named(name).unwrap().packages(version(text), os).collect::<Vec<_>>();
    assert_eq!(packages("bindle", "0.8.2", "debian-12"), ["libssl1.1"]);
    assert_eq!(packages("bindle", "0.9.1", "debian-12"), [""; 0]);
    assert_eq!(packages("spin", "0.10.1", "debian-12"), ["ca-certificates", "libgcc-s1", "zlib1g"]);
    assert_eq!(packages("spin", "0.10.1", "windows-95"), [""; 0]);
    let bindle = named("bindle").unwrap();
    assert_eq!(
        bindle.missing(version("0.8.2"), "debian-12").collect::<Vec<_>>(),
        [("libssl1.1", "linked against OpenSSL 1.1")]
    );
    assert_eq!(bindle.missing(version("0.9.1"), "debian-12").count(), 0);
}

#[test]
fn readiness_access_and_jobs_are_read_as_data() {
    let service = |name: &str| &named(name).unwrap().services[0];
    assert_eq!(service("consul").ready, Ready::ConsulLeader("https://127.0.0.1:8501".into()));
    assert_eq!(service("nomad").ready, Ready::NomadNode("https://127.0.0.1:4646".into()));
    assert_eq!(service("bird").ready, Ready::Active);
    assert_eq!(named("bird").unwrap().services[1].ready, Ready::Announced);
    let nomad = service("nomad").access.as_ref().unwrap();
    assert_eq!(
        (nomad.of, nomad.namespaces["default"].disabled_drivers.as_slice()),
        (Acl::Nomad, &["raw_exec".to_owned()][..])
    );
    assert_eq!(named("traefik").unwrap().jobs[0].files, ["traefik/tls.yaml", "traefik/routers.yaml"]);
    assert!(named("vault").is_none());
}

/// Whatever is named here is deleted by root when its service fails. Nothing of an application's may be.
#[test]
fn what_is_removed_when_it_is_empty_is_named_file_by_file_and_never_an_applications() {
    let mut named = Vec::new();
    for service in all().iter().flat_map(|component| &component.services) {
        let Some(data) = &service.data else { continue };
        assert!(data.folder.starts_with("/var/lib/"), "{}", data.folder);
        for name in &data.fatal_when_empty {
            let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
            assert!(!folder.contains('*') && file.matches('*').count() <= 1 && file.len() > 4, "{name} is too wide");
            assert!(name.split('/').all(|part| !matches!(part, "" | "." | ".." | "alloc" | "parcels")), "{name}");
            named.push(format!("{}/{name}", data.folder));
        }
    }
    assert_eq!(
        named,
        [
            "/var/lib/consul/node-id",
            "/var/lib/consul/serf/local.keyring",
            "/var/lib/consul/serf/remote.keyring",
            "/var/lib/consul/server_metadata.json",
            "/var/lib/nomad/node-id",
            "/var/lib/nomad/server/serf.keyring",
            "/var/lib/nomad/server/keystore/*.nks.json",
        ]
    );
}

#[test]
fn services_start_in_an_order_in_which_each_finds_what_it_needs() {
    let order: Vec<_> = all().iter().map(|component| component.name.as_str()).collect();
    assert_eq!(order, ["nftables", "consul", "nomad", "traefik", "bindle", "hippo", "spin", "bird"]);
}

#[test]
fn a_description_that_does_not_fit_its_folder_is_an_error() {
    let of = |name: &'static str, right: &str, wrong: &str| {
        let whole = folder(name);
        let text = whole.description.replacen(right, wrong, 1);
        assert_ne!(text, whole.description, "{right:?} is not in the description");
        let changed = Folder { name, description: text.leak(), templates: whole.templates };
        format!("{:#}", read(&changed).unwrap_err())
    };
    for (name, right, wrong, what) in [
        ("bird", "name: bird", "name: bind", "says that it is \"bind\""),
        ("bird", "files: [bird.conf,", "files: [bird6.conf,", "bird6.conf.tera is not embedded"),
        ("bird", "  files: [bird.conf]", "  files: [bird.cfg]", "\"bird.cfg\""),
        ("bird", "reload: true", "reload: perhaps", "component.yaml"),
        ("bird", "host_package:", "hostpackage:", "unknown field `hostpackage`"),
        ("bird", "default: 2.0.12", "default: 2.0", "2.0"),
        ("traefik", "jobs: [traefik]", "jobs: [treafik]", "treafik.job.json.tera is not embedded"),
        ("traefik", "files: [tls.yaml, routers.yaml]", "files: []", "which is no file of traefik"),
        ("nomad", "nomad_hippo, policies", "hippo_nomad, policies", "\"hippo_nomad\", which is no secret"),
        ("nomad", "[anymetal-hippo]", "[hippo]", "the policy \"hippo\", which is not there"),
        (
            "consul",
            "reader: consul_guard",
            "reader: consul_gard",
            "the reader of consul is \"consul_gard\", which is no token",
        ),
        (
            "consul",
            "reader: consul_guard",
            "reader: consul_nomad",
            "\"consul_nomad\", which is no token that is always there",
        ),
        ("consul", "needs: [node]", "needs: [nodes]", "\"nodes\", which is no fact"),
    ] {
        let error = of(name, right, wrong);
        assert!(error.contains(what), "{what:?} is not in {error}");
    }
}
