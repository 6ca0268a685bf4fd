//! `metadata`: what the site trusts the platform's description of a machine with.
//! May not know a platform.

use anymetal_contract::plan::Metadata;
use ipnet::{IpNet, Ipv4Net};

use crate::site::diagnostic::{Complaint, Findings, quoted};
use crate::site::fields::{self, Fields};
use crate::site::yaml::Node;
use crate::site::{name, prefix};

const EXAMPLE: &str = "metadata: {private_subnets: [10.7.0.0/16]}";

/// `metadata`; nothing but what is safe when nothing is said.
pub(super) fn metadata(node: Option<&Node>, findings: &mut Findings) -> Metadata {
    let mut metadata = Metadata::default();
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "metadata", EXAMPLE, findings)) else {
        return metadata;
    };
    if let Some(node) = fields.take("plain_http", findings)
        && fields::word(node, "`metadata.plain_http`", &[("true", true), ("false", false)], &[], findings) == Some(true)
    {
        let what = "with `metadata.plain_http` whoever is on the path to the metadata service decides what a node is";
        findings.warning(node.at, what, "remove it unless your platform has no metadata service with TLS");
        metadata.plain_http = true;
    }
    metadata.private_subnets = private_subnets(fields.take("private_subnets", findings), findings);
    metadata.report_hosts = report_hosts(fields.take("report_hosts", findings), findings);
    fields.end(&super::HOMES, findings);
    metadata
}

fn private_subnets(node: Option<&Node>, findings: &mut Findings) -> Vec<String> {
    let (at, example) = ("metadata.private_subnets", "private_subnets: [10.7.0.0/16]");
    let Some(items) = node.and_then(|node| fields::list(node, at, example, findings)) else { return Vec::new() };
    let mut all = Vec::new();
    for item in items {
        let Some(text) = fields::text(item, "a prefix", findings) else { continue };
        let Some(net) = findings.keep(item.at, ipv4(text)) else { continue };
        if !prefix::is_inside(&net) {
            let what = format!(
                "{} is no private network, and who is there reaches what is for the site's nodes",
                quoted(text)
            );
            findings.warning(item.at, what, "write the prefixes that only the site's own machines have");
        }
        all.push((item.at, net));
    }
    prefix::compare(&all, "keep the wider one", findings);
    let (v4, _): (Vec<Ipv4Net>, _) = prefix::split(all.into_iter().map(|(_, net)| net));
    v4.iter().map(ToString::to_string).collect()
}

fn ipv4(text: &str) -> Result<IpNet, Complaint> {
    match prefix::source(text)? {
        IpNet::V6(_) => Err(Complaint::new(
            format!("{} is not an IPv4 prefix", quoted(text)),
            "private networks are IPv4 here: remove it",
        )),
        net @ IpNet::V4(_) => Ok(net),
    }
}

fn report_hosts(node: Option<&Node>, findings: &mut Findings) -> Vec<String> {
    let example = "report_hosts: [events.platform.example]";
    let Some(items) = node.and_then(|node| fields::list(node, "metadata.report_hosts", example, findings)) else {
        return Vec::new();
    };
    let mut hosts = Vec::new();
    for item in items {
        let Some(text) = fields::text(item, "a host", findings) else { continue };
        if name::host_name(text) || text.parse::<std::net::IpAddr>().is_ok() {
            hosts.push(text.to_ascii_lowercase());
        } else {
            let hint = "write the host alone, a name or an address, without `https://`, port and path";
            findings.mistake(item.at, format!("{} is not a host", quoted(text)), hint);
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}
