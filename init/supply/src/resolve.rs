//! Names to addresses, by the machine's own resolver.
//! May not connect to any.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{self, DefaultResolver, ResolvedSocketAddrs};
use ureq::unversioned::transport::NextTimeout;

use crate::proxy::Proxies;
use crate::via::Via;

/// ureq's resolver, but for hosts that are addresses already: there is nothing to look up, and ureq would start a thread for each. For the guard, which
/// asks ten of them every two seconds, that was most of its work. And but for hosts that a proxy is asked for: the proxy looks them up.
#[derive(Debug, Default)]
pub struct Resolver {
    system: DefaultResolver,
    proxies: Arc<Proxies>,
}

impl Resolver {
    /// One beside these proxies.
    pub(crate) fn beside(proxies: Arc<Proxies>) -> Self {
        Self { system: DefaultResolver::default(), proxies }
    }
}

impl resolver::Resolver for Resolver {
    fn resolve(&self, uri: &Uri, config: &Config, limit: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if Via(Arc::clone(&self.proxies)).proxy(uri)?.is_some() {
            return Ok(self.empty());
        }
        let Some(socket) = literal(uri) else { return self.system.resolve(uri, config, limit) };
        let mut sockets = self.empty();
        sockets.push(socket);
        Ok(sockets)
    }
}

/// The socket of a URL whose host is an address.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let authority = uri.authority()?;
    let address: IpAddr = authority.host().trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let own = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    Some(SocketAddr::new(address, authority.port_u16().unwrap_or(own)))
}

/// The sockets of an `http` or `https` URL: at its own port, and at those of both schemes. None when its host cannot be looked up.
pub fn sockets(url: &str) -> Vec<SocketAddr> {
    let Some((scheme, rest)) = url.split_once("://") else { return Vec::new() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let own = if scheme == "https" { 443 } else { 80 };
    let (host, port) = match authority.rsplit_once(':') {
        // A colon within brackets is part of an IPv6 address.
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(own)),
        _ => (authority, own),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let ports = if port == 80 || port == 443 { vec![80, 443] } else { vec![port] };
    found.iter().flat_map(|socket| ports.iter().map(|port| SocketAddr::new(socket.ip(), *port))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_looked_up() {
        for (url, socket) in [
            ("http://127.0.0.1:8500/v1/status/leader", Some("127.0.0.1:8500")),
            ("https://198.51.100.7/", Some("198.51.100.7:443")),
            ("http://[2001:db8::7]/healthz", Some("[2001:db8::7]:80")),
            ("http://[2001:db8::7]:81", Some("[2001:db8::7]:81")),
            ("http://n2.example.org/", None),
            ("/healthz", None),
        ] {
            assert_eq!(literal(&url.parse().unwrap()).map(|socket| socket.to_string()).as_deref(), socket, "{url}");
        }
    }

    #[test]
    fn a_url_is_at_its_own_port_and_one_of_the_web_at_both() {
        let of = |url: &str| sockets(url).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of("http://10.70.17.10:4711/metadata"), ["10.70.17.10:4711"]);
        assert_eq!(of("https://169.254.169.254"), ["169.254.169.254:80", "169.254.169.254:443"]);
        assert_eq!(of("http://[2001:db8::1]:8000/x"), ["[2001:db8::1]:8000"]);
        assert_eq!(of("http://[2001:db8::1]/x"), ["[2001:db8::1]:80", "[2001:db8::1]:443"]);
        assert_eq!(of("http://no-such-host.invalid/"), [""; 0]);
        assert_eq!(of("nonsense"), [""; 0]);
    }
}
