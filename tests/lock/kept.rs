//! What a lock has already: kept, checked, asked for again.

use std::fs;

use anymetal_lab::archive::sha256;

use super::world::{CONSUL, SMALL, Upstreams, anymetal, lock, locked};

#[test]
fn a_second_run_changes_nothing_and_asks_nobody() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    let first = anymetal(folder.path(), &["lock", "site.yaml"]);
    let (text, asked) = (locked(folder.path()), upstreams.server.requests().len());
    drop(upstreams);
    let second = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert_eq!(second.out, first.out.replace("written", "unchanged"));
    assert_eq!((second.err.as_str(), second.code), ("", Some(0)));
    assert_eq!(locked(folder.path()), text);
    assert!(asked > 0);
}

/// As git checks it out on Windows, and as editors save it.
#[test]
fn a_lock_whose_line_ends_changed_is_the_same_lock() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    let first = anymetal(folder.path(), &["lock", "site.yaml"]);
    let text = locked(folder.path());
    drop(upstreams);
    let crlf = text.replace('\n', "\r\n");
    for saved in [crlf.clone(), format!("\u{FEFF}{text}"), format!("\u{FEFF}{crlf}"), text.trim_end().to_owned()] {
        fs::write(lock(folder.path()), &saved).unwrap();
        for arguments in [&["lock", "site.yaml"][..], &["lock", "site.yaml", "--check"]] {
            let said = anymetal(folder.path(), arguments);
            assert_eq!((said.err.as_str(), said.code), ("", Some(0)), "{arguments:?} {saved:?}");
            assert!(said.out.ends_with("lock site.lock unchanged\n"), "{}", said.out);
            assert!(first.out.starts_with(said.out.trim_end_matches("lock site.lock unchanged\n")), "{}", said.out);
        }
        assert_eq!(anymetal(folder.path(), &["check", "site.yaml"]).code, Some(0));
        assert_eq!(locked(folder.path()), saved, "nobody asked for it to be written");
    }
    // what an editor or a shell spoiled is not thrown away
    let wide: Vec<u8> = format!("\u{FEFF}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(lock(folder.path()), &wide).unwrap();
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    let expected =
        "anymetal: site.lock is not UTF-8 at 1:1: this looks like UTF-16: save it as UTF-8\nhint: save it as UTF-8, ";
    assert!(said.err.starts_with(expected) && said.code == Some(1), "{said:?}");
    assert_eq!(fs::read(lock(folder.path())).unwrap(), wide);
}

#[test]
fn a_version_that_changed_is_resolved_and_the_rest_is_kept() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    anymetal(folder.path(), &["lock", "site.yaml"]);
    upstreams.write(folder.path(), "components: {consul: 1.21.4, nomad: none}\narchitectures: [x86_64]\n");
    let asked = upstreams.server.requests().len();
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert!(said.out.ends_with("lock site.lock written\n") && !said.out.contains("aarch64"), "{}", said.out);
    assert_eq!(upstreams.server.requests().len(), asked, "what is less has to be asked of nobody");
    let before = locked(folder.path());
    upstreams.write(folder.path(), SMALL);
    assert_eq!(anymetal(folder.path(), &["lock", "site.yaml"]).code, Some(0));
    let after = locked(folder.path());
    assert!(after != before && after.contains("linux_arm64.zip"), "{after}");
}

