//! OpenPGP signatures of others: who signed it, of those whose keys are known.
//! May not fetch a key or a signature, and may not tell the time: `now` is given.

use std::io::Cursor;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use anymetal_contract::text;
use pgp::composed::{CleartextSignedMessage, Deserializable, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType, SubpacketData};
use pgp::types::{KeyDetails, Tag, Timestamp, VerifyingKey};

/// The largest text with its signature within that is looked at, in bytes and in lines: an `InRelease` of Debian has 150 KiB and 2,500.
/// The reader's work grows with their product.
const LARGEST: (usize, usize) = (1 << 20, 10_000);
/// How a block of keys begins in armour.
const BLOCK: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";

/// Public keys that are trusted.
#[derive(Debug, Clone)]
pub struct Keyring(Vec<SignedPublicKey>);

impl Keyring {
    /// The keys in these bytes, in armour, several blocks or one, or without.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut keys = Vec::new();
        let bytes = without_mark(bytes);
        if is_binary(bytes) {
            for key in SignedPublicKey::from_bytes_many(Cursor::new(bytes)).context("reading OpenPGP packets")? {
                keys.push(key.context("reading an OpenPGP key")?);
            }
        } else {
            let text = text::decode(bytes).context("it is neither armour nor OpenPGP packets")?;
            for (begin, _) in text.match_indices(BLOCK) {
                let (block, _) =
                    SignedPublicKey::from_string_many(&text[begin..]).context("reading a block of keys")?;
                for key in block {
                    keys.push(key.context("reading an OpenPGP key")?);
                }
            }
        }
        ensure!(!keys.is_empty(), "it holds no public OpenPGP key");
        Ok(Self(keys))
    }

    /// The keys of all of these, each once.
    pub fn joined(rings: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<SignedPublicKey> = Vec::new();
        for key in rings.into_iter().flat_map(|ring| ring.0) {
            if !all.contains(&key) {
                all.push(key);
            }
        }
        Self(all)
    }

    /// All of these keys' fingerprints, 40 upper-case hexadecimal digits each.
    pub fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(fingerprint).collect()
    }

    /// The key that signed the data: its fingerprint, 40 upper-case hexadecimal digits, of the primary key when a subkey signed.
    /// The signature, in armour or not, may be several, of which one has to be good.
    pub fn verify_detached(&self, data: &[u8], signature: &[u8], now: SystemTime) -> Result<String> {
        let signature = without_mark(signature);
        let read: pgp::errors::Result<Vec<_>> = if is_binary(signature) {
            DetachedSignature::from_bytes_many(Cursor::new(signature)).and_then(Iterator::collect)
        } else {
            DetachedSignature::from_armor_many(Cursor::new(signature)).and_then(|(all, _)| all.collect())
        };
        let read = read.context("reading it as an OpenPGP signature")?;
        let signatures: Vec<_> = read.iter().map(|one| &one.signature).collect();
        self.verify(&signatures, &[SignatureType::Binary, SignatureType::Text], data, now)
    }

    /// What was signed in a text that has its signature within, and by whom, as for a detached one. Nothing outside of the signed block is
    /// taken for a part of it; what is there is an error. Lines end as LF, without the blanks before it, which nobody signs; the last has none.
    pub fn verify_clearsigned(&self, text: &str, now: SystemTime) -> Result<(String, String)> {
        let (bytes, lines) = LARGEST;
        ensure!(text.len() <= bytes, "it is larger than {bytes} bytes");
        ensure!(text.lines().count() <= lines, "it has more than {lines} lines");
        let (message, _) =
            CleartextSignedMessage::from_string(text).context("reading it as a text signed by OpenPGP")?;
        let body = message.signed_text();
        let signatures: Vec<_> = message.signatures().iter().collect();
        let signer = self.verify(&signatures, &[SignatureType::Text], body.as_bytes(), now)?;
        Ok((body.replace("\r\n", "\n"), signer))
    }

    /// Who made the first good one of these signatures; or what is wrong with each of them.
    fn verify(&self, all: &[&Signature], types: &[SignatureType], data: &[u8], now: SystemTime) -> Result<String> {
        let known = self.fingerprints().join(", ");
        let mut wrong = Vec::new();
        for signature in all {
            if !signature.typ().is_some_and(|found| types.contains(&found)) {
                wrong.push(format!("a signature is not one over a file: {:?}", signature.typ()));
                continue;
            }
            let candidates: Vec<_> = self.0.iter().filter_map(|key| Signer::of(signature, key)).collect();
            if candidates.is_empty() {
                wrong.push(format!("it is signed by {}, and the only keys known are {known}", issuer(signature)));
            }
            for signer in candidates {
                match signer.made(signature, data, now) {
                    Ok(()) => return Ok(fingerprint(signer.primary)),
                    Err(why) => wrong.push(format!("the signature of {}: {why:#}", signer.name())),
                }
            }
        }
        ensure!(!wrong.is_empty(), "there is no signature in it; the keys known are {known}");
        bail!("{}", wrong.join("; "));
    }
}

