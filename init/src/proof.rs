//! One request that must be answered as expected: by the phase `jobs`, by the chain of proofs.
//! May not retry, nor decide what follows: who asked does.

use anymetal_contract::plan::{Answers, Canary, Tls};
use serde::{Deserialize, Serialize};

use anymetal_supply::http;
use anymetal_supply::probe::{Probe, Way};

/// The most of an answer that is read, in bytes.
const MOST: u64 = 64 * 1024;
/// How many letters of an answer are told.
const TOLD: usize = 200;

/// A request and the answer that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// With the name it is asked under.
    pub(crate) url: String,
    /// The address or name it is asked at, when that is not the URL's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    /// The status that is expected; any will do when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// What must be in the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contains: Option<String>,
    /// Whether the certificate must be valid for the name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) verify: bool,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heard {
    /// What is wrong with the answer, in words; nothing when it is as expected.
    pub(crate) why: Option<String>,
    /// Whether that is because there is nobody: refused, where it is asked of itself; where a proxy is asked for it, an error of the server's side,
    /// by the proxy or by itself. Not when nothing is answered in time.
    pub(crate) away: bool,
    /// When the certificate that answered expires, in seconds of Unix time.
    pub(crate) expires: Option<i64>,
}

/// How far a request may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Not out of this machine, whatever the routes say: what answers is this node or nobody.
    Within,
    /// Anywhere.
    Anywhere,
}

/// What a job of the plan must answer. With certificates, plain HTTP only redirects; this node's own certificate is not checked, since the name
/// is asked of this node and no other. What has no router (`routed`) is asked on the loopback.
pub(crate) fn requests(answers: &Answers, domains: &[String], tls: &Tls, routed: bool) -> Vec<Request> {
    let at =
        |url: &String| vec![Request { url: url.clone(), at: None, status: Some(200), contains: None, verify: false }];
    match answers {
        Answers::Url(url) => at(url),
        Answers::Name { loopback, .. } if !routed => at(loopback),
        Answers::Name { label, path, .. } => {
            domains.iter().map(|domain| by_name("127.0.0.1", &format!("{label}.{domain}"), path, tls)).collect()
        }
    }
}

/// This path of this name, asked of this address.
pub(crate) fn by_name(address: &str, name: &str, path: &str, tls: &Tls) -> Request {
    let scheme = if *tls == Tls::None { "http" } else { "https" };
    let url = format!("{scheme}://{name}{path}");
    Request { url, at: Some(address.to_owned()), status: Some(200), contains: None, verify: false }
}

/// The proxy itself at this address, under a name that it has no router for: that it answers is all there is to see.
pub(crate) fn proxy(address: &str, name: &str) -> Request {
    Request { status: None, ..by_name(address, name, "/", &Tls::None) }
}

/// A canary, asked of this address and not of the one its name has.
pub(crate) fn canary(canary: &Canary, address: &str) -> Request {
    Request {
        url: canary.url.clone(),
        at: Some(address.to_owned()),
        status: Some(canary.status),
        contains: canary.contains.clone(),
        verify: canary.verify,
    }
}

impl Request {
    /// The name it is asked under, without a port.
    pub(crate) fn name(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        // A colon within brackets is part of an IPv6 address.
        match authority.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name,
            _ => authority,
        }
    }

    /// Asks.
    pub(crate) fn ask(&self, probe: &Probe, reach: Reach) -> Heard {
        let way = Way { at: self.at.as_deref(), within: reach == Reach::Within, verify: self.verify };
        let heard = probe.get(&self.url, way, MOST);
        let (why, away) = match heard.answer {
            Ok(answered) => {
                (self.wrong(answered.status, &String::from_utf8_lossy(&answered.body)), answered.status >= 500)
            }
            Err(error) => {
                let away = self.at.is_none() && !http::timed_out(&error);
                (Some(format!("{}: {error:#}", self.url)), away)
            }
        };
        Heard { away: away && why.is_some(), why, expires: heard.expires }
    }

    fn wrong(&self, status: u16, body: &str) -> Option<String> {
        let (url, words) = (&self.url, words(body));
        if self.status.is_some_and(|wanted| wanted != status) {
            return Some(format!("{url} answers {status}{}{words}", if words.is_empty() { "" } else { ", " }));
        }
        let wanted = self.contains.as_ref().filter(|wanted| !body.contains(wanted.as_str()))?;
        Some(format!("{url} answers {status} without {wanted:?}: {words}"))
    }
}

