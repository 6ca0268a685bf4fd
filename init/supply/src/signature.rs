//! Signatures in minisign's form: read, judged against the keys that may sign, written. Both programs judge by this, so that they judge alike.
//! May not hold a secret key: whoever signs does.
//!
//! The form is <https://jedisct1.github.io/minisign/#signature-format>, with Ed25519 (RFC 8032) over BLAKE2b-512 of the file. Signatures over the
//! file itself, which minisign made before 0.10, are refused.

use std::fmt;

use anymetal_contract::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use ring::signature::{ED25519, UnparsedPublicKey};

/// The largest signature and the largest list of keys that are read, in bytes.
pub const LARGEST: u64 = 16 << 10;
/// The first line of every signature that travels. Nobody signs that line, so there is no more than one that is right.
const UNTRUSTED: &str = "untrusted comment: anymetal";
const TRUSTED: &str = "trusted comment: ";
/// Of keys, and of signatures over a file itself.
const PLAIN: [u8; 2] = *b"Ed";
/// Of signatures over a file's hash.
const HASHED: [u8; 2] = *b"ED";

/// What a key is called: eight bytes that were drawn when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 8]);

/// The public half of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    id: KeyId,
    key: [u8; 32],
}

/// A signature over a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which key made it, as it says itself.
    pub key: KeyId,
    /// Over the file's hash.
    pub file: [u8; 64],
    /// What the signer says besides; one line.
    pub comment: String,
    /// Over `file` and `comment`.
    pub whole: [u8; 64],
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It has another form; what is wrong, as the end of a sentence.
    Form(&'static str),
    /// Somebody else made it.
    Stranger(KeyId),
    /// It says that this key made it, and it did not, or not over this file.
    Wrong(KeyId),
}

impl KeyId {
    /// The key id in these bytes.
    pub const fn of(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

impl PublicKey {
    /// A key from its two parts.
    pub const fn of(id: KeyId, key: [u8; 32]) -> Self {
        Self { id, key }
    }

    /// The key in this text: 56 characters of base64, `RW…`.
    pub fn read(text: &str) -> Option<Self> {
        let bytes: [u8; 42] = decoded(text)?;
        let (algorithm, rest) = bytes.split_first_chunk::<2>()?;
        let (id, key) = rest.split_first_chunk::<8>()?;
        (*algorithm == PLAIN).then_some(())?;
        Some(Self { id: KeyId(*id), key: key.try_into().ok()? })
    }

    /// The text it is read from.
    pub fn text(&self) -> String {
        STANDARD.encode([&PLAIN[..], &self.id.0, &self.key].concat())
    }

    /// What it is called.
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether it made this signature over these bytes.
    fn made(&self, signature: &Signature, bytes: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.key);
        key.verify(&hash(bytes), &signature.file).is_ok() && key.verify(&signature.signed(), &signature.whole).is_ok()
    }
}

impl Signature {
    /// The signature in this text, whatever its first line says: four lines, each ended by a line feed or as editors end it.
    pub fn read(text: &str) -> Result<Self, Refused> {
        let form = |what: &'static str| move || Refused::Form(what);
        let text = text::without_mark(text).replace("\r\n", "\n");
        let lines: Vec<&str> = text.strip_suffix('\n').ok_or_else(form("it is cut off"))?.split('\n').collect();
        let [untrusted, first, comment, second] = lines[..] else { return Err(Refused::Form("it has no four lines")) };
        untrusted.strip_prefix("untrusted comment: ").ok_or_else(form("its first line is no comment"))?;
        let comment = comment.strip_prefix(TRUSTED).ok_or_else(form("its third line is no comment"))?;
        let first: [u8; 74] = decoded(first).ok_or_else(form("its second line is no signature"))?;
        let whole = decoded(second).ok_or_else(form("its fourth line is no signature"))?;
        let (algorithm, rest) = first.split_first_chunk::<2>().ok_or_else(form("its second line is no signature"))?;
        let (key, file) = rest.split_first_chunk::<8>().ok_or_else(form("its second line is no signature"))?;
        if *algorithm != HASHED {
            return Err(Refused::Form("it is not over the file's hash"));
        }
        let file = file.try_into().map_err(|_| Refused::Form("its second line is no signature"))?;
        Ok(Self { key: KeyId(*key), file, comment: comment.to_owned(), whole })
    }

