//! The chain of proofs, asked link by link to the first that does not hold.
//! May not decide what follows from it: `course` does.

use std::time::Duration;

use anymetal_contract::plan::Acl;
use ipnet::IpNet;

use super::certificate::Certificate;
use super::course::{Failed, Seen};
use super::document::{Ask, Document, Link, Token};
use super::loopback;
use crate::api::{self, Api};
use crate::bird::{Control, PATIENCE, Protocol, established};
use crate::cluster::{self, Missing, MissingKind};
use crate::proof::{Reach, Request};
use crate::sys::{clock, fs};
use anymetal_supply::http::{Http, Limits};
use anymetal_supply::probe::Probe;

/// The names of the first links.
const FIREWALL: &str = "firewall";
const ADDRESSES: &str = "addresses";
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
    /// It is of a program that may be away for a while, and is.
    pub(crate) away: bool,
    /// The certificate that answered, when one did.
    pub(crate) certificate: Option<Certificate>,
}

impl Proven {
    pub(crate) fn new(name: &str, took: Duration, why: Option<String>) -> Self {
        Self { name: name.to_owned(), took, why, everywhere: false, away: false, certificate: None }
    }

    /// What the round has failed by, when it has.
    pub(crate) fn failed(&self) -> Option<Failed> {
        let why = self.why.clone()?;
        Some(Failed { proof: self.name.clone(), why, everywhere: self.everywhere })
    }
}

/// What a round says: the first link that does not hold decides, and one that is away only when every other holds.
pub(super) fn seen(proofs: &[Proven]) -> Seen {
    let failed = |away| proofs.iter().filter(|proven| proven.away == away).find_map(Proven::failed);
    match (failed(false), failed(true)) {
        (Some(failed), _) => Seen::Bad(failed),
        (None, Some(failed)) => Seen::Away(failed),
        (None, None) => Seen::Good,
    }
}

/// The whole chain once, to the first link that does not hold. Somewhere that is `no_node` nothing of the machine's own is looked at.
pub(crate) fn whole(document: &Document, no_node: bool) -> Vec<Proven> {
    let began = clock::monotonic();
    let mut proven = Vec::new();
    if !no_node {
        proven.extend(firewall(document));
        proven.push(addresses(&document.prefixes).0);
    }
    let asked = Control::open(&document.bird, PATIENCE).and_then(|mut control| control.protocols());
    proven.push(neighbour(document, &asked, began.elapsed()));
    cut(&mut proven);
    if proven.iter().all(|link| link.why.is_none()) {
        proven.extend(links(document, &Client::of(document, false)));
        // Nobody is waited for here who is away: the phase asks again.
        cut(&mut proven);
    }
    proven
}

/// Drops what comes after the first link that does not hold.
pub(super) fn cut(proven: &mut Vec<Proven>) {
    let good = proven.iter().take_while(|link| link.why.is_none()).count();
    proven.truncate(good + 1);
}

/// Who asks the links after those of this machine itself, one answer within the site's time for a proof.
pub(super) struct Client {
    /// Asks Consul and Nomad, who must show a certificate of the site's CA; or why the CA's cannot be read.
    cluster: Result<Http, String>,
    probe: Probe,
}

impl Client {
    /// One that is `hurried`, because something has just failed, waits for three quarters of the site's time: who hangs is noticed sooner.
    pub(super) fn of(document: &Document, hurried: bool) -> Self {
        let whole = Duration::from_secs(u64::from(document.rules.timeout));
        let limit = if hurried { whole * 3 / 4 } else { whole };
        let cluster = fs::read(&document.ca).and_then(|text| api::pinned(&text, Limits::within(limit)));
        let cluster = cluster.map_err(|error| format!("{error:#}; hint: `systemctl restart anymetal` writes it"));
        Self { cluster, probe: Probe::new(limit) }
    }
}

/// Whether the firewall is in force; nothing of a node that has none.
pub(super) fn firewall(document: &Document) -> Option<Proven> {
    let firewall = document.firewall.as_ref()?;
    let began = clock::monotonic();
    let why = firewall.fails();
    Some(Proven::new(FIREWALL, began.elapsed(), why))
}

