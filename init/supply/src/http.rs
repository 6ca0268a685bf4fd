//! The network: GET and POST, with limits on time and size.
//! May not retry or judge a status: whoever asked knows what is final.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use ureq::http::Uri;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use crate::flow::Flowing;
use crate::proxy::{Proxies, Unusable};
use crate::resolve::Resolver;
pub use crate::tls::Authority;
use crate::tls::{Refused, Tls, Trust};
use crate::via::{Via, wants_credentials};

/// A blocking HTTP client.
#[derive(Clone)]
pub struct Http {
    agent: ureq::Agent,
    silence: Duration,
    proxies: Arc<Proxies>,
}

/// How the world outside is reached: through which proxies, and whose certificates are believed there beside those of the web's own roots. By
/// default directly, and nobody else's.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    proxies: Arc<Proxies>,
    authorities: Arc<[Authority]>,
}

impl Outside {
    /// The way through these proxies, to who has a certificate of these authorities or of the web's.
    pub fn new(proxies: Proxies, authorities: Vec<Authority>) -> Self {
        Self { proxies: Arc::new(proxies), authorities: authorities.into() }
    }

    /// The same without a proxy.
    #[must_use]
    pub fn without_proxies(self) -> Self {
        Self { proxies: Arc::default(), ..self }
    }
}

/// Something to ask. No `Debug`: a header may be a token.
pub struct Question<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// In full.
    pub url: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// A JSON document.
    pub body: Option<&'a str>,
}

/// What came back, whatever the status.
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// The `Date` header, as it was sent.
    pub date: Option<String>,
    /// All of it.
    pub body: Vec<u8>,
}

/// A body that is still coming.
pub struct Stream {
    /// The status code.
    pub status: u16,
    /// What the server says the whole body of this answer is long, in bytes.
    pub length: Option<u64>,
    /// Where in the whole file the body begins, when the server said so (`Content-Range` of a 206), in bytes.
    pub first: Option<u64>,
    /// Whether it says to be a page for people.
    pub is_page: bool,
    /// Ends with an error when nothing, or nearly nothing, has come for [`Limits::silence`].
    pub body: Box<dyn Read + Send>,
}

/// How long one request may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the connection stands.
    pub connect: Duration,
    /// From the first byte sent to the last byte received; `None` for streams, which may take as long as they flow.
    pub whole: Option<Duration>,
    /// Silence that ends a transfer: each read of the socket, and of a stream also a flow below a kilobyte a second for so long.
    pub silence: Duration,
}

/// What a client does besides asking.
#[derive(Debug, Clone, Copy)]
enum Habits {
    /// Connections are kept, redirects followed.
    Usual,
    /// Neither.
    Afresh,
    /// Connections are kept for a while, and redirects not followed.
    Pinned,
}

/// How long a connection to a server of the cluster is kept without a question: over the guard's rounds, as with handshakes in each of
/// them it was measured at 0.3 % of a core, of which it may have 0.2 %.
const KEPT: Duration = Duration::from_secs(15);

impl Habits {
    /// How many connections are kept for the next question, how long each one's buffers are, in bytes, and how many redirects are followed. The
    /// usual ones are ureq's own defaults; buffers of that size for every short question are a good part of what it costs.
    const fn numbers(self) -> (usize, usize, u32) {
        match self {
            Self::Usual => (10, 128 * 1024, 10),
            Self::Afresh => (0, 8 * 1024, 0),
            Self::Pinned => (2, 8 * 1024, 0),
        }
    }
}

impl Limits {
    /// A short question: metadata, a health check, a report.
    pub const QUESTION: Self = Self {
        connect: Duration::from_secs(5),
        whole: Some(Duration::from_secs(20)),
        silence: Duration::from_secs(10),
    };
    /// A file.
    pub const TRANSFER: Self = Self { connect: Duration::from_secs(10), whole: None, silence: Duration::from_secs(30) };

    /// One answer within this time.
    pub const fn within(limit: Duration) -> Self {
        Self { connect: limit, whole: Some(limit), silence: limit }
    }
}

