//! The certificates of `ca`: taken out of their PEM, and judged.
//! May not read a file, nor repeat what may be a key.

use std::time::{Duration, SystemTime};

use anymetal_supply::tls::Authority;
use base64::Engine as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;

use super::diagnostic::{Complaint, quoted};

/// What a certificate looks like, for hints.
const LIKE: &str = "name a file that begins with `-----BEGIN CERTIFICATE-----`, or put its text here";
/// So long before its end a certificate is worth a word.
const SOON: Duration = Duration::from_hours(30 * 24);

/// What a text of PEM brings.
#[derive(Debug)]
pub(super) struct Brought {
    /// Each certificate on its own, in PEM as this anymetal writes it.
    pub certificates: Vec<String>,
    /// What the author should know.
    pub warnings: Vec<Complaint>,
}

/// Takes all certificates out of this text, which `name` is a word for. Fails at the first that is none of an authority that is valid now.
pub(super) fn read(name: &str, text: &[u8], now: SystemTime) -> Result<Brought, Complaint> {
    let words = String::from_utf8_lossy(text);
    if words.contains("PRIVATE KEY-----") {
        let hint = "take the key out of it, and make a new one if others could read it; only certificates belong here";
        return Err(Complaint::new(format!("{name} has a private key in it"), hint));
    }
    if text.starts_with(&[0x30, 0x82]) {
        let hint = "write it as PEM: `openssl x509 -inform der -in FILE`";
        return Err(Complaint::new(format!("{name} is a certificate in DER form"), hint));
    }
    let found = Authority::all_from_pem(text).map_err(|error| Complaint::new(format!("{name}: {error:#}"), LIKE))?;
    if found.is_empty() {
        return Err(Complaint::new(format!("{name} has no certificate in it"), LIKE));
    }
    let mut brought = Brought { certificates: Vec::new(), warnings: Vec::new() };
    for authority in found {
        let judged = Certificate::from_der(authority.der())
            .map_err(|_| Complaint::new(format!("{name} has something in it that is no certificate"), LIKE))?;
        brought.warnings.extend(judge(name, &judged, now)?);
        brought.certificates.push(pem(authority.der()));
    }
    Ok(brought)
}

/// What is wrong with a certificate; or what will be before long.
fn judge(name: &str, certificate: &Certificate, now: SystemTime) -> Result<Option<Complaint>, Complaint> {
    let inner = &certificate.tbs_certificate;
    let whose = quoted(&inner.subject.to_string());
    let [from, until] = [inner.validity.not_before, inner.validity.not_after]
        .map(|time| SystemTime::UNIX_EPOCH + time.to_unix_duration());
    let date = |time: SystemTime| humantime::format_rfc3339_seconds(time).to_string();
    if now > until {
        let what = format!("{name}: the certificate of {whose} has expired: it was good until {}", date(until));
        return Err(Complaint::new(what, "bring the one that replaces it"));
    }
    if now < from {
        let what = format!("{name}: the certificate of {whose} is not good before {}", date(from));
        return Err(Complaint::new(what, "look at the clock of this machine, or bring one that is good"));
    }
    let constraints = inner.get::<BasicConstraints>().ok().flatten();
    if !constraints.is_some_and(|(_, constraints)| constraints.ca) {
        let what = format!("{name}: the certificate of {whose} is not that of an authority");
        let hint =
            "bring the certificate that signed it: the last of the chain, with `CA:TRUE` in `openssl x509 -text`";
        return Err(Complaint::new(what, hint));
    }
    Ok((now + SOON > until).then(|| {
        let what = format!("{name}: the certificate of {whose} expires on {}", date(until));
        Complaint::new(what, "bring the one that replaces it beside it, and build again")
    }))
}

/// A certificate in PEM (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("it is ASCII")).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests;
