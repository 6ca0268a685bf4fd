//! TLS over any connection, as ureq wants it: whose certificates are believed, and in words why one is not.
//! May not open a connection.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use crate::proxy::Proxies;
use crate::validity;

/// Who is believed.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// The web's own roots, and these authorities beside them.
    Web(Arc<[Authority]>),
    /// This authority and no other.
    Only(Authority),
    /// Whoever answers.
    Anybody,
}

/// The certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority(Arc<[u8]>);

impl Authority {
    /// Takes the first certificate out of this text in PEM. Fails when there is none.
    pub fn from_pem(text: &[u8]) -> anyhow::Result<Self> {
        let certificate = CertificateDer::from_pem_slice(text).ok().context("it has no certificate in PEM")?;
        Ok(Self::from_der(&certificate))
    }

    /// All certificates of this text in PEM. Fails when one of them is damaged; none is not an error.
    pub fn all_from_pem(text: &[u8]) -> anyhow::Result<Vec<Self>> {
        let each = CertificateDer::pem_slice_iter(text);
        each.map(|certificate| certificate.map(|certificate| Self::from_der(&certificate)))
            .collect::<Result<_, _>>()
            .map_err(|error| anyhow::anyhow!("it is not whole PEM: {error}"))
    }

    /// Its bytes, DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The certificate of these bytes, DER.
    pub fn from_der(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Trust {
    /// The settings of a client that believes these.
    pub(crate) fn config(&self) -> ClientConfig {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        let authorities = match self {
            Self::Web(authorities) => {
                roots.roots.extend_from_slice(webpki_roots::TLS_SERVER_ROOTS);
                &authorities[..]
            }
            Self::Only(authority) => std::slice::from_ref(authority),
            Self::Anybody => &[],
        };
        // One that cannot be read vouches for nobody; the desk has judged those of a site.
        roots.add_parsable_certificates(authorities.iter().map(|authority| CertificateDer::from(authority.0.to_vec())));
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has the suites of both versions");
        let (roots, suites) = (Arc::new(roots), Arc::clone(&provider));
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), suites).build();
        match (self, verifier) {
            (Self::Web(authorities), Ok(inner)) if !authorities.is_empty() => {
                let own = Arc::clone(authorities);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Believing { inner, own }))
            }
            (Self::Anybody, _) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Whatever(provider))),
            (Self::Web(_) | Self::Only(_), _) => builder.with_root_certificates(roots),
        }
        .with_no_client_auth()
    }
}

/// Settings that are made when they are needed first: the web's roots are many.
#[derive(Debug)]
pub(crate) struct Lazy {
    trust: Trust,
    made: OnceLock<Arc<ClientConfig>>,
}

impl Lazy {
    pub(crate) fn of(trust: Trust) -> Self {
        Self { trust, made: OnceLock::new() }
    }

    fn get(&self) -> Arc<ClientConfig> {
        Arc::clone(self.made.get_or_init(|| Arc::new(self.trust.config())))
    }
}

/// The certificate that a server has shown.
pub(crate) type Shown = Arc<Mutex<Option<Vec<u8>>>>;

/// Speaks TLS where the URL wants it.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Lazy,
    /// For proxies, who are told passwords.
    checked: Lazy,
    proxies: Arc<Proxies>,
    shown: Option<Shown>,
}

impl Tls {
    /// TLS with servers of this trust, on the way to which there may be these proxies.
    pub(crate) fn new(trust: Trust, proxies: Arc<Proxies>) -> Self {
        let web = if let Trust::Web(_) = &trust { trust.clone() } else { Trust::Web([].into()) };
        Self { config: Lazy::of(trust), checked: Lazy::of(web), proxies, shown: None }
    }

    /// TLS by these settings, which keeps the certificate that a server has shown.
    pub(crate) fn keeping(config: Arc<ClientConfig>, shown: Shown) -> Self {
        let config = Lazy { trust: Trust::Anybody, made: OnceLock::from(config) };
        let checked = Lazy::of(Trust::Web([].into()));
        Self { config, checked, proxies: Arc::default(), shown: Some(shown) }
    }
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport<In>>;

