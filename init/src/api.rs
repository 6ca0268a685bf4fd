//! Consul's and Nomad's HTTP APIs as we speak them: a path, a token, JSON both ways.
//! May not judge an answer but by its status, and never says a token: it travels in a header, and only to who has a certificate of the site's CA.

use anyhow::Context as _;
use anymetal_contract::place;
use anymetal_contract::plan::Acl;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::secret::Secret;
use crate::sys::{fs, holder};
use crate::world::World;
use anymetal_supply::http::{self, Authority, Certificates, Http, Limits, Question};

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
    /// An API that this client asks, with its limits.
    pub(crate) fn new(http: &Http, of: Acl, base: &'a str, token: Option<&'a Secret>) -> Self {
        Self { of, base: base.trim_end_matches('/'), token, http: http.clone() }
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
        anyhow::ensure!(
            self.base.starts_with("https://") || (headers.is_empty() && body.is_none()),
            "asking {url}: no secret goes to an API without TLS; hint: the plan names it, so build it anew"
        );
        let answered = self.http.ask(&Question { method, url: &url, headers: &headers, body }, MOST);
        let answered = answered.map_err(|error| self.stranger(error))?;
        Ok(Reply {
            status: answered.status,
            text: String::from_utf8_lossy(&answered.body).into_owned(),
            question: format!("{method} {path}"),
            of: self.of,
        })
    }
}

impl Api<'_> {
    /// An error with the name of who holds the API's port, when that is somebody who cannot show a certificate of the site's CA.
    fn stranger(&self, error: anyhow::Error) -> anyhow::Error {
        if !http::certificate_refused(&error) {
            return error;
        }
        let name = name(self.of);
        let at = holder::address(self.base);
        let held = at.and_then(holder::of).map_or_else(|| "nobody that could be found".to_owned(), |by| by.to_string());
        let at = at.map_or_else(|| self.base.to_owned(), |at| at.to_string());
        error.context(format!(
            "whoever answers at {at} has no certificate of this site's CA, and gets no token; the port is held by {held}; \
             hint: unless that is {name} itself, end it, and {name} takes its port at its next start"
        ))
    }
}

/// Who asks the APIs of this node: by TLS with the site's CA where there is one, by whatever the URL says otherwise, and then without a token.
pub(crate) fn client(world: &World) -> anyhow::Result<Http> {
    if let Some(http) = world.cluster.get() {
        return Ok(http.clone());
    }
    let http = match fs::read_if_there(&world.at(place::CA))? {
        Some(text) => pinned(&text, Limits::QUESTION)?,
        None if world.plan().certificates.is_empty() => Http::afresh(Limits::QUESTION, Certificates::Checked),
        None => anyhow::bail!("there is no {}; hint: the phase files makes it", place::CA),
    };
    Ok(world.cluster.get_or_init(|| http).clone())
}

/// Who asks servers with a certificate of the CA of this text, PEM.
pub(crate) fn pinned(text: &[u8], limits: Limits) -> anyhow::Result<Http> {
    let authority = Authority::from_pem(text).with_context(|| format!("reading {}", place::CA))?;
    Ok(Http::pinned(limits, authority))
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
#[path = "api_tests.rs"]
mod tests;