/// Whether the peer's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// Against the web's own roots, and outside against those of [`Outside`] too.
    Checked,
    /// Only for bytes that are pinned or signed anyway: a wrong clock at first boot must not strand the node.
    Ignored,
}

impl Http {
    /// A client for the world outside, which keeps connections and follows redirects.
    pub fn outward(limits: Limits, certificates: Certificates, outside: &Outside) -> Self {
        let trust = match certificates {
            Certificates::Checked => Trust::Web(Arc::clone(&outside.authorities)),
            Certificates::Ignored => Trust::Anybody,
        };
        Self::with(Habits::Usual, limits, trust, Arc::clone(&outside.proxies))
    }

    /// A client for what is near, the metadata service and this machine itself: never through a proxy. It makes a new connection for every question, as
    /// one that was made long ago proves nothing about the next; and follows no redirect, as that leads to somebody else.
    pub fn afresh(limits: Limits, certificates: Certificates) -> Self {
        let trust = match certificates {
            Certificates::Checked => Trust::Web([].into()),
            Certificates::Ignored => Trust::Anybody,
        };
        Self::with(Habits::Afresh, limits, trust, Arc::default())
    }

    /// A client that speaks with servers of this authority alone: by TLS, not through a proxy, following no redirect. Whatever a question says,
    /// a token in it, is sent only once the server has shown its certificate.
    pub fn pinned(limits: Limits, authority: Authority) -> Self {
        Self::with(Habits::Pinned, limits, Trust::Only(authority), Arc::default())
    }

    /// Here, and in `probe`, is where connections are made.
    fn with(habits: Habits, limits: Limits, trust: Trust, proxies: Arc<Proxies>) -> Self {
        let (kept, buffer, redirects) = habits.numbers();
        let mut config = ureq::Agent::config_builder();
        if let Habits::Pinned = habits {
            config = config.https_only(true).max_idle_age(KEPT);
        }
        let config = config
            // ureq would read the environment, and in its own way.
            .proxy(None)
            .http_status_as_error(false)
            .timeout_connect(Some(limits.connect))
            .timeout_global(limits.whole)
            .timeout_recv_response(Some(limits.silence))
            // For each read of the socket; ureq's own limit for bodies is a total, which a large file may exceed.
            .timeout_per_read(Some(limits.silence))
            .max_redirects(redirects)
            .max_idle_connections(kept)
            .input_buffer_size(buffer)
            .output_buffer_size(buffer)
            .user_agent(concat!("anymetal/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .build();
        let connector = Via(Arc::clone(&proxies)).chain(TcpConnector::default());
        let connector = connector.chain(Tls::new(trust, Arc::clone(&proxies)));
        let agent = ureq::Agent::with_parts(config, connector, Resolver::beside(Arc::clone(&proxies)));
        Self { agent, silence: limits.silence, proxies }
    }

    /// What is being done, for messages: the address that is asked, and the proxy in between.
    fn doing(&self, verb: &str, url: &str) -> String {
        let uri = url.parse::<Uri>().ok();
        match uri.as_ref().map(|uri| self.proxies.route(uri)) {
            Some(Ok(Some(proxy))) => format!("{verb} {url} through {proxy}"),
            _ => format!("{verb} {url}"),
        }
    }

    /// Makes an answer that is a proxy's own into an error.
    fn heard<T>(
        &self,
        verb: &str,
        url: &str,
        answer: Result<ureq::http::Response<T>, ureq::Error>,
    ) -> anyhow::Result<ureq::http::Response<T>> {
        let answer = answer.map_err(ours).with_context(|| self.doing(verb, url))?;
        if answer.status() == 407
            && let Ok(uri) = url.parse::<Uri>()
            && let Ok(Some(proxy)) = self.proxies.route(&uri)
        {
            anyhow::bail!("{}: the proxy answered 407{}", self.doing(verb, url), wants_credentials(proxy));
        }
        Ok(answer)
    }

    /// Asks for a document of at most `most` bytes.
    pub fn get(&self, url: &str, most: u64) -> anyhow::Result<Answered> {
        answered(self.heard("asking", url, self.agent.get(url).call())?, url, most)
    }

    /// Sends a JSON document. The answer's body is read to at most 64 KiB.
    pub fn post_json(&self, url: &str, body: &str) -> anyhow::Result<Answered> {
        let answer = self.agent.post(url).header("content-type", "application/json").send(body);
        answered(self.heard("posting to", url, answer)?, url, 64 * 1024)
    }

    /// Asks anything, with these headers. The answer's body is read to at most `most` bytes.
    pub fn ask(&self, question: &Question<'_>, most: u64) -> anyhow::Result<Answered> {
        let Question { method, url, headers, body } = question;
        let doing = || format!("asking {url}");
        let mut request = ureq::http::Request::builder().method(*method).uri(*url);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let response = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json").body(*body).with_context(doing)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(()).with_context(doing)?),
        };
        answered(self.heard("asking", url, response)?, url, most)
    }

    /// Opens a file, from this byte on.
    pub fn open(&self, url: &str, from: u64) -> anyhow::Result<Stream> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = self.heard("asking", url, request.call())?;
        let status = response.status().as_u16();
        let length = response.body().content_length();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let first = header("content-range").and_then(first_of_range);
        let is_page = header("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/html"));
        let body = Flowing::new(response.into_body().into_reader(), self.silence);
        Ok(Stream { status, length, first, is_page, body: Box::new(body) })
    }
}

