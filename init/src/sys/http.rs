//! The network: GET and POST, with limits on time and size.
//! May not retry or judge a status: whoever asked knows what is final.

use std::io::Read;
use std::time::Duration;

use anyhow::Context as _;

/// A blocking HTTP client. Follows redirects, keeps connections, trusts the web's own roots.
#[derive(Clone)]
pub(crate) struct Http {
    agent: ureq::Agent,
}

/// What came back, whatever the status.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// The `Date` header, as it was sent.
    pub(crate) date: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// A body that is still coming.
pub(crate) struct Stream {
    pub(crate) status: u16,
    /// What the server says the whole body of this answer is long, in bytes.
    pub(crate) length: Option<u64>,
    pub(crate) body: Box<dyn Read + Send>,
}

/// How long one request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connect: Duration,
    /// From the first byte sent to the last byte received; `None` for streams, whose readers watch the flow themselves.
    pub(crate) whole: Option<Duration>,
    /// Silence that ends a transfer.
    pub(crate) silence: Duration,
}

impl Limits {
    /// A short question: metadata, a health check, a report.
    pub(crate) const QUESTION: Self = Self {
        connect: Duration::from_secs(5),
        whole: Some(Duration::from_secs(20)),
        silence: Duration::from_secs(10),
    };
    /// A file.
    pub(crate) const TRANSFER: Self =
        Self { connect: Duration::from_secs(10), whole: None, silence: Duration::from_secs(30) };
}

/// Whether the peer's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificates {
    Checked,
    /// Only for bytes that are pinned by digest anyway: a wrong clock at first boot must not strand the node.
    Ignored,
}

impl Http {
    pub(crate) fn new(limits: Limits, certificates: Certificates) -> Self {
        let tls = ureq::tls::TlsConfig::builder().disable_verification(certificates == Certificates::Ignored).build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .timeout_connect(Some(limits.connect))
            .timeout_global(limits.whole)
            .timeout_recv_response(Some(limits.silence))
            .timeout_recv_body(limits.whole)
            .user_agent(concat!("anymetal-init/", env!("CARGO_PKG_VERSION")))
            .accept("*/*")
            .build();
        Self { agent: config.into() }
    }

    /// Asks for a document of at most `most` bytes.
    pub(crate) fn get(&self, url: &str, most: u64) -> anyhow::Result<Answered> {
        let response = self.agent.get(url).call().with_context(|| format!("asking {url}"))?;
        answered(response, url, most)
    }

    /// Sends a JSON document. The answer's body is read to at most 64 KiB.
    pub(crate) fn post_json(&self, url: &str, body: &str) -> anyhow::Result<Answered> {
        let response = self
            .agent
            .post(url)
            .header("content-type", "application/json")
            .send(body)
            .with_context(|| format!("posting to {url}"))?;
        answered(response, url, 64 * 1024)
    }

    /// Opens a file, from this byte on.
    pub(crate) fn open(&self, url: &str, from: u64) -> anyhow::Result<Stream> {
        let mut request = self.agent.get(url);
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = request.call().with_context(|| format!("asking {url}"))?;
        let status = response.status().as_u16();
        let length = response.body().content_length();
        Ok(Stream { status, length, body: Box::new(response.into_body().into_reader()) })
    }
}

fn answered(response: ureq::http::Response<ureq::Body>, url: &str, most: u64) -> anyhow::Result<Answered> {
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
