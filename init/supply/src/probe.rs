//! A question asked at an address of one's own choosing, under the name its URL has: over a connection of its own, on demand one that
//! cannot leave this machine, with the certificate that answered.
//! May not judge the answer. May not follow a redirect: that leads to somebody else.

mod transport;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use rustls::ClientConfig;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::PathAndQuery;
use ureq::unversioned::resolver::ResolvedSocketAddrs;
use ureq::unversioned::transport::{Connector as _, NextTimeout};

use crate::http::{Answered, answered, ours};
use crate::resolve::Resolver;
use crate::tls::{Shown, Tls, Trust};
use crate::validity;
use transport::Tcp;

/// Bytes of each buffer of a connection: answers are short.
const BUFFER: usize = 8 * 1024;

/// Who asks. Cheap to ask with; one is enough for a program.
#[derive(Debug)]
pub struct Probe {
    limit: Duration,
    unchecked: Arc<ClientConfig>,
    /// Made when it is needed first: the web's roots are many.
    checked: OnceLock<Arc<ClientConfig>>,
}

/// Where and how a question is asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way<'a> {
    /// The address or name that is connected to, whatever the URL's name means; the URL's own when there is none.
    pub at: Option<&'a str>,
    /// Only over the loopback: where the address is not this machine's, nothing leaves it and nobody answers.
    pub within: bool,
    /// Whether the certificate must be one that the web's own roots vouch for, valid now, and of the URL's name.
    pub verify: bool,
}

/// What came of it.
pub struct Heard {
    /// The answer, whatever its status.
    pub answer: anyhow::Result<Answered>,
    /// When the certificate that answered expires, in seconds of Unix time.
    pub expires: Option<i64>,
}

impl Probe {
    /// One whose every answer has to come within this time.
    pub fn new(limit: Duration) -> Self {
        Self { limit, unchecked: config(&Trust::Anybody), checked: OnceLock::new() }
    }

    /// Asks for a document of at most `most` bytes.
    pub fn get(&self, url: &str, way: Way<'_>, most: u64) -> Heard {
        let certificate = Arc::new(Mutex::new(None));
        let answer = self.ask(url, way, most, &certificate);
        let certificate = certificate.lock().unwrap_or_else(PoisonError::into_inner);
        Heard { answer, expires: certificate.as_deref().and_then(validity::expires) }
    }

    fn ask(&self, url: &str, way: Way<'_>, most: u64, certificate: &Shown) -> anyhow::Result<Answered> {
        let tls =
            if way.verify { self.checked.get_or_init(|| config(&Trust::Web([].into()))) } else { &self.unchecked };
        let tls = Tls::keeping(Arc::clone(tls), Arc::clone(certificate));
        let connector = Tcp { within: way.within }.chain(tls);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(self.limit))
            .max_redirects(0)
            .max_idle_connections(0)
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .proxy(None)
            .user_agent(concat!("anymetal/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .build();
        let agent = ureq::Agent::with_parts(config, connector, At(way.at.map(str::to_owned)));
        let shown = || way.at.map_or_else(|| format!("asking {url}"), |at| format!("asking {at}"));
        answered(agent.get(url).call().map_err(ours).with_context(shown)?, url, most)
    }
}

/// Resolves every name to one address or name.
#[derive(Debug)]
struct At(Option<String>);

impl ureq::unversioned::resolver::Resolver for At {
    fn resolve(&self, uri: &Uri, config: &Config, limit: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let Some(at) = &self.0 else { return Resolver::default().resolve(uri, config, limit) };
        let host = if at.contains(':') { format!("[{at}]") } else { at.clone() };
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        let mut parts = uri.clone().into_parts();
        parts.authority = Some(format!("{host}{port}").parse().map_err(ureq::http::Error::from)?);
        parts.path_and_query = Some(PathAndQuery::from_static("/"));
        let uri = Uri::from_parts(parts).map_err(ureq::http::Error::from)?;
        Resolver::default().resolve(&uri, config, limit)
    }
}

/// TLS that accepts what this trust does.
fn config(trust: &Trust) -> Arc<ClientConfig> {
    let mut config = trust.config();
    // What a connection of long ago agreed upon proves nothing about the next.
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

#[cfg(test)]
mod tests;