/// Makes the prefixes this machine's own, so that no proof asks another node. Returns whether that holds, and what had to be done.
pub(super) fn addresses(prefixes: &[IpNet]) -> (Proven, Vec<String>) {
    let began = clock::monotonic();
    let mut done = Vec::new();
    let why = loopback::own(prefixes, &mut done).err().map(|error| format!("{error:#}"));
    (Proven::new(ADDRESSES, began.elapsed(), why), done)
}

/// The link to the network: whether a session with any of the neighbours is established.
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

/// The rest of the chain, to the first link that does not hold and may not be away.
pub(super) fn links(document: &Document, client: &Client) -> Vec<Proven> {
    let mut proven = Vec::with_capacity(document.links.len());
    for link in &document.links {
        let result = ask(document, link, client);
        let goes_on = result.why.is_none() || result.away;
        proven.push(result);
        if !goes_on {
            break;
        }
    }
    proven
}

fn ask(document: &Document, link: &Link, client: &Client) -> Proven {
    let began = clock::monotonic();
    let Client { cluster, probe } = client;
    let mut certificate = None;
    let why = match &link.ask {
        Ask::Consul { api, token } => asked(cluster, Acl::Consul, api, token.as_ref(), |api| {
            cluster::leader(api).and_then(|_| cluster::consul_agent_passes(api, &document.node))
        }),
        Ask::Nomad { api, token } => asked(cluster, Acl::Nomad, api, token.as_ref(), |api| {
            cluster::leader(api).and_then(|_| cluster::nomad_node_is_ready(api, &document.node))
        }),
        Ask::Request(request) | Ask::Canary { here: request, .. } => {
            let heard = request.ask(probe, Reach::Within);
            let name = || request.name().to_owned();
            certificate = heard.expires.map(|expires| Certificate { name: name(), expires });
            heard.why.map(|why| (why, heard.away))
        }
    };
    let (why, away) = why.map_or((None, false), |(why, away)| (Some(why), away && link.graced));
    let mut proven = Proven::new(&link.name, began.elapsed(), why);
    (proven.certificate, proven.away) = (certificate, away);
    if let (Some(_), Ask::Canary { elsewhere, .. }) = (&proven.why, &link.ask) {
        proven.everywhere = !elsewhere.is_empty() && nobody_answers(elsewhere, probe);
    }
    proven
}

/// Asks all at once: the slowest decides how long it takes, not their number.
fn nobody_answers(elsewhere: &[Request], probe: &Probe) -> bool {
    std::thread::scope(|scope| {
        let ask = |request: &Request| request.ask(probe, Reach::Anywhere).why.is_none();
        let asked: Vec<_> = elsewhere.iter().map(|request| scope.spawn(move || ask(request))).collect();
        // Whoever panicked has not answered.
        !asked.into_iter().any(|answer| answer.join().unwrap_or(false))
    })
}

/// What is wrong with an API, if anything, and whether it is that it is away.
fn asked(
    client: &Result<Http, String>,
    of: Acl,
    api: &str,
    token: Option<&Token>,
    holds: impl FnOnce(&Api<'_>) -> Result<(), Missing>,
) -> Option<(String, bool)> {
    match client {
        Ok(http) => holds(&Api::new(http, of, api, token.map(|token| &token.0))).err().map(|missing| {
            let away = matches!(missing.kind, MissingKind::Away | MissingKind::Unknown);
            (format!("{:#}", missing.error), away)
        }),
        Err(why) => Some((why.clone(), false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_that_is_away_is_told_only_when_every_other_holds() {
        let proven = |name: &str, holds: bool, away: bool| Proven {
            away,
            ..Proven::new(name, Duration::ZERO, (!holds).then(|| "why".to_owned()))
        };
        let holds = |name: &str| proven(name, true, false);
        let word = |proofs: &[Proven]| match seen(proofs) {
            Seen::Good => "good".to_owned(),
            Seen::Away(failed) => format!("{} is away", failed.proof),
            Seen::Bad(failed) => format!("{} is bad", failed.proof),
            Seen::Wishes(_) => unreachable!("nobody wishes anything here"),
        };
        let away = |name: &str| proven(name, false, true);
        assert_eq!(word(&[holds("consul"), holds("nomad"), holds("traefik")]), "good");
        assert_eq!(word(&[holds("consul"), away("nomad"), holds("traefik"), away("hippo")]), "nomad is away");
        assert_eq!(word(&[away("nomad"), proven("traefik", false, false)]), "traefik is bad");
    }
}
