//! Who answers for a release: a detached signature in minisign's form over `release.json`, the same whenever the same key signs the same one.
//! May not touch a file, and may not say who may sign: the site's `signers` do.

mod key;

use anyhow::{Context as _, Result, anyhow};
use anymetal_contract::Release;
use anymetal_supply::signature;
pub use anymetal_supply::signature::{KeyId, PublicKey, Signature};

use crate::{plan, release};
pub use key::{Key, Made, made};

/// The file beside `release.json`.
pub const FILE: &str = anymetal_contract::release::SIGNATURE;
/// The largest file of a key, a signature or public keys that is read, in bytes.
pub const LARGEST: u64 = signature::LARGEST;

/// Signs the bytes of a release. The trusted comment names its site, serial and digest, and no time.
pub fn sign(text: &[u8], release: &Release, key: &Key) -> String {
    key.sign(text, format!("anymetal release of {} serial {} {}", release.site, release.serial, named(text))).text()
}

/// How the trusted comment names a release.
pub fn named(text: &[u8]) -> String {
    format!("sha256 {}", plan::digest(text).short())
}

/// Which of these keys signed exactly this release; the text has to be the one that `anymetal` writes.
pub fn verify(release: &[u8], signature: &str, keys: &[PublicKey]) -> Result<KeyId> {
    Ok(signature::check(keys, release, signature)?)
}

/// The text that travels, of a signature that `anymetal` or minisign's own tool made.
pub fn adopted(signature: &str) -> Result<String> {
    // minisign ends its lines as the system it runs on does
    Ok(Signature::read(&signature.replace("\r\n", "\n"))?.text())
}

/// Reads the release in these bytes. Fails when it is none, or not as `anymetal build` writes it.
pub fn judge(text: &[u8]) -> Result<Release> {
    release::read(text).context("it is no release that can be signed")
}

/// The public keys in this text: one, or a file of them.
pub fn keys(text: &str) -> Result<Vec<PublicKey>> {
    signature::signers(text).map_err(|what| anyhow!("{what}\nhint: it begins with RW and has 56 characters, as in the file `anymetal sign --new-key` writes beside the key"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn released() -> (Vec<u8>, Release) {
        let site = crate::sample::site();
        let release = release::draft(&site, b"a plan", std::collections::BTreeMap::new()).unwrap();
        (plan::canonical(&release), release)
    }

    fn key() -> Key {
        Key::read(&made(None).unwrap().secret, || unreachable!("it has no password")).unwrap()
    }

    #[test]
    fn the_same_key_and_plan_give_the_same_signature() {
        let (key, (bytes, release)) = (key(), released());
        let text = sign(&bytes, &release, &key);
        assert_eq!(sign(&bytes, &release, &key), text);
        assert_ne!(sign(b"{ }", &release, &key), text);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "untrusted comment: anymetal");
        let digest = plan::digest(&bytes);
        assert_eq!(lines[2], format!("trusted comment: anymetal release of demo serial 1 sha256 {}", digest.short()));
        assert_eq!(verify(&bytes, &text, &[key.public().clone()]).unwrap(), key.public().id());
        let error = verify(&bytes, &text, &[self::key().public().clone()]).unwrap_err().to_string();
        assert!(error.contains("which is none of the signers"), "{error}");
    }

    #[test]
    fn the_library_of_minisigns_author_agrees() {
        let made = made(None).unwrap();
        let key = Key::read(&made.secret, || unreachable!("it has no password")).unwrap();
        let text = sign(b"a plan", &released().1, &key);
        let theirs = minisign::PublicKeyBox::from_string(&made.public).unwrap().into_public_key().unwrap();
        let signature = minisign::SignatureBox::from_string(&text).unwrap();
        minisign::verify(&theirs, &signature, std::io::Cursor::new(b"a plan"), true, false, false).unwrap();
        assert_eq!(theirs.to_base64(), key.public().text());
    }

    #[test]
    fn a_signature_with_another_first_line_is_taken_in_the_form_that_travels() {
        let (key, plan) = (key(), b"{}");
        let text = sign(plan, &released().1, &key);
        let theirs = text.replace("comment: anymetal\n", "comment: signature from minisign secret key\n");
        assert_ne!(theirs, text);
        let error = verify(plan, &theirs, &[key.public().clone()]).unwrap_err().to_string();
        assert!(error.contains("its first line is not the one that anymetal writes"), "{error}");
        assert_eq!(adopted(&theirs).unwrap(), text);
        assert_eq!(adopted(&theirs.replace('\n', "\r\n")).unwrap(), text);
    }

    #[test]
    fn what_is_no_release_is_not_signed() {
        let plan = plan::canonical(&plan::draft(&crate::sample::site()).unwrap());
        let (text, release) = released();
        assert_eq!(judge(&text).unwrap(), release);
        for (bytes, what) in [
            ([&text[..], b"\n"].concat(), "the release is not as anymetal writes it"),
            (plan, "is of kind \"anymetal.plan\""),
            (b"{}".to_vec(), "it is no release that can be signed"),
            (b"".to_vec(), "it is no release that can be signed"),
        ] {
            let error = format!("{:#}", judge(&bytes).unwrap_err());
            assert!(error.contains(what), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC{0,300}", lines in proptest::collection::vec("[ -~]{0,110}", 0..5)) {
            for text in [text, lines.join("\n")] {
                let _either = (adopted(&text), keys(&text), Key::read(&text, || Ok(String::new())).is_ok());
            }
        }
    }
}
