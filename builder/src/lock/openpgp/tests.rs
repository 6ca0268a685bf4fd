use std::sync::LazyLock;

use anymetal_lab::openpgp::Key;
use pgp::composed::{ArmorOptions, SignedSecretKey};
use pgp::packet::{SignatureConfig, Subpacket};
use pgp::types::Password;
use proptest::prelude::*;

use super::*;

/// After every key of these tests was made, and before any of them runs out that is not to: 2100.
const NOW: u64 = 4_102_444_800;
const DATA: &[u8] = b"0123  consul_1.21.5_linux_amd64.zip\n";
const TEXT: &str = "Suite: stable\n- a dash\nDate: Sat, 10 Feb 2024 11:07:25 UTC  \n\nlast";

static UPSTREAM: LazyLock<Key> = LazyLock::new(|| Key::make(1, "upstream"));
static BY_SUBKEY: LazyLock<Key> = LazyLock::new(|| Key::with_subkey(2, "by subkey"));
static RSA: LazyLock<Key> = LazyLock::new(|| Key::make_rsa(4, "rsa"));
static STRANGER: LazyLock<Key> = LazyLock::new(|| Key::make(3, "stranger"));

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn ring(keys: &[&Key]) -> Keyring {
    Keyring::read(keys.iter().map(|key| key.public()).collect::<String>().as_bytes()).unwrap()
}

/// The key with this signature over its name instead of what it had.
fn resigned(key: &Key, hash: HashAlgorithm, lasts: u32, flags: bool) -> Keyring {
    let mut secret: SignedSecretKey = key.secret().clone();
    let data = |data| Subpacket::regular(data).unwrap();
    let mut config = SignatureConfig::v4(SignatureType::CertPositive, secret.algorithm(), hash);
    config.hashed_subpackets = vec![
        data(SubpacketData::SignatureCreationTime(secret.created_at())),
        data(SubpacketData::IssuerFingerprint(secret.fingerprint())),
        data(SubpacketData::KeyExpirationTime(pgp::types::Duration::from_secs(lasts))),
    ];
    if flags {
        let mut certify = pgp::packet::KeyFlags::default();
        certify.set_certify(true);
        config.hashed_subpackets.push(data(SubpacketData::KeyFlags(certify)));
    }
    let (primary, id) = (&secret.primary_key, secret.details.users[0].id.clone());
    let signed =
        config.sign_certification(primary, primary.public_key(), &Password::empty(), Tag::UserId, &id).unwrap();
    secret.details.users[0].signatures = vec![signed];
    Keyring(vec![secret.to_public_key()])
}

#[test]
fn armour_that_an_editor_saved_is_the_same_armour() {
    let saved: [fn(&str) -> String; 3] = [
        |armour| format!("\u{FEFF}{armour}"),
        |armour| armour.replace('\n', "\r\n"),
        |armour| format!("\u{FEFF}{}", armour.replace('\n', "\r\n")),
    ];
    for save in saved {
        let ring = Keyring::read(save(&UPSTREAM.public()).as_bytes()).unwrap();
        let signature = save(&UPSTREAM.detached_armoured(DATA));
        assert_eq!(ring.verify_detached(DATA, signature.as_bytes(), now()).unwrap(), UPSTREAM.fingerprint());
    }
    let wide: Vec<u8> = UPSTREAM.public().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = format!("{:#}", Keyring::read(&wide).unwrap_err());
    assert!(error.contains("this looks like UTF-16: save it as UTF-8"), "{error}");
}

