//! A certificate's chain and its key, read from two files and judged: whole, and of one another.
//! May not say where they belong; never quotes what is in a key.

use std::path::Path;

use anyhow::{Context as _, bail};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::sys::fs;

/// Both files as one text in PEM, the chain first. Fails, naming the file, when one cannot be read, is not what it should be, or does not belong to
/// the other.
pub(super) fn read(certificate: &Path, key: &Path) -> anyhow::Result<Vec<u8>> {
    let hint = "hint: put the certificate's chain and its key there";
    let chain = fs::read(certificate).with_context(|| format!("the site's certificate cannot be used ({hint})"))?;
    let secret = fs::read(key).with_context(|| format!("the key of the site's certificate cannot be used ({hint})"))?;
    if certificates(&chain).is_empty() {
        bail!("the site's certificate cannot be used: {} has no certificate in PEM form", certificate.display());
    }
    if PrivateKeyDer::from_pem_slice(&secret).is_err() {
        bail!("the key of the site's certificate cannot be used: {} has no key in PEM form", key.display());
    }
    let mut pem = chain;
    if !pem.ends_with(b"\n") {
        pem.push(b'\n');
    }
    pem.extend(secret);
    let of = || format!("{} and {} cannot be used together", certificate.display(), key.display());
    judge(&pem).with_context(of)?;
    Ok(pem)
}

/// Judges a text with a chain and a key as Traefik reads it: all certificates, and the first key.
pub(super) fn judge(pem: &[u8]) -> anyhow::Result<()> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| anyhow::anyhow!("there is no key in PEM form"))?;
    let key = any_supported_type(&key).map_err(|_| anyhow::anyhow!("the key is of no kind that TLS knows"))?;
    match CertifiedKey::new(certificates(pem), key).keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            bail!("the key does not belong to the first certificate of the chain")
        }
        Err(Error::InconsistentKeys(_)) | Ok(()) => Ok(()),
        Err(error) => bail!("the first certificate of the chain cannot be read ({error})"),
    }
}

fn certificates(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).map_while(Result::ok).collect()
}
