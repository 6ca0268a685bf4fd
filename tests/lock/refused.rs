//! Upstreams that lie, are somebody else, or have nothing; and a site whose author has to decide.

use std::fs;

use anymetal_lab::openpgp::Key;

use super::world::{CONSUL, SMALL, Said, Upstreams, WHOLE, anymetal, lock, run};

/// What `lock` says of a site with Consul once the world was changed; nothing may be written.
fn refused(lines: &str, change: impl Fn(&Upstreams)) -> Said {
    let upstreams = Upstreams::start();
    change(&upstreams);
    let folder = upstreams.site(lines);
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert!(!lock(folder.path()).exists(), "{said:?}");
    assert_eq!(said.out, "");
    // What was asked is named, not what it stands for.
    let known: serde_yaml::Value = serde_yaml::from_str(include_str!("../../templates/sources.yaml")).unwrap();
    let canonical: Vec<_> =
        known.as_mapping().unwrap().values().map(|source| source["url"].as_str().unwrap()).collect();
    assert!(canonical.len() >= 4 && !canonical.iter().any(|upstream| said.err.contains(upstream)), "{}", said.err);
    said
}

#[test]
fn checksums_that_another_signed_are_not_believed() {
    let stranger = Key::make(7, "stranger");
    let said = refused(SMALL, |upstreams| upstreams.consul(&"ab".repeat(32), &stranger));
    assert_eq!(said.code, Some(1));
    let expected = format!(
        "/hashicorp/consul/{CONSUL}/consul_{CONSUL}_SHA256SUMS.sig: it is signed by the key {}, and the only keys known are ",
        stranger.fingerprint()
    );
    assert!(said.err.contains(&expected), "{}", said.err);
    assert_eq!(said.err.matches("is signed by").count(), 1, "said once for both architectures: {}", said.err);
}

#[test]
fn checksums_that_were_changed_are_not_believed() {
    let said = refused(SMALL, |upstreams| {
        let sums = upstreams.path(&format!("consul_{CONSUL}_SHA256SUMS"));
        let text = upstreams.files.lock().unwrap()[&sums].clone();
        upstreams.put(&sums, String::from_utf8(text).unwrap().replace("amd64", "amd65"));
    });
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("it does not fit what was signed: one of the two was changed\n"), "{}", said.err);
}

#[test]
fn an_archive_that_the_checksums_do_not_name_is_nobodys() {
    let said = refused(SMALL, |upstreams| {
        let sums = upstreams.path(&format!("consul_{CONSUL}_SHA256SUMS"));
        let text = format!("{}  consul_{CONSUL}_linux_amd64.zip\n", "ab".repeat(32));
        upstreams.put(&format!("{sums}.sig"), upstreams.hashicorp.detached(text.as_bytes()));
        upstreams.put(&sums, text);
    });
    assert_eq!(said.code, Some(1));
    let expected = format!(
        "it has no line for consul_{CONSUL}_linux_arm64.zip\nhint: pin it in the site, `components.consul.artefacts.aarch64.sha256`\n"
    );
    assert!(said.err.ends_with(&expected), "{}", said.err);
}

#[test]
fn a_known_digest_and_upstreams_word_have_to_agree() {
    let lines = "architectures: [x86_64]\ncomponents: {consul: 1.21.5, nomad: none}\n";
    let upstreams = Upstreams::start();
    let other = upstreams.digest("consul_1.21.5_linux_amd64.zip");
    drop(upstreams);
    let said = refused(lines, |_| {});
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains(&format!("consul 1.21.5 for x86_64: its sha256 is {other}, signed by ")), "{}", said.err);
    let known = "2dfb63fcabe9f15b956cf408248d9ebe36cfd662ca182352942a3bd4e5d5faca";
    assert!(said.err.contains(&format!("; and {known}, known to this anymetal\nhint: ")), "{}", said.err);
}

#[test]
fn without_checksums_a_known_digest_is_taken_and_said_and_an_unknown_one_is_not() {
    let upstreams = Upstreams::start();
    for version in [CONSUL, "1.21.5"] {
        upstreams.remove(&upstreams.path(&format!("consul_{version}_SHA256SUMS")));
    }
    let folder = upstreams.site("components: {consul: 1.21.5, nomad: none}\n");
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let url = format!("{}/hashicorp/consul/1.21.5/consul_1.21.5_SHA256SUMS", upstreams.server.url());
    for arch in ["aarch64", "x86_64"] {
        let expected = format!(
            "consul 1.21.5 for {arch}: upstream's checksums cannot be had, so its sha256 is the one known to this anymetal; asking {url}: it answered 404\n"
        );
        assert!(said.err.contains(&expected), "{}", said.err);
    }
    upstreams.write(folder.path(), SMALL);
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("consul 1.21.4 for x86_64: nobody knows its sha256; asking "), "{}", said.err);
    assert!(said.err.contains("hint: pin it in the site, `components.consul.artefacts.x86_64.sha256`"), "{}", said.err);
}

#[test]
fn an_upstream_that_does_not_answer_is_the_worlds_fault() {
    let gone = Upstreams::start();
    let folder = gone.site(SMALL);
    drop(gone);
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert_eq!((said.out.as_str(), said.code), ("", Some(2)), "{}", said.err);
}

#[test]
fn an_index_of_packages_that_another_signed_is_not_believed() {
    let said = refused(SMALL, |upstreams| {
        let path = upstreams.path("dists/bookworm/InRelease");
        let text = upstreams.files.lock().unwrap()[&path].clone();
        upstreams.put(&path, String::from_utf8(text).unwrap().replace("Origin: Lab", "Origin: Lob"));
    });
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("/debian/dists/bookworm/InRelease: checking its signature: "), "{}", said.err);
}

