//! Who may sign releases for this node, and whether one of them did. Where nobody is known to, a release needs no signature.
//! May not read a release: what is signed is bytes.

use anymetal_contract::{Reason, place};
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::signature::{self, KeyId, PublicKey};

use crate::sys::fs;
use crate::trust::Trust;
use crate::world::World;

/// The keys that may sign by user-data; `None` when there is no list of them. A list that cannot be used is an error: it was meant to keep
/// something out.
pub(crate) fn listed(world: &World) -> Result<Option<Vec<PublicKey>>, Failure> {
    let path = world.at(place::SIGNERS);
    // a link to nothing is no list that is not there
    if !fs::is_there(&path) {
        return Ok(None);
    }
    let text = fs::read_text(&path).because(Reason::SignersUnusable)?;
    let keys = signature::signers(&text);
    keys.map(Some).map_err(|what| Failure::new(Reason::SignersUnusable, format!("reading {}: {what}", place::SIGNERS)))
}

/// Which of the signers signed these bytes; `None` when nobody has to. It has to be one of those that user-data lists, and one of those that the
/// release before names, where either does. `signature` is the text of the signature that came with the bytes, `from` is where it should be.
pub(crate) fn check(
    world: &World,
    before: Option<&Trust>,
    bytes: &[u8],
    signature: Option<&str>,
    from: &str,
) -> Result<Option<KeyId>, Failure> {
    let remembered = before.map_or(Ok(None), Trust::signers)?;
    let lists = [(listed(world)?, place::SIGNERS), (remembered, place::TRUST)];
    let mut signer = None;
    for (signers, list) in lists {
        let Some(signers) = signers else { continue };
        let checking = |reason, what: String| Failure::new(reason, format!("checking who signed the release: {what}"));
        let Some(text) = signature else {
            let what = format!("there is no {from}, and {list} names who has to sign");
            return Err(checking(Reason::ReleaseUnsigned, what));
        };
        let refused = |why| checking(Reason::ReleaseSignatureWrong, format!("{from}, by {list}: {why}"));
        signer = Some(signature::check(&signers, bytes, text).map_err(refused)?);
    }
    Ok(signer)
}

