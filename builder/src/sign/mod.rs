//! Who answers for a plan: a detached signature in minisign's form over `plan.json`, the same whenever the same key signs the same plan.
//! May not touch a file, and may not say who may sign: the site's `signers` do.

mod key;

use anyhow::{Context as _, Result, anyhow, ensure};
use anymetal_contract::{Plan, terminal};
use anymetal_supply::signature;
pub use anymetal_supply::signature::{KeyId, PublicKey, Signature};

use crate::plan;
pub use key::{Key, Made, made};

/// The file beside `plan.json`.
pub const FILE: &str = anymetal_contract::bundle::SIGNATURE;
/// The largest file of a key, a signature or public keys that is read, in bytes.
pub const LARGEST: u64 = signature::LARGEST;

/// What a user-data carries of it.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'s> {
    /// Who may sign.
    pub signers: &'s [PublicKey],
    /// The text of the signature by one of them.
    pub signature: &'s str,
}

/// The signature of a plan, by its bytes. Its trusted comment names the plan digest and no time.
pub fn sign(plan: &[u8], key: &Key) -> String {
    key.sign(plan, format!("anymetal plan sha256:{}", plan::digest(plan))).text()
}

/// Which of these keys signed exactly this plan; the text has to be the one that `anymetal` writes.
pub fn verify(plan: &[u8], signature: &str, keys: &[PublicKey]) -> Result<KeyId> {
    Ok(signature::check(keys, plan, signature)?)
}

/// The text that travels, of a signature that `anymetal` or minisign's own tool made.
pub fn adopted(signature: &str) -> Result<String> {
    // minisign ends its lines as the system it runs on does
    Ok(Signature::read(&signature.replace("\r\n", "\n"))?.text())
}

/// An error unless these are the bytes of a plan as `anymetal build` writes them.
pub fn judge(plan: &[u8]) -> Result<()> {
    let read: Plan = serde_json::from_slice(plan)
        .map_err(|error| anyhow!("{}", terminal::one_line(&error.to_string())))
        .context("it is no plan")?;
    ensure!(
        plan::canonical(&read) == plan,
        "it is not as `anymetal build` wrote it\nhint: build again, and sign what that writes"
    );
    Ok(())
}

/// The public keys in this text: one, or a file of them.
pub fn keys(text: &str) -> Result<Vec<PublicKey>> {
    signature::signers(text).map_err(|what| anyhow!("{what}\nhint: it begins with RW and has 56 characters, as in the file `anymetal sign --new-key` writes beside the key"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::read(&made(None).unwrap().secret, || unreachable!("it has no password")).unwrap()
    }

    #[test]
    fn the_same_key_and_plan_give_the_same_signature() {
        let (key, plan) = (key(), b"{}");
        let text = sign(plan, &key);
        assert_eq!(sign(plan, &key), text);
        assert_ne!(sign(b"{ }", &key), text);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "untrusted comment: anymetal");
        // printf '{}' | sha256sum
        let digest = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(lines[2], format!("trusted comment: anymetal plan sha256:{digest}"));
        assert_eq!(verify(plan, &text, &[key.public().clone()]).unwrap(), key.public().id());
        let error = verify(plan, &text, &[self::key().public().clone()]).unwrap_err().to_string();
        assert!(error.contains("which is none of the signers"), "{error}");
    }

    #[test]
    fn the_library_of_minisigns_author_agrees() {
        let made = made(None).unwrap();
        let key = Key::read(&made.secret, || unreachable!("it has no password")).unwrap();
        let text = sign(b"a plan", &key);
        let theirs = minisign::PublicKeyBox::from_string(&made.public).unwrap().into_public_key().unwrap();
        let signature = minisign::SignatureBox::from_string(&text).unwrap();
        minisign::verify(&theirs, &signature, std::io::Cursor::new(b"a plan"), true, false, false).unwrap();
        assert_eq!(theirs.to_base64(), key.public().text());
    }

    #[test]
    fn a_signature_with_another_first_line_is_taken_in_the_form_that_travels() {
        let (key, plan) = (key(), b"{}");
        let text = sign(plan, &key);
        let theirs = text.replace("comment: anymetal\n", "comment: signature from minisign secret key\n");
        assert_ne!(theirs, text);
        let error = verify(plan, &theirs, &[key.public().clone()]).unwrap_err().to_string();
        assert!(error.contains("its first line is not the one that anymetal writes"), "{error}");
        assert_eq!(adopted(&theirs).unwrap(), text);
        assert_eq!(adopted(&theirs.replace('\n', "\r\n")).unwrap(), text);
    }

    #[test]
    fn what_is_no_plan_is_not_signed() {
        let plan = plan::canonical(&plan::draft(&crate::sample::site()).unwrap());
        judge(&plan).unwrap();
        for (bytes, what) in [
            ([&plan[..], b"\n"].concat(), "it is not as `anymetal build` wrote it"),
            (b"{}".to_vec(), "it is no plan"),
            (b"".to_vec(), "it is no plan"),
        ] {
            let error = judge(&bytes).unwrap_err().to_string();
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
