//! The site's certificate: brought, judged before anything is changed, renewed; with certificates that OpenSSL makes.

#![expect(clippy::disallowed_methods, reason = "tests prepare their own files and run openssl")]

use std::fs as files;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anymetal_contract::Plan;
use anymetal_contract::plan::Arch;

use super::*;
use crate::acquire::tests::Heard;
use crate::world::{Overrides, Planned};

struct Site {
    folder: tempfile::TempDir,
    world: World,
}

const CHAIN: &str = "/etc/ssl/site.crt";
const KEY: &str = "/etc/ssl/site.key";

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
        let mut plan = Plan::default();
        plan.settings.tls = Tls::Files { certificate: CHAIN.into(), key: KEY.into() };
        world.plan.set(Planned { plan, digest: "a".repeat(64).parse().unwrap() }).unwrap();
        let site = Self { folder, world };
        files::create_dir_all(site.world.at("/etc/ssl")).unwrap();
        site.write(WATCHED, b"tls: {}\n");
        site
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        files::create_dir_all(self.world.at(path).parent().unwrap()).unwrap();
        files::write(self.world.at(path), bytes).unwrap();
    }

    /// A new pair at the site's paths, as an operator's own tool brings it.
    fn issue(&self, kind: &str) -> (Vec<u8>, Vec<u8>) {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=example.org", "-newkey"])
            .args(kind.split(' '))
            .arg("-keyout")
            .arg(self.world.at(KEY))
            .arg("-out")
            .arg(self.world.at(CHAIN))
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "openssl made no {kind}");
        (files::read(self.world.at(CHAIN)).unwrap(), files::read(self.world.at(KEY)).unwrap())
    }

    fn bring(&self) -> Result<bool, Failure> {
        bring(&self.world, &prepare(&self.world), &Heard::default())
    }

    fn copy(&self) -> PathBuf {
        self.world.at(COPY)
    }

    /// What the phase would wait for.
    fn missing(&self) -> String {
        match prepare(&self.world) {
            Prepared::Missing(why) => why.replace(&self.folder.path().display().to_string(), ""),
            Prepared::Bring(_) => panic!("it would be brought"),
            Prepared::Keep(why) => panic!("the one of before would be kept: {why}"),
            Prepared::None => panic!("the site has none"),
        }
    }
}

#[test]
fn chain_and_key_come_into_one_file_that_only_the_group_reads_and_come_again_when_they_are_renewed() {
    let site = Site::new();
    for kind in ["ec -pkeyopt ec_paramgen_curve:prime256v1", "rsa:2048", "ed25519"] {
        let (chain, key) = site.issue(kind);
        let before = files::metadata(site.world.at(WATCHED)).unwrap();
        assert!(site.bring().unwrap(), "{kind}");
        assert_eq!(files::read(site.copy()).unwrap(), [chain, key].concat(), "{kind}");
        let mode = |path: &Path| files::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&site.copy()), mode(site.copy().parent().unwrap())), (0o640, 0o750));
        let after = files::metadata(site.world.at(WATCHED)).unwrap();
        assert!(
            std::os::unix::fs::MetadataExt::ino(&before) != std::os::unix::fs::MetadataExt::ino(&after),
            "the file that Traefik watches is the same: it would not read the certificate anew"
        );
        assert_eq!(files::read(site.world.at(WATCHED)).unwrap(), b"tls: {}\n");
        assert!(!site.bring().unwrap(), "{kind}: brought twice");
    }
    // Killed after the certificate came and before Traefik was told.
    let (chain, key) = site.issue("rsa:2048");
    files::write(site.copy(), [chain, key].concat()).unwrap();
    let before = files::metadata(site.world.at(WATCHED)).unwrap();
    site.bring().unwrap();
    let after = files::metadata(site.world.at(WATCHED)).unwrap();
    assert!(std::os::unix::fs::MetadataExt::ino(&before) != std::os::unix::fs::MetadataExt::ino(&after));
}

#[test]
fn what_cannot_be_used_is_named_before_anything_is_changed_and_the_one_of_before_goes_on() {
    let site = Site::new();
    assert!(site.missing().starts_with("the site's certificate cannot be used (hint: "), "{}", site.missing());
    assert!(site.missing().contains("reading /etc/ssl/site.crt: No such file"), "{}", site.missing());
    let (chain, key) = site.issue("ed25519");
    let (other, _) = site.issue("ed25519");
    for (certificate, secret, said) in [
        (
            &other[..],
            &key[..],
            "/etc/ssl/site.crt and /etc/ssl/site.key cannot be used together: the key does not belong to the first certificate",
        ),
        (b"nonsense", &key, "/etc/ssl/site.crt has no certificate in PEM form"),
        (&chain, b"", "/etc/ssl/site.key has no key in PEM form"),
        (&chain, &chain, "/etc/ssl/site.key has no key in PEM form"),
    ] {
        site.write(CHAIN, certificate);
        site.write(KEY, secret);
        assert!(site.missing().contains(said), "{} does not say {said}", site.missing());
        assert!(!site.copy().exists(), "something was changed");
    }
    files::remove_file(site.world.at(KEY)).unwrap();
    nix::unistd::mkfifo(&site.world.at(KEY), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(site.missing().contains("/etc/ssl/site.key: it exists and is not a regular file"), "{}", site.missing());
    files::remove_file(site.world.at(KEY)).unwrap();

    site.write(CHAIN, &chain);
    site.write(KEY, &key);
    site.bring().unwrap();
    // The operator's tool exchanges the chain first: the unit sees it, fails, and is started again by the key.
    site.write(CHAIN, &other);
    let error = renew(&site.world, &site.world.at(CHAIN), &site.world.at(KEY)).unwrap_err();
    assert!(format!("{error:#}").contains("cannot be used together"), "{error:#}");
    assert!(matches!(prepare(&site.world), Prepared::Keep(_)), "a whole boot waits although Traefik has a certificate");
    assert!(!site.bring().unwrap());
    assert_eq!(files::read(site.copy()).unwrap(), [chain, key].concat());
}

#[test]
fn a_site_without_certificates_in_files_has_nothing_to_bring() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
    world.plan.set(Planned { plan: Plan::default(), digest: "a".repeat(64).parse().unwrap() }).unwrap();
    assert!(matches!(prepare(&world), Prepared::None));
    assert!(!bring(&world, &Prepared::None, &Heard::default()).unwrap());
    assert_eq!(files::read_dir(folder.path()).unwrap().count(), 0);
}
