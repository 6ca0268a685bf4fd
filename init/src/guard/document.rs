//! What the guard keeps watch by: `guard.json`, made from plan, facts and secrets by the phase `prove`, read by the guard at its start.
//! May not print a token, nor ask a proof.

use std::path::PathBuf;

use anyhow::Context as _;
use anymetal_contract::Plan;
use anymetal_contract::plan::{Acl, Answers, Guard, Ready, Service};
use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};

use super::firewall::Firewall;
use super::loopback::address;
use crate::facts::Facts;
use crate::outside::Way;
use crate::proof::{self, Request};
use crate::report::To;
use crate::secret::Secret;
use crate::secrets::Secrets;

const KIND: &str = "anymetal.guard";
const VERSION: u32 = 1;

/// The document. An input: closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Document {
    kind: String,
    version: u32,
    pub(crate) site: String,
    pub(crate) node: String,
    /// BIRD's control socket.
    pub(crate) bird: PathBuf,
    /// The certificate of the site's CA: Consul and Nomad are asked of nobody who has none of it.
    pub(crate) ca: PathBuf,
    /// Names of BIRD's protocols that are the sessions with the neighbours.
    pub(crate) neighbours: Vec<String>,
    /// What is announced.
    pub(crate) prefixes: Vec<IpNet>,
    pub(crate) rules: Guard,
    /// The firewall that is to be in force, the first link of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) firewall: Option<Firewall>,
    /// The chain after what is this machine's own and its neighbours, in order.
    pub(crate) links: Vec<Link>,
    /// Who hears of changes, besides the journal and the node's own files.
    #[serde(default)]
    pub(crate) reports: Vec<To>,
    /// The way to them.
    #[serde(default, skip_serializing_if = "Way::is_plain")]
    pub(crate) way: Way,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) ask: Ask,
    /// Whether it is of a program that may be away for [`Guard::grace`] while every other link holds: users of applications do without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) graced: bool,
}

/// What is asked, and of whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Ask {
    /// Whether Consul has a leader and takes this node's agent for alive.
    Consul { api: String, token: Option<Token> },
    /// Whether Nomad has a leader and takes this node for ready.
    Nomad { api: String, token: Option<Token> },
    /// Whether this is answered as expected.
    Request(Request),
    /// The same, of an application: when it is not, whether it is at any other node.
    Canary { here: Request, elsewhere: Vec<Request> },
}

/// A token. It stands in the clear in this document, which is root's alone, and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Token(pub(crate) Secret);

impl From<String> for Token {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl Document {
    /// What a node with these facts keeps watch by.
    pub(crate) fn make(
        (bird, ca): (PathBuf, PathBuf),
        plan: &Plan,
        facts: &Facts,
        secrets: &Secrets,
        reports: Vec<To>,
    ) -> anyhow::Result<Self> {
        let prefixes =
            plan.anycast.v4.iter().chain(&plan.anycast.v6).map(|prefix| {
                prefix.parse().with_context(|| format!("reading the anycast prefix {prefix} of the plan"))
            });
        let prefixes: Vec<IpNet> = prefixes.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            kind: KIND.to_owned(),
            version: VERSION,
            site: plan.site.clone(),
            node: facts.node().to_owned(),
            bird,
            ca,
            neighbours: facts.neighbours().map(str::to_owned).collect(),
            links: links(plan, facts, secrets, &prefixes),
            prefixes,
            rules: plan.settings.guard.clone(),
            firewall: None,
            reports,
            way: Way::default(),
        })
    }

    /// The same, of a node with this firewall.
    pub(crate) fn with_firewall(self, firewall: Option<Firewall>) -> Self {
        Self { firewall, ..self }
    }

    /// The same, of a node with this way to who hears of changes.
    pub(crate) fn with_way(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// Reads it.
    pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            kind: String,
            version: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| quiet(&error))?;
        anyhow::ensure!(
            head.kind == KIND && head.version == VERSION,
            "it is {:?} version {}, and this guard reads {KIND} version {VERSION}: run `systemctl restart anymetal`",
            head.kind,
            head.version
        );
        serde_json::from_slice(bytes).map_err(|error| quiet(&error))
    }

    /// As it is written.
    pub(crate) fn text(&self) -> String {
        let mut text = serde_json::to_string(self).expect("the document has only text for keys");
        text.push('\n');
        text
    }

    /// Every token in it, every webhook and every proxy's password, to be hidden in what is told.
    pub(crate) fn hidden(&self) -> Vec<Secret> {
        let tokens = self.links.iter().filter_map(|link| match &link.ask {
            Ask::Consul { token, .. } | Ask::Nomad { token, .. } => token.as_ref().map(|token| token.0.clone()),
            Ask::Request(_) | Ask::Canary { .. } => None,
        });
        let webhooks = self.reports.iter().filter_map(|to| match to {
            To::Webhook(url) => Some(Secret::new(url)),
            To::Platform(_) => None,
        });
        tokens.chain(webhooks).chain(self.way.hidden()).collect()
    }
}