fn words(body: &str) -> String {
    body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anymetal_lab::http::{Response, Server};
    use anymetal_lab::tls::Expired;

    use super::*;

    fn probe() -> Probe {
        Probe::new(Duration::from_secs(20))
    }

    #[test]
    fn a_name_is_asked_of_this_node_under_each_domain() {
        let domains = ["example.org".to_owned(), "n1.example.org".to_owned()];
        let loopback = "http://127.0.0.1:5309/healthz";
        let name = Answers::Name { label: "hippo".into(), path: "/healthz".into(), loopback: loopback.into() };
        let asked = |tls: &Tls| {
            requests(&name, &domains, tls, true)
                .into_iter()
                .map(|request| format!("{} at {}", request.url, request.at.unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            asked(&Tls::None),
            ["http://hippo.example.org/healthz at 127.0.0.1", "http://hippo.n1.example.org/healthz at 127.0.0.1"]
        );
        let files = Tls::Files { certificate: "/c".into(), key: "/k".into() };
        assert_eq!(asked(&files)[0], "https://hippo.example.org/healthz at 127.0.0.1");
        let url = requests(&Answers::Url("http://127.0.0.1:8081/ping".into()), &domains, &files, true);
        assert_eq!((url[0].url.as_str(), &url[0].at), ("http://127.0.0.1:8081/ping", &None));
        let closed = requests(&name, &domains, &Tls::None, false);
        assert_eq!(
            closed.iter().map(|one| (one.url.as_str(), &one.at)).collect::<Vec<_>>(),
            [(loopback, &None)],
            "what has no router is asked of itself, once"
        );
    }

    #[test]
    fn a_canary_is_asked_of_the_address_under_its_own_name() {
        for (url, name) in [
            ("http://app.example.org/healthz?x=1", "app.example.org"),
            ("https://app.example.org", "app.example.org"),
            ("http://app.example.org:8080/", "app.example.org"),
            ("http://[2001:db8::7]:8080?x", "[2001:db8::7]"),
        ] {
            let wanted = Canary { url: url.into(), status: 200, contains: None, verify: true };
            let request = canary(&wanted, "2001:db8::7");
            assert_eq!((request.url.as_str(), request.at.as_deref()), (url, Some("2001:db8::7")));
            assert_eq!((request.name(), request.verify), (name, true));
        }
    }

    #[test]
    fn a_certificate_is_seen_whatever_it_is_worth_and_judged_when_asked_to() {
        let server = Expired::start("well");
        let asked = |verify| Request { url: server.url(), at: None, status: Some(200), contains: None, verify };
        let heard = asked(false).ask(&probe(), Reach::Within);
        assert_eq!((heard.why, heard.expires), (None, Some(1_577_923_200)));
        let heard = asked(true).ask(&probe(), Reach::Within);
        let why = heard.why.unwrap();
        assert!(why.contains("its certificate has expired"), "{why}");
    }

    #[test]
    fn nobody_there_is_away_and_a_wrong_answer_or_none_is_not() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let silent = Server::start(|_, _| Response { stall_after: Some(0), ..Response::ok("late") });
        let probe = Probe::new(Duration::from_millis(300));
        let asked = |url: String, at: Option<&str>| {
            let request = Request { url, at: at.map(str::to_owned), status: Some(200), contains: None, verify: false };
            let heard = request.ask(&probe, Reach::Within);
            (heard.why.is_none(), heard.away)
        };
        for (status, holds, away) in [(200, true, false), (404, false, false), (502, false, true), (503, false, true)] {
            let server = Server::start(move |_, _| Response::new(status, ""));
            assert_eq!(asked(server.url(), None), (holds, away), "{status}");
        }
        assert_eq!(asked(format!("http://{closed}/"), None), (false, true), "nobody listens");
        let named = format!("http://hippo.example.org:{}/", closed.port());
        assert_eq!(asked(named, Some("127.0.0.1")), (false, false), "there is no proxy that could answer for it");
        assert_eq!(asked(silent.url(), None), (false, false), "it hangs");
    }

    #[test]
    fn a_redirect_is_the_answer_and_nobody_else_is_asked() {
        let elsewhere = Server::start(|_, _| Response::ok("all good"));
        let url = elsewhere.url();
        let here = Server::start(move |_, _| Response {
            headers: vec![("Location".into(), url.clone())],
            ..Response::new(302, "")
        });
        let request =
            |status| Request { url: here.url(), at: None, status: Some(status), contains: None, verify: false };
        let asked = |status| request(status).ask(&probe(), Reach::Within).why;
        assert_eq!(asked(200), Some(format!("{} answers 302", here.url())));
        assert_eq!(asked(302), None);
        assert!(elsewhere.requests().is_empty(), "the redirect was followed");
    }

    #[test]
    fn an_answer_must_have_the_status_and_the_words() {
        for (response, status, contains, why) in [
            (Response::ok("all good"), Some(200), None, None),
            (Response::ok("all good"), Some(200), Some("good"), None),
            (Response::new(204, ""), Some(204), None, None),
            (Response::ok("all \n bad"), Some(200), Some("good"), Some("answers 200 without \"good\": all bad")),
            (Response::new(503, "no\nleader"), Some(200), None, Some("answers 503, no leader")),
            (Response::new(404, ""), Some(200), None, Some("answers 404")),
            (Response::new(404, "404 page not found"), None, None, None),
        ] {
            let server = Server::start(move |_, _| response.clone());
            let contains = contains.map(str::to_owned);
            let request = Request { url: server.url(), at: None, status, contains, verify: false };
            assert_eq!(request.ask(&probe(), Reach::Within).why, why.map(|why| format!("{} {why}", server.url())));
        }
    }
}
