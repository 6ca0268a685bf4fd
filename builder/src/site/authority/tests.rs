//! Certificates that openssl makes, as people name them under `ca`.

#![expect(clippy::disallowed_methods, reason = "a test makes its own certificates")]

use std::process::Command;

use super::*;

/// What `openssl req` makes with these words, and its key.
fn made(words: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let fixed =
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key -out pem -subj /CN=Example";
    let words = format!("{fixed} {words}");
    let ran = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(ran.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&ran.stderr));
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    (text("pem"), text("key"))
}

fn said(text: &str, now: SystemTime) -> Result<Brought, String> {
    read("the file `ca.pem` of `ca`", text.as_bytes(), now)
        .map_err(|Complaint { what, hint }| format!("{what}; hint: {hint}"))
}

fn now() -> SystemTime {
    crate::sys::clock::now()
}

#[test]
fn several_are_taken_each_on_its_own_whatever_stands_between_them() {
    let ((one, _), (two, _)) = (made("-days 90"), made("-days 90"));
    let text = format!("# ours\r\n{}\r\nissuer=x\r\n{two}", one.replace('\n', "\r\n"));
    let brought = said(&text, now()).unwrap();
    assert_eq!(brought.certificates, [one, two]);
    assert!(brought.warnings.is_empty(), "{:?}", brought.warnings);
    let soon = said(&made("-days 9").0, now()).unwrap();
    assert!(
        soon.warnings[0].what.starts_with("the file `ca.pem` of `ca`: the certificate of `CN=Example` expires on 20")
    );
}

#[test]
fn what_is_none_of_a_valid_authority_is_named() {
    let (good, key) = made("-days 90");
    let (server, _) = made("-days 90 -addext basicConstraints=critical,CA:FALSE");
    let later = now() + Duration::from_hours(24 * 91);
    let earlier = now() - Duration::from_hours(24);
    let damaged = good.replacen("MII", "MI", 1);
    for (text, at, words) in [
        (format!("{good}{key}"), now(), "has a private key in it; hint: take the key out"),
        (
            server,
            now(),
            "the certificate of `CN=Example` is not that of an authority; hint: bring the certificate that signed it",
        ),
        (good.clone(), later, "the certificate of `CN=Example` has expired: it was good until 20"),
        (good.clone(), earlier, "the certificate of `CN=Example` is not good before 20"),
        ("hello".to_owned(), now(), "has no certificate in it; hint: name a file that begins with"),
        (damaged, now(), "hint: name a file that begins with"),
        (good.replace("-----END", ""), now(), "hint: name a file that begins with"),
    ] {
        let error = said(&text, at).expect_err(words);
        assert!(error.contains(words), "{error}\ndoes not say\n{words}");
        assert!(!error.contains(&key[40..80]), "{error}");
    }
}