/// The same of the release that lies on this node.
pub(crate) fn check_own(world: &World, before: Option<&Trust>, release: &[u8]) -> Result<Option<KeyId>, Failure> {
    let bytes = fs::read_if_there(&world.at(place::SIGNATURE)).because(Reason::ReleaseUnsigned)?;
    // what is no text is no signature, and is told as one that cannot be read
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    check(world, before, release, text.as_deref(), place::SIGNATURE)
}

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare their own files")]

    use std::os::unix::fs::symlink;

    use anymetal_contract::plan::Arch;
    use anymetal_lab::archive::sha256;
    use tempfile::TempDir;

    use super::*;
    use crate::plan;
    use crate::world::Overrides;

    // Made by minisign 0.11 with `-W`, `-t 'anymetal release'` and `-c anymetal`.
    pub(crate) const KEY: &str = "RWR/I+AKDAgUsj6C5L7L7aJjmFq0LogGJVGOcShZuJPnAcaRgAT7WoYL\n";
    pub(crate) const SIGNATURE: &str = concat!(
        "untrusted comment: anymetal\n",
        "RUR/I+AKDAgUsv93cGhsfRbuugTgcXFg7hyaPR4KLOhD8BQ9zvXKFMVSlO3/i+ovBIIQDB7tZUsjR1QmikgAdW69uXnqckZkNgg=\n",
        "trusted comment: anymetal release\n",
        "y/nil3aTrwXCowDwSUhCM9gPmZSmzZMD/c+/ithND4awUulTYpUf7BELqFPAcH43kgy+EpMmExUkMfYB9ySRDg==\n",
    );
    pub(crate) const OTHER: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n";
    /// What is signed. It pins [`PLAN`].
    pub(crate) const RELEASE: &str = concat!(
        r#"{"inits":{},"kind":"anymetal.release","plan":{"sha256":"8913b199b290d9bced3b66c604208f6e03f9ce4513b59dd76f39cdd7b565ea60","size":24},"#,
        r#""serial":7,"site":"demo","stub":"0000000000000000000000000000000000000000000000000000000000000000","#,
        r#""unit":"1111111111111111111111111111111111111111111111111111111111111111","version":1}"#,
    );
    /// It is no whole plan, so the phase goes no further than to read it.
    pub(crate) const PLAN: &str = "{\"kind\":\"anymetal.plan\"}";

    pub(crate) struct Silent;

    impl crate::phase::Steps for Silent {
        fn step(&self, _: &str, _: anymetal_contract::Outcome, _: &str) {}
        fn progress(&self, _: &str, _: u64, _: Option<u64>, _: anymetal_contract::Unit) {}
    }

    /// A node with these files, the plan, and the release, which its pins name.
    pub(crate) fn node(files: &[(&str, &str)]) -> (TempDir, World) {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
        for folder in ["/etc/anymetal", place::STATE] {
            std::fs::create_dir_all(world.at(folder)).unwrap();
        }
        released(&world, RELEASE.as_bytes());
        for (path, text) in [(place::PLAN, PLAN)].iter().chain(files) {
            std::fs::write(world.at(path), text).unwrap();
        }
        (folder, world)
    }

    /// Pins this release, and puts it there.
    pub(crate) fn released(world: &World, text: &[u8]) {
        std::fs::write(world.at(place::RELEASE), text).unwrap();
        let pins = format!("anymetal.pins 1\nrelease {} {}\n", sha256(text), text.len());
        std::fs::write(world.at(place::PINS), pins).unwrap();
    }

    /// What the memory of a node looks like that has run this serial, with these signers.
    pub(crate) fn trust(serial: u64, signers: &[&str]) -> String {
        let signers: Vec<_> = signers.iter().map(|key| key.trim_end()).collect();
        serde_json::json!({"kind": "anymetal.trust", "version": 1, "site": "demo", "serial": serial,
            "release": "2".repeat(64), "signers": signers})
        .to_string()
    }

    /// Why the phase `plan` stops.
    fn refused(world: &World) -> Failure {
        plan::work(world, &Silent).unwrap_err()
    }

    #[test]
    fn a_release_signed_by_one_of_the_signers_goes_on_and_so_does_one_that_needs_no_signature() {
        let both = format!("{OTHER}{KEY}");
        let remembered = trust(7, &[OTHER, KEY]);
        for files in [
            &[(place::SIGNERS, KEY), (place::SIGNATURE, SIGNATURE)][..],
            &[(place::SIGNERS, &both), (place::SIGNATURE, SIGNATURE)],
            &[(place::TRUST, &remembered), (place::SIGNATURE, SIGNATURE)],
            &[(place::TRUST, &remembered), (place::SIGNERS, KEY), (place::SIGNATURE, SIGNATURE)],
            &[],
            // nobody asked for it, so nobody judges it
            &[(place::SIGNATURE, "nonsense")],
        ] {
            let (_folder, world) = node(files);
            let failure = refused(&world);
            // it pins no whole plan, which is looked at only after the signature
            assert_eq!(failure.reason, Reason::PlanUnreadable, "{}", failure.chain());
        }
    }

    #[test]
    fn what_is_not_signed_by_one_of_the_signers_stops_the_boot_at_plan() {
        let signed = (place::SIGNATURE, SIGNATURE);
        let (ours, theirs) = (trust(7, &[KEY]), trust(7, &[OTHER]));
        for (files, reason, said) in [
            (&[(place::SIGNERS, KEY)][..], Reason::ReleaseUnsigned, "there is no /etc/anymetal/release.json.minisig"),
            // without its list of signers, user-data opens no door on a node that has run a signed release
            (&[(place::TRUST, &ours)], Reason::ReleaseUnsigned, "/var/lib/anymetal/trust.json names who has to sign"),
            (
                &[(place::SIGNERS, OTHER), signed],
                Reason::ReleaseSignatureWrong,
                "by the key B214080C0AE0237F, which is none",
            ),
            // nor with another list
            (
                &[(place::TRUST, &theirs), (place::SIGNERS, KEY), signed],
                Reason::ReleaseSignatureWrong,
                "by the key B214080C0AE0237F, which is none",
            ),
            (
                &[(place::SIGNERS, KEY), (place::SIGNATURE, "")],
                Reason::ReleaseSignatureWrong,
                "cannot be read: it is cut off",
            ),
            (&[(place::SIGNERS, ""), signed], Reason::SignersUnusable, "there is no public key in it"),
            (&[(place::SIGNERS, "RWQ\n"), signed], Reason::SignersUnusable, "its line 1 is no public key"),
            (
                &[(place::SIGNERS, &format!("{KEY}RWQ\n")), signed],
                Reason::SignersUnusable,
                "its line 2 is no public key",
            ),
            (&[(place::TRUST, "{"), signed], Reason::SignersUnusable, "reading /var/lib/anymetal/trust.json: EOF"),
            (&[(place::TRUST, &trust(7, &["RWQ"])), signed], Reason::SignersUnusable, "has a signer that is no key"),
        ] {
            let (_folder, world) = node(files);
            let failure = refused(&world);
            assert_eq!(failure.reason, reason, "{}", failure.chain());
            assert!(failure.chain().contains(said), "{:?} does not say {said:?}", failure.chain());
        }
    }

    #[test]
    fn a_list_of_signers_that_cannot_be_read_is_not_taken_for_none() {
        let (_folder, world) = node(&[(place::SIGNATURE, SIGNATURE)]);
        symlink("nowhere", world.at(place::SIGNERS)).unwrap();
        assert_eq!(refused(&world).reason, Reason::SignersUnusable);
        std::fs::remove_file(world.at(place::SIGNERS)).unwrap();
        std::fs::create_dir(world.at(place::SIGNERS)).unwrap();
        assert_eq!(refused(&world).reason, Reason::SignersUnusable);
        std::fs::remove_dir(world.at(place::SIGNERS)).unwrap();
        std::fs::write(world.at(place::SIGNERS), [0xff, 0xfe]).unwrap();
        assert_eq!(refused(&world).reason, Reason::SignersUnusable);
    }

    #[test]
    fn every_changed_byte_of_release_and_signature_stops_the_boot() {
        let (_folder, world) = node(&[(place::SIGNERS, KEY), (place::SIGNATURE, SIGNATURE)]);
        for (path, text) in [(place::RELEASE, RELEASE), (place::SIGNATURE, SIGNATURE)] {
            for at in 0..text.len() {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] ^= 1;
                // whoever changes the release changes its digest in the pins too
                if path == place::RELEASE {
                    released(&world, &bytes);
                } else {
                    std::fs::write(world.at(path), &bytes).unwrap();
                }
                let failure = refused(&world);
                assert_eq!(failure.reason, Reason::ReleaseSignatureWrong, "byte {at} of {path}: {}", failure.chain());
            }
            released(&world, RELEASE.as_bytes());
            std::fs::write(world.at(place::SIGNATURE), SIGNATURE).unwrap();
        }
        assert_eq!(refused(&world).reason, Reason::PlanUnreadable, "the files are as they were");
    }
}
