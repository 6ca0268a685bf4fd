//! What is made, as OpenSSL judges it; and when it is made anew.
#![expect(clippy::disallowed_methods, reason = "OpenSSL reads files, and is a program")]

use std::process::Command;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn authority() -> Authority {
    let mut seed = [0; 32];
    ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut seed).unwrap();
    Authority::read("demo", &STANDARD.encode(seed)).unwrap()
}

fn at(text: &str) -> SystemTime {
    humantime::parse_rfc3339(text).unwrap()
}

const TODAY: &str = "2026-11-28T01:00:00Z";

fn openssl(words: &[&str], folder: &std::path::Path) -> (bool, String) {
    let ran = Command::new("openssl").args(words).current_dir(folder).output().expect("openssl is installed");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    (ran.status.success(), said)
}

#[test]
fn openssl_accepts_what_is_made_for_both_purposes_and_the_names_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let (own, other) = (authority(), authority());
    let leaf = own.issue(&names(&["server.dc1.consul", "localhost", "127.0.0.1", "::1"]), at(TODAY)).unwrap();
    write("ca.pem", &own.certificate());
    write("other.pem", &other.certificate());
    write("leaf.pem", &leaf.certificate);
    write("key.pem", &leaf.key);
    let judge = |words: &[&str]| openssl(&[&["verify", "-x509_strict"], words].concat(), folder.path());
    for purpose in ["sslserver", "sslclient"] {
        let (good, said) = judge(&["-purpose", purpose, "-CAfile", "ca.pem", "leaf.pem"]);
        assert!(good, "{purpose}: {said}");
    }
    for (option, name, good) in [
        ("-verify_hostname", "server.dc1.consul", true),
        ("-verify_hostname", "localhost", true),
        ("-verify_hostname", "server.global.nomad", false),
        ("-verify_ip", "127.0.0.1", true),
        ("-verify_ip", "::1", true),
        ("-verify_ip", "10.0.0.1", false),
    ] {
        let (accepted, said) = judge(&[option, name, "-CAfile", "ca.pem", "leaf.pem"]);
        assert_eq!(accepted, good, "{name}: {said}");
    }
    assert!(!judge(&["-CAfile", "other.pem", "leaf.pem"]).0, "another CA's was accepted");
    let (_, said) =
        openssl(&["x509", "-in", "leaf.pem", "-noout", "-startdate", "-enddate", "-subject"], folder.path());
    assert!(said.contains("notBefore=Jan  1 00:00:00 2020 GMT\nnotAfter=Nov 25 01:00:00 2036 GMT"), "{said}");
    let (_, public) = openssl(&["x509", "-in", "leaf.pem", "-noout", "-pubkey"], folder.path());
    assert_eq!(openssl(&["pkey", "-in", "key.pem", "-pubout"], folder.path()).1, public);
    let (_, said) = openssl(&["x509", "-in", "ca.pem", "-noout", "-subject", "-enddate"], folder.path());
    assert!(said.contains("CA of demo") && said.contains("notAfter=Dec 31 23:59:59 9999 GMT"), "{said}");
}

#[test]
fn the_authoritys_certificate_is_always_the_same_and_its_own() {
    let (authority, other) = (authority(), authority());
    let one = authority.certificate();
    assert_eq!(one, authority.certificate(), "two nodes of a site have different ones");
    assert!(authority.is_own(one.as_bytes()));
    assert!(!other.is_own(one.as_bytes()), "another key's was taken for its own");
    assert!(!authority.is_own(b"") && !authority.is_own(one.replace('M', "N").as_bytes()));
}

#[test]
fn a_certificate_is_kept_until_something_speaks_against_it() {
    let (own, other) = (authority(), authority());
    let (wanted, now) = (names(&["server.dc1.consul", "127.0.0.1"]), at(TODAY));
    let leaf = own.issue(&wanted, now).unwrap();
    let foreign = other.issue(&wanted, now).unwrap();
    let refuses = |authority: &Authority, certificate: &str, key: &str, names: &[String], now| {
        authority.refuses((certificate.as_bytes(), key.as_bytes()), names, now)
    };
    let of = |certificate: &str, key: &str| refuses(&own, certificate, key, &wanted, now);
    assert_eq!(of(&leaf.certificate, &leaf.key), None);
    assert_eq!(of("", &leaf.key), Some("it cannot be read"));
    assert_eq!(of(&leaf.certificate[..200], &leaf.key), Some("it cannot be read"));
    assert_eq!(of(&leaf.certificate, ""), Some("its key cannot be read"));
    assert_eq!(of(&foreign.certificate, &foreign.key), Some("the site's CA has not signed it"));
    assert_eq!(of(&leaf.certificate, &foreign.key), Some("it is for another key or for other names"));
    let others = names(&["server.dc2.consul", "127.0.0.1"]);
    let renamed = refuses(&own, &leaf.certificate, &leaf.key, &others, now);
    assert_eq!(renamed, Some("it is for another key or for other names"));
    let after = |days: u64| refuses(&own, &leaf.certificate, &leaf.key, &wanted, now + Duration::from_hours(days * 24));
    assert_eq!((after(2433), after(2434)), (None, Some("less than a third of its time is left")));
    assert_eq!(after(20 * 365), Some("less than a third of its time is left"));
    // Made by a clock that was wrong, either way.
    for clock in ["1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
        let leaf = own.issue(&wanted, at(clock)).unwrap();
        assert_eq!(refuses(&own, &leaf.certificate, &leaf.key, &wanted, now), None, "made in {clock}");
        assert_eq!(refuses(&own, &leaf.certificate, &leaf.key, &wanted, at(clock)), None, "kept in {clock}");
    }
}

#[test]
fn a_key_that_is_none_is_refused_without_a_word_of_it() {
    for secret in ["hunter2", "aHVudGVyMg==", &STANDARD.encode([7; 31]), &STANDARD.encode([7; 138])] {
        let error = format!("{:#}", Authority::read("demo", secret).err().unwrap());
        assert!(error.starts_with("reading the key of the site's CA: ") && !error.contains(secret), "{error}");
    }
}

/// Test 1 of RFC 8032 section 7.1.
#[test]
fn the_public_key_is_the_seeds() {
    let seed = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    let public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    let authority = Authority::read("demo", seed).unwrap();
    assert_eq!(STANDARD.encode(authority.key.public_key()), public);
}

#[test]
fn years_have_two_digits_up_to_2049_and_four_from_then_on() {
    for (time, tag, text) in [
        ("2049-12-31T23:59:59Z", der::UTC_TIME, "491231235959Z"),
        ("2050-01-01T00:00:00Z", der::GENERALIZED_TIME, "20500101000000Z"),
    ] {
        assert_eq!(certificate::until(at(time)), (tag, text.to_owned()));
    }
}