/// Whether a request failed because the peer's certificate, or TLS with it, was not accepted.
pub fn certificate_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<ureq::Error>() {
        Some(ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => true,
        // rustls reports through the stream, as invalid data, what goes wrong after the handshake.
        Some(ureq::Error::Io(inner)) => inner.kind() == io::ErrorKind::InvalidData,
        _ => cause.is::<Refused>(),
    })
}

/// The client's error; of those that it only passes on, because our own layers of the connection made them, the error itself.
pub(crate) fn ours(error: ureq::Error) -> anyhow::Error {
    let ureq::Error::Other(inner) = error else { return error.into() };
    let inner = match inner.downcast::<Refused>() {
        Ok(refused) => return (*refused).into(),
        Err(inner) => inner,
    };
    match inner.downcast::<Unusable>() {
        Ok(unusable) => (*unusable).into(),
        Err(inner) => ureq::Error::Other(inner).into(),
    }
}

/// Whether a request failed because no answer came within its time: whoever was asked hangs, or is kept waiting.
pub fn timed_out(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<ureq::Error>() {
        Some(ureq::Error::Timeout(_)) => true,
        Some(ureq::Error::Io(inner)) => fell_silent(inner),
        Some(_) => false,
        None => cause.downcast_ref::<io::Error>().is_some_and(fell_silent),
    })
}

/// Whether reading a body failed because nothing, or nearly nothing, came any more.
pub fn fell_silent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
        || error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<ureq::Error>())
            .is_some_and(|inner| matches!(inner, ureq::Error::Timeout(_)))
}

/// The `first` of `bytes first-last/total` (RFC 9110, section 14.4).
fn first_of_range(value: &str) -> Option<u64> {
    let (first, _) = value.trim().strip_prefix("bytes ")?.split_once('-')?;
    first.trim().parse().ok()
}

pub(crate) fn answered(response: ureq::http::Response<ureq::Body>, url: &str, most: u64) -> anyhow::Result<Answered> {
    let status = response.status().as_u16();
    let date = response.headers().get("date").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(most + 1)
        .read_to_end(&mut body)
        .with_context(|| format!("reading the answer of {url}"))?;
    anyhow::ensure!(body.len() as u64 <= most, "reading the answer of {url}: it is longer than {most} bytes");
    Ok(Answered { status, date, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_of_a_range_is_read() {
        assert_eq!(first_of_range("bytes 100-199/200"), Some(100));
        assert_eq!(first_of_range("bytes 0-0/*"), Some(0));
        for other in ["bytes */200", "lines 1-2/3", "", "bytes -5/9"] {
            assert_eq!(first_of_range(other), None, "{other:?}");
        }
    }
}