/// Whose signature one says it is.
struct Signer<'a> {
    primary: &'a SignedPublicKey,
    /// When it is not the primary key itself.
    subkey: Option<&'a SignedPublicSubKey>,
}

impl<'a> Signer<'a> {
    /// The key, or the subkey of it, that the signature names.
    fn of(signature: &Signature, primary: &'a SignedPublicKey) -> Option<Self> {
        if names(signature, primary) {
            return Some(Self { primary, subkey: None });
        }
        let subkey = primary.public_subkeys.iter().find(|subkey| names(signature, *subkey))?;
        Some(Self { primary, subkey: Some(subkey) })
    }

    fn name(&self) -> String {
        let primary = fingerprint(self.primary);
        self.subkey
            .map_or_else(|| primary.clone(), |subkey| format!("{primary} by its subkey {:X}", subkey.fingerprint()))
    }

    /// Whether it signed the data, and may sign.
    fn made(&self, signature: &Signature, data: &[u8], now: SystemTime) -> Result<()> {
        in_force(signature, now)?;
        let now = seconds(now);
        alive(self.primary, now)?;
        let made = if let Some(subkey) = self.subkey {
            bound(subkey, self.primary, now)?;
            signature.verify(subkey, data).map_err(|_| anyhow!(UNFIT))?;
            subkey.created_at()
        } else {
            let own = newest(self.primary)?;
            ensure!(!has_flags(own) || own.key_flags().sign(), "the key is not one for signing files");
            signature.verify(self.primary, data).map_err(|_| anyhow!(UNFIT))?;
            self.primary.created_at()
        };
        ensure!(signature.created().is_some_and(|when| when >= made), "it is older than the key");
        Ok(())
    }
}

/// What is said of a signature that does not fit. Which step of the arithmetic failed would tell nobody anything.
const UNFIT: &str = "it does not fit what was signed: one of the two was changed";

/// Whether the hash is a strong one, the signature has not run out, and it asks nothing that is not understood.
fn in_force(signature: &Signature, now: SystemTime) -> Result<()> {
    let hash = signature.hash_alg().context("its version is not known")?;
    ensure!(is_strong(signature), "its hash {hash} is weak");
    let made = signature.created().context("it does not say when it was made")?;
    let lasts = signature.signature_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    ensure!(!is_over(made, lasts, seconds(now)), "it has expired");
    let config = signature.config().context("its version is not known")?;
    let strange = config.hashed_subpackets().find(|part| {
        let unknown = matches!(
            part.data,
            SubpacketData::Experimental(..) | SubpacketData::Other(..) | SubpacketData::Notation(_)
        );
        part.is_critical && unknown
    });
    ensure!(strange.is_none(), "it must not be used without understanding a part of it that is not known here");
    Ok(())
}

fn is_strong(signature: &Signature) -> bool {
    let strong = [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
        HashAlgorithm::Sha3_256,
        HashAlgorithm::Sha3_512,
    ];
    signature.hash_alg().is_some_and(|hash| strong.contains(&hash))
}

