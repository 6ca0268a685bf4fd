//! Another document in the place of a platform's: the API's, another platform's, a page, recognised by a few marks.
//! May not judge what a platform's own document says.

use anymetal_contract::Reason;
use anymetal_supply::failure::Failure;

use super::node::Node;
use super::{Platform, answer};

/// A document that is none of ours, by keys that it has and no other. `a.b[]` is a list below `a`, `a{}` a map.
const MARKS: &[(&[&str], &str)] = &[
    (&["network.addresses[]"], "Equinix Metal's metadata, for a site of `platform: equinix-metal`"),
    (&["instance-v2-id"], VULTR),
    (&["instanceid", "interfaces[]"], VULTR),
    (&["ip_addresses[]"], DEVICE),
    (&["href", "facility{}"], DEVICE),
    (&["href", "plan{}"], DEVICE),
    (&["devices[]"], "a list of devices, as Equinix Metal's API shows it"),
    (&["bgp_sessions[]"], "a list of BGP sessions, as Equinix Metal's API shows it"),
    (&["bgp_neighbors[]"], "a list of BGP neighbours, as Equinix Metal's API shows it"),
    (&["instance.main_ip"], "a server as Vultr's API shows it"),
    (&["bare_metal.main_ip"], "a server as Vultr's API shows it"),
    (&["project{}", "instance{}"], "Google's metadata"),
    (&["networkInterfaces[]", "machineType"], "Google's metadata"),
    (&["metadata.instance{}"], TINKERBELL),
    (&["instance{}"], TINKERBELL),
    (&["network.interfaces[]"], TINKERBELL),
    (&["spec.metadata.instance"], TINKERBELL),
    (&["v1{}", "ds"], "cloud-init's own instance-data.json"),
    (&["v1.cloud_name"], "cloud-init's own instance-data.json"),
    (&["uuid", "launch_index"], OPENSTACK),
    (&["uuid", "availability_zone"], OPENSTACK),
    (&["uuid", "project_id"], OPENSTACK),
    (&["links[]", "networks[]"], "OpenStack's network_data.json"),
    (&["instanceId"], "EC2's metadata"),
    (&["ami-id"], "EC2's metadata"),
    (&["compute{}"], "Azure's metadata"),
    (&["droplet_id"], "DigitalOcean's metadata"),
    (&["commercial_type"], "Scaleway's metadata"),
    (&["canonicalRegionName"], "Oracle's metadata"),
];

const VULTR: &str = "Vultr's metadata, for a site of `platform: vultr`";
const DEVICE: &str = "a device as Equinix Metal's API shows it";
const TINKERBELL: &str = "Tinkerbell's description of a machine, as Hegel answers it";
const OPENSTACK: &str = "OpenStack's meta_data.json";

/// How texts begin that are no JSON, in lower case.
const BEGINNINGS: &[(&str, &str)] = &[
    ("<!doctype html", PAGE),
    ("<html", PAGE),
    ("<", "XML"),
    ("#cloud-config", "a cloud-config"),
    ("## template: jinja", "a cloud-config"),
    ("#!", "a script"),
    ("content-type:", "user-data in several parts"),
    ("mime-version:", "user-data in several parts"),
    ("instance-id:", "the meta-data of a NoCloud seed"),
    ("ami-id", "a list of EC2's metadata"),
];

const PAGE: &str = "an HTML page, as a proxy, a portal or a login has in place of what was asked for";

/// Fails when the text is another document than this platform's, or an error answer.
pub(super) fn refuse(platform: &Platform, text: &str) -> Result<(), Failure> {
    let text = text.trim_start();
    let begins = |beginning: &str| text.get(..beginning.len()).is_some_and(|head| head.eq_ignore_ascii_case(beginning));
    if let Some((_, what)) = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning)) {
        return Err(refusal(platform, what));
    }
    // what is no JSON is the reader's to explain
    let Ok(document) = serde_json::from_str::<Node>(text) else { return Ok(()) };
    if platform.marks.iter().any(|mark| has(&document, mark)) {
        return Ok(());
    }
    if let Some(words) = ["errors", "error"].into_iter().find_map(|key| words(document.get(key))) {
        return Err(answer::refused(&words));
    }
    if let Node::Text(kind) = document.get("kind")
        && kind.starts_with("anymetal.")
    {
        return Err(refusal(platform, &format!("a document of kind {}", super::findings::quoted(kind))));
    }
    match MARKS.iter().find(|(marks, _)| marks.iter().all(|mark| has(&document, mark))) {
        Some((_, what)) => Err(refusal(platform, what)),
        None => Ok(()),
    }
}

fn refusal(platform: &Platform, what: &str) -> Failure {
    let message = format!("reading the metadata: this is {what}; what is needed is {}", platform.document);
    Failure::new(Reason::MetadataInvalid, message)
}

fn has(document: &Node, mark: &str) -> bool {
    let path = mark.trim_end_matches(['[', ']', '{', '}']);
    let found = path.split('.').fold(document, |node, key| node.get(key));
    match &mark[path.len()..] {
        "[]" => matches!(found, Node::List(_)),
        "{}" => matches!(found, Node::Map(_)),
        _ => !matches!(found, Node::Nothing),
    }
}

