//! Consul's and Nomad's HTTP APIs as we speak them: a path, a token, JSON both ways.
//! May not judge an answer but by its status, and never says a token: it travels in a header.

use anyhow::Context as _;
use anymetal_contract::plan::Acl;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::secret::Secret;
use anymetal_supply::http::{Certificates, Http, Limits, Question};

/// The longest answer that is read: a list of everything one node runs has some hundred kilobytes.
const MOST: u64 = 4 << 20;
/// Letters of an answer that a message repeats.
const QUOTED: usize = 300;

/// An API, asked with one token.
pub(crate) struct Api<'a> {
    of: Acl,
    base: &'a str,
    token: Option<&'a Secret>,
    http: Http,
}

/// An answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// The question, for messages: `GET /v1/nodes`.
    question: String,
    of: Acl,
}

impl<'a> Api<'a> {
    pub(crate) fn new(of: Acl, base: &'a str, token: Option<&'a Secret>) -> Self {
        Self::through(Http::new(Limits::QUESTION, Certificates::Checked), of, base, token)
    }

    /// By this client, with its limits.
    pub(crate) fn through(http: Http, of: Acl, base: &'a str, token: Option<&'a Secret>) -> Self {
        Self { of, base: base.trim_end_matches('/'), token, http }
    }

    /// Whose it is.
    pub(crate) const fn of(&self) -> Acl {
        self.of
    }

    pub(crate) fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.ask("GET", path, None)
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.ask("PUT", path, Some(&body.to_string()))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&str>) -> anyhow::Result<Reply> {
        let header = match self.of {
            Acl::Consul => "x-consul-token",
            Acl::Nomad => "x-nomad-token",
        };
        let headers: Vec<_> = self.token.into_iter().map(|token| (header, token.expose())).collect();
        let url = format!("{}{path}", self.base);
        let answered = self.http.ask(&Question { method, url: &url, headers: &headers, body }, MOST)?;
        Ok(Reply {
            status: answered.status,
            text: String::from_utf8_lossy(&answered.body).into_owned(),
            question: format!("{method} {path}"),
            of: self.of,
        })
    }
}

impl Reply {
    pub(crate) fn is_good(&self) -> bool {
        self.status == 200
    }

    /// The answer as a person would read it, short.
    pub(crate) fn words(&self) -> String {
        let words: String = self.text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(QUOTED).collect();
        if words.is_empty() { self.status.to_string() } else { format!("{}, {words}", self.status) }
    }

    /// Only an answer of 200; any other is an error that says what was asked and what came.
    pub(crate) fn good(self) -> anyhow::Result<Self> {
        anyhow::ensure!(self.is_good(), "{} answers {} with {}", name(self.of), self.question, self.words());
        Ok(self)
    }

    /// The document of an answer of 200.
    pub(crate) fn json<T: DeserializeOwned>(self) -> anyhow::Result<T> {
        let reply = self.good()?;
        serde_json::from_str(&reply.text)
            .with_context(|| format!("reading what {} answers to {}", name(reply.of), reply.question))
    }
}

/// As people write it.
pub(crate) const fn name(of: Acl) -> &'static str {
    match of {
        Acl::Consul => "Consul",
        Acl::Nomad => "Nomad",
    }
}

#[cfg(test)]
mod tests {
    use anymetal_lab::http::{Response, Server};

    use super::*;

    #[test]
    fn the_token_goes_in_the_header_of_its_program_and_nowhere_else() {
        for (of, header) in [(Acl::Consul, "x-consul-token"), (Acl::Nomad, "x-nomad-token")] {
            let server = Server::start(move |request, _| {
                let sent = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(header));
                assert_eq!(sent.map(|(_, value)| value.as_str()), Some("hunter2"));
                Response::new(403, "Permission denied\n")
            });
            let token = Secret::new("hunter2");
            let base = format!("{}/", server.url());
            let error = Api::new(of, &base, Some(&token)).get("/v1/nodes").unwrap().json::<Value>().unwrap_err();
            let expected = format!("{} answers GET /v1/nodes with 403, Permission denied", name(of));
            assert_eq!(format!("{error:#}"), expected);
        }
    }
}
