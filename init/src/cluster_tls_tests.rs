//! Certificates on a disk: made once, kept, and made again when they no longer serve.
#![expect(clippy::disallowed_methods, reason = "tests look at the files themselves")]

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Mutex;

use anymetal_contract::Digest;
use anymetal_contract::Unit;
use anymetal_contract::plan::Arch;

use super::*;
use crate::secret::Secret;
use crate::secrets::Secrets;
use crate::world::{Overrides, Planned};

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Steps for Heard {
    fn step(&self, step: &str, outcome: Outcome, message: &str) {
        self.0.lock().unwrap().push(format!("{step} {}: {message}", outcome.word()));
    }
    fn progress(&self, _: &str, _: u64, _: Option<u64>, _: Unit) {}
}

/// A run of a site with this CA and a certificate for these names.
fn run(root: &Path, secret: &str, names: &[&str]) -> (Vec<String>, Vec<String>) {
    let world = World::new(root, Arch::X86_64, Overrides::default());
    let names = names.iter().map(ToString::to_string).collect();
    let mut plan = crate::goldens::plan(vec![]);
    plan.certificates = vec![Certificate { name: "consul".into(), names }];
    world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).unwrap();
    let mut secrets = Secrets::default();
    secrets.made(CLUSTER_CA, Secret::new(secret));
    world.learn(secrets);
    let heard = Heard::default();
    let written = ensure(&world, &heard).unwrap();
    (written, heard.0.into_inner().unwrap())
}

/// Every file with its mode and the node of the file system it is: a file that was replaced has another one.
fn files(root: &Path) -> BTreeMap<String, (u32, u64)> {
    let files = std::fs::read_dir(root.join("etc/anymetal/tls")).unwrap().flatten();
    files
        .map(|file| {
            let meta = file.metadata().unwrap();
            (file.file_name().into_string().unwrap(), (meta.permissions().mode() & 0o7777, meta.ino()))
        })
        .collect()
}

const NAMES: [&str; 2] = ["server.dc1.consul", "127.0.0.1"];

#[test]
fn certificates_are_made_once_and_left_alone_while_they_serve() {
    let (root, secret) = (tempfile::tempdir().unwrap(), anymetal_lab::authority::new_secret());
    let (written, said) = run(root.path(), &secret, &NAMES);
    assert_eq!(written, ["tls/ca.pem", "tls/consul.pem"]);
    assert_eq!(said[1], "tls/consul.pem done: a new certificate: there was none");
    let before = files(root.path());
    let modes: Vec<_> = before.iter().map(|(name, (mode, _))| (name.as_str(), *mode)).collect();
    assert_eq!(modes, [("ca.pem", 0o644), ("consul-key.pem", 0o600), ("consul.pem", 0o644)]);
    let (written, said) = run(root.path(), &secret, &NAMES);
    assert_eq!((written.len(), said), (0, vec!["tls/consul.pem same: the certificate serves".to_owned()]));
    assert_eq!(files(root.path()), before, "a file was written again");
}

#[test]
fn what_no_longer_serves_is_made_anew_and_nothing_else() {
    let (root, secret) = (tempfile::tempdir().unwrap(), anymetal_lab::authority::new_secret());
    run(root.path(), &secret, &NAMES);
    let tls = root.path().join("etc/anymetal/tls");
    let again = |secret: &str, names: &[&str]| run(root.path(), secret, names);
    std::fs::remove_file(tls.join("consul-key.pem")).unwrap();
    assert_eq!(again(&secret, &NAMES).0, ["tls/consul.pem"]);
    std::fs::write(tls.join("consul.pem"), "").unwrap();
    assert_eq!(again(&secret, &NAMES).0, ["tls/consul.pem"]);
    let (written, said) = again(&secret, &["server.dc1.consul", "127.0.0.1", "::1"]);
    assert_eq!(written, ["tls/consul.pem"]);
    assert_eq!(said, ["tls/consul.pem done: a new certificate: it is for another key or for other names"]);
    std::fs::write(tls.join("ca.pem"), "").unwrap();
    assert_eq!(again(&secret, &["server.dc1.consul", "127.0.0.1", "::1"]).0, ["tls/ca.pem"]);
    let names = ["server.dc1.consul", "127.0.0.1", "::1"];
    let other = anymetal_lab::authority::new_secret();
    let (written, said) = again(&other, &names);
    assert_eq!(written, ["tls/ca.pem", "tls/consul.pem"]);
    assert!(said[1].ends_with("the site's CA has not signed it"), "{said:?}");
    // A mode that others can read by is put right, and is no reason for a new key.
    let before = std::fs::read(tls.join("consul-key.pem")).unwrap();
    std::fs::set_permissions(tls.join("consul-key.pem"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(again(&other, &names).0, [""; 0]);
    assert_eq!(files(root.path())["consul-key.pem"].0, 0o600);
    assert_eq!(std::fs::read(tls.join("consul-key.pem")).unwrap(), before);
}