#[test]
fn what_a_known_key_signed_is_its_own() {
    let ring = ring(&[&STRANGER, &UPSTREAM, &BY_SUBKEY]);
    for key in [&*UPSTREAM, &*BY_SUBKEY] {
        let binary = key.detached(DATA);
        let armoured = key.detached_armoured(DATA);
        assert_eq!(ring.verify_detached(DATA, &binary, now()).unwrap(), key.fingerprint());
        assert_eq!(ring.verify_detached(DATA, armoured.as_bytes(), now()).unwrap(), key.fingerprint());
        let (body, signer) = ring.verify_clearsigned(&key.clearsigned(TEXT), now()).unwrap();
        assert_eq!((body.as_str(), signer), (TEXT.replace("UTC  ", "UTC").as_str(), key.fingerprint()));
    }
    assert_eq!(ring.fingerprints(), [STRANGER.fingerprint(), UPSTREAM.fingerprint(), BY_SUBKEY.fingerprint()]);
}

#[test]
fn one_good_signature_of_several_is_enough_wherever_it_stands() {
    let ring = ring(&[&UPSTREAM]);
    for keys in [[&*STRANGER, &*UPSTREAM], [&*UPSTREAM, &*STRANGER]] {
        let both = keys.map(|key| key.detached(DATA)).concat();
        assert_eq!(ring.verify_detached(DATA, &both, now()).unwrap(), UPSTREAM.fingerprint());
    }
}

#[test]
fn keys_are_read_without_armour_too() {
    let key = Keyring::read(&UPSTREAM.public_binary()).unwrap();
    assert_eq!(key.fingerprints(), [UPSTREAM.fingerprint()]);
    for nothing in ["", "no key", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n"] {
        assert!(Keyring::read(nothing.as_bytes()).is_err(), "{nothing}");
    }
    let secret = UPSTREAM.secret().to_armored_string(ArmorOptions::default()).unwrap();
    assert_eq!(Keyring::read(secret.as_bytes()).unwrap_err().to_string(), "it holds no public OpenPGP key");
}

#[test]
fn a_stranger_is_named_beside_those_who_are_known() {
    let ring = ring(&[&UPSTREAM, &BY_SUBKEY]);
    let known = format!("{}, {}", UPSTREAM.fingerprint(), BY_SUBKEY.fingerprint());
    let expected = format!("it is signed by the key {}, and the only keys known are {known}", STRANGER.fingerprint());
    assert_eq!(ring.verify_detached(DATA, &STRANGER.detached(DATA), now()).unwrap_err().to_string(), expected);
    assert_eq!(ring.verify_clearsigned(&STRANGER.clearsigned(TEXT), now()).unwrap_err().to_string(), expected);
}

#[test]
fn what_was_changed_does_not_fit() {
    let ring = ring(&[&UPSTREAM]);
    let error = ring.verify_detached(b"other", &UPSTREAM.detached(DATA), now()).unwrap_err().to_string();
    assert_eq!(error, format!("the signature of {}: {UNFIT}", UPSTREAM.fingerprint()));
    let text = UPSTREAM.clearsigned(TEXT);
    for (right, wrong) in [("stable", "unstable"), ("2024", "2025"), ("\nlast", "\nlast\nmore"), ("- - a", "- a")] {
        let changed = text.replacen(right, wrong, 1);
        assert_ne!(changed, text);
        assert!(ring.verify_clearsigned(&changed, now()).is_err(), "{right}");
    }
}

#[test]
fn nothing_outside_of_the_signed_block_counts() {
    let ring = ring(&[&UPSTREAM]);
    let text = UPSTREAM.clearsigned(TEXT);
    for changed in [format!("Suite: evil\n{text}"), format!("{text}Suite: evil\n"), format!("{text}{text}")] {
        assert!(ring.verify_clearsigned(&changed, now()).is_err(), "{changed}");
    }
    let too_many = UPSTREAM.clearsigned(&"x\n".repeat(LARGEST.1));
    assert_eq!(ring.verify_clearsigned(&too_many, now()).unwrap_err().to_string(), "it has more than 10000 lines");
}

