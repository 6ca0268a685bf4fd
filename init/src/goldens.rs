//! Metadata documents through every stage: document → facts → files, compared with what lies in `tests/metadata/goldens`.
//! `UPDATE_GOLDENS=1 cargo test -p anymetal-init goldens` rewrites them; read the difference before committing it.
#![expect(clippy::disallowed_methods, reason = "goldens are files, and BIRD and Consul are programs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anymetal_contract::plan::{
    Answers, Anycast, Arch, Artefact, Bgp, Component, File, Firewall, Format, Hippo, HostPackage, Job, Password,
    Source, Tls,
};
use anymetal_contract::secrets::{self, Shape};
use anymetal_contract::{Digest, Phase, Plan};
use serde::Deserialize;

use crate::facts;
use crate::metadata;
use crate::render::render;
use crate::secret::Secret;
use crate::secrets::Secrets;

/// The templates whose text depends on a document.
pub(crate) const TEMPLATES: [&str; 4] =
    ["nftables/anymetal.nft", "consul/consul.json", "nomad/nomad.json", "bird/bird.conf"];

/// The other files of a node, which a few cases render for all.
const ONCE: [&str; 5] = [
    "nftables/anymetal-firewall.service",
    "consul/consul.service",
    "nomad/nomad.service",
    "traefik/tls.yaml",
    "bindle/htpasswd",
];

/// The jobs of a node, which the same cases render.
const JOBS: [&str; 3] = ["traefik", "bindle", "hippo"];

/// One document on one site.
struct Case {
    name: &'static str,
    platform: &'static str,
    document: &'static str,
    v4: &'static [&'static str],
    v6: &'static [&'static str],
    bgp: fn() -> Bgp,
    /// `None`: only what depends on a document. Otherwise everything, with certificates made so.
    whole: Option<fn() -> Tls>,
}

const V4: &[&str] = &["198.51.100.7/32"];
const V6: &[&str] = &["2001:db8:45d1:fd80::7/128"];

