//! The time of day from a server whose certificate vouches for it: what a machine with a wrong clock asks, since plain HTTP may be anybody's word.
//! May not set a clock, nor read one: the time to begin with is given.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore, Stream};

/// How long a connection and each read may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest head of an answer that is read.
const HEAD: u64 = 16 * 1024;
/// So many moments are tried: a chain has two or three certificates, each with a beginning and an end.
const MOMENTS: usize = 6;

/// The web's own roots.
pub fn roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

/// Asks an `https` URL's server for its `Date`, with its certificate checked against `roots` at a moment within `bounds` at which it holds, and then
/// once more at the moment that it says. Who has no good certificate for the name, or only one of another time, is not believed. Returns the header as it was
/// sent. `parse` reads it.
pub fn vouched(
    url: &str,
    now: SystemTime,
    bounds: &RangeInclusive<SystemTime>,
    roots: RootCertStore,
    parse: fn(&str) -> Option<SystemTime>,
) -> anyhow::Result<String> {
    let roots = Arc::new(roots);
    let mut at = now.clamp(*bounds.start(), *bounds.end());
    for _ in 0..MOMENTS {
        match head(url, at, &roots) {
            Ok(date) => {
                let says = parse(&date).filter(|says| bounds.contains(says));
                let says = says.with_context(|| format!("asking {url}: it says {date:?}, which cannot be"))?;
                head(url, says, &roots).context("its certificate is not good at the time that it says")?;
                return Ok(date);
            }
            Err(error) => at = other_moment(&error).filter(|at| bounds.contains(at)).ok_or(error)?,
        }
    }
    anyhow::bail!("asking {url}: its certificates are never good all at once")
}

/// A moment at which the certificate that was not good would be.
fn other_moment(error: &anyhow::Error) -> Option<SystemTime> {
    let inner = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref());
    let rustls::Error::InvalidCertificate(error) = inner? else { return None };
    let seconds = match error {
        CertificateError::ExpiredContext { not_after, .. } => not_after.as_secs(),
        CertificateError::NotValidYetContext { not_before, .. } => not_before.as_secs(),
        _ => return None,
    };
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The time that certificates are checked at.
#[derive(Debug)]
struct At(UnixTime);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

/// The `Date` of the server's answer, with its certificate checked at this moment.
fn head(url: &str, at: SystemTime, roots: &Arc<RootCertStore>) -> anyhow::Result<String> {
    let authority = url.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    let authority =
        authority.filter(|authority| !authority.is_empty()).with_context(|| format!("{url} is not https"))?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "443"));
    let doing = || format!("asking {url}");
    let time = At(UnixTime::since_unix_epoch(at.duration_since(UNIX_EPOCH).unwrap_or_default()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(time)).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(Arc::clone(roots)).with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from(host.to_owned())?)?;
    let mut sockets = (host, port.parse()?).to_socket_addrs().with_context(doing)?;
    let socket = sockets.next().with_context(doing)?;
    let mut tcp = TcpStream::connect_timeout(&socket, LIMIT).with_context(doing)?;
    tcp.set_read_timeout(Some(LIMIT)).and_then(|()| tcp.set_write_timeout(Some(LIMIT))).with_context(doing)?;
    let mut stream = Stream::new(&mut tls, &mut tcp);
    let question = format!("HEAD / HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).with_context(doing)?;
    let mut answer = Vec::new();
    // Servers that hang up without saying so have said all they had to.
    let ended = stream.take(HEAD).read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let date = text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then(|| value.trim().to_owned())
    });
    match (date, ended) {
        (Some(date), _) => Ok(date),
        (None, Err(error)) => Err(error).with_context(doing),
        (None, Ok(_)) => anyhow::bail!("asking {url}: it answers without a date"),
    }
}
