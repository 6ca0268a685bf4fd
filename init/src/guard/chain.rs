//! The chain of proofs, asked link by link to the first that does not hold.
//! May not decide what follows from it: `course` does.

use std::time::Duration;

use anymetal_contract::plan::Acl;

use super::course::Failed;
use super::document::{Ask, Document, Link, Token};
use crate::api::{self, Api};
use crate::bird::{Control, PATIENCE, Protocol, established};
use crate::cluster;
use crate::proof::Request;
use crate::sys::{clock, fs};
use anymetal_supply::http::{Certificates, Http, Limits};

/// The name of the first link.
const NEIGHBOUR: &str = "neighbour";

/// What came of one proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) name: String,
    pub(crate) took: Duration,
    /// Why it does not hold, when it does not.
    pub(crate) why: Option<String>,
    /// It is an application's, and fails at every other node too.
    pub(crate) everywhere: bool,
}

impl Proven {
    pub(crate) fn new(name: &str, took: Duration, why: Option<String>) -> Self {
        Self { name: name.to_owned(), took, why, everywhere: false }
    }

    /// What the round has failed by, when it has.
    pub(crate) fn failed(&self) -> Option<Failed> {
        let why = self.why.clone()?;
        Some(Failed { proof: self.name.clone(), why, everywhere: self.everywhere })
    }
}

/// The whole chain once, to the first link that does not hold.
pub(crate) fn whole(document: &Document) -> Vec<Proven> {
    let began = clock::monotonic();
    let asked = Control::open(&document.bird, PATIENCE).and_then(|mut control| control.protocols());
    let mut proven = vec![neighbour(document, &asked, began.elapsed())];
    if proven[0].why.is_none() {
        proven.extend(links(document, &clients(document)));
    }
    proven
}

/// Who asks the links after the first, one answer within the site's time for a proof.
pub(super) struct Clients {
    /// Requests of the node's own addresses, whose certificate may be anybody's.
    requests: Http,
    /// Consul and Nomad, who must show one of the site's CA; or why its certificate cannot be read.
    cluster: Result<Http, String>,
}

/// Makes them.
pub(super) fn clients(document: &Document) -> Clients {
    let limits = Limits::within(Duration::from_secs(u64::from(document.rules.timeout)));
    let cluster = fs::read(&document.ca).and_then(|text| api::pinned(&text, limits));
    Clients {
        requests: Http::afresh(limits, Certificates::Ignored),
        cluster: cluster.map_err(|error| format!("{error:#}; hint: `systemctl restart anymetal` writes it")),
    }
}

/// The first link: whether a session with any of the neighbours is established.
pub(super) fn neighbour(document: &Document, asked: &anyhow::Result<Vec<Protocol>>, took: Duration) -> Proven {
    let why = match asked {
        Err(error) => Some(format!("{error:#}")),
        Ok(protocols) => {
            let names: Vec<&str> = document.neighbours.iter().map(String::as_str).collect();
            let sessions = || protocols.iter().filter(|one| names.contains(&one.name.as_str()));
            if !established(protocols, &names).is_empty() {
                None
            } else if sessions().next().is_none() {
                Some("BIRD has no session with any of the neighbours in its configuration".to_owned())
            } else {
                let states = sessions().map(|session| format!("{} is {}", session.name, standing(session)));
                Some(format!("no session is established: {}", states.collect::<Vec<_>>().join(", ")))
            }
        }
    };
    Proven::new(NEIGHBOUR, took, why)
}

/// Where a session stands: `start, Active, Socket: Connection refused`.
fn standing(session: &Protocol) -> String {
    let words = session.info.split("  ").map(str::trim).filter(|words| !words.is_empty());
    std::iter::once(session.state.as_str()).chain(words).collect::<Vec<_>>().join(", ")
}

/// The rest of the chain, to the first link that does not hold.
pub(super) fn links(document: &Document, clients: &Clients) -> Vec<Proven> {
    let mut proven = Vec::with_capacity(document.links.len());
    for link in &document.links {
        let result = ask(document, link, clients);
        let holds = result.why.is_none();
        proven.push(result);
        if !holds {
            break;
        }
    }
    proven
}

fn ask(document: &Document, link: &Link, clients: &Clients) -> Proven {
    let began = clock::monotonic();
    let http = &clients.requests;
    let why = match &link.ask {
        Ask::Consul { api, token } => asked(clients, Acl::Consul, api, token.as_ref(), |api| {
            cluster::leader(api).and_then(|_| cluster::consul_agent_passes(api, &document.node))
        }),
        Ask::Nomad { api, token } => asked(clients, Acl::Nomad, api, token.as_ref(), |api| {
            cluster::leader(api).and_then(|_| cluster::nomad_node_is_ready(api, &document.node))
        }),
        Ask::Request(request) | Ask::Canary { here: request, .. } => request.fails(http).map(anyhow::Error::msg),
    };
    let mut proven = Proven::new(&link.name, began.elapsed(), why.map(|error| format!("{error:#}")));
    if let (Some(_), Ask::Canary { elsewhere, .. }) = (&proven.why, &link.ask) {
        proven.everywhere = !elsewhere.is_empty() && nobody_answers(elsewhere, http);
    }
    proven
}

/// Asks all at once: the slowest decides how long it takes, not their number.
fn nobody_answers(elsewhere: &[Request], http: &Http) -> bool {
    std::thread::scope(|scope| {
        let asked: Vec<_> =
            elsewhere.iter().map(|request| scope.spawn(move || request.fails(http).is_none())).collect();
        // Whoever panicked has not answered.
        !asked.into_iter().any(|answer| answer.join().unwrap_or(false))
    })
}

/// What is wrong with an API, if anything.
fn asked(
    clients: &Clients,
    of: Acl,
    api: &str,
    token: Option<&Token>,
    holds: impl FnOnce(&Api<'_>) -> anyhow::Result<()>,
) -> Option<anyhow::Error> {
    match &clients.cluster {
        Ok(http) => holds(&Api::new(http, of, api, token.map(|token| &token.0))).err(),
        Err(why) => Some(anyhow::Error::msg(why.clone())),
    }
}
