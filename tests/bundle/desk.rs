//! A folder with `anymetal`, doubles of its inits, a site, and a cache that holds what the site pins.
//! May not expect anything but what it is told to.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;
use anymetal_lab::archive::zip_of;
use anymetal_lab::init_double::Double;
use anymetal_lab::program;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// What stands for Consul's archives: no one is a whole number of blocks.
pub fn archives() -> Vec<(Arch, Vec<u8>)> {
    vec![(Arch::X86_64, zip_of("consul", 3001, 1)), (Arch::Aarch64, zip_of("consul", 1500, 2))]
}

/// Where the cache has these bytes.
pub fn cached(bytes: &[u8]) -> String {
    format!("cache/sha256/{}", digest(bytes))
}

pub fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Sha256::digest(bytes).into())
}

/// A site for both architectures, with what stands for Consul pinned.
pub fn site() -> String {
    let pins: Vec<_> = archives()
        .iter()
        .map(|(arch, bytes)| format!("{arch}: {{sha256: {}, size: {}}}", digest(bytes), bytes.len()))
        .collect();
    format!(
        "version: 1
site: demo
platform: equinix-metal
os: debian-12
architectures: [x86_64, aarch64]
anycast: {{v4: [192.0.2.1/32]}}
components: {{nomad: none, consul: {{version: 1.21.5, artefacts: {{{}}}}}}}
origins: [http://192.0.2.80/anymetal]
",
        pins.join(", ")
    )
}

/// What all of that site's builds say first.
pub const SECRETS: &str = "version: 1
site: demo
cluster_ca: Y2x1c3Rlci1jYS1jbHVzdGVyLWNhLWNsdXN0ZXItY2E=
consul_agent: c0000000-0000-4000-8000-000000000001
consul_guard: c0000000-0000-4000-8000-000000000005
consul_gossip: Y29uc3VsLWdvc3NpcC1jb25zdWwtZ29zc2lwLWNvbnM=
consul_management: c0000000-0000-4000-8000-000000000002
consul_nomad: c0000000-0000-4000-8000-000000000003
consul_traefik: c0000000-0000-4000-8000-000000000004
";

/// The folder.
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
            program::put(desk.path(&format!("bin/anymetal-init-{arch}")), Double::of(arch).elf());
        }
        desk.put("site.yaml", site());
        desk.put("secrets.yaml", SECRETS);
        fs::set_permissions(desk.path("secrets.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
        for (_, bytes) in archives() {
            desk.cache(&bytes);
        }
        desk
    }

    /// With a bundle built.
    pub fn built() -> Self {
        let desk = Self::new();
        desk.build(&[]);
        desk
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn put(&self, below: &str, bytes: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(below).parent().unwrap()).unwrap();
        fs::write(self.path(below), bytes).unwrap();
    }

    pub fn read(&self, below: &str) -> Vec<u8> {
        fs::read(self.path(below)).unwrap()
    }

    pub fn cache(&self, bytes: &[u8]) {
        self.put(&cached(bytes), bytes);
    }

    /// `anymetal` with these words, in the desk's folder.
    pub fn run(&self, words: &[&str]) -> Output {
        Command::new(self.path("bin/anymetal")).args(words).current_dir(self.folder.path()).output().unwrap()
    }

    /// `anymetal build` of both forms, which may fail.
    pub fn try_build(&self, more: &[&str]) -> Output {
        let words = ["build", "site.yaml", "-o", "out", "--form", "user-data,bundle", "--cache", "cache"];
        self.run(&[&words[..], more].concat())
    }

    /// What a build says.
    pub fn build(&self, more: &[&str]) -> String {
        said(&self.try_build(more))
    }

    /// What this command says, which has to end well.
    pub fn says(&self, words: &[&str]) -> String {
        said(&self.run(words))
    }

    /// What this command complains of, which has to be the user's to mend.
    pub fn refuses(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(1), ""), "{}", stderr(&output));
        stderr(&output)
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What another program than ours prints.
pub fn other(program: &str, words: &[&str], folder: &Path) -> String {
    let output = Command::new(program).args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", stderr(&output));
    stdout(&output)
}
