//! Beside apt itself: the same indexes, from the archive this machine uses, must come to the same packages in the same versions.
//! May not name a mirror: apt is asked which one it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anymetal::lock::debian::{Archive, Ask, Fetch, closure};
use anymetal::lock::openpgp::Keyring;
use anymetal::sys::archive::Mirrors;
use anymetal::sys::outside;
use anymetal_contract::plan::Arch;
use tempfile::TempDir;

/// Debian's own keys, of the package debian-archive-keyring.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const OUR_KEYS: &[u8] = include_bytes!("../../templates/keys/debian-12.asc");
/// What is wanted, each line on its own: what components want, and what has many alternatives, virtual packages and circles.
const WANTED: &[&str] = &[
    "bird2",
    "ca-certificates libgcc-s1 libgssapi-krb5-2 libssl3 libstdc++6 nftables zlib1g",
    "exim4 mailutils",
    "debhelper default-jre-headless",
    "apache2 docker.io php postgresql",
];

#[test]
fn what_is_locked_is_what_apt_would_install() {
    let Some(mirrors) = mirrors() else { return };
    let archive = Archive::named("debian-12").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = Copy {
        mirrors: Mirrors::new(mirrors, &outside::outside(&[], |_| ()), |_| ()),
        folder: folder.path().to_owned(),
    };
    // Once by the keys Debian installs, once by those that come with anymetal.
    for (arch, debian, keys, wanted) in [
        (Arch::X86_64, "amd64", fs::read(KEYS).unwrap(), WANTED),
        (Arch::Aarch64, "arm64", OUR_KEYS.to_vec(), &WANTED[..2]),
    ] {
        let keyring = Keyring::read(&keys).unwrap();
        let locked = |wanted: &BTreeSet<String>| {
            let now = SystemTime::now();
            let ask = Ask {
                archive: &archive,
                fetch: &copy,
                keyring: &keyring,
                arch,
                wanted,
                previous: None,
                now,
                allow_old: false,
            };
            let packages = closure(&ask).unwrap_or_else(|error| panic!("{wanted:?} for {debian}: {error:#}")).packages;
            packages.into_iter().map(|package| (package.name, package.version)).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(locked(&BTreeSet::new()), BTreeMap::new(), "the copy is made; nothing takes nothing");
        let apt = Apt::new(folder.path(), debian, &archive);
        let base = apt.base();
        assert_eq!(locked(&base.keys().cloned().collect()), BTreeMap::new(), "apt's base is ours on {debian}");
        for wanted in wanted {
            let names: BTreeSet<String> = wanted.split(' ').map(str::to_owned).collect();
            let expected = apt.install(&names.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(locked(&names), expected, "{wanted} for {debian}");
            println!("{wanted} for {debian}: {} packages, as apt", expected.len());
        }
    }
}

/// Where this machine's apt has the suites from, or `None` and a word when it has none of Debian 12's, or no keys for them.
fn mirrors() -> Option<Vec<(String, Vec<String>)>> {
    let printed = Command::new("apt-get").args(["--print-uris", "update"]).output().ok();
    let printed = printed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let base = |suite: &str| {
        let end = format!("/dists/{suite}/InRelease");
        let uri = |line: &str| line.strip_prefix('\'')?.split('\'').next()?.strip_suffix(&end).map(str::to_owned);
        printed.lines().find_map(uri)
    };
    let archive = Archive::named("debian-12").unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in &archive.suites {
        let Some(mirror) = base(&source.name).filter(|mirror| mirror.starts_with("http")) else {
            println!("passed over: apt on this machine does not know {}", source.name);
            return None;
        };
        found.insert(source.url.clone(), vec![mirror]);
    }
    if !Path::new(KEYS).exists() {
        println!("passed over: the package debian-archive-keyring is not installed");
        return None;
    }
    Some(found.into_iter().collect())
}

/// Asks the mirrors, and keeps what they say in a folder that is laid out like their archives, for apt to read the very same.
struct Copy {
    mirrors: Mirrors,
    folder: PathBuf,
}

impl Fetch for Copy {
    fn get(&self, url: &str, most: u64) -> anyhow::Result<Vec<u8>> {
        let place = |url: &str| self.folder.join(url.split_once("://").unwrap().1);
        if let Ok(bytes) = fs::read(place(url)) {
            return Ok(bytes);
        }
        let bytes = self.mirrors.get(url, most)?;
        // By its digest, and by its name.
        let plain = url.split_once("/by-hash/").map(|(folder, _)| format!("{folder}/Packages.xz"));
        for path in [Some(place(url)), plain.as_deref().map(place)].into_iter().flatten() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &bytes).unwrap();
        }
        Ok(bytes)
    }
}

/// An apt that knows nothing of this machine: its lists, its state and its configuration are in a folder.
struct Apt {
    folder: TempDir,
}

impl Apt {
    fn new(copy: &Path, debian: &str, archive: &Archive) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().display();
        for below in ["etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.path().join(below)).unwrap();
        }
        let config = format!(
            "Dir::Etc \"{dir}/etc\";\nDir::State \"{dir}/state\";\nDir::State::status \"{dir}/status\";\n\
             Dir::Cache \"{dir}/cache\";\nAPT::Architecture \"{debian}\";\nAPT::Architectures {{ \"{debian}\"; }};\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
        );
        let source = |suite: &anymetal::lock::debian::Source| {
            let base = copy.join(suite.url.split_once("://").unwrap().1);
            format!("deb [signed-by={KEYS}] file:{} {} {}\n", base.display(), suite.name, archive.component)
        };
        fs::write(folder.path().join("apt.conf"), config).unwrap();
        fs::write(folder.path().join("etc/sources.list"), archive.suites.iter().map(source).collect::<String>())
            .unwrap();
        fs::write(folder.path().join("status"), "").unwrap();
        let apt = Self { folder };
        apt.run("apt-get", &["update"]);
        apt
    }

    /// Installs what every machine has, as debootstrap would, and says what that is.
    fn base(&self) -> BTreeMap<String, String> {
        let base = self.install(&["?essential", "?priority(required)", "?priority(important)"]);
        let exact: Vec<String> = base.iter().map(|(name, version)| format!("{name}={version}")).collect();
        let exact: Vec<&str> = exact.iter().map(String::as_str).collect();
        let shown = self.run("apt-cache", &[&["show", "--no-all-versions"], exact.as_slice()].concat());
        let status = shown.replace("\nVersion: ", "\nStatus: install ok installed\nVersion: ");
        fs::write(self.folder.path().join("status"), status).unwrap();
        base
    }

    /// What it would install: names and versions.
    fn install(&self, what: &[&str]) -> BTreeMap<String, String> {
        let said = self.run("apt-get", &[&["install", "--simulate", "--no-install-recommends"], what].concat());
        // `Inst bird2 (2.0.12-7 Debian:12.15/oldstable [amd64])`
        let new = said.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_once(" ("));
        new.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned())).collect()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).env("APT_CONFIG", self.folder.path().join("apt.conf")).env("LC_ALL", "C");
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }
}
