//! A certificate of X.509 version 3 (RFC 5280), in the one form that we make: signed by Ed25519, a service's key of P-256.
//! May not sign: whoever has the key does.

use std::net::IpAddr;
use std::time::SystemTime;

use ring::digest::{SHA256, digest};

use crate::der::{
    self, BOOLEAN, GENERALIZED_TIME, INTEGER, OCTET_STRING, Reader, SEQUENCE, SET, UTC_TIME, UTF8_STRING, bits,
    context, value,
};

/// Where certificates begin to be good: before any clock that a machine of today may wake up with.
const SINCE: &[u8] = b"200101000000Z";
/// The end of what has no end (RFC 5280 section 4.1.2.5).
const NEVER: &str = "99991231235959Z";

/// `id-Ed25519` (RFC 8410 section 3), as an `AlgorithmIdentifier`: of the authority's key and of its signatures.
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
/// `id-ecPublicKey` with prime256v1 (RFC 5480 section 2.1), as an `AlgorithmIdentifier`.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];
/// Version 3.
const V3: &[u8] = &[0xa0, 0x03, 0x02, 0x01, 0x02];
/// OIDs of attributes and extensions.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x0a];
const SUBJECT_KEY: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x0e];
const KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x13];
const AUTHORITY_KEY: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x23];
const EXTENDED_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x25];
/// serverAuth and clientAuth.
const SERVER_AND_CLIENT: &[u8] = &[
    0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03,
    0x02,
];

/// When a certificate ends: the tag of its form, and its text.
pub(crate) type Until = (u8, String);

/// Whose certificate it is.
pub(crate) enum Kind<'a> {
    Authority,
    /// A service's, for these names.
    Leaf(&'a [String]),
}

/// Everything in a certificate but its own public key and the signature.
pub(crate) struct Template<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) site: &'a str,
    /// The authority's public key.
    pub(crate) authority: &'a [u8],
    pub(crate) until: &'a Until,
}

impl Template<'_> {
    /// The part that is signed, for this public key.
    pub(crate) fn tbs(&self, public: &[u8]) -> Vec<u8> {
        let issuer = name(&format!("CA of {}", self.site));
        let subject = match &self.kind {
            Kind::Authority => issuer.clone(),
            Kind::Leaf(names) => name(names.first().map_or("", String::as_str)),
        };
        let validity = value(SEQUENCE, &[&value(UTC_TIME, &[SINCE]), &value(self.until.0, &[self.until.1.as_bytes()])]);
        let algorithm = match &self.kind {
            Kind::Authority => ED25519,
            Kind::Leaf(_) => P256,
        };
        let key = value(SEQUENCE, &[algorithm, &bits(public)]);
        // A key has one certificate, so the key's digest is as good a number as any. Positive, and of the same length always.
        let mut serial = digest(&SHA256, public).as_ref()[..16].to_vec();
        serial[0] = serial[0] & 0x3f | 0x40;
        let extensions = value(context(3, true), &[&value(SEQUENCE, &[&self.extensions(public)])]);
        value(SEQUENCE, &[V3, &value(INTEGER, &[&serial]), ED25519, &issuer, &validity, &subject, &key, &extensions])
    }

    fn extensions(&self, public: &[u8]) -> Vec<u8> {
        let own = extension(SUBJECT_KEY, false, &value(OCTET_STRING, &[&key_id(public)]));
        let signer = value(SEQUENCE, &[&value(context(0, false), &[&key_id(self.authority)])]);
        let signer = extension(AUTHORITY_KEY, false, &signer);
        let mine = match &self.kind {
            // keyCertSign and cRLSign
            Kind::Authority => [
                extension(BASIC_CONSTRAINTS, true, &value(SEQUENCE, &[&value(BOOLEAN, &[&[0xff]])])),
                extension(KEY_USAGE, true, &value(der::BIT_STRING, &[&[0x01, 0x06]])),
            ]
            .concat(),
            // digitalSignature
            Kind::Leaf(names) => [
                extension(BASIC_CONSTRAINTS, true, &value(SEQUENCE, &[])),
                extension(KEY_USAGE, true, &value(der::BIT_STRING, &[&[0x07, 0x80]])),
                extension(EXTENDED_USAGE, false, &value(SEQUENCE, &[SERVER_AND_CLIENT])),
                extension(ALTERNATIVE_NAMES, false, &alternatives(names)),
            ]
            .concat(),
        };
        [mine, own, signer].concat()
    }
}

fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if critical { value(BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    value(SEQUENCE, &[oid, &critical, &value(OCTET_STRING, &[content])])
}

fn name(common: &str) -> Vec<u8> {
    let attribute =
        |oid: &[u8], text: &str| value(SET, &[&value(SEQUENCE, &[oid, &value(UTF8_STRING, &[text.as_bytes()])])]);
    value(SEQUENCE, &[&attribute(ORGANISATION, "anymetal"), &attribute(COMMON_NAME, common)])
}

/// dNSName is `[2]`, iPAddress `[7]`.
fn alternatives(names: &[String]) -> Vec<u8> {
    let one = |name: &String| match name.parse() {
        Ok(IpAddr::V4(address)) => value(context(7, false), &[&address.octets()]),
        Ok(IpAddr::V6(address)) => value(context(7, false), &[&address.octets()]),
        Err(_) => value(context(2, false), &[name.as_bytes()]),
    };
    value(SEQUENCE, &[&names.iter().flat_map(one).collect::<Vec<u8>>()])
}

/// The 20 leftmost bytes of the key's digest (RFC 7093 section 2).
fn key_id(public: &[u8]) -> Vec<u8> {
    digest(&SHA256, public).as_ref()[..20].to_vec()
}

/// A certificate of a signed part and its signature.
pub(crate) fn join(tbs: &[u8], signature: &[u8]) -> Vec<u8> {
    value(SEQUENCE, &[tbs, ED25519, &bits(signature)])
}

/// The signed part and the signature of a certificate in our form.
pub(crate) fn split(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut outer = Reader(certificate);
    let mut parts = Reader(outer.expect(SEQUENCE)?.content);
    let tbs = parts.expect(SEQUENCE)?.whole;
    let algorithm = parts.expect(SEQUENCE)?.whole;
    let signature = parts.expect(der::BIT_STRING)?.content.strip_prefix(&[0])?;
    (algorithm == ED25519 && parts.0.is_empty() && outer.0.is_empty()).then_some((tbs, signature))
}

/// When the certificate of this signed part ends: as it is written, and as a time.
pub(crate) fn not_after(tbs: &[u8]) -> Option<(u8, String, SystemTime)> {
    let mut parts = Reader(Reader(tbs).expect(SEQUENCE)?.content);
    // version, number, algorithm, issuer
    for _ in 0..4 {
        parts.next()?;
    }
    let mut validity = Reader(parts.expect(SEQUENCE)?.content);
    validity.next()?;
    let until = validity.next()?;
    let text = std::str::from_utf8(until.content).ok()?.to_owned();
    let century = match until.tag {
        UTC_TIME => "20",
        GENERALIZED_TIME => "",
        _ => return None,
    };
    let digits = format!("{century}{text}");
    let part = |from: usize, to: usize| digits.get(from..to);
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let (hour, minute, second) = (part(8, 10)?, part(10, 12)?, part(12, 14)?);
    let time = humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()?;
    Some((until.tag, text, time))
}

/// That time as a certificate says it: in two digits of the year up to 2049 (RFC 5280 section 4.1.2.5).
pub(crate) fn until(time: SystemTime) -> Until {
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    match digits.strip_prefix("20").filter(|rest| *rest < "5") {
        Some(short) => (UTC_TIME, format!("{short}Z")),
        None => (GENERALIZED_TIME, format!("{digits}Z")),
    }
}

/// No end.
pub(crate) fn never() -> Until {
    (GENERALIZED_TIME, NEVER.to_owned())
}
