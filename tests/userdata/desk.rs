//! A folder with `anymetal`, doubles of its inits, a site and its secrets, and how what comes of them is looked at.
//! May not expect anything but what it is told to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anymetal_contract::plan::Arch;
use anymetal_lab::cloud_init::{self, Written};
use anymetal_lab::init_double::Double;
use anymetal_lab::program;
use tempfile::TempDir;

/// A site that needs one init and no digest of its own.
pub const SITE: &str = "version: 1
site: demo
platform: equinix-metal
os: debian-12
architectures: [x86_64]
anycast: {v4: [192.0.2.1/32]}
components: {nomad: none}
origins: [http://192.0.2.80/anymetal]
";

/// Its secrets, and all others: what the site does not want stays here.
pub const SECRETS: &str = "version: 1
site: demo
bindle: {user: admin, password: bindle-password-x, salt: MDEyMzQ1Njc4OWFiY2RlZg==}
cluster_ca: Y2x1c3Rlci1jYS1jbHVzdGVyLWNhLWNsdXN0ZXItY2E=
consul_agent: c0000000-0000-4000-8000-000000000001
consul_guard: c0000000-0000-4000-8000-000000000005
consul_gossip: Y29uc3VsLWdvc3NpcC1jb25zdWwtZ29zc2lwLWNvbnM=
consul_management: c0000000-0000-4000-8000-000000000002
consul_nomad: c0000000-0000-4000-8000-000000000003
consul_traefik: c0000000-0000-4000-8000-000000000004
hippo_jwt: hippo-jwt-x-hippo-jwt-x-hippo-jwt-x
hippo_password: hippo-password-x
nomad_gossip: bm9tYWQtZ29zc2lwLW5vbWFkLWdvc3NpcC1ub21hZC0=
nomad_management: d0000000-0000-4000-8000-000000000001
";
/// What is in every value that a site without Nomad wants.
pub const VALUE: &str = "c0000000-0000-4000-8000-00000000000";

/// A folder with `anymetal` and doubles of its inits beside it, as a release has them.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    pub fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(desk.path("bin")).unwrap();
        program::copy(env!("CARGO_BIN_EXE_anymetal"), desk.path("bin/anymetal"));
        for arch in Arch::ALL {
            desk.put_init(&format!("bin/anymetal-init-{arch}"), &Double::of(arch));
        }
        desk.put("site.yaml", SITE);
        desk.put("secrets.yaml", SECRETS);
        fs::set_permissions(desk.path("secrets.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
        desk
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn put(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).unwrap();
    }

    pub fn put_init(&self, below: &str, double: &Double) {
        program::put(self.path(below), double.elf());
    }

    /// `anymetal` with these words, in the desk's folder.
    pub fn run(&self, words: &[&str]) -> Output {
        Command::new(self.path("bin/anymetal")).args(words).current_dir(self.folder.path()).output().unwrap()
    }

    pub fn build(&self, more: &[&str]) -> Output {
        self.run(&[&["build", "site.yaml", "-o", "out"], more].concat())
    }

    pub fn built(&self, more: &[&str]) -> String {
        let output = self.build(more);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    }

    /// The build is refused as the author's mistake, nothing is written, and stderr says this.
    pub fn refused(&self, more: &[&str], what: &str) {
        let before = names(self.folder.path());
        let output = self.build(more);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(what), "expected {what:?} in:\n{}", stderr(&output));
        assert_eq!((stdout(&output).as_str(), names(self.folder.path())), ("", before));
    }
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The sha256 of a file by another program than ours.
pub fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    stdout(&output).split(' ').next().unwrap().to_owned()
}

/// What this Python program prints about the file; the distribution's Python, which cloud-init runs under, has the yaml module.
pub fn python(program: &str, file: &Path) -> String {
    let output = Command::new("/usr/bin/python3").arg("-c").arg(program).arg(file).output().expect("install python3");
    assert!(output.status.success(), "install python3-yaml? {}", stderr(&output));
    stdout(&output)
}

/// What cloud-init would write there.
pub fn dropped(desk: &Desk, path: &str) -> Written {
    let text = fs::read_to_string(desk.path("out/user-data")).unwrap();
    let written = cloud_init::written(&text).unwrap().into_iter().find(|file| file.path == path);
    written.unwrap_or_else(|| panic!("nothing is written to {path}"))
}

/// cloud-init's own opinion of a user-data.
pub fn assert_schema_accepts(file: &Path) {
    let output = Command::new("cloud-init").args(["schema", "--config-file"]).arg(file).output();
    let output = output.expect("cloud-init is not on PATH: install the package cloud-init");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}
