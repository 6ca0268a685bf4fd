//! The site's certificate authority, and the certificates that a node makes with it for its own services.
//! May not touch a file or read a clock: keys, names and times are given, bytes come back.

mod certificate;
mod der;
mod pem;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};

use certificate::{Kind, Template};
pub use pem::{CERTIFICATE, PRIVATE_KEY};

/// How long a certificate is good for: a node that is never run again works as long.
pub const LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);
/// 1 January 2026 UTC. A clock before that is wrong, and what it says is not believed.
const EARLIEST: Duration = Duration::from_hours(20_454 * 24);

/// The authority: its key and whose it is.
pub struct Authority {
    key: Ed25519KeyPair,
    site: String,
    random: SystemRandom,
}

/// A certificate with its key, as files in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key, PKCS #8.
    pub key: String,
}

/// Makes a service's private key, of the curve P-256: PKCS #8, DER.
fn new_key(random: &SystemRandom) -> anyhow::Result<Vec<u8>> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, random);
    Ok(key.map_err(|_| anyhow::anyhow!("making a private key: the kernel gives no random bytes"))?.as_ref().to_vec())
}

fn pair(key: &[u8], random: &SystemRandom) -> anyhow::Result<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key, random)
        .map_err(|rejected| anyhow::anyhow!("it is no private key of P-256 ({rejected})"))
}

impl Authority {
    /// Takes the authority's private key from the secret, which is an Ed25519 seed (RFC 8032 section 5.1.5) in base64: any 32 bytes are one. Fails
    /// when it is anything else.
    pub fn read(site: &str, secret: &str) -> anyhow::Result<Self> {
        // Its bytes are the key, so an error may not quote them.
        let seed = STANDARD.decode(secret).ok().context("reading the key of the site's CA: it is not base64")?;
        let key = Ed25519KeyPair::from_seed_unchecked(&seed).ok();
        let key = key.context("reading the key of the site's CA: it is not 32 bytes")?;
        Ok(Self { key, site: site.to_owned(), random: SystemRandom::new() })
    }

    /// Makes the authority's own certificate: for one key and site always the same bytes.
    pub fn certificate(&self) -> String {
        pem::encode(CERTIFICATE, &self.sign(&self.own()))
    }

    /// Says whether this is the certificate of this authority's own key, whole.
    pub fn is_own(&self, certificate: &[u8]) -> bool {
        self.certificate().as_bytes() == certificate
    }

    /// Makes a key and a certificate for these DNS names and addresses, good from long ago until [`LIFETIME`] after `now`.
    pub fn issue(&self, names: &[String], now: SystemTime) -> anyhow::Result<Identity> {
        let key = new_key(&self.random)?;
        let public = pair(&key, &self.random)?;
        let until = certificate::until(believed(now) + LIFETIME);
        let tbs = self.template(Kind::Leaf(names), &until).tbs(public.public_key().as_ref());
        let certificate = pem::encode(CERTIFICATE, &self.sign(&tbs));
        Ok(Identity { certificate, key: pem::encode(PRIVATE_KEY, &key) })
    }

    /// Says why this certificate with its key must be made anew, or nothing when it serves.
    pub fn refuses(&self, identity: (&[u8], &[u8]), names: &[String], now: SystemTime) -> Option<&'static str> {
        let (certificate, key) = identity;
        let Some(der) = pem::decode(CERTIFICATE, certificate) else { return Some("it cannot be read") };
        let Some((tbs, signature)) = certificate::split(&der) else { return Some("it cannot be read") };
        let key = pem::decode(PRIVATE_KEY, key).and_then(|key| pair(&key, &self.random).ok());
        let Some(key) = key else { return Some("its key cannot be read") };
        if !self.has_signed(tbs, signature) {
            return Some("the site's CA has not signed it");
        }
        let Some((tag, text, until)) = certificate::not_after(tbs) else { return Some("it cannot be read") };
        if self.template(Kind::Leaf(names), &(tag, text)).tbs(key.public_key().as_ref()) != tbs {
            return Some("it is for another key or for other names");
        }
        let left = until.duration_since(believed(now)).unwrap_or_default();
        (left < LIFETIME / 3).then_some("less than a third of its time is left")
    }

    fn template<'a>(&'a self, kind: Kind<'a>, until: &'a certificate::Until) -> Template<'a> {
        Template { kind, site: &self.site, authority: self.key.public_key().as_ref(), until }
    }

    fn own(&self) -> Vec<u8> {
        self.template(Kind::Authority, &certificate::never()).tbs(self.key.public_key().as_ref())
    }

    fn sign(&self, tbs: &[u8]) -> Vec<u8> {
        certificate::join(tbs, self.key.sign(tbs).as_ref())
    }

    fn has_signed(&self, tbs: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref()).verify(tbs, signature).is_ok()
    }
}

/// The time, or the earliest that can be: at a first boot the clock may be anywhere.
fn believed(now: SystemTime) -> SystemTime {
    now.max(UNIX_EPOCH + EARLIEST)
}

/// The bytes of the certificates in a text in PEM, DER.
pub fn certificates(text: &[u8]) -> Vec<Vec<u8>> {
    pem::decode(CERTIFICATE, text).into_iter().collect()
}

#[cfg(test)]
mod tests;
