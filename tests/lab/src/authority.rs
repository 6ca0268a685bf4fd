//! A site's CA, made with the product's own code, and who has a certificate of it.
//! May not be the CA of anything real: its key is made for one test.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::SystemTime;

use anymetal_pki::Identity as Pem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
pub use rustls::server::ServerConfig;
use rustls::{ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};

/// A CA.
pub struct Authority {
    /// The secret that its key is.
    pub secret: String,
    /// Its certificate, PEM.
    pub certificate: String,
    inner: anymetal_pki::Authority,
}

/// A certificate with its key.
pub struct Identity(pub Pem);

/// The key of a CA of its own, in the form of the secret.
pub fn new_secret() -> String {
    STANDARD.encode(rand::random::<[u8; 32]>())
}

impl Authority {
    /// A CA of its own.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self::of("lab", new_secret())
    }

    /// The CA of this site, whose key is this secret.
    pub fn of(site: &str, secret: String) -> Self {
        let inner = anymetal_pki::Authority::read(site, &secret).expect("it is a key");
        let certificate = inner.certificate();
        Self { secret, certificate, inner }
    }

    /// A certificate for these names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        Identity(self.inner.issue(&names, SystemTime::now()).expect("the key signs"))
    }

    /// A server of this CA for the loopback.
    pub fn server(&self) -> Arc<ServerConfig> {
        self.issue(&["localhost", "127.0.0.1", "::1"]).server()
    }
}

impl Identity {
    /// The one in these texts, PEM.
    pub fn of(certificate: String, key: String) -> Self {
        Self(Pem { certificate, key })
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certificate = CertificateDer::from_pem_slice(self.0.certificate.as_bytes()).expect("it is a certificate");
        (vec![certificate], PrivateKeyDer::from_pem_slice(self.0.key.as_bytes()).expect("it is a key"))
    }

    /// What a server with it needs. It asks nobody for a certificate.
    pub fn server(&self) -> Arc<ServerConfig> {
        let (chain, key) = self.parts();
        let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("the default versions exist");
        Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).expect("the key is the certificate's"))
    }
}

/// The handshake of a client, to its end, on this connection: what comes after it is read and written in clear.
pub fn shake(
    mut stream: TcpStream,
    ca: &str,
    identity: Option<&Identity>,
    name: &str,
) -> io::Result<impl io::Read + io::Write + use<>> {
    let mut connection = client(ca, identity, name);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}

/// A client that shows this certificate, or none, and takes any server whose certificate this CA has signed for `name`.
fn client(ca: &str, identity: Option<&Identity>, name: &str) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("it is a certificate")).expect("it may sign");
    let versions: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    // By TLS 1.2 a server that does not take the client's certificate says so in the handshake; by 1.3 only afterwards.
    let builder = builder.with_protocol_versions(&versions).expect("the version exists").with_root_certificates(roots);
    let config = match identity.map(Identity::parts) {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).expect("the key is the certificate's"),
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from(name.to_owned()).expect("it is a name");
    ClientConnection::new(Arc::new(config), name).expect("the configuration is whole")
}