const fn case(name: &'static str, v4: &'static [&'static str], v6: &'static [&'static str]) -> Case {
    Case { name, platform: "equinix-metal", document: name, v4, v6, bgp: Bgp::default, whole: None }
}

/// As the builder makes plans for it: the platform tells no password.
const fn vultr(name: &'static str, v4: &'static [&'static str], v6: &'static [&'static str]) -> Case {
    let bgp = || Bgp { password: Some(Password::Secret), ..Bgp::default() };
    Case { platform: "vultr", bgp, ..case(name, v4, v6) }
}

const fn file(name: &'static str, v4: &'static [&'static str], v6: &'static [&'static str]) -> Case {
    Case { platform: "file", ..case(name, v4, v6) }
}

const CASES: &[Case] = &[
    case("hollow-instance-a", V4, &[]),
    case("hollow-instance-c", V4, &[]),
    case("packngo-device-2018", V4, &[]),
    case("no-session", V4, V6),
    case("v4-multihop", V4, &[]),
    case("v4-multihop-md5", V4, &[]),
    case("v4-v6", V4, V6),
    case("v4-v6-expanded", &["198.51.100.7/32", "203.0.113.0/24"], V6),
    case("v6-only", &[], V6),
    case("v4-on-link", V4, &[]),
    case("v4-routes-out", V4, &[]),
    case("v4-asn-32-bit", V4, &[]),
    case("v4-customer-ip-differs", V4, &[]),
    case("v4-unknown-keys", V4, &[]),
    Case { document: "v4-v6", whole: Some(|| Tls::None), ..case("whole", V4, V6) },
    Case {
        document: "v4-multihop-md5",
        whole: Some(|| Tls::Acme { email: "ops@example.org".into(), dns_provider: "route53".into() }),
        ..case("whole-acme", V4, &[])
    },
    Case {
        document: "v4-on-link",
        whole: Some(|| Tls::Files { certificate: "/etc/ssl/site.crt".into(), key: "/etc/ssl/private/site.key".into() }),
        ..case("whole-files", V4, &[])
    },
    Case { document: "v4-multihop", ..case("v4-session-v6-prefix", V4, V6) },
    Case {
        document: "v4-v6",
        bgp: || Bgp {
            local_asn: Some(64_512),
            peer_asn: Some(64_513),
            multihop: Some(2),
            password: None,
            communities: vec!["54825:222".into(), "64512:1".into()],
        },
        ..case("v4-overridden", V4, &[])
    },
    vultr("vultr-v1-bgp-on", V4, V6),
    vultr("vultr-vps", V4, V6),
    vultr("vultr-bare-metal", V4, &[]),
    vultr("vultr-bgp-off", V4, &[]),
    vultr("vultr-no-private-network", V4, &[]),
    file("file-rack", V4, &[]),
    file("file-v4-v6", V4, V6),
    file("file-contradictory", V4, V6),
];

#[test]
fn every_document_becomes_its_golden_files() {
    let mut faults = Vec::new();
    for case in CASES {
        let folder = documents().join("goldens").join(case.name);
        let made = outcome(case);
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            let _was_not_there = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (name, text) in &made {
                std::fs::write(folder.join(name), text).unwrap();
            }
        }
        let there: BTreeSet<String> = std::fs::read_dir(&folder)
            .map(|files| files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        if there != made.keys().cloned().collect() {
            faults.push(format!("{}: {there:?} are there, {:?} were made", case.name, made.keys()));
        }
        for (name, text) in &made {
            let golden = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            if golden != *text {
                faults.push(format!("{}/{name} is now:\n{text}", case.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}\nhint: UPDATE_GOLDENS=1 rewrites the goldens", faults.join("\n"));
}

#[test]
fn every_document_of_the_folder_is_a_case() {
    let files = std::fs::read_dir(documents()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let documents: BTreeSet<String> = files.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    let cases: BTreeSet<String> = CASES.iter().map(|case| case.document.to_owned()).collect();
    assert_eq!(documents, cases);
}

#[test]
fn the_real_bird_accepts_every_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = 0;
    for case in CASES {
        let Some(text) = outcome(case).remove("bird.conf") else { continue };
        let conf = folder.path().join(format!("{}.conf", case.name));
        std::fs::write(&conf, text).unwrap();
        let mut bird = Command::new("bird");
        // Debian keeps it in /usr/sbin, which is not on everybody's PATH.
        bird.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let output = bird.args(["-p", "-c"]).arg(&conf).output().unwrap_or_else(|error| {
            panic!("running bird: {error}\nhint: `apt-get install bird2`, or `make test`, which does it")
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bird refuses the configuration of {}: {said}", case.name);
        accepted += 1;
    }
    assert!(accepted >= 10, "only {accepted} cases have a bird.conf");
}

#[test]
fn the_real_nft_accepts_every_firewall() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = 0;
    for case in CASES {
        let Some(text) = outcome(case).remove("anymetal.nft") else { continue };
        let file = folder.path().join(format!("{}.nft", case.name));
        std::fs::write(&file, text).unwrap();
        // A check asks the kernel too, of a network of its own.
        let mut nft = Command::new("unshare");
        nft.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        nft.args(["--map-root-user", "--net", "nft", "--check", "--file"]).arg(&file);
        let output = nft.output().unwrap_or_else(|error| panic!("running unshare: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        let hint = "hint: `apt-get install nftables`, or `make test`, which does it";
        assert!(output.status.success(), "nft refuses the firewall of {}: {said}\n{hint}", case.name);
        accepted += 1;
    }
    assert!(accepted >= 10, "only {accepted} cases have a firewall");
}

#[test]
fn a_template_needs_exactly_what_it_uses() {
    for name in TEMPLATES.iter().chain(&ONCE) {
        let file = template(name);
        let mut tera = tera::Tera::new();
        tera.register_filter("json_encode", |_: &tera::Value, _: tera::Kwargs, _: &tera::State| String::new());
        tera.add_raw_template(name, &file.body).unwrap();
        let used: BTreeSet<&str> = tera.get_template_variables(name).unwrap().into_iter().collect();
        let secrets = file.secrets.iter().map(|_| "secrets");
        assert_eq!(used, file.needs.iter().map(String::as_str).chain(secrets).collect(), "{name}");
        for secret in &file.secrets {
            assert!(file.body.contains(&format!("secrets.{secret} ")), "{name} does not use {secret}");
        }
    }
}

/// The files a case makes, by name.
fn outcome(case: &Case) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(documents().join(format!("{}.json", case.document))).unwrap();
    let once: &[&str] = if case.whole.is_some() { &ONCE } else { &[] };
    let mut plan = plan(TEMPLATES.iter().chain(once).map(|name| template(name)).collect());
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    plan.platform = case.platform.into();
    plan.anycast = Anycast { v4: owned(case.v4), v6: owned(case.v6) };
    plan.bgp = (case.bgp)();
    if let Some(tls) = case.whole {
        plan.settings.tls = tls();
        plan.jobs = JOBS.map(job).into();
    }
    plan.settings.hippo = Hippo { registration: "AdministratorOnly".into(), administrator: "admin".into() };
    plan.settings.firewall =
        Firewall { ssh4: vec!["198.51.100.0/24".into()], ssh6: vec![], tcp: vec![8443], udp: vec![] };
    let facts = metadata::read(&plan.platform, &text)
        .and_then(|machine| facts::make(&plan, &machine, &secrets(), Arch::X86_64));
    let facts = match facts {
        Ok(facts) => facts,
        Err(failure) => {
            return BTreeMap::from([("failure.txt".into(), format!("{}: {}\n", failure.reason, failure.chain()))]);
        }
    };
    let mut made = BTreeMap::from([("facts.json".into(), serde_json::to_string_pretty(&facts).unwrap() + "\n")]);
    for file in &plan.files {
        let name = file.name.rsplit('/').next().unwrap();
        let text = render(file, &facts, &secrets()).unwrap_or_else(|failure| panic!("{}", failure.chain()));
        made.insert(name.to_owned(), text);
    }
    for job in &plan.jobs {
        let text = render(job, &facts, &secrets()).unwrap_or_else(|failure| panic!("{}", failure.chain()));
        serde_json::from_str::<serde_json::Value>(&text)
            .unwrap_or_else(|error| panic!("{}: {error}\n{text}", job.name));
        made.insert(format!("{}.job.json", job.name), text);
    }
    made
}

/// One of each, plainly no real one.
pub(crate) fn secrets() -> Secrets {
    let value = |secret: &secrets::Name| match secret.shape {
        Shape::Gossip => format!("{}=", "A".repeat(43)),
        Shape::Uuid => format!("00000000-0000-4000-8000-{:012x}", secret.name.len()),
        Shape::Htpasswd => format!("admin:$2y$10${}", "x".repeat(53)),
        _ => format!("{}-{}", secret.name, "x".repeat(32)),
    };
    let values = secrets::NAMES.iter().filter(|secret| secret.from_outside() && secret.shape != Shape::Variables);
    let document = secrets::Secrets {
        kind: secrets::KIND.into(),
        version: secrets::VERSION,
        site: "demo".into(),
        values: values.map(|secret| (secret.name.to_owned(), value(secret))).collect(),
        acme: BTreeMap::from([("AWS_SECRET_ACCESS_KEY".into(), "acme-x".into())]),
    };
    let bytes = serde_json::to_vec(&document).unwrap();
    let mut secrets = Secrets::read(&bytes, "of the goldens", &plan(vec![])).unwrap();
    secrets.made("nomad_hippo", Secret::new("made-by-nomad"));
    secrets
}

pub(crate) fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/metadata")
}

/// A plan for `equinix-metal` with both components and these files.
pub(crate) fn plan(files: Vec<File>) -> Plan {
    let consul = Artefact {
        sha256: Digest::of([7; 32]),
        size: None,
        format: Format::Zip,
        members: vec![],
        urls: vec!["https://artefacts.example/consul.zip".into()],
    };
    let bird = HostPackage { package: "bird2".into(), program: "bird".into(), version_argument: "--version".into() };

    let archive = |name: &str, version: &str| {
        Component::new(name, version, Source::Artefacts(BTreeMap::from([(Arch::X86_64, consul.clone())])))
    };
    Plan {
        site: "demo".into(),
        platform: "equinix-metal".into(),
        os: "debian-12".into(),
        domain: "198.51.100.7.sslip.io".into(),
        anycast: Anycast::default(),
        bgp: Bgp::default(),
        phases: BTreeSet::from([Phase::Metadata, Phase::Facts, Phase::Files]),
        components: vec![
            archive("consul", "1.8.7"),
            Component { features: ["notify".to_owned()].into(), ..archive("nomad", "1.10.5") },
            archive("traefik", "2.11.55"),
            archive("bindle", "0.8.2"),
            archive("hippo", "0.20.2"),
            archive("spin", "0.10.1"),
            Component::new("bird", "2.0.12", Source::HostPackage(bird)),
        ],
        files,
        ..Plan::default()
    }
}

/// A job of the repository, as the builder makes it.
fn job(name: &str) -> Job {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct FrontMatter {
        namespace: String,
        needs: Vec<String>,
        #[serde(default)]
        secrets: Vec<String>,
        #[serde(default)]
        files: Vec<String>,
        #[serde(default)]
        data: Vec<String>,
        #[serde(with = "serde_yaml::with::singleton_map_recursive")]
        answers: Vec<Answers>,
    }
    let (front, body) = split(&format!("{name}/{name}.job.json"));
    let front: FrontMatter = serde_yaml::from_str(&front).unwrap();
    Job {
        name: name.into(),
        component: name.into(),
        namespace: front.namespace,
        api: "http://127.0.0.1:4646".into(),
        token: "nomad_management".into(),
        files: front.files.iter().map(|file| format!("{name}/{file}")).collect(),
        needs: front.needs,
        secrets: front.secrets,
        data: front.data,
        answers: front.answers,
        body,
    }
}

/// A template's front matter and body.
fn split(name: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates").join(format!("{name}.tera"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    let (front, body) = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).unwrap();
    (front.to_owned(), body.to_owned())
}

/// A template of the repository, split as the builder splits it.
pub(crate) fn template(name: &str) -> File {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct FrontMatter {
        path: String,
        mode: String,
        owner: String,
        needs: Vec<String>,
        #[serde(default)]
        secrets: Vec<String>,
        #[serde(default)]
        check: Vec<String>,
    }
    let (front, body) = split(name);
    let front: FrontMatter = serde_yaml::from_str(&front).unwrap();
    File {
        name: name.into(),
        path: front.path,
        mode: front.mode,
        owner: front.owner,
        needs: front.needs,
        secrets: front.secrets,
        check: front.check,
        body,
    }
}