#[test]
fn a_site_brings_an_archive_of_its_own_and_is_its_own_witness() {
    let upstreams = Upstreams::start();
    upstreams.put("own/consul.zip", "our own");
    let digest = upstreams.digest("own/consul.zip");
    let folder = upstreams.site(&format!(
        "architectures: [x86_64]\ncomponents: {{consul: {{version: 1.21.4, artefacts: {{x86_64: {{sha256: {digest}, urls: ['{}/own/consul.zip']}}}}}}, nomad: none}}\n",
        upstreams.server.url()
    ));
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert_eq!(
        said.out.lines().next(),
        Some(format!("consul 1.21.4 x86_64 sha256:{digest} pinned by the site").as_str()),
        "{said:?}"
    );
    assert!(fs::read_to_string(lock(folder.path())).unwrap().contains("\"size\": 7,"));
}

#[test]
fn what_was_typed_wrongly_is_said() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    for (args, expected) in [
        (&["--mirror", "hashicorp"][..], "anymetal: \"hashicorp\" is not like NAME=URL\n"),
        (
            &["--mirror", "gitlab=https://m.example"],
            "anymetal: \"gitlab\" is no upstream\nhint: there are `bindle`, `debian`, `debian-security`, `github` or `hashicorp`\n",
        ),
        (
            &["--mirror", "github=m.example"],
            "anymetal: `m.example` is not an http or https URL\nhint: write it like `https://mirror.example/anymetal`\n",
        ),
        (&["--from", "nowhere"], "anymetal: nowhere is not a folder\nhint: name one that holds upstreams' files\n"),
        (&["--accept", "all"], "anymetal: the site has no archives of \"all\"\nhint: there are `consul`\n"),
    ] {
        let said = anymetal(folder.path(), &[&["lock", "site.yaml"], args].concat());
        assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("", expected, Some(1)));
    }
    assert!(upstreams.server.requests().is_empty());
}

#[test]
fn what_nobody_vouches_for_is_not_taken_at_first_sight_unless_that_is_asked_for() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(WHOLE);
    let said = run(folder.path(), &["lock", "site.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
    assert!(!lock(folder.path()).exists());
    for (name, archive) in [
        ("bindle 0.8.2", "bindle-v0.8.2-linux-amd64.tar.gz"),
        ("hippo 0.20.2", "hippo-server-linux-x64.tar.gz"),
        ("spin 0.10.0", "spin-v0.10.0-linux-amd64.tar.gz"),
        ("traefik 2.11.54", "traefik_v2.11.54_linux_amd64.tar.gz"),
    ] {
        let expected = format!("\n  {name} x86_64 sha256:{}\n", upstreams.digest(archive));
        assert!(said.err.contains(&expected), "{expected} is not in:\n{}", said.err);
    }
    assert!(!said.err.contains("consul"), "what HashiCorp signed needs nobody else: {}", said.err);
    let named = ["bindle", "hippo", "spin", "traefik"].map(|name| ["--accept-first", name]).concat();
    let said = run(folder.path(), &[&["lock", "site.yaml"], named.as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    // it was seen: nobody has to be told again, though all is asked for again
    let said = run(folder.path(), &["lock", "site.yaml", "--update", "all"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let said = run(folder.path(), &["lock", "site.yaml", "--accept-first", "bindel"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.ends_with("hint: did you mean `bindle`?\n"), "{}", said.err);
}

#[test]
fn an_index_of_unknown_age_is_refused_unless_that_is_asked_for() {
    let upstreams = Upstreams::start();
    for path in upstreams.files.lock().unwrap().iter_mut().filter(|(path, _)| path.ends_with("/InRelease")) {
        let text = String::from_utf8(path.1.clone()).unwrap();
        let body = text.split_once("\n\n").unwrap().1.split_once("-----BEGIN PGP SIGNATURE").unwrap().0.trim_end();
        let body: String = body
            .lines()
            .filter(|line| !line.starts_with("Valid-Until:"))
            .map(|line| {
                if line.starts_with("Date:") {
                    "Date: Sat, 10 Feb 2024 11:07:25 UTC\n".to_owned()
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        *path.1 = upstreams.debian.clearsigned(&body).into_bytes();
    }
    let folder = upstreams.site(SMALL);
    let said = run(folder.path(), &["lock", "site.yaml"]);
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
    assert!(
        said.err.contains("does not say until when it is to be believed: it may be one that somebody plays back\nhint: ask another mirror"),
        "{}",
        said.err
    );
    let said = run(folder.path(), &["lock", "site.yaml", "--allow-old"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn what_an_index_says_cannot_paint_over_the_terminal() {
    let upstreams = Upstreams::start();
    for path in upstreams.files.lock().unwrap().iter_mut().filter(|(path, _)| path.ends_with("/InRelease")) {
        let body = "Suite: x\u{1b}[2J\u{202e}\nCodename: y\u{1b}]0;pwn\u{7}\nDate: \u{1b}[2J\u{202e}\n";
        *path.1 = upstreams.debian.clearsigned(body).into_bytes();
    }
    let folder = upstreams.site(SMALL);
    let said = run(folder.path(), &["lock", "site.yaml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains(r"it is the index of y\u{1b}]0;pwn\u{7}, not of bookworm"), "{:?}", said.err);
    assert!(!said.err.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", said.err);
}
