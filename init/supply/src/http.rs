//! The network: GET and POST, with limits on time and size.
//! May not retry or judge a status: whoever asked knows what is final.

#![expect(
    clippy::disallowed_methods,
    reason = "the flow of a transfer is judged by the clock that runs while it flows"
)]

use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ureq::unversioned::transport::DefaultConnector;

use crate::resolve::Resolver;

/// A blocking HTTP client. Follows redirects, keeps connections, trusts the web's own roots.
#[derive(Clone)]
pub struct Http {
    agent: ureq::Agent,
    silence: Duration,
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
    /// Silence that ends a transfer: each read of the socket, and of a stream also a flow below [`LEAST_FLOW`] for so long.
    pub silence: Duration,
}

/// Bytes per second below which a stream counts as silent: at this rate the smallest artefact of a site would take most of a day,
/// and an origin that drips would hold the boot for ever.
const LEAST_FLOW: u64 = 1024;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// Against the web's own roots.
    Checked,
    /// Only for bytes that are pinned by digest anyway: a wrong clock at first boot must not strand the node.
    Ignored,
    /// Against this authority and no other; and only by TLS, directly.
    Pinned(Authority),
}

/// The certificate of the one authority that a client believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Arc<[u8]>);

impl Authority {
    /// Takes the certificate out of this text in PEM. Fails when there is none.
    pub fn from_pem(text: &[u8]) -> anyhow::Result<Self> {
        let certificate = ureq::tls::Certificate::from_pem(text).context("it has no certificate in PEM")?;
        Ok(Self(certificate.der().into()))
    }

    fn roots(&self) -> ureq::tls::RootCerts {
        [ureq::tls::Certificate::from_der(&self.0).to_owned()].into()
    }
}

impl Http {
    /// A client that keeps connections and follows redirects.
    pub fn new(limits: Limits, certificates: Certificates) -> Self {
        Self::with(Habits::Usual, limits, certificates)
    }

    /// A client that makes a new connection for every question, as one that was made long ago proves nothing about the next; and that follows no
    /// redirect, as that leads to somebody else.
    pub fn afresh(limits: Limits, certificates: Certificates) -> Self {
        Self::with(Habits::Afresh, limits, certificates)
    }

    /// A client that speaks with servers of this authority alone: by TLS, not through a proxy, following no redirect. Whatever a question says,
    /// a token in it, is sent only once the server has shown its certificate.
    pub fn pinned(limits: Limits, authority: Authority) -> Self {
        Self::with(Habits::Pinned, limits, Certificates::Pinned(authority))
    }

    fn with(habits: Habits, limits: Limits, certificates: Certificates) -> Self {
        let (kept, buffer, redirects) = habits.numbers();
        let tls = ureq::tls::TlsConfig::builder();
        let mut config = ureq::Agent::config_builder();
        let tls = match certificates {
            Certificates::Checked => tls,
            Certificates::Ignored => tls.disable_verification(true),
            Certificates::Pinned(authority) => {
                config = config.https_only(true).proxy(None).max_idle_age(KEPT);
                tls.root_certs(authority.roots())
            }
        };
        let config = config
            .tls_config(tls.build())
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
        let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Resolver::default());
        Self { agent, silence: limits.silence }
    }

    /// Asks for a document of at most `most` bytes.
    pub fn get(&self, url: &str, most: u64) -> anyhow::Result<Answered> {
        let response = self.agent.get(url).call().with_context(|| format!("asking {url}"))?;
        answered(response, url, most)
    }

    /// Sends a JSON document. The answer's body is read to at most 64 KiB.
    pub fn post_json(&self, url: &str, body: &str) -> anyhow::Result<Answered> {
        let response = self
            .agent
            .post(url)
            .header("content-type", "application/json")
            .send(body)
            .with_context(|| format!("posting to {url}"))?;
        answered(response, url, 64 * 1024)
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
        answered(response.with_context(doing)?, url, most)
    }

    /// Opens a file, from this byte on.
    pub fn open(&self, url: &str, from: u64) -> anyhow::Result<Stream> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = request.call().with_context(|| format!("asking {url}"))?;
        let status = response.status().as_u16();
        let length = response.body().content_length();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let first = header("content-range").and_then(first_of_range);
        let is_page = header("content-type").is_some_and(|kind| kind.trim_start().starts_with("text/html"));
        let body = Flowing {
            inner: response.into_body().into_reader(),
            window: Window { since: Instant::now(), bytes: 0, silence: self.silence },
        };
        Ok(Stream { status, length, first, is_page, body: Box::new(body) })
    }
}

/// Whether a request failed because the peer's certificate, or TLS with it, was not accepted.
pub fn certificate_refused(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<ureq::Error>() {
        Some(ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => true,
        // rustls reports a failed handshake through the stream, as invalid data.
        Some(ureq::Error::Io(inner)) => inner.kind() == io::ErrorKind::InvalidData,
        _ => false,
    })
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

/// A body that must keep flowing.
struct Flowing<R> {
    inner: R,
    window: Window,
}

impl<R: Read> Read for Flowing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length > 0 && !self.window.flows(Instant::now(), length) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "hardly a byte comes any more"));
        }
        Ok(length)
    }
}

/// How much has come since when.
struct Window {
    since: Instant,
    bytes: u64,
    silence: Duration,
}

impl Window {
    /// Whether the flow, with these bytes read by `now`, is still one. Judged once per window of [`Limits::silence`].
    fn flows(&mut self, now: Instant, length: usize) -> bool {
        self.bytes += length as u64;
        let open = now.duration_since(self.since);
        if open < self.silence {
            return true;
        }
        let enough = u128::from(self.bytes) * 1000 >= u128::from(LEAST_FLOW) * open.as_millis();
        (self.since, self.bytes) = (now, 0);
        enough
    }
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
    fn a_drip_is_as_good_as_silence_and_a_slow_flow_is_not() {
        let (start, silence) = (Instant::now(), Duration::from_secs(30));
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut drip = Window { since: start, bytes: 0, silence };
        assert!(drip.flows(after(20), 1), "judged before the window was over");
        assert!(!drip.flows(after(40), 1), "two bytes in 40 s were taken for a flow");
        let mut slow = Window { since: start, bytes: 0, silence };
        assert!(slow.flows(after(31), 32 * 1024), "1 KiB/s was taken for silence");
        assert!(!slow.flows(after(62), 1), "the first window's bytes counted for the second");
    }

    #[test]
    fn the_first_byte_of_a_range_is_read() {
        assert_eq!(first_of_range("bytes 100-199/200"), Some(100));
        assert_eq!(first_of_range("bytes 0-0/*"), Some(0));
        for other in ["bytes */200", "lines 1-2/3", "", "bytes -5/9"] {
            assert_eq!(first_of_range(other), None, "{other:?}");
        }
    }
}
