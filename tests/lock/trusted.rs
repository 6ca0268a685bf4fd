//! Upstreams whose certificate nobody knows: what ends there, what goes on, and by what an operator lets them be known.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anymetal_lab::authority::{Authority, Identity, ServerConfig};

use super::world::{SMALL, Said, Upstreams, WHOLE, lock, run_with};

/// The certificate that `openssl req -x509` makes for this name, which is its own authority, in a file; and a server with it.
fn own(folder: &Path, name: &str, more: &str) -> Arc<ServerConfig> {
    let words = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 9 -subj /CN={name} -addext subjectAltName={more}"
    );
    let made = Command::new("openssl").args(words.split(' ')).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
    Identity::of(text("cert.pem"), text("key.pem")).server()
}

/// `lock` of a site of these lines, whose upstreams speak TLS so, with these variables.
fn locked(lines: &str, server: impl FnOnce(&Path) -> Arc<ServerConfig>, variables: &[(&str, &str)]) -> (Said, bool) {
    let folder = tempfile::tempdir().unwrap();
    let tls = server(folder.path());
    let upstreams = Upstreams::start().by_tls(tls);
    upstreams.keys(folder.path());
    upstreams.write(folder.path(), lines);
    let said = run_with(folder.path(), &["lock", "site.yaml", "--accept-first", "all"], variables);
    let written = lock(folder.path()).exists();
    (said, written)
}

const LOOPBACK: &str = "IP:127.0.0.1";
const STRANGER: &str = "its certificate is of an authority that is not known here";

#[test]
fn what_is_signed_comes_without_a_certificate_and_that_is_said() {
    let (said, written) = locked(SMALL, |folder| own(folder, "mirror", LOOPBACK), &[]);
    assert!(said.code == Some(0) && written, "{}", said.err);
    for by in ["its signature vouches for what comes", "the archive's signature and digests vouch for what comes"] {
        let words = format!("{STRANGER}; going on without it, since {by}\n");
        assert_eq!(said.err.matches(&words).count(), 1, "{}", said.err);
    }
}

#[test]
fn what_nobody_signs_ends_there_with_what_to_do() {
    let (said, written) = locked(WHOLE, |folder| own(folder, "mirror", LOOPBACK), &[]);
    assert!(said.code == Some(2) && !written, "{}", said.err);
    let hint = "hint: name its authority's certificate, in SSL_CERT_FILE or under `ca` of the site; or carry the files in, with `--from DIR`\n";
    assert!(said.err.contains(STRANGER) && said.err.contains(hint), "{}", said.err);
}

#[test]
fn an_authority_is_named_in_the_environment_or_in_the_site() {
    let (said, written) = locked(WHOLE, |folder| own(folder, "mirror", LOOPBACK), &[("SSL_CERT_FILE", "cert.pem")]);
    assert!(said.code == Some(0) && written && !said.err.contains("going on"), "{}", said.err);
    let (said, written) = locked(&format!("ca: cert.pem\n{WHOLE}"), |folder| own(folder, "mirror", LOOPBACK), &[]);
    assert!(said.code == Some(0) && written && !said.err.contains("going on"), "{}", said.err);
    let signed = |folder: &Path| {
        let authority = Authority::new();
        fs::write(folder.join("ca.pem"), &authority.certificate).unwrap();
        authority.server()
    };
    let (said, written) = locked(&format!("ca: [ca.pem]\n{WHOLE}"), signed, &[]);
    assert!(said.code == Some(0) && written && !said.err.contains("going on"), "{}", said.err);
}

#[test]
fn a_wrong_name_and_a_store_that_is_not_there_are_said_to_be_that() {
    let (said, written) =
        locked(WHOLE, |folder| own(folder, "mirror", "DNS:other.example"), &[("SSL_CERT_FILE", "cert.pem")]);
    assert!(said.code == Some(2) && !written, "{}", said.err);
    assert!(said.err.contains("its certificate is for another name: for other.example, not 127.0.0.1"), "{}", said.err);
    assert!(said.err.contains("hint: use the name that its certificate is for"), "{}", said.err);
    let (said, _) = locked(SMALL, |folder| own(folder, "mirror", LOOPBACK), &[("SSL_CERT_FILE", "nowhere.pem")]);
    assert!(said.err.contains("SSL_CERT_FILE of the environment"), "{}", said.err);
}