    /// The one text of it that travels.
    pub fn text(&self) -> String {
        let first = STANDARD.encode([&HASHED[..], &self.key.0, &self.file].concat());
        format!("{UNTRUSTED}\n{first}\n{TRUSTED}{}\n{}\n", self.comment, STANDARD.encode(self.whole))
    }

    /// What [`Signature::whole`] is made over.
    pub fn signed(&self) -> Vec<u8> {
        [&self.file[..], self.comment.as_bytes()].concat()
    }
}

/// What [`Signature::file`] is made over.
pub fn hash(bytes: &[u8]) -> [u8; 64] {
    Blake2b512::digest(bytes).into()
}

/// The keys in a list of them: one in a line; lines that are empty or a comment, as in a file of minisign's, do not count. An error when
/// another line is no key, by its number, and when there is no key at all.
pub fn signers(text: &str) -> Result<Vec<PublicKey>, String> {
    let lines = text::without_mark(text).lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with("untrusted comment:"));
    // never the line itself: it may be a secret key, which has 212 characters
    let refusal = |(place, line): (usize, &str)| {
        let perhaps = if line.len() > 100 { ", and perhaps a secret one" } else { "" };
        format!("its line {} is no public key{perhaps}", place + 1)
    };
    let keys = lines.map(|(place, line)| PublicKey::read(line).ok_or_else(|| refusal((place, line))));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() { Err("there is no public key in it".to_owned()) } else { Ok(keys) }
}

/// Whether one of these keys signed exactly these bytes; which. The text has to be the very one that travels, so that no byte of it can be
/// another.
pub fn check(signers: &[PublicKey], bytes: &[u8], text: &str) -> Result<KeyId, Refused> {
    let signature = Signature::read(text)?;
    if signature.text() != text {
        return Err(Refused::Form("its first line is not the one that anymetal writes"));
    }
    let called = || signers.iter().filter(|signer| signer.id == signature.key);
    if called().next().is_none() {
        return Err(Refused::Stranger(signature.key));
    }
    // two keys may have one id
    if called().any(|signer| signer.made(&signature, bytes)) {
        Ok(signature.key)
    } else {
        Err(Refused::Wrong(signature.key))
    }
}

/// Base64 of so many bytes, in its one right form.
fn decoded<const N: usize>(text: &str) -> Option<[u8; N]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

