//! The way of a connection through a proxy, as ureq wants it: https by CONNECT (RFC 9110 section 9.3.6), http by the absolute form of the
//! request (RFC 9112 section 3.2.2). May not choose the proxy: `proxy` does.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use ureq::Error;
use ureq::http::Uri;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport, TransportAdapter};

use crate::proxy::{Proxies, Proxy};

/// The longest head of a proxy's answer that is read, in bytes.
const HEAD: usize = 16 * 1024;

/// Connects through a proxy where there is one for the URL; otherwise leaves it to who comes next.
#[derive(Debug)]
pub(crate) struct Via(pub(crate) Arc<Proxies>);

impl Connector for Via {
    type Out = Proxied;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Proxied>, Error> {
        let Some(proxy) = self.proxy(details.uri)? else { return Ok(None) };
        let connected = ConnectionDetails {
            uri: &proxy.uri,
            addrs: details.resolver.resolve(&proxy.uri, details.config, details.timeout)?,
            resolver: details.resolver,
            config: details.config,
            request_level: details.request_level,
            now: details.now,
            timeout: details.timeout,
            current_time: Arc::clone(&details.current_time),
            run_connector: Arc::clone(&details.run_connector),
            register_shutdown: Arc::clone(&details.register_shutdown),
        };
        let transport = (details.run_connector)(&connected)?;
        if details.needs_tls() {
            return tunnel(transport, proxy, details).map(|inner| Some(Proxied { inner, head: None, used: false }));
        }
        let head =
            Head { target: format!("http://{}", authority(details.uri)), authorization: proxy.authorization.clone() };
        Ok(Some(Proxied { inner: transport, head: Some(head), used: false }))
    }
}

impl Via {
    /// The proxy for a URL, which is not the proxy's own.
    pub(crate) fn proxy(&self, uri: &Uri) -> Result<Option<&Proxy>, Error> {
        if self.0.is_own(uri) {
            return Ok(None);
        }
        self.0.route(uri).map_err(|unusable| Error::Other(Box::new(unusable)))
    }
}

/// Host and port, as they stand in the URL.
fn authority(uri: &Uri) -> String {
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", uri.host().unwrap_or_default())
}

/// Has the proxy connect to the URL's server.
fn tunnel(
    transport: Box<dyn Transport>,
    proxy: &Proxy,
    details: &ConnectionDetails<'_>,
) -> Result<Box<dyn Transport>, Error> {
    let mut stream = TransportAdapter::new(transport, Arc::clone(&details.current_time));
    stream.set_timeout(details.timeout);
    let host = details.uri.host().unwrap_or_default();
    let target = format!("{host}:{}", details.uri.port_u16().unwrap_or(443));
    let authorization = proxy.authorization.as_ref().map(|value| format!("Proxy-Authorization: {value}\r\n"));
    let agent = concat!("anymetal/", env!("CARGO_PKG_VERSION"));
    write!(
        stream,
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{}User-Agent: {agent}\r\n\r\n",
        authorization.unwrap_or_default()
    )?;
    stream.flush()?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        // What comes behind the head is the server's.
        if head.len() == HEAD || stream.read(&mut byte)? == 0 {
            return Err(Error::ConnectProxyFailed(format!("{proxy} gave no answer to CONNECT {target}")));
        }
        head.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&head);
    let status = line.split_ascii_whitespace().nth(1).unwrap_or_default();
    match status {
        "200" => Ok(stream.into_inner()),
        _ => Err(Error::ConnectProxyFailed(format!(
            "{proxy} answered {} to CONNECT {target}{}",
            status.chars().filter(char::is_ascii_digit).take(3).collect::<String>(),
            if status == "407" { wants_credentials(proxy) } else { String::new() }
        ))),
    }
}

/// What to do about an answer of 407.
pub(crate) fn wants_credentials(proxy: &Proxy) -> String {
    let variable = proxy.variable;
    let hint = match proxy.authorization {
        Some(_) => format!("{variable} names others than it takes"),
        None => format!("write them into {variable}, as in http://user:password@host:port"),
    };
    format!(" (it wants user and password; hint: {hint})")
}

/// A connection to a proxy, or through one.
#[derive(Debug)]
pub(crate) struct Proxied {
    inner: Box<dyn Transport>,
    /// What the head of the request becomes; nothing in a tunnel, nor once it is sent.
    head: Option<Head>,
    /// A request in absolute form went through it.
    used: bool,
}

/// What a proxy wants in a request's head.
struct Head {
    /// Scheme, host and port of the URL.
    target: String,
    authorization: Option<String>,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.target)
    }
}

impl Head {
    /// The beginning of a request in origin form, as a proxy wants it.
    fn of(&self, request: &[u8]) -> Vec<u8> {
        let method = request.iter().position(|byte| *byte == b' ').map_or(0, |at| at + 1);
        let line = request.windows(2).position(|end| end == b"\r\n").map_or(request.len(), |at| at + 2);
        let authorization = self.authorization.as_ref().map(|value| format!("proxy-authorization: {value}\r\n"));
        let authorization = authorization.unwrap_or_default();
        let (method, rest) = request.split_at(method);
        let (line, rest) = rest.split_at(line - method.len());
        [method, self.target.as_bytes(), line, authorization.as_bytes(), rest].concat()
    }
}

impl Transport for Proxied {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let Some(head) = self.head.take() else { return self.inner.transmit_output(amount, timeout) };
        let mut rest = &head.of(&self.inner.buffers().output()[..amount])[..];
        while !rest.is_empty() {
            let room = self.inner.buffers().output();
            let (now, later) = rest.split_at(rest.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.inner.transmit_output(now.len(), timeout)?;
            rest = later;
        }
        // It is good for one request: the next one's head would go out as it is.
        self.used = true;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.used && self.inner.is_open()
    }

    /// Not to the server, even when the proxy is spoken to by TLS.
    fn is_tls(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
