//! Which proxy a URL is asked through: the environment's variables, read as curl reads them.
//! May not read the environment, nor connect to a proxy.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ipnet::IpNet;
use ureq::http::Uri;

use crate::percent::decoded;

/// The variables of plain http's proxy, the first that is set: `http_proxy` in lower case only, since a web server sets `HTTP_PROXY` to what a client
/// has sent (CGI).
pub const HTTP: [&str; 3] = ["http_proxy", "all_proxy", "ALL_PROXY"];
/// The same of https.
pub const HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/// The same of what is asked directly.
pub const EXEMPT: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// The port of a proxy that names none (`CURL_DEFAULT_PROXY_PORT`).
const PORT: u16 = 1080;

/// The proxies that an environment names. Empty by default: everything is asked directly.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Named>,
    https: Option<Named>,
    /// The value of `no_proxy`.
    exempt: String,
    /// Networks whose addresses are never asked through a proxy, whatever the environment says.
    near: Vec<(IpAddr, u8)>,
}

/// A proxy.
#[derive(Clone)]
pub struct Proxy {
    /// The variable that names it.
    pub variable: &'static str,
    /// Scheme, host and port; never user and password.
    pub uri: Uri,
    /// What `Proxy-Authorization` says.
    pub(crate) authorization: Option<String>,
}

/// A variable with its proxy, or with what is wrong with it.
#[derive(Debug, Clone)]
struct Named(Result<Box<Proxy>, Unusable>);

/// A variable that names no proxy that can be used. Never repeats its value, in which a password may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable(String);

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The proxy as a message names it.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.uri.scheme_str(), self.uri.authority());
        let authority = authority.map(ureq::http::uri::Authority::as_str).unwrap_or_default();
        write!(f, "the proxy {}://{authority} of {}", scheme.unwrap_or_default(), self.variable)
    }
}

impl Proxies {
    /// The proxies of the variables [`HTTP`], [`HTTPS`] and [`EXEMPT`]. An empty one is not there.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| Some((*name, variable(name).filter(|value| !value.is_empty())?)))
        };
        let named = |names: &[&'static str]| first(names).map(|(name, value)| Named(Proxy::read(name, &value)));
        Self {
            http: named(&HTTP),
            https: named(&HTTPS),
            exempt: first(&EXEMPT).map(|(_, value)| value).unwrap_or_default(),
            near: Vec::new(),
        }
    }

    /// The same, but never for the loopback, link-local addresses, among which are those of metadata services, and these networks.
    #[must_use]
    pub fn sparing(mut self, networks: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let always = [("127.0.0.0", 8), ("169.254.0.0", 16), ("::1", 128), ("fe80::", 10)];
        let always = always.map(|(address, bits)| (address.parse().expect("it is an address"), bits));
        self.near.extend(always.into_iter().chain(networks));
        self
    }

    /// The proxy for this URL; `None` when it is asked directly. Fails when the variable for it names none that can be used.
    pub fn route(&self, uri: &Uri) -> Result<Option<&Proxy>, Unusable> {
        let named = if uri.scheme_str() == Some("https") { &self.https } else { &self.http };
        let (Some(Named(named)), Some(host)) = (named, uri.host()) else { return Ok(None) };
        if self.is_near(host) || is_exempt(host, &self.exempt) {
            return Ok(None);
        }
        named.as_ref().map(|proxy| Some(&**proxy)).map_err(Clone::clone)
    }

    /// Whether no variable names one.
    pub fn is_empty(&self) -> bool {
        self.http.is_none() && self.https.is_none()
    }

    /// Whether this very URL is one of the proxies', on the way to which there is no other.
    pub(crate) fn is_own(&self, uri: &Uri) -> bool {
        let own = [&self.http, &self.https].into_iter().flatten().filter_map(|named| named.0.as_ref().ok());
        own.into_iter().any(|proxy| std::ptr::eq(&raw const proxy.uri, uri))
    }

    fn is_near(&self, host: &str) -> bool {
        if self.near.is_empty() {
            return false;
        }
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        match address(host) {
            Some(address) => self.near.iter().any(|(network, bits)| covers(*network, *bits, address)),
            None => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

impl Proxy {
    /// A variable's value: `[http://][user[:password]@]host[:port]`.
    fn read(variable: &'static str, value: &str) -> Result<Box<Self>, Unusable> {
        let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
        let scheme = scheme.to_ascii_lowercase();
        let unusable = |what: &str| Unusable(format!("{variable} of the environment {what}"));
        if scheme != "http" && scheme != "https" {
            let shown: String = scheme.chars().filter(char::is_ascii_graphic).take(20).collect();
            return Err(unusable(&format!(
                "names a proxy of the kind {shown:?}, and only http and https proxies are used; \
                 hint: name one of these, or leave the variable empty"
            )));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if scheme == "https" { 443 } else { PORT };
        let whole = if has_port { format!("{scheme}://{host}/") } else { format!("{scheme}://{host}:{port}/") };
        let uri = whole.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
        let uri = uri.filter(|uri| uri.port_u16().is_some());
        let form = "is not like http://host:port or http://user:password@host:port";
        let uri = uri.ok_or_else(|| unusable(form))?;
        let authorization = credentials.map(|credentials| {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            let plain = [decoded(user), b":".to_vec(), decoded(password)].concat();
            format!("Basic {}", BASE64_STANDARD.encode(plain))
        });
        Ok(Box::new(Self { variable, uri, authorization }))
    }
}

/// Says whether `no_proxy` names this host, by the rules of curl's `lib/noproxy.c`: `*` alone names all; a name names itself and what is below it, with or
/// without a dot before it; an address, with or without a prefix length, names addresses. Commas or blanks lie between them.
fn is_exempt(host: &str, list: &str) -> bool {
    if list == "*" {
        return true;
    }
    let mut entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    if let Some(address) = address(host) {
        return entries.any(|entry| names_address(entry, address));
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    entries.any(|entry| {
        let entry = entry.strip_suffix('.').unwrap_or(entry);
        let entry = entry.strip_prefix('.').unwrap_or(entry).to_ascii_lowercase();
        !entry.is_empty() && host.strip_suffix(&entry).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    })
}

fn names_address(entry: &str, host: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u8>().ok()),
        None => (entry, Some(0)),
    };
    let network = network.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let (Ok(network), Some(bits)) = (network, bits) else { return false };
    // As in curl, no length and a length of nothing mean the address itself.
    if bits == 0 { network == host } else { covers(network, bits, host) }
}

/// Says whether the network of these first bits holds the address. A length that its family does not have is no network.
fn covers(network: IpAddr, bits: u8, host: IpAddr) -> bool {
    IpNet::new(network, bits).is_ok_and(|network| network.contains(&host))
}

/// A URL's host as an address, when it is one.
fn address(host: &str) -> Option<IpAddr> {
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.trim_end_matches(']');
        let literal = literal.split_once('%').map_or(literal, |(address, _)| address);
        let address = literal.parse::<Ipv6Addr>().ok()?;
        return Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4));
    }
    host.parse().ok()
}

#[cfg(test)]
mod tests;