/// Whether the key is neither revoked nor expired. Only its own word counts.
fn alive(key: &SignedPublicKey, now: u64) -> Result<()> {
    let revoked = key.details.revocation_signatures.iter().any(|one| one.verify_key(&key.primary_key).is_ok());
    ensure!(!revoked, "the key is revoked");
    let lasts = newest(key)?.key_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    ensure!(!is_over(key.created_at(), lasts, now), "the key has expired");
    Ok(())
}

/// The newest signature of the key over itself or one of its names: what holds of it.
fn newest(key: &SignedPublicKey) -> Result<&Signature> {
    let primary = &key.primary_key;
    let direct = key.details.direct_signatures.iter().filter(|one| one.verify_key(primary).is_ok());
    let names = key.details.users.iter().flat_map(|user| {
        let own = |one: &&Signature| one.verify_certification(primary, Tag::UserId, &user.id).is_ok();
        let is_revocation = |one: &&Signature| one.typ() == Some(SignatureType::CertRevocation);
        let revoked = user.signatures.iter().any(|one| is_revocation(&one) && own(&one));
        user.signatures.iter().filter(move |one| !revoked && own(one))
    });
    let all = direct.chain(names).filter(|one| is_strong(one));
    all.max_by_key(|one| one.created()).context("the key has not signed itself with a strong hash")
}

/// Whether the subkey is the key's, is for signing, and neither revoked nor expired.
fn bound(subkey: &SignedPublicSubKey, primary: &SignedPublicKey, now: u64) -> Result<()> {
    let own = |one: &&Signature| one.verify_subkey_binding(&primary.primary_key, &subkey.key).is_ok();
    let of = |typ| subkey.signatures.iter().filter(move |one| one.typ() == Some(typ)).filter(own);
    ensure!(of(SignatureType::SubkeyRevocation).next().is_none(), "the subkey is revoked");
    let binding = of(SignatureType::SubkeyBinding).filter(|one| is_strong(one)).max_by_key(|one| one.created());
    let binding = binding.context("the key has not bound the subkey with a strong hash")?;
    ensure!(binding.key_flags().sign(), "the subkey is not one for signing files");
    let back = binding.embedded_signature().filter(|back| is_strong(back));
    let back = back.is_some_and(|back| back.verify_primary_key_binding(&subkey.key, &primary.primary_key).is_ok());
    ensure!(back, "the subkey does not say that it is the key's");
    let lasts = binding.key_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
    ensure!(!is_over(subkey.created_at(), lasts, now), "the subkey has expired");
    Ok(())
}

/// Whether so many seconds after it was made are over; 0 is for ever.
fn is_over(made: Timestamp, lasts: u64, now: u64) -> bool {
    lasts != 0 && u64::from(made.as_secs()) + lasts <= now
}

fn has_flags(signature: &Signature) -> bool {
    let hashed = |config: &pgp::packet::SignatureConfig| {
        config.hashed_subpackets().any(|part| matches!(part.data, SubpacketData::KeyFlags(_)))
    };
    signature.config().is_some_and(hashed)
}

/// Whether the signature says it is this key's: by fingerprint where it gives one, else by the id.
fn names(signature: &Signature, key: &impl VerifyingKey) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    if fingerprints.is_empty() {
        signature.issuer_key_id().contains(&&key.legacy_key_id())
    } else {
        fingerprints.contains(&&key.fingerprint())
    }
}

/// Who a signature says made it.
fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|print| format!("{print:X}"));
    let id = || signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    fingerprint.or_else(id).map_or_else(|| "a key it does not name".to_owned(), |name| format!("the key {name}"))
}

fn fingerprint(key: &SignedPublicKey) -> String {
    format!("{:X}", key.fingerprint())
}

/// The bytes without the byte order mark that editors put before armour; no packet begins so.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(bytes)
}

/// Every packet's first byte has its highest bit set; armour is ASCII.
fn is_binary(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 != 0)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests;
