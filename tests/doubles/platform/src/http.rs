//! A small HTTP server and client: one request in, one reply out, a thread each.
//! May not know a route.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Decoded, without the query: `/v1/jobs`.
    pub path: String,
    /// Decoded.
    pub query: BTreeMap<String, String>,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// Whole.
    pub body: Vec<u8>,
    /// Who asks.
    pub peer: Option<SocketAddr>,
}

impl Request {
    /// A value of the query; nothing when it is empty.
    pub fn asked(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// The content type; nothing when there is no body.
    pub kind: Option<&'static str>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Whole.
    pub body: Vec<u8>,
}

impl Reply {
    /// JSON.
    pub fn json(value: &serde_json::Value) -> Self {
        let body = value.to_string().into_bytes();
        Self { status: 200, kind: Some("application/json"), headers: Vec::new(), body }
    }

    /// Text, as Go's servers send errors.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let body = text.into().into_bytes();
        Self { status, kind: Some("text/plain; charset=utf-8"), headers: Vec::new(), body }
    }

    /// Nothing but a status.
    pub fn empty(status: u16) -> Self {
        Self { status, kind: None, headers: Vec::new(), body: Vec::new() }
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// What answers requests.
pub type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// A listener whose port can be had again at once after a restart.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Answers requests for ever.
pub fn serve(listener: TcpListener, answer: &Arc<Answer>) -> std::io::Result<()> {
    answer_all(&tiny_http::Server::from_listener(listener, None).map_err(std::io::Error::other)?, answer);
    Ok(())
}

/// Answers requests by TLS for ever, with this certificate and this key, files in PEM.
pub fn serve_tls(
    listener: TcpListener,
    (certificate, key): (&Path, &Path),
    answer: &Arc<Answer>,
) -> std::io::Result<()> {
    let inner = crate::tls::terminate(listener, certificate, key)?;
    answer_all(&tiny_http::Server::from_listener(inner, None).map_err(std::io::Error::other)?, answer);
    Ok(())
}

fn answer_all(server: &tiny_http::Server, answer: &Arc<Answer>) {
    for mut asked in server.incoming_requests() {
        let answer = Arc::clone(answer);
        std::thread::spawn(move || {
            let reply = answer(&read(&mut asked));
            // Who asked may be gone; that is their business.
            let _ = asked.respond(write(reply));
        });
    }
}

fn read(asked: &mut tiny_http::Request) -> Request {
    let url = asked.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let mut body = Vec::new();
    let _ = asked.as_reader().take(64 << 20).read_to_end(&mut body);
    let headers = asked.headers().iter();
    Request {
        method: asked.method().to_string(),
        path: decode(path, false),
        query: pairs(query),
        headers: headers
            .map(|header| (header.field.to_string().to_ascii_lowercase(), header.value.to_string()))
            .collect(),
        body,
        peer: asked.remote_addr().copied(),
    }
}

fn write(reply: Reply) -> tiny_http::Response<std::io::Cursor<Vec<u8>>> {
    let mut response = tiny_http::Response::from_data(reply.body).with_status_code(reply.status);
    let kind = reply.kind.map(|kind| ("Content-Type", kind.to_owned()));
    for (name, value) in kind.into_iter().chain(reply.headers) {
        if let Ok(header) = tiny_http::Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    response
}

/// The pairs of a query.
pub fn pairs(query: &str) -> BTreeMap<String, String> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}

fn decode(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) if plus => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How long an answer may take: longer than an agent without a leader thinks.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks somebody: status and body. A status is an answer, whatever it says.
pub fn ask(
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&serde_json::Value>,
) -> Result<(u16, Vec<u8>), String> {
    ask_by(None, method, url, headers, body)
}

/// The same, of servers of the CA in this file in PEM.
pub fn ask_by(
    ca: Option<&Path>,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Option<&serde_json::Value>,
) -> Result<(u16, Vec<u8>), String> {
    let mut tls = ureq::tls::TlsConfig::builder();
    if let Some(path) = ca {
        let text = std::fs::read(path).map_err(|error| format!("open {}: {error}", path.display()))?;
        let certificate = ureq::tls::Certificate::from_pem(&text).map_err(|error| error.to_string())?;
        tls = tls.root_certs([certificate].into());
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .timeout_global(Some(PATIENCE))
        .proxy(None)
        .build()
        .into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map(ToString::to_string).unwrap_or_default();
    let request = request.body(body).map_err(|error| error.to_string())?;
    let mut answer = agent.run(request).map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    let body = answer.body_mut().read_to_vec().map_err(|error| error.to_string())?;
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_decoded() {
        assert_eq!(decode("/v1/job/a%2Fb+c", false), "/v1/job/a/b+c");
        let query = pairs("task=t&origin=end&x=a+b%21&plain");
        assert_eq!(query["x"], "a b!");
        assert_eq!(query["plain"], "");
    }
}