    fn connect(&self, details: &ConnectionDetails<'_>, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let transport = match chained {
            Some(transport) if details.needs_tls() => transport,
            as_it_is => return Ok(as_it_is.map(Either::A)),
        };
        let config = if self.proxies.is_own(details.uri) { &self.checked } else { &self.config };
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| Error::Tls("the name in the URL is none of a server"))?;
        let mut connection = ClientConnection::new(config.get(), name)?;
        let mut adapter = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        adapter.set_timeout(details.timeout);
        let agreed = connection.complete_io(&mut adapter);
        if let Some(shown) = &self.shown {
            // Also of a handshake that has failed, for it may be why.
            let certificate = connection.peer_certificates().and_then(|chain| chain.first());
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = certificate.map(|first| first.to_vec());
        }
        agreed.map_err(failed)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { stream: StreamOwned::new(connection, adapter), buffers })))
    }
}

/// rustls reports through the stream, as invalid data, what is its own.
fn failed(error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(rustls::Error::InvalidCertificate(why)) => Error::Other(Box::new(Refused(why))),
        Ok(error) => Error::Rustls(error),
        Err(error) => Error::from(error),
    }
}

/// Why a server's certificate is not believed.
#[derive(Debug, Clone)]
pub struct Refused(CertificateError);

impl Refused {
    /// The refusal that an error is about, when it is about one.
    pub fn of(error: &anyhow::Error) -> Option<&Self> {
        error.chain().find_map(|cause| cause.downcast_ref())
    }

    /// Whether a clock that shows another time would believe it.
    pub fn is_of_another_time(&self) -> bool {
        let Self(why) = self;
        matches!(
            why,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        )
    }

    /// Whether nobody who is believed has signed it.
    pub fn is_of_a_stranger(&self) -> bool {
        // Of its own making, which webpki names by another of its errors.
        let is_its_own = |why: &CertificateError| format!("{why:?}").contains("CaUsedAsEndEntity");
        matches!(self.0, CertificateError::UnknownIssuer) || is_its_own(&self.0)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            _ if self.is_of_a_stranger() => f.write_str("its certificate is of an authority that is not known here"),
            CertificateError::ExpiredContext { not_after, .. } => {
                write!(f, "its certificate has expired: it was good until {}", moment(*not_after))
            }
            CertificateError::Expired => f.write_str("its certificate has expired"),
            CertificateError::NotValidYetContext { not_before, .. } => {
                write!(f, "its certificate is not good before {}", moment(*not_before))
            }
            CertificateError::NotValidYet => f.write_str("its certificate is not good yet"),
            CertificateError::NotValidForNameContext { expected, presented } => {
                let presented = presented.iter().take(3).map(|name| bare(name)).collect::<Vec<_>>().join(", ");
                let presented = if presented.is_empty() { "no name at all".to_owned() } else { presented };
                write!(f, "its certificate is for another name: for {presented}, not {}", expected.to_str())
            }
            CertificateError::NotValidForName => f.write_str("its certificate is for another name"),
            other => write!(f, "its certificate is not accepted: {other}"),
        }
    }
}

impl std::error::Error for Refused {}

/// A name out of webpki's words for it: `DnsName("mirror.example")`.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

/// A moment as a person reads it: `2026-11-04T10:16:37Z`.
fn moment(time: UnixTime) -> impl fmt::Display {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()))
}

/// A connection within which TLS is spoken.
pub(crate) struct TlsTransport<In: Transport> {
    stream: StreamOwned<ClientConnection, TransportAdapter<In>>,
    buffers: LazyBuffers,
}

impl<In: Transport> fmt::Debug for TlsTransport<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl<In: Transport> Transport for TlsTransport<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.sock.get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Takes what the roots vouch for; and a server's own certificate that stands among the authorities itself, as `openssl req -x509` makes one: the
/// web's rules know such a certificate for an authority's only.
#[derive(Debug)]
struct Believing {
    inner: Arc<WebPkiServerVerifier>,
    own: Arc<[Authority]>,
}

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let judged = self.inner.verify_server_cert(certificate, between, name, stapled, now);
        if judged.is_ok() || !self.own.iter().any(|own| own.0[..] == certificate[..]) {
            return judged;
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        let at = |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().unwrap_or(0)));
        let (from, until) = validity::period(certificate).ok_or(CertificateError::BadEncoding)?;
        let (not_before, not_after) = (at(from), at(until));
        if now < not_before {
            return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
        }
        if now > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Takes any certificate: the bytes are pinned, or what is asked on this machine is asked for its answer.
#[derive(Debug)]
struct Whatever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whatever {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
