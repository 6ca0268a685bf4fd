//! Of what, by whom and to what something was built: an in-toto statement (<https://in-toto.io/Statement/v1>) with SLSA's provenance
//! (<https://slsa.dev/spec/v1.0/provenance>). May not name a secret or its digest, nor a time or a path of the machine it was built on.
//!
//! Structs of our own, because the one crate that has them brings protobuf and its compiler.

use std::collections::BTreeMap;

use anymetal_contract::Digest;
use serde::Serialize;

use crate::plan::{Need, canonical};

/// The file in OUT.
pub const FILE: &str = "provenance.intoto.json";
/// What is done: a site to what its nodes boot from.
const BUILD: &str = "urn:anymetal:build:v1";
/// Who does it.
const BUILDER: &str = "urn:anymetal:builder";

/// Something by its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// What it is called; of a file its name below the folder that matters, never a path of the machine.
    pub name: String,
    /// Its digest.
    pub sha256: Digest,
    /// Where it can be had.
    pub urls: Vec<String>,
}

/// What went in and what came out.
#[derive(Debug, Clone)]
pub struct Build<'b> {
    /// The site's file.
    pub site: &'b Resource,
    /// The forms that were asked for.
    pub forms: Vec<String>,
    /// Other files that were read: the lock, cloud-config.
    pub read: &'b [Resource],
    /// Every blob that is pinned.
    pub needs: &'b [Need],
    /// What was written.
    pub written: &'b [Resource],
}

/// The statement: canonical JSON and a line feed.
pub fn document(build: &Build<'_>) -> Vec<u8> {
    let blob = |need: &Need| Resource { name: need.name.clone(), sha256: need.sha256.clone(), urls: need.urls.clone() };
    let blobs: Vec<_> = build.needs.iter().map(blob).collect();
    let inputs = [build.site].into_iter().chain(build.read).chain(&blobs);
    let mut written = build.written.to_vec();
    written.sort();
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: written.iter().map(Descriptor::of).collect(),
        predicate_type: "https://slsa.dev/provenance/v1",
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: BUILD,
                external_parameters: External { forms: &build.forms, site: Descriptor::of(build.site) },
                resolved_dependencies: inputs.map(Descriptor::of).collect(),
            },
            run_details: RunDetails {
                builder: Builder { id: BUILDER, version: BTreeMap::from([("anymetal", env!("CARGO_PKG_VERSION"))]) },
            },
        },
    };
    let mut text = canonical(&statement);
    text.push(b'\n');
    text
}

/// <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>
#[derive(Serialize)]
struct Statement<'b> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: Vec<Descriptor<'b>>,
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Predicate<'b>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Predicate<'b> {
    build_definition: BuildDefinition<'b>,
    run_details: RunDetails,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition<'b> {
    build_type: &'static str,
    external_parameters: External<'b>,
    resolved_dependencies: Vec<Descriptor<'b>>,
}

#[derive(Serialize)]
struct External<'b> {
    forms: &'b [String],
    site: Descriptor<'b>,
}

#[derive(Serialize)]
struct RunDetails {
    builder: Builder,
}

#[derive(Serialize)]
struct Builder {
    id: &'static str,
    version: BTreeMap<&'static str, &'static str>,
}

/// <https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md>
#[derive(Serialize)]
struct Descriptor<'b> {
    name: &'b str,
    digest: BTreeMap<&'static str, &'b Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'b str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'b [String]>,
}

impl<'b> Descriptor<'b> {
    fn of(resource: &'b Resource) -> Self {
        let (first, others) =
            resource.urls.split_first().map_or((None, &[][..]), |(first, others)| (Some(first), others));
        Self {
            name: &resource.name,
            digest: BTreeMap::from([("sha256", &resource.sha256)]),
            uri: first.map(String::as_str),
            annotations: Some(others)
                .filter(|others| !others.is_empty())
                .map(|others| ("otherUris", others))
                .into_iter()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn resource(name: &str, byte: u8) -> Resource {
        Resource { name: name.into(), sha256: Digest::of([byte; 32]), urls: vec![] }
    }

    #[test]
    fn it_says_what_went_in_and_what_came_out() {
        let need = Need {
            sha256: Digest::of([3; 32]),
            size: Some(7),
            name: "consul 1.21.5 x86_64".into(),
            urls: vec!["https://one.example/c.zip".into(), "https://two.example/c.zip".into()],
        };
        let build = Build {
            site: &resource("site.yaml", 1),
            forms: vec!["user-data".into()],
            read: &[resource("extra.yaml", 2)],
            needs: &[need],
            written: &[resource("user-data", 5), resource("plan.json", 4)],
        };
        let said: Value = serde_json::from_slice(&document(&build)).unwrap();
        let hex = |byte: &str| json!({"sha256": byte.repeat(32)});
        let expected = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "plan.json", "digest": hex("04")}, {"name": "user-data", "digest": hex("05")}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:anymetal:build:v1",
                    "externalParameters": {"forms": ["user-data"], "site": {"name": "site.yaml", "digest": hex("01")}},
                    "resolvedDependencies": [
                        {"name": "site.yaml", "digest": hex("01")},
                        {"name": "extra.yaml", "digest": hex("02")},
                        {"name": "consul 1.21.5 x86_64", "digest": hex("03"), "uri": "https://one.example/c.zip",
                            "annotations": {"otherUris": ["https://two.example/c.zip"]}},
                    ],
                },
                "runDetails": {"builder": {"id": "urn:anymetal:builder", "version": {"anymetal": env!("CARGO_PKG_VERSION")}}},
            },
        });
        assert_eq!(said, expected);
    }
}