#[test]
fn check_says_what_would_change_and_asks_nobody() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    let check = || anymetal(folder.path(), &["lock", "site.yaml", "--check"]);
    let end = "anymetal: site.lock is not up to date\nhint: run `anymetal lock`\n";
    let said = check();
    assert_eq!((said.out, said.err, said.code), (String::new(), format!("site.lock: it is not there\n{end}"), Some(1)));
    anymetal(folder.path(), &["lock", "site.yaml"]);
    let asked = upstreams.server.requests().len();
    let said = check();
    assert_eq!((said.out.as_str(), said.err.as_str(), said.code), ("lock site.lock unchanged\n", "", Some(0)));

    upstreams
        .write(folder.path(), "components: {consul: 1.21.5, nomad: none, bird: {version: 2.0.12, packages: [jq]}}\n");
    let text = locked(folder.path());
    let said = check();
    let wants = "bird2, nftables takes, and the site wants bird2, jq, nftables";
    let expected = format!(
        "site.lock: it has consul 1.21.4, and the site 1.21.5\n\
         site.lock: it has the packages for aarch64 that {wants}\n\
         site.lock: it has the packages for x86_64 that {wants}\n{end}"
    );
    assert_eq!((said.out.as_str(), said.err, said.code), ("", expected, Some(1)));
    assert_eq!(locked(folder.path()), text);
    fs::write(lock(folder.path()), text.replacen("demo", "emod", 1)).unwrap();
    let said = check();
    assert!(said.err.contains("line ") && said.err.contains("is not as `anymetal lock` wrote it"), "{}", said.err);
    assert_eq!(said.code, Some(1));
    assert_eq!(upstreams.server.requests().len(), asked);
}

#[test]
fn a_lock_that_cannot_be_used_is_named_by_all_and_mended_by_lock() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    anymetal(folder.path(), &["lock", "site.yaml"]);
    let text = locked(folder.path());
    fs::write(lock(folder.path()), text.replacen(CONSUL, "1.21.6", 1)).unwrap();
    let said = anymetal(folder.path(), &["check", "site.yaml"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.err.starts_with("site.lock: line ") && said.err.contains("; hint: run `anymetal lock site.yaml`\n"),
        "{}",
        said.err
    );
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert!(said.err.starts_with("site.lock: line ") && said.err.ends_with("; all is resolved anew\n"), "{}", said.err);
    assert_eq!((locked(folder.path()), said.code), (text, Some(0)));
    assert_eq!(anymetal(folder.path(), &["check", "site.yaml"]).code, Some(0));
}

#[test]
fn what_upstream_replaced_is_not_taken_until_that_is_accepted() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    anymetal(folder.path(), &["lock", "site.yaml"]);
    let text = locked(folder.path());
    let (old, new) = (upstreams.digest("consul_1.21.4_linux_amd64.zip"), sha256(b"replaced").to_string());
    upstreams.consul(&new, &upstreams.hashicorp);
    let unchanged = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert!(unchanged.out.ends_with("unchanged\n"), "{}", unchanged.out);
    for name in ["consul", "all"] {
        let said = anymetal(folder.path(), &["lock", "site.yaml", "--update", name]);
        let signed = format!("signed by {}", upstreams.hashicorp.fingerprint());
        let expected = format!(
            "consul 1.21.4 for x86_64: the lock has sha256 {old}, and now it is {new}, {signed}: upstream replaced"
        );
        assert!(said.err.contains(&expected), "{}", said.err);
        assert_eq!((said.out.as_str(), said.code), ("", Some(1)));
        assert_eq!(locked(folder.path()), text);
    }
    let said = anymetal(folder.path(), &["lock", "site.yaml", "--accept", "consul"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(locked(folder.path()).contains(&new));
}

#[test]
fn an_update_asks_again_and_finds_the_same() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    anymetal(folder.path(), &["lock", "site.yaml"]);
    let asked = || upstreams.server.requests().iter().map(|request| request.path.clone()).collect::<Vec<_>>();
    for (name, word, other) in [("consul", "SHA256SUMS", "InRelease"), ("packages", "InRelease", "SHA256SUMS")] {
        let before = asked().len();
        let said = anymetal(folder.path(), &["lock", "site.yaml", "--update", name]);
        assert!(said.out.ends_with("lock site.lock unchanged\n"), "{said:?}");
        let new = asked().split_off(before).join(" ");
        assert!(new.contains(word) && !new.contains(other), "{new}");
    }
    let said = anymetal(folder.path(), &["lock", "site.yaml", "--update", "consl"]);
    assert_eq!(said.err, "anymetal: the site has no archives of \"consl\"\nhint: did you mean `consul`?\n");
    assert_eq!(said.code, Some(1));
}
