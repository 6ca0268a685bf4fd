//! The files of a node of this topology: the repository's templates, rendered by the shipped init from a metadata document.
//! May not write any of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anymetal_contract::Phase;
use anymetal_contract::plan::{Anycast, Bgp, Component, File, Guard, HostPackage, Plan, Quorum, Settings, Source};
use serde::Deserialize;
use serde_json::Value;

/// The site's prefixes. A /31 has more specific ones.
pub const SITE: [&str; 3] = ["198.51.100.6/31", "2001:db8:45d1:fd80::7/128", "203.0.113.7/32"];
/// What the site asks to attach.
pub const COMMUNITY: &str = "54825:222";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The configuration for a node that is told this password for all its sessions.
pub fn bird_conf(password: Option<&str>) -> String {
    let files = Files::of(Which::First, password, None);
    files.text(BIRD_CONF)
}

/// Which node of the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    First,
    Second,
}

/// BIRD's configuration.
pub const BIRD_CONF: &str = "/etc/bird/bird.conf";
/// The firewall.
pub const FIREWALL: &str = "/etc/anymetal/firewall/anymetal.nft";

/// What the firewall's unit sets besides.
pub const SYSCTL: &str = "/etc/sysctl.d/90-anymetal.conf";

/// What init has rendered for a node.
pub struct Files(tempfile::TempDir);

impl Files {
    /// For this node, which is told this password for all its sessions, with this community for a lower preference.
    pub fn of(which: Which, password: Option<&str>, lower: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        render(folder.path(), which, password, lower);
        Self(folder)
    }

    /// One of them, by its path on the node.
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.0.path().join(format!("root{path}"))).unwrap()
    }

    /// One of the units.
    pub fn unit(&self, name: &str) -> String {
        self.text(&format!("/etc/systemd/system/{name}"))
    }
}

fn render(folder: &Path, which: Which, password: Option<&str>, lower: Option<&str>) {
    let at = |name: &str| folder.join(name);
    fs::write(at("plan.json"), serde_json::to_string(&plan(lower)).unwrap()).unwrap();
    fs::write(at("metadata.json"), document(which, password)).unwrap();
    let init = std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into());
    let mut render = Command::new(init);
    render.arg("render").arg("--plan").arg(at("plan.json")).arg("--metadata").arg(at("metadata.json"));
    let ran = render.arg("--root").arg(at("root")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// Every configuration that the goldens hold, with its case's name.
pub fn goldens() -> Vec<(String, String)> {
    let cases = fs::read_dir(top().join("tests/metadata/goldens")).unwrap();
    let configs = cases.filter_map(|case| {
        let case = case.unwrap();
        let text = fs::read_to_string(case.path().join("bird.conf")).ok()?;
        Some((case.file_name().into_string().unwrap(), text))
    });
    configs.collect()
}

fn plan(lower: Option<&str>) -> Plan {
    let quorum = lower.map(|community| Quorum { nodes: Vec::new(), community: community.into() });
    let (v6, v4) = SITE.iter().map(|prefix| (*prefix).to_owned()).partition(|prefix| prefix.contains(':'));
    Plan {
        site: "demo".into(),
        platform: "equinix-metal".into(),
        os: "debian-12".into(),
        domain: "example.org".into(),
        anycast: Anycast { v4, v6 },
        bgp: Bgp { communities: vec![COMMUNITY.into()], ..Bgp::default() },
        phases: BTreeSet::from([Phase::Metadata, Phase::Facts, Phase::Files]),
        components: ["bird", "nftables"].map(host_package).into(),
        files: TEMPLATES.map(template).into(),
        settings: Settings { guard: Guard { quorum, ..Guard::default() }, ..Settings::default() },
        ..Plan::default()
    }
}

const TEMPLATES: [&str; 5] = [
    "bird/bird.conf",
    "bird/anymetal-guard.service",
    "nftables/anymetal.nft",
    "nftables/sysctl.conf",
    "nftables/anymetal-firewall.service",
];

fn host_package(name: &str) -> Component {
    let package = HostPackage { package: name.into(), program: name.into(), version_argument: "-v".into() };
    Component::new(name, "1.0.0", Source::HostPackage(package))
}

/// The template, split as the builder splits it.
fn template(name: &str) -> File {
    #[derive(Deserialize)]
    struct FrontMatter {
        path: String,
        mode: String,
        owner: String,
        needs: Vec<String>,
    }
    let text = fs::read_to_string(top().join(format!("templates/{name}.tera"))).unwrap();
    let (front, body) = text.strip_prefix("---\n").unwrap().split_once("\n---\n").unwrap();
    let FrontMatter { path, mode, owner, needs } = serde_yaml::from_str(front).unwrap();
    let (secrets, check) = (Vec::new(), Vec::new());
    File { name: name.into(), path, mode, owner, needs, secrets, check, body: body.into() }
}

/// The document whose addresses the topology has.
fn document(which: Which, password: Option<&str>) -> String {
    let mut text = fs::read_to_string(top().join("tests/metadata/v4-v6.json")).unwrap();
    if which == Which::Second {
        for (first, second) in [
            ("10.66.142.17", "10.66.142.19"),
            ("10.66.142.16", "10.66.142.18"),
            ("fd00::11", "fd00::13"),
            ("fd00::10", "fd00::12"),
        ] {
            text = text.replace(first, second);
        }
    }
    let mut document: Value = serde_json::from_str(&text).unwrap();
    for neighbour in document["bgp_neighbors"].as_array_mut().unwrap() {
        neighbour["md5_enabled"] = password.is_some().into();
        neighbour["md5_password"] = password.into();
    }
    document.to_string()
}