impl fmt::Display for KeyId {
    /// As minisign writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_le_bytes(self.0))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(what) => write!(f, "the signature cannot be read: {what}"),
            Self::Stranger(key) => write!(f, "the signature is by the key {key}, which is none of the signers"),
            Self::Wrong(key) => {
                write!(f, "the signature says that it is by the key {key}, and it is not, or not over these bytes")
            }
        }
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by minisign 0.11 with `-W`, `-t 'anymetal plan'` and `-c anymetal`, over the bytes of [`PLAN`].
    const KEY: &str = "RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ";
    const SIGNATURE: &str = concat!(
        "untrusted comment: anymetal\n",
        "RUTLD4XAwkHHNr6DVhRZ9F6aFJC93Fc5MbvmY6e4pS622KjbXgTlVH8Qx3xlp6tXbwSCryBhze4kt80ZyMpbYyzWIclihowBUgs=\n",
        "trusted comment: anymetal plan\n",
        "Y/fck563Ocx75UDkxyNjziYZQFAVh70KjKZWln5f7L72FrwWepAuDK2oq27wGBnawogEFieTLsupmnOqZDndCQ==\n",
    );
    const PLAN: &[u8] = b"{\"kind\":\"anymetal.plan\"}";

    fn keys() -> Vec<PublicKey> {
        signers(KEY).unwrap()
    }

    #[test]
    fn what_minisign_signed_is_signed() {
        assert_eq!(check(&keys(), PLAN, SIGNATURE).unwrap(), keys()[0].id());
        assert_eq!(Signature::read(SIGNATURE).unwrap().comment, "anymetal plan");
        assert_eq!(keys()[0].text(), KEY);
    }

    #[test]
    fn no_bit_of_the_signature_and_of_the_file_can_be_another() {
        for (place, bit) in (0..SIGNATURE.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut text = SIGNATURE.as_bytes().to_vec();
            text[place] ^= 1 << bit;
            // what is no text cannot be handed in
            let Ok(text) = String::from_utf8(text) else { continue };
            check(&keys(), PLAN, &text).expect_err(&text);
        }
        for (place, bit) in (0..PLAN.len()).flat_map(|place| (0..8).map(move |bit| (place, bit))) {
            let mut plan = PLAN.to_vec();
            plan[place] ^= 1 << bit;
            assert_eq!(check(&keys(), &plan, SIGNATURE), Err(Refused::Wrong(keys()[0].id())));
        }
        for text in [&SIGNATURE[..SIGNATURE.len() - 1], &format!("{SIGNATURE}\n"), &SIGNATURE.replace('\n', "\r\n"), ""]
        {
            assert!(matches!(check(&keys(), PLAN, text), Err(Refused::Form(_))), "{text:?}");
        }
        for length in [PLAN.len() - 1, 0] {
            check(&keys(), &PLAN[..length], SIGNATURE).unwrap_err();
        }
    }

    #[test]
    fn another_key_is_a_stranger_even_under_the_same_id() {
        let PublicKey { id, key } = keys().remove(0);
        let other_id = PublicKey::of(KeyId::of([7; 8]), key);
        assert_eq!(check(&[other_id], PLAN, SIGNATURE), Err(Refused::Stranger(id)));
        let mut other = key;
        other[0] ^= 1;
        let impostor = PublicKey::of(id, other);
        assert_eq!(check(std::slice::from_ref(&impostor), PLAN, SIGNATURE), Err(Refused::Wrong(id)));
        assert_eq!(check(&[impostor, keys().remove(0)], PLAN, SIGNATURE), Ok(id));
        assert_eq!(check(&[], PLAN, SIGNATURE), Err(Refused::Stranger(id)));
    }

    #[test]
    fn a_list_of_keys_has_one_at_least_and_nothing_else() {
        assert_eq!(signers(&format!("untrusted comment: minisign public key 1\n{KEY}\n\n{KEY}\n")).unwrap().len(), 2);
        for (text, what) in [
            ("", "no public key in it"),
            ("untrusted comment: x\n", "no public key in it"),
            (&format!("{KEY}\nRWQ\n"), "its line 2 is no public key"),
            (&KEY.replacen("RW", "RU", 1), "its line 1 is no public key"),
            (&KEY[..55], "its line 1 is no public key"),
            (&KEY.repeat(4)[..212], "its line 1 is no public key, and perhaps a secret one"),
        ] {
            let error = signers(text).unwrap_err();
            assert!(error.contains(what) && !error.contains(&KEY[10..50]), "{error}");
        }
    }

    #[test]
    fn a_signature_over_the_file_itself_is_refused() {
        let mut bytes = STANDARD.decode(SIGNATURE.lines().nth(1).unwrap()).unwrap();
        bytes[1] = b'd';
        let text = SIGNATURE.replace(SIGNATURE.lines().nth(1).unwrap(), &STANDARD.encode(bytes));
        assert_eq!(check(&keys(), PLAN, &text), Err(Refused::Form("it is not over the file's hash")));
    }
}
