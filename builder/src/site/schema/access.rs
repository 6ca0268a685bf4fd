//! `firewall` and `secrets`: who may reach the nodes, and how they get what nobody else may know.
//! May not hold a secret: the document that does is named here, and read elsewhere.

use std::collections::BTreeMap;

use anymetal_contract::plan::Delivery;

use crate::site::diagnostic::{Findings, Mark};
use crate::site::fields::{self, Fields};
use crate::site::model::{Firewall, Secrets};
use crate::site::prefix;
use crate::site::yaml::Node;

/// Where the secrets of a site that says nothing are, beside the site's own file.
const FILE: &str = "secrets.yaml";
/// TCP ports that are open on every node anyway.
const OPEN: [u16; 2] = [80, 443];
/// Ports of what a node runs for itself and for its like, which nobody else has any business with: Consul's, Nomad's and BGP.
pub(super) const OURS: [(u16, &str); 8] = [
    (179, "BGP's, and open to the neighbours"),
    (4646, "Nomad's"),
    (4647, "Nomad's"),
    (4648, "Nomad's"),
    (8300, "Consul's"),
    (8301, "Consul's"),
    (8302, "Consul's"),
    (8501, "Consul's"),
];

/// `firewall`; ssh from everywhere and nothing else when nothing is said.
pub(super) fn firewall(node: Option<&Node>, findings: &mut Findings) -> Firewall {
    let mut firewall = Firewall::default();
    let Some(mut fields) =
        node.and_then(|node| Fields::of(node, "firewall", "firewall: {ssh: [198.51.100.0/24]}", findings))
    else {
        return firewall;
    };
    if let Some(items) = fields
        .take("ssh", findings)
        .and_then(|node| fields::list(node, "firewall.ssh", "ssh: [198.51.100.0/24]", findings))
    {
        let mut all = Vec::new();
        for item in items {
            let Some(text) = fields::text(item, "a prefix", findings) else { continue };
            all.extend(findings.keep(item.at, prefix::source(text)).map(|net| (item.at, net)));
        }
        prefix::compare(&all, "keep the wider one", findings);
        (firewall.ssh4, firewall.ssh6) = prefix::split(all.into_iter().map(|(_, net)| net));
    }
    firewall.tcp = ports(fields.take("tcp", findings), "tcp", findings);
    firewall.udp = ports(fields.take("udp", findings), "udp", findings);
    fields.end(&super::HOMES, findings);
    firewall
}

/// Ports, sorted, none twice.
fn ports(node: Option<&Node>, key: &str, findings: &mut Findings) -> Vec<u16> {
    let name = format!("firewall.{key}");
    let example = format!("{key}: [8443]");
    let Some(items) = node.and_then(|node| fields::list(node, &name, &example, findings)) else { return Vec::new() };
    let mut ports: BTreeMap<u16, Mark> = BTreeMap::new();
    for item in items {
        let number = fields::number(item, "a port", 1..=u64::from(u16::MAX), findings);
        let Some(port) = number.and_then(|number| u16::try_from(number).ok()) else { continue };
        if let Some(first) = ports.get(&port) {
            findings.mistake(item.at, format!("port {port} is given twice, first at {first}"), "keep one of them");
            continue;
        }
        if key == "tcp" && port == 22 {
            let what = "port 22 is open to those in `firewall.ssh` already, and this would open it to everybody";
            findings.mistake(item.at, what, "remove it, and say in `firewall.ssh` who may come");
        }
        if key == "tcp" && OPEN.contains(&port) {
            findings.warning(item.at, format!("port {port} is open already"), "remove it");
            continue;
        }
        if let Some((_, whose)) = OURS.iter().find(|(ours, _)| *ours == port) {
            let what = format!("port {port} is {whose}, and this opens it to everybody");
            findings.warning(item.at, what, "remove it unless that is what you want");
        }
        ports.insert(port, item.at);
    }
    ports.into_keys().collect()
}

/// `secrets`; beside the site and in the user-data when nothing is said. The file's path is relative to the site's still.
/// `customdata`: whether the platform has any.
pub(super) fn secrets(node: Option<&Node>, customdata: bool, findings: &mut Findings) -> Secrets {
    let mut secrets = Secrets { file: FILE.into(), deliver: Delivery::UserData };
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "secrets", "secrets: {deliver: user-data}", findings))
    else {
        return secrets;
    };
    if let Some(text) = fields.take("file", findings).and_then(|node| fields::text(node, "`secrets.file`", findings)) {
        secrets.file = text.into();
    }
    let words = Delivery::ALL.map(|way| (way.id(), way));
    let aliases =
        [("userdata", "user-data"), ("cloud-init", "user-data"), ("custom-data", "customdata"), ("usb", "medium")];
    if let Some(node) = fields.take("deliver", findings)
        && let Some(way) = fields::word(node, "`secrets.deliver`", &words, &aliases, findings)
    {
        if way == Delivery::Customdata && !customdata {
            let what = "this platform has no custom data that could hold the secrets";
            findings.mistake(node.at, what, "write `deliver: user-data` or `deliver: medium`");
        }
        secrets.deliver = way;
    }
    fields.end(&super::HOMES, findings);
    secrets
}