#[test]
fn a_signature_over_something_else_than_a_file_is_none_over_a_file() {
    let ring = ring(&[&UPSTREAM]);
    let over_name = &UPSTREAM.secret().details.users[0].signatures[0];
    let bytes = pgp::ser::Serialize::to_bytes(&DetachedSignature::new(over_name.clone())).unwrap();
    let error = ring.verify_detached(DATA, &bytes, now()).unwrap_err().to_string();
    assert_eq!(error, "a signature is not one over a file: Some(CertPositive)");
}

#[test]
fn who_has_run_out_or_may_not_sign_signs_nothing() {
    let signature = RSA.detached(DATA);
    let made = u64::from(RSA.secret().created_at().as_secs());
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let key = |hash, lasts, flags| resigned(&RSA, hash, lasts, flags);
    assert!(key(HashAlgorithm::Sha512, 0, false).verify_detached(DATA, &signature, now()).is_ok());
    let hour = key(HashAlgorithm::Sha512, 3600, false);
    assert!(hour.verify_detached(DATA, &signature, at(made + 3599)).is_ok());
    for (ring, when, why) in [
        (hour, at(made + 3600), "the key has expired"),
        (key(HashAlgorithm::Sha512, 0, true), now(), "the key is not one for signing files"),
        (key(HashAlgorithm::Sha1, 0, false), now(), "the key has not signed itself with a strong hash"),
    ] {
        let error = ring.verify_detached(DATA, &signature, when).unwrap_err().to_string();
        assert_eq!(error, format!("the signature of {}: {why}", RSA.fingerprint()));
    }
}

