//! Metadata documents through every stage: document → facts → files, compared with what lies in `tests/metadata/goldens`.
//! `UPDATE_GOLDENS=1 cargo test -p anymetal-init goldens` rewrites them; read the difference before committing it.
#![expect(clippy::disallowed_methods, reason = "goldens are files, and BIRD and Consul are programs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anymetal_contract::plan::{Anycast, Arch, Artefact, Bgp, Component, File, Format, HostPackage, Source};
use anymetal_contract::{Digest, Phase, Plan};
use serde::Deserialize;

use crate::facts;
use crate::metadata;
use crate::render::render;

/// The templates of a node, as the builder puts them into a plan.
pub(crate) const TEMPLATES: [&str; 3] = ["consul/consul.json", "consul/consul.service", "bird/bird.conf"];

/// One document on one site.
struct Case {
    name: &'static str,
    document: &'static str,
    v4: &'static [&'static str],
    v6: &'static [&'static str],
    bgp: fn() -> Bgp,
}

const V4: &[&str] = &["198.51.100.7/32"];
const V6: &[&str] = &["2001:db8:45d1:fd80::7/128"];

const fn case(name: &'static str, v4: &'static [&'static str], v6: &'static [&'static str]) -> Case {
    Case { name, document: name, v4, v6, bgp: Bgp::default }
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
    Case { name: "v4-session-v6-prefix", document: "v4-multihop", v4: V4, v6: V6, bgp: Bgp::default },
    Case {
        name: "v4-overridden",
        document: "v4-v6",
        v4: V4,
        v6: &[],
        bgp: || Bgp {
            local_asn: Some(64_512),
            peer_asn: Some(64_513),
            multihop: Some(2),
            communities: vec!["54825:222".into(), "64512:1".into()],
        },
    },
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
fn a_template_needs_exactly_what_it_uses() {
    for name in TEMPLATES {
        let file = template(name);
        let mut tera = tera::Tera::new();
        tera.register_filter("json_encode", |_: &tera::Value, _: tera::Kwargs, _: &tera::State| String::new());
        tera.add_raw_template(name, &file.body).unwrap();
        let used: BTreeSet<&str> = tera.get_template_variables(name).unwrap().into_iter().collect();
        assert_eq!(used, file.needs.iter().map(String::as_str).collect(), "{name}");
    }
}

/// The files a case makes, by name.
fn outcome(case: &Case) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(documents().join(format!("{}.json", case.document))).unwrap();
    let mut plan = plan(TEMPLATES.map(template).into());
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    plan.anycast = Anycast { v4: owned(case.v4), v6: owned(case.v6) };
    plan.bgp = (case.bgp)();
    let facts = metadata::read(&plan.platform, &text).and_then(|machine| facts::make(&plan, &machine, Arch::X86_64));
    let facts = match facts {
        Ok(facts) => facts,
        Err(failure) => {
            return BTreeMap::from([("failure.txt".into(), format!("{}: {}\n", failure.reason, failure.chain()))]);
        }
    };
    let mut made = BTreeMap::from([("facts.json".into(), serde_json::to_string_pretty(&facts).unwrap() + "\n")]);
    for file in &plan.files {
        let name = file.name.rsplit('/').next().unwrap();
        made.insert(name.to_owned(), render(file, &facts).unwrap_or_else(|failure| panic!("{}", failure.chain())));
    }
    made
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

    Plan {
        site: "demo".into(),
        platform: "equinix-metal".into(),
        os: "debian-12".into(),
        domain: "198.51.100.7.sslip.io".into(),
        anycast: Anycast::default(),
        bgp: Bgp::default(),
        phases: BTreeSet::from([Phase::Metadata, Phase::Facts, Phase::Files]),
        components: vec![
            Component::new("consul", "1.8.7", Source::Artefacts(BTreeMap::from([(Arch::X86_64, consul)]))),
            Component::new("bird", "2.0.12", Source::HostPackage(bird)),
        ],
        files,
        ..Plan::default()
    }
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates").join(format!("{name}.tera"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()));
    let (front, body) = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).unwrap();
    let front: FrontMatter = serde_yaml::from_str(front).unwrap();
    File {
        name: name.into(),
        path: front.path,
        mode: front.mode,
        owner: front.owner,
        needs: front.needs,
        secrets: front.secrets,
        check: front.check,
        body: body.into(),
    }
}
