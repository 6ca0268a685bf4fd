//! Secret keys in minisign's form: made, read, signed with.
//! May not print one, nor ask for its password: whoever reads one brings it.

use anyhow::{Context as _, Result, anyhow};
use anymetal_supply::signature::{self, KeyId, PublicKey, Signature};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{KeyPair, SecretKeyBox};
use ring::signature::Ed25519KeyPair;

/// What derives a key from its password: zeros where there is none.
const KDF: std::ops::Range<usize> = 2..4;
/// Where in a secret key its id begins: after the names of three algorithms, a salt and two limits.
const ID: usize = 2 + 2 + 2 + 32 + 8 + 8;
/// Where the seed begins, of 32 bytes, and after it the public key.
const SEED: usize = ID + 8;
const PUBLIC: usize = SEED + 32;
/// Where its checksum begins.
const CHECKSUM: usize = PUBLIC + 32;

/// A secret key that can sign.
pub struct Key {
    // minisign's own `sign` mixes chance into every signature; by RFC 8032, as here, there is one for each plan and key
    pair: Ed25519KeyPair,
    public: PublicKey,
}

/// A new key, as the two files that minisign writes.
pub struct Made {
    /// The secret one.
    pub secret: String,
    /// The public one.
    pub public: String,
    /// What stands in it.
    pub key: PublicKey,
}

/// Draws a new key, behind a password when there is one.
pub fn made(password: Option<String>) -> Result<Made> {
    let (pair, comment) = match password {
        None => (KeyPair::generate_unencrypted_keypair(), "anymetal secret key"),
        Some(password) => (KeyPair::generate_encrypted_keypair(Some(password)), "anymetal secret key, encrypted"),
    };
    let KeyPair { pk, sk } = pair.context("making a key")?;
    let key = PublicKey::read(&pk.to_base64()).context("making a key: minisign made none that can be read")?;
    let secret = sk.to_box(Some(comment)).context("writing a key")?.into_string();
    let public = format!("untrusted comment: minisign public key {}\n{}\n", key.id(), key.text());
    Ok(Made { secret, public, key })
}

impl Key {
    /// The key in this text; `password` is asked when it lies behind one.
    pub fn read(text: &str, password: impl FnOnce() -> Result<String>) -> Result<Self> {
        const NONE: &str =
            "it is no secret key in minisign's form\nhint: `anymetal sign --new-key FILE` or `minisign -G` makes one";
        let text = text.replace("\r\n", "\n");
        let bytes = bytes(&text).context(NONE)?;
        let found = SecretKeyBox::from(text);
        let secret = if bytes[KDF] != [0, 0] {
            found.into_secret_key(Some(password()?)).map_err(|error| anyhow!("{error}"))?.to_bytes()
        } else if bytes[CHECKSUM..].iter().any(|byte| *byte != 0) {
            found.into_unencrypted_secret_key().map_err(|_| anyhow!(NONE))?.to_bytes()
        } else {
            // minisign 0.11 writes no checksum where there is no password
            bytes
        };
        Self::of(&secret).context(NONE)
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let id = KeyId::of(bytes.get(ID..SEED)?.try_into().ok()?);
        let (seed, public) = (bytes.get(SEED..PUBLIC)?, bytes.get(PUBLIC..CHECKSUM)?);
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public).ok()?;
        Some(Self { pair, public: PublicKey::of(id, public.try_into().ok()?) })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature over these bytes, with a comment that is signed too.
    pub(super) fn sign(&self, bytes: &[u8], comment: String) -> Signature {
        let made = |bytes: &[u8]| <[u8; 64]>::try_from(self.pair.sign(bytes).as_ref()).expect("RFC 8032: 64 bytes");
        let unfinished =
            Signature { key: self.public.id(), file: made(&signature::hash(bytes)), comment, whole: [0; 64] };
        Signature { whole: made(&unfinished.signed()), ..unfinished }
    }
}

/// All of a key, as it lies in the second line of its file.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let mut lines = text.lines();
    lines.next().filter(|line| line.starts_with("untrusted comment:"))?;
    STANDARD.decode(lines.next()?).ok().filter(|bytes| bytes.len() == CHECKSUM + 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_behind_a_password_needs_it() {
        let made = made(Some("open sesame".into())).unwrap();
        let key = Key::read(&made.secret, || Ok("open sesame".into())).unwrap();
        assert_eq!(*key.public(), made.key);
        let error = Key::read(&made.secret, || Ok("sesame".into())).err().unwrap().to_string();
        assert_eq!(error, "Wrong password for that key");
        let error = Key::read(&made.secret, || Err(anyhow!("nobody to ask"))).err().unwrap().to_string();
        assert_eq!(error, "nobody to ask");
    }

    #[test]
    fn a_key_of_minisign_0_11_without_a_password_has_no_checksum() {
        let made = made(None).unwrap();
        let mut bytes = bytes(&made.secret).unwrap();
        bytes[CHECKSUM..].fill(0);
        let text = format!("untrusted comment: minisign encrypted secret key\n{}\n", STANDARD.encode(&bytes));
        assert_eq!(*Key::read(&text, || unreachable!("it has no password")).unwrap().public(), made.key);
        // a seed that does not fit its public key is found all the same
        bytes[SEED] ^= 1;
        let text = format!("untrusted comment: x\n{}\n", STANDARD.encode(&bytes));
        assert!(Key::read(&text, || unreachable!("it has no password")).is_err());
    }

    #[test]
    fn a_key_without_one_asks_for_none_and_a_changed_key_is_refused() {
        let made = made(None).unwrap();
        let asked = || -> Result<String> { unreachable!("it has no password") };
        assert_eq!(*Key::read(&made.secret, asked).unwrap().public(), made.key);
        for text in ["", "RWQ", &made.public, &made.secret.replacen("RW", "RU", 1), &made.secret[..100]] {
            let error = Key::read(text, || Ok(String::new())).err().unwrap().to_string();
            assert!(error.starts_with("it is no secret key"), "{error}");
        }
        assert_eq!(made.public.lines().nth(1), Some(made.key.text().as_str()));
    }
}
