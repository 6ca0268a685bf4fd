//! What documents are taken through: a plan, the templates of the repository, secrets that are none.
//! May not compare anything.
#![expect(clippy::disallowed_methods, reason = "templates are files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anymetal_contract::plan::{
    Access, Acl, Answers, Anycast, Arch, Artefact, Bgp, Canary, Component, File, Format, Guard, HostPackage, Job,
    Quorum, Ready, Service, Source,
};
use anymetal_contract::secrets::{self, Shape};
use anymetal_contract::{Digest, Phase, Plan};
use serde::Deserialize;

use crate::secret::Secret;
use crate::secrets::Secrets;

/// One of each, plainly no real one.
pub(crate) fn secrets() -> Secrets {
    let value = |secret: &secrets::Name| match secret.shape {
        Shape::Bytes32 => format!("{}=", "A".repeat(43)),
        Shape::Uuid => format!("00000000-0000-4000-8000-{:012x}", secret.name.len()),
        Shape::Url => format!("https://{}.example/T0K3N", secret.name),
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
    secrets.made("nomad_guard", Secret::new("made-by-nomad-too"));
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
    let of_host = |name: &str, package: &str, program: &str, version: &str| {
        let (package, program) = (package.to_owned(), program.to_owned());
        let package = HostPackage { package, program, version_argument: "--version".into() };
        Component::new(name, version, Source::HostPackage(package))
    };

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
            Component { features: ["denied-uids", "notify"].map(str::to_owned).into(), ..archive("nomad", "1.10.5") },
            archive("traefik", "2.11.55"),
            archive("bindle", "0.8.2"),
            archive("hippo", "0.20.2"),
            archive("spin", "0.10.1"),
            of_host("bird", "bird2", "bird", "2.0.12"),
            of_host("nftables", "nftables", "nft", "1.0.6"),
        ],
        files,
        ..Plan::default()
    }
}

/// The services that the guard asks, as the builder makes them.
pub(super) fn clusters() -> Vec<Service> {
    let service = |name: &str, of: Acl, ready: Ready, api: &str| Service {
        unit: format!("{name}.service"),
        component: name.into(),
        files: vec![],
        reload: false,
        data: None,
        ready,
        access: Some(Access {
            of,
            api: api.into(),
            management: format!("{name}_management"),
            reader: Some(format!("{name}_guard")),
            policies: BTreeMap::new(),
            tokens: vec![],
            namespaces: BTreeMap::new(),
        }),
    };
    let (consul, nomad) = ("https://127.0.0.1:8501", "https://127.0.0.1:4646");
    vec![
        service("consul", Acl::Consul, Ready::ConsulLeader(consul.into()), consul),
        service("nomad", Acl::Nomad, Ready::NomadNode(nomad.into()), nomad),
    ]
}

/// What a particular site says of the guard.
pub(super) fn particular() -> Guard {
    let canary = |url: &str, contains: Option<&str>, verify| Canary {
        url: url.into(),
        status: 200,
        contains: contains.map(Into::into),
        verify,
    };
    Guard {
        canaries: vec![
            canary("https://app.example.org/healthz", None, true),
            canary("https://shop.example.org/?probe=1", Some("open"), false),
        ],
        quorum: Some(Quorum {
            nodes: vec!["n2.example.org".into(), "2001:db8:70::2".into()],
            community: "65000:50".into(),
        }),
        ..Guard::default()
    }
}

/// A job of the repository, as the builder makes it.
pub(super) fn job(name: &str) -> Job {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct FrontMatter {
        namespace: String,
        needs: Vec<String>,
        #[serde(default)]
        secrets: Vec<String>,
        #[serde(default)]
        files: Vec<String>,
        #[serde(with = "serde_yaml::with::singleton_map_recursive")]
        answers: Vec<Answers>,
    }
    let (front, body) = split(&format!("{name}/{name}.job.json"));
    let front: FrontMatter = serde_yaml::from_str(&front).unwrap();
    Job {
        name: name.into(),
        component: name.into(),
        namespace: front.namespace,
        api: "https://127.0.0.1:4646".into(),
        token: "nomad_management".into(),
        files: front.files.iter().map(|file| format!("{name}/{file}")).collect(),
        needs: front.needs,
        secrets: front.secrets,
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
