//! One request that must be answered as expected: by the phase `jobs`, by the chain of proofs.
//! May not retry, nor decide what follows: who asked does.

use anymetal_contract::plan::{Answers, Canary, Tls};
use serde::{Deserialize, Serialize};

use anymetal_supply::http::{Http, Question};

/// The most of an answer that is read, in bytes.
const MOST: u64 = 64 * 1024;
/// How many letters of an answer are told.
const TOLD: usize = 200;

/// A request and the answer that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) url: String,
    /// The name it is asked under, when that is not the URL's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// The status that is expected; any will do when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// What must be in the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) contains: Option<String>,
}

/// What a job of the plan must answer. With certificates, plain HTTP only redirects; this node's own certificate is not checked, since the name
/// is asked of this node and no other. What has no router (`routed`) is asked on the loopback.
pub(crate) fn requests(answers: &Answers, domains: &[String], tls: &Tls, routed: bool) -> Vec<Request> {
    let at = |url: &String| vec![Request { url: url.clone(), host: None, status: Some(200), contains: None }];
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
    let url = format!("{scheme}://{}{path}", in_url(address));
    Request { url, host: Some(name.to_owned()), status: Some(200), contains: None }
}

/// The proxy itself at this address, under a name that it has no router for: that it answers is all there is to see.
pub(crate) fn proxy(address: &str, name: &str) -> Request {
    Request { status: None, ..by_name(address, name, "/", &Tls::None) }
}

/// A canary, asked of this address and not of the one its name has. Nothing when its URL has no name; the builder refuses such a site.
pub(crate) fn canary(canary: &Canary, address: &str) -> Option<Request> {
    let (scheme, rest) = canary.url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let port = authority.rsplit_once(':').map(|(_, port)| format!(":{port}")).unwrap_or_default();
    let url = format!("{scheme}://{}{port}{path}", in_url(address));
    let contains = canary.contains.clone();
    Some(Request { url, host: Some(authority.to_owned()), status: Some(canary.status), contains })
}

/// An address or a name as it stands in a URL (RFC 3986 section 3.2.2).
fn in_url(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

impl Request {
    /// How it reads for people: the name, not the address it is asked of.
    pub(crate) fn shown(&self) -> String {
        let Some(host) = &self.host else { return self.url.clone() };
        let Some((scheme, rest)) = self.url.split_once("://") else { return self.url.clone() };
        let path = rest.find(['/', '?']).map_or("", |start| &rest[start..]);
        format!("{scheme}://{host}{path}")
    }

    /// Asks. What is wrong with the answer, in words; `None` when it is as expected.
    pub(crate) fn fails(&self, http: &Http) -> Option<String> {
        let headers: Vec<_> = self.host.iter().map(|host| ("host", host.as_str())).collect();
        let shown = self.shown();
        match http.ask(&Question { method: "GET", url: &self.url, headers: &headers, body: None }, MOST) {
            Ok(answered) => {
                let body = String::from_utf8_lossy(&answered.body);
                if self.status.is_some_and(|wanted| wanted != answered.status) {
                    let words = words(&body);
                    return Some(format!(
                        "{shown} answers {}{}{words}",
                        answered.status,
                        if words.is_empty() { "" } else { ", " }
                    ));
                }
                let wanted = self.contains.as_ref().filter(|wanted| !body.contains(wanted.as_str()))?;
                Some(format!("{shown} answers {} without {wanted:?}: {}", answered.status, words(&body)))
            }
            Err(error) => Some(format!("{shown}: {error:#}")),
        }
    }
}

fn words(body: &str) -> String {
    body.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TOLD).collect()
}

#[cfg(test)]
mod tests {
    use anymetal_lab::http::{Response, Server};

    use super::*;
    use anymetal_supply::http::{Certificates, Limits};

    #[test]
    fn a_name_is_asked_of_this_node_under_each_domain() {
        let domains = ["example.org".to_owned(), "n1.example.org".to_owned()];
        let loopback = "http://127.0.0.1:5309/healthz";
        let name = Answers::Name { label: "hippo".into(), path: "/healthz".into(), loopback: loopback.into() };
        let asked = |tls: &Tls| {
            requests(&name, &domains, tls, true)
                .into_iter()
                .map(|request| format!("{} as {}", request.url, request.host.unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            asked(&Tls::None),
            ["http://127.0.0.1/healthz as hippo.example.org", "http://127.0.0.1/healthz as hippo.n1.example.org"]
        );
        let files = Tls::Files { certificate: "/c".into(), key: "/k".into() };
        assert_eq!(asked(&files)[0], "https://127.0.0.1/healthz as hippo.example.org");
        let url = requests(&Answers::Url("http://127.0.0.1:8081/ping".into()), &domains, &files, true);
        assert_eq!((url[0].url.as_str(), &url[0].host), ("http://127.0.0.1:8081/ping", &None));
        let closed = requests(&name, &domains, &Tls::None, false);
        assert_eq!(
            closed.iter().map(|one| (one.url.as_str(), &one.host)).collect::<Vec<_>>(),
            [(loopback, &None)],
            "what has no router is asked of itself, once"
        );
    }

    #[test]
    fn a_canary_is_asked_of_the_address_under_its_own_name() {
        for (url, address, asked, host, shown) in [
            (
                "http://app.example.org/healthz?x=1",
                "198.51.100.7",
                "http://198.51.100.7/healthz?x=1",
                "app.example.org",
                "http://app.example.org/healthz?x=1",
            ),
            (
                "https://app.example.org",
                "2001:db8::7",
                "https://[2001:db8::7]",
                "app.example.org",
                "https://app.example.org",
            ),
            (
                "http://app.example.org:8080/",
                "n2.example.org",
                "http://n2.example.org:8080/",
                "app.example.org:8080",
                "http://app.example.org:8080/",
            ),
        ] {
            let request = canary(&Canary { url: url.into(), status: 200, contains: None }, address).unwrap();
            assert_eq!((request.url.as_str(), request.host.as_deref()), (asked, Some(host)));
            assert_eq!(request.shown(), shown);
        }
    }

    #[test]
    fn a_redirect_is_the_answer_and_nobody_else_is_asked() {
        let elsewhere = Server::start(|_, _| Response::ok("all good"));
        let url = elsewhere.url();
        let here = Server::start(move |_, _| Response {
            headers: vec![("Location".into(), url.clone())],
            ..Response::new(302, "")
        });
        let http = Http::afresh(Limits::QUESTION, Certificates::Ignored);
        let asked = |status| Request { url: here.url(), host: None, status: Some(status), contains: None }.fails(&http);
        assert_eq!(asked(200), Some(format!("{} answers 302", here.url())));
        assert_eq!(asked(302), None);
        assert!(elsewhere.requests().is_empty(), "the redirect was followed");
    }

    #[test]
    fn an_answer_must_have_the_status_and_the_words() {
        let http = Http::new(Limits::QUESTION, Certificates::Ignored);
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
            let request = Request { url: server.url(), host: None, status, contains: contains.map(str::to_owned) };
            assert_eq!(request.fails(&http), why.map(|why| format!("{} {why}", server.url())));
        }
    }
}