/// The words of an error: a text, or the first of a list.
fn words(node: &Node) -> Option<String> {
    match node {
        Node::Text(text) => Some(text.clone()),
        Node::List(list) => list.iter().find_map(words),
        Node::Map(_) => ["message", "detail", "title"].into_iter().find_map(|key| words(node.get(key))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{named, platforms};
    use super::*;

    fn said(platform: &str, text: &str) -> String {
        let failure = named(platform).unwrap().machine(text.as_bytes()).err();
        failure.map_or_else(|| "read".to_owned(), |failure| format!("{}: {}", failure.reason, failure.chain()))
    }

    #[test]
    fn another_document_is_recognised_on_every_platform() {
        let device = r#"{"id":"a","hostname":"e","facility":{"code":"da11"},"ip_addresses":[],"href":"/devices/a"}"#;
        for (text, what) in [
            (device, "a device as Equinix Metal's API shows it"),
            (r#"{"devices":[{"id":"a"}],"meta":{"total":1}}"#, "a list of devices, as Equinix Metal's API shows it"),
            (
                r#"{"bgp_neighbors":[{"address_family":4}]}"#,
                "a list of BGP neighbours, as Equinix Metal's API shows it",
            ),
            (
                r#"{"id":"x","metadata":{"facility":{"facility_code":"onprem"},"instance":{"hostname":"h"}},"network":{"interfaces":[]}}"#,
                "Tinkerbell's description of a machine, as Hegel answers it",
            ),
            (r#"{"instance":{"id":"x","hostname":"h"}}"#, "Tinkerbell's description of a machine, as Hegel answers it"),
            (r#"{"instance":{"id":"x","main_ip":"192.0.2.1"}}"#, "a server as Vultr's API shows it"),
            (
                r#"{"uuid":"x","hostname":"h","launch_index":0,"availability_zone":"nova"}"#,
                "OpenStack's meta_data.json",
            ),
            (r#"{"links":[],"networks":[],"services":[]}"#, "OpenStack's network_data.json"),
            (r#"{"instance":{"attributes":{}},"project":{"projectId":"p"}}"#, "Google's metadata"),
            (r#"{"accountId":"1","instanceId":"i-1","region":"eu-1"}"#, "EC2's metadata"),
            (r#"{"compute":{"name":"n"},"network":{"interface":[]}}"#, "Azure's metadata"),
            (r#"{"droplet_id":1,"hostname":"h"}"#, "DigitalOcean's metadata"),
            (
                r#"{"base64_encoded_keys":[],"ds":{"meta_data":{}},"v1":{"cloud_name":"x"}}"#,
                "cloud-init's own instance-data.json",
            ),
            ("#cloud-config\nwrite_files: []\n", "a cloud-config"),
            ("#!/bin/sh\n", "a script"),
            ("\n<!DOCTYPE html><title>Log in</title>", PAGE),
            ("<HTML>", PAGE),
            ("<?xml version=\"1.0\"?>", "XML"),
            ("ami-id\nhostname\n", "a list of EC2's metadata"),
            ("instance-id: x\nlocal-hostname: y\n", "the meta-data of a NoCloud seed"),
            (r#"{"kind":"anymetal.plan","version":1}"#, r#"a document of kind "anymetal.plan""#),
        ] {
            for name in platforms() {
                // `file` looks at the kind itself, as all of its documents have one
                if name == "file" && text.contains("anymetal.") {
                    continue;
                }
                let needed = named(name).unwrap().document;
                let expected =
                    format!("metadata-invalid: reading the metadata: this is {what}; what is needed is {needed}");
                assert_eq!(said(name, text), expected, "{name}: {text}");
                assert_eq!(said(name, &format!("\u{FEFF}{text}")), expected, "with a mark");
            }
        }
    }

    #[test]
    fn the_document_of_another_platform_is_recognised_by_it() {
        let read = |name: &str| {
            String::from_utf8(crate::sys::fs::read(&crate::goldens::documents().join(name)).unwrap()).unwrap()
        };
        let (equinix, rack) = (read("v4-multihop.json"), read("file-rack.json"));
        let vultr = r#"{"instance-v2-id":"x","hostname":"v","interfaces":[],"bgp":{}}"#;
        for (platform, text, what) in [
            ("vultr", equinix.as_str(), "this is Equinix Metal's metadata, for a site of `platform: equinix-metal`; "),
            ("file", &equinix, "this is Equinix Metal's metadata, for a site of `platform: equinix-metal`; "),
            ("equinix-metal", vultr, "this is Vultr's metadata, for a site of `platform: vultr`; "),
            ("file", vultr, "this is Vultr's metadata, for a site of `platform: vultr`; "),
            ("equinix-metal", &rack, "this is a document of kind \"anymetal.machine\"; "),
            ("vultr", &rack, "this is a document of kind \"anymetal.machine\"; "),
        ] {
            let said = said(platform, text);
            assert!(said.starts_with(&format!("metadata-invalid: reading the metadata: {what}")), "{platform}: {said}");
        }
    }

    #[test]
    fn an_error_answer_is_one_on_every_platform() {
        for text in [r#"{"errors":["Not found"]}"#, r#"{"error":"Not found"}"#, r#"{"error":{"message":"Not found"}}"#]
        {
            for name in ["vultr", "file"] {
                let expected = "metadata-unreachable: reading the metadata: it is an error answer: Not found";
                assert_eq!(said(name, text), expected, "{name}: {text}");
            }
        }
    }
}
