//! Keys of `OpenPGP` that the suites' upstreams sign with; each is made when it is asked for.
//! May not verify anything.

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, DetachedSignature, EncryptionCaps, KeyType, SecretKeyParamsBuilder,
    SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize as _;
use pgp::types::{KeyDetails as _, Password, SigningKey, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

/// A key, and the subkey it signs with, if any.
#[derive(Debug, Clone)]
pub struct Key {
    secret: SignedSecretKey,
    by_subkey: bool,
}

impl Key {
    /// A key that signs by itself. A seed has always the same key material; the time it is made at is now.
    pub fn make(seed: u64, name: &str) -> Self {
        Self { secret: secret(KeyType::Ed25519Legacy, seed, name, None), by_subkey: false }
    }

    /// A key that signs with weak hashes too, which RSA alone can. It takes a second or two.
    pub fn make_rsa(seed: u64, name: &str) -> Self {
        Self { secret: secret(KeyType::Rsa(2048), seed, name, None), by_subkey: false }
    }

    /// A key that signs by a subkey, as Debian's do.
    pub fn with_subkey(seed: u64, name: &str) -> Self {
        Self { secret: secret(KeyType::Ed25519Legacy, seed, name, Some(true)), by_subkey: true }
    }

    /// A key with a subkey that may not sign.
    pub fn with_encrypting_subkey(seed: u64, name: &str) -> Self {
        Self { secret: secret(KeyType::Ed25519Legacy, seed, name, Some(false)), by_subkey: false }
    }

    /// The key itself, for tests that spoil it.
    pub fn secret(&self) -> &SignedSecretKey {
        &self.secret
    }

    /// 40 upper-case hexadecimal digits, of the primary key.
    pub fn fingerprint(&self) -> String {
        format!("{:X}", self.secret.fingerprint())
    }

    /// The public key in armour.
    pub fn public(&self) -> String {
        self.secret.to_public_key().to_armored_string(ArmorOptions::default()).expect("a key can be written")
    }

    /// The public key without armour.
    pub fn public_binary(&self) -> Vec<u8> {
        self.secret.to_public_key().to_bytes().expect("a key can be written")
    }

    /// A signature over the bytes, without armour, as upstreams have them.
    pub fn detached(&self, data: &[u8]) -> Vec<u8> {
        self.detached_with(data, HashAlgorithm::Sha256, Vec::new())
    }

    /// A signature over the bytes, in armour.
    pub fn detached_armoured(&self, data: &[u8]) -> String {
        let signature = self.sign(SignatureType::Binary, data, HashAlgorithm::Sha512, Vec::new());
        signature.to_armored_string(ArmorOptions::default()).expect("a signature can be written")
    }

    /// A signature with this hash that says this besides.
    pub fn detached_with(&self, data: &[u8], hash: HashAlgorithm, more: Vec<Subpacket>) -> Vec<u8> {
        self.sign(SignatureType::Binary, data, hash, more).to_bytes().expect("a signature can be written")
    }

    /// The text with its signature, as Debian's `InRelease`.
    pub fn clearsigned(&self, text: &str) -> String {
        let signed = CleartextSignedMessage::new_many(text, |normal| {
            // what blanks a line ends with is not signed
            let lines: Vec<_> = normal.split("\r\n").map(|line| line.trim_end_matches([' ', '\t'])).collect();
            let text = lines.join("\r\n");
            Ok(vec![self.sign(SignatureType::Text, text.as_bytes(), HashAlgorithm::Sha512, Vec::new()).signature])
        });
        let signed = signed.expect("a text can be signed");
        signed.to_armored_string(ArmorOptions::default()).expect("a text can be written")
    }

    fn sign(&self, typ: SignatureType, data: &[u8], hash: HashAlgorithm, more: Vec<Subpacket>) -> DetachedSignature {
        if self.by_subkey {
            sign(&self.secret.secret_subkeys[0].key, typ, data, hash, more)
        } else {
            sign(&self.secret.primary_key, typ, data, hash, more)
        }
    }
}

fn sign(
    key: &impl SigningKey,
    typ: SignatureType,
    data: &[u8],
    hash: HashAlgorithm,
    more: Vec<Subpacket>,
) -> DetachedSignature {
    let mut config = SignatureConfig::v4(typ, key.algorithm(), hash);
    let of = |data| Subpacket::regular(data).expect("a part of a signature is small");
    config.hashed_subpackets = vec![
        of(SubpacketData::SignatureCreationTime(key.created_at())),
        of(SubpacketData::IssuerFingerprint(key.fingerprint())),
        // gpgv of Debian 12 looks for this one
        of(SubpacketData::IssuerKeyId(key.legacy_key_id())),
    ];
    config.hashed_subpackets.extend(more);
    DetachedSignature::new(config.sign(key, &Password::empty(), data).expect("a key of ours can sign"))
}

fn secret(kind: KeyType, seed: u64, name: &str, signing_subkey: Option<bool>) -> SignedSecretKey {
    let made = Timestamp::now();
    let mut key = SecretKeyParamsBuilder::default();
    key.key_type(kind).can_sign(true).can_certify(true).created_at(made);
    key.primary_user_id(format!("{name} <{name}@example.com>"));
    if let Some(signs) = signing_subkey {
        let mut subkey = SubkeyParamsBuilder::default();
        if signs {
            subkey.key_type(KeyType::Ed25519Legacy).can_sign(true);
        } else {
            subkey.key_type(KeyType::X25519).can_encrypt(EncryptionCaps::All);
        }
        key.subkey(subkey.created_at(made).build().expect("what a subkey needs is given"));
    }
    let key = key.build().expect("what a key needs is given");
    key.generate(StdRng::seed_from_u64(seed)).expect("a key can be made")
}