/// A reader's error says where, and may quote what it read: a token.
fn quiet(error: &serde_json::Error) -> anyhow::Error {
    anyhow::anyhow!("it is no such document: line {}, column {}", error.line(), error.column())
}

fn links(plan: &Plan, facts: &Facts, secrets: &Secrets, prefixes: &[IpNet]) -> Vec<Link> {
    let (domain, tls, routed) = (std::slice::from_ref(&plan.domain), facts.tls(), facts.routed());
    let mut links: Vec<Link> = plan.services.iter().filter_map(|service| cluster(service, secrets)).collect();
    for job in &plan.jobs {
        for answers in &job.answers {
            // Who has a name has Traefik before it, which says so when there is nobody behind; Traefik itself is what users reach.
            let graced = matches!(answers, Answers::Name { .. });
            let requests = proof::requests(answers, domain, tls, routed);
            links.extend(requests.into_iter().map(|request| Link {
                name: job.name.clone(),
                ask: Ask::Request(request),
                graced,
            }));
        }
    }
    // The platform's own name is that of the last job that has one: what stands in front of it has been asked before.
    let named = plan.jobs.iter().flat_map(|job| &job.answers).rev().find_map(|answers| match answers {
        Answers::Name { label, path, .. } => Some((format!("{label}.{}", plan.domain), path)),
        Answers::Url(_) => None,
    });
    let addresses: Vec<String> = prefixes.iter().map(|prefix| address(prefix).to_string()).collect();
    if let Some((name, path)) = named {
        links.extend(addresses.iter().map(|address| Link {
            name: format!("anycast {address}"),
            ask: Ask::Request(if routed {
                proof::by_name(address, &name, path, tls)
            } else {
                proof::proxy(address, &name)
            }),
            graced: routed,
        }));
    }
    let rules = &plan.settings.guard;
    let others = rules.quorum.as_ref().map(|quorum| quorum.nodes.as_slice()).unwrap_or_default();
    let first = addresses.first().map_or("127.0.0.1", String::as_str);
    for canary in &rules.canaries {
        let here = proof::canary(canary, first);
        let elsewhere = others.iter().map(|node| proof::canary(canary, node)).collect();
        // With its path: an application may have two, and a metric is known by this name.
        let name = format!("canary {}", here.url);
        links.push(Link { name, ask: Ask::Canary { here, elsewhere }, graced: false });
    }
    links
}

fn cluster(service: &Service, secrets: &Secrets) -> Option<Link> {
    let reader = service.access.as_ref().and_then(|access| access.reader.as_ref());
    let token = reader.and_then(|name| secrets.value(name)).cloned().map(Token);
    let (of, ask) = match &service.ready {
        Ready::ConsulLeader(api) => (Acl::Consul, Ask::Consul { api: api.clone(), token }),
        Ready::NomadNode(api) => (Acl::Nomad, Ask::Nomad { api: api.clone(), token }),
        Ready::Active | Ready::Announced => return None,
    };
    Some(Link { name: crate::api::name(of).to_lowercase(), ask, graced: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_another_kind_or_form_is_refused_without_a_word_of_it() {
        let error = |text: &str| format!("{:#}", Document::read(text.as_bytes()).unwrap_err());
        assert_eq!(
            error("{\"kind\": \"anymetal.guard\", \"version\": hunter2}"),
            "it is no such document: line 1, column 39"
        );
        let other = error(r#"{"kind":"anymetal.guard","version":2,"token":"hunter2"}"#);
        assert!(other.starts_with("it is \"anymetal.guard\" version 2") && !other.contains("hunter2"), "{other}");
        let unknown = error(r#"{"kind":"anymetal.guard","version":1,"hunter2":1}"#);
        assert!(unknown.starts_with("it is no such document") && !unknown.contains("hunter2"), "{unknown}");
    }
}