#[test]
fn a_weak_hash_and_a_signature_that_has_run_out_are_refused() {
    let ring = ring(&[&RSA]);
    let made = u64::from(RSA.secret().created_at().as_secs());
    let weak = RSA.detached_with(DATA, HashAlgorithm::Sha1, vec![]);
    let lasting = SubpacketData::SignatureExpirationTime(pgp::types::Duration::from_secs(60));
    let short = RSA.detached_with(DATA, HashAlgorithm::Sha256, vec![Subpacket::regular(lasting).unwrap()]);
    let strange = Subpacket::critical(SubpacketData::Experimental(101, vec![1].into())).unwrap();
    let strange = RSA.detached_with(DATA, HashAlgorithm::Sha256, vec![strange]);
    let before = SystemTime::UNIX_EPOCH + Duration::from_secs(made + 59);
    assert!(ring.verify_detached(DATA, &short, before).is_ok());
    for (signature, why) in
        [(weak, "its hash SHA1 is weak"), (short, "it has expired"), (strange, "it must not be used")]
    {
        let error = ring.verify_detached(DATA, &signature, now()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_revoked_key_signs_nothing() {
    let mut secret = UPSTREAM.secret().clone();
    let mut config = SignatureConfig::v4(SignatureType::KeyRevocation, secret.algorithm(), HashAlgorithm::Sha512);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(secret.created_at())).unwrap(),
        Subpacket::regular(SubpacketData::IssuerFingerprint(secret.fingerprint())).unwrap(),
    ];
    let (primary, empty) = (&secret.primary_key, Password::empty());
    let revocation = config.sign_key(primary, &empty, primary.public_key()).unwrap();
    secret.details.revocation_signatures.push(revocation);
    let ring = Keyring(vec![secret.to_public_key()]);
    let error = ring.verify_detached(DATA, &UPSTREAM.detached(DATA), now()).unwrap_err().to_string();
    assert!(error.ends_with(": the key is revoked"), "{error}");
}

#[test]
fn a_subkey_is_nobodys_without_its_bindings() {
    let signature = BY_SUBKEY.detached(DATA);
    let key = BY_SUBKEY.secret().to_public_key();
    // bound by another key, to another key, or not to sign
    let mut stolen = UPSTREAM.secret().to_public_key();
    stolen.public_subkeys = key.public_subkeys.clone();
    let mut unsigned = key.clone();
    unsigned.public_subkeys[0].signatures =
        Key::with_encrypting_subkey(5, "other").secret().to_public_key().public_subkeys[0].signatures.clone();
    for key in [stolen, unsigned] {
        let error = Keyring(vec![key]).verify_detached(DATA, &signature, now()).unwrap_err().to_string();
        assert!(error.ends_with(": the key has not bound the subkey with a strong hash"), "{error}");
    }
}

#[test]
fn no_cut_signature_and_no_cut_key_passes() {
    let ring = ring(&[&UPSTREAM]);
    let signature = UPSTREAM.detached(DATA);
    for length in 0..signature.len() {
        assert!(ring.verify_detached(DATA, &signature[..length], now()).is_err(), "{length}");
    }
    let text = UPSTREAM.clearsigned(TEXT);
    let end = text.find("-----END").unwrap();
    for length in 0..end {
        assert!(ring.verify_clearsigned(&text[..length], now()).is_err(), "{length}");
    }
    let key = UPSTREAM.public_binary();
    for length in 0..key.len() {
        let passed =
            Keyring::read(&key[..length]).is_ok_and(|ring| ring.verify_detached(DATA, &signature, now()).is_ok());
        assert!(!passed, "{length}");
    }
}

#[test]
fn no_flipped_bit_of_a_signed_text_changes_what_it_says() {
    let ring = ring(&[&UPSTREAM]);
    let text = UPSTREAM.clearsigned(TEXT);
    let (said, _) = ring.verify_clearsigned(&text, now()).unwrap();
    for place in 0..text.len() {
        let mut other = text.clone().into_bytes();
        other[place] ^= 1;
        let Ok(other) = String::from_utf8(other) else { continue };
        if let Ok((body, _)) = ring.verify_clearsigned(&other, now()) {
            assert_eq!(body, said, "at {place}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), place in 0usize..2000, flip in 1u8..) {
        let ring = ring(&[&UPSTREAM]);
        let _any = Keyring::read(&bytes);
        prop_assert!(ring.verify_detached(DATA, &bytes, now()).is_err());
        prop_assert!(ring.verify_clearsigned(&String::from_utf8_lossy(&bytes), now()).is_err());
        let mut key = BY_SUBKEY.public_binary();
        let (at, cut) = (place % key.len(), bytes.len());
        key[at] ^= flip;
        let _any = Keyring::read(&key).map(|ring| ring.verify_detached(DATA, &BY_SUBKEY.detached(DATA), now()));
        let mut signature = UPSTREAM.detached(DATA);
        let at = place % signature.len();
        signature.splice(at..at, bytes);
        let _any = ring.verify_detached(DATA, &signature[..signature.len() - cut / 2], now());
    }
}

#[test]
fn the_keys_of_this_release_are_those_of_their_owners() {
    for (text, expected) in [
        // developer.hashicorp.com and the pubkey of its own installer's source
        (include_str!("../../../../templates/keys/hashicorp.asc"), &["C874011F0AB405110D02105534365D9472D7468F"][..]),
        // debian-archive-keyring 2023.3+deb12u2: archive, security, stable release
        (
            include_str!("../../../../templates/keys/debian-12.asc"),
            &[
                "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
                "05AB90340C0C5E797F44A8C8254CF3B5AEC0A8F0",
                "4D64FEC119C2029067D6E791F8D2585B8783D481",
            ],
        ),
    ] {
        let ring = Keyring::read(text.as_bytes()).unwrap();
        assert_eq!(ring.fingerprints(), expected);
        // 2026-11-01: each is alive, and may sign by itself or by a subkey
        for key in &ring.0 {
            alive(key, 1_793_491_200).unwrap();
            let subkeys = key.public_subkeys.iter().any(|subkey| bound(subkey, key, 1_793_491_200).is_ok());
            assert!(subkeys || newest(key).unwrap().key_flags().sign(), "{:X}", key.fingerprint());
        }
    }
}
