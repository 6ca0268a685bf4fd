//! Pinned packages from an origin into a system below a temporary root, through both phases, with the real dpkg.
//! The packages are made here; none of them has scripts, which would run in that root.

#![expect(clippy::disallowed_methods, reason = "a suite makes packages and looks at what is on the disk")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anymetal_contract::plan::{Component, HostPackage, Plan, Source};
use anymetal_contract::{Digest, place};
use anymetal_lab::archive::sha256;
use anymetal_lab::http::{Response, Server};

use super::*;
use crate::acquire::tests::Heard;
use crate::phase::Answer;
use crate::world::{Overrides, Planned};
use crate::{acquire, install};

/// A package with one file, and these further lines in its description.
fn deb(name: &str, version: &str, lines: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    std::fs::create_dir_all(tree.join("usr/share/anymetal-test")).unwrap();
    std::fs::write(tree.join("usr/share/anymetal-test").join(name), version).unwrap();
    let control = format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: test\n{lines}"
    );
    std::fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let out = folder.path().join("out.deb");
    let made = Command::new("dpkg-deb").args(["--root-owner-group", "--build"]).arg(&tree).arg(&out).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::read(out).unwrap()
}

/// A system without any package, and an origin with these, in the order in which the list has them.
struct Bench {
    root: tempfile::TempDir,
    server: Server,
    plan: Plan,
}

impl Bench {
    /// `None` where this process may not install packages, which is said.
    fn new(debs: &[(&str, &str, &[u8])]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: dpkg needs root");
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        for folder in ["info", "updates", "triggers"] {
            std::fs::create_dir_all(root.path().join("var/lib/dpkg").join(folder)).unwrap();
        }
        std::fs::write(root.path().join("var/lib/dpkg/status"), "").unwrap();
        let package = |(name, version, bytes): &(&str, &str, &[u8])| Package {
            name: (*name).into(),
            version: (*version).into(),
            sha256: sha256(bytes),
            size: bytes.len() as u64,
            urls: vec![],
        };
        let list = Packages {
            kind: KIND.into(),
            version: VERSION,
            os: "debian-12".into(),
            arch: Arch::X86_64,
            packages: debs.iter().map(package).collect(),
        };
        let list = serde_json::to_value(&list).unwrap().to_string().into_bytes();
        let listed = Listed { sha256: sha256(&list), size: list.len() as u64 };
        let files: Vec<Vec<u8>> = debs.iter().map(|(_, _, bytes)| bytes.to_vec()).chain([list]).collect();
        let server = Server::start(move |request, _| {
            let file = files.iter().find(|file| request.path.ends_with(sha256(file).as_str()));
            file.map_or_else(Response::not_found, |file| Response::file(request, file))
        });
        let plan = Plan {
            site: "demo".into(),
            os: "debian-12".into(),
            origins: vec![server.url()],
            packages: [(Arch::X86_64, listed)].into(),
            ..Plan::default()
        };
        Some(Self { root, server, plan })
    }

    fn world(&self) -> World {
        let world = World::new(self.root.path(), Arch::X86_64, Overrides::default());
        world.plan.set(Planned { plan: self.plan.clone(), digest: Digest::of([0; 32]) }).expect("the world is new");
        world
    }

    fn acquire(&self) -> Answer {
        acquire::work(&self.world(), &Heard::default()).unwrap()
    }

    fn install(&self, heard: &Heard) -> Result<Answer, Failure> {
        install::install(&self.world(), heard, OsStr::new("/usr/bin:/bin"))
    }

    fn version(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.root.path().join("usr/share/anymetal-test").join(name)).ok()
    }
}

#[test]
fn the_listed_packages_come_from_the_origin_and_are_installed_once_whatever_needs_what() {
    // The second may not even be unpacked before the first is configured, which one call of dpkg does not do.
    let (first, second) =
        (deb("am-first", "1.0-1", ""), deb("am-second", "1:0.9-1", "Pre-Depends: am-first (>= 1.0)\n"));
    let Some(bench) = Bench::new(&[("am-first", "1.0-1", &first), ("am-second", "1:0.9-1", &second)]) else { return };
    let Answer::Done(said) = bench.acquire() else { panic!("nothing was fetched") };
    assert!(said.starts_with("2 packages, ") && said.ends_with(&format!(" from {}", bench.server.url())), "{said}");
    let heard = Heard::default();
    assert_eq!(bench.install(&heard).unwrap(), Answer::Done("packages installed".into()));
    let words = "installed from the plan's list: am-first 1.0-1, am-second 1:0.9-1";
    assert_eq!(heard.times(words), 1, "{:?}", heard.said());
    assert_eq!(
        (bench.version("am-first").as_deref(), bench.version("am-second").as_deref()),
        (Some("1.0-1"), Some("1:0.9-1"))
    );

    // A store that was cleaned up needs the list alone.
    std::fs::remove_dir_all(bench.root.path().join(place::STORE.trim_start_matches('/'))).unwrap();
    let asked = bench.server.requests().len();
    let Answer::Done(said) = bench.acquire() else { panic!("the list was not fetched") };
    assert!(said.starts_with("the list of packages, "), "{said}");
    assert_eq!(bench.server.requests().len(), asked + 1, "a package that is installed was fetched");
    assert_eq!(bench.install(&heard).unwrap(), Answer::Same("packages in place".into()));
}

#[test]
fn an_older_package_is_replaced_and_a_newer_one_stays() {
    let (old, new) = (deb("am-one", "1.9", ""), deb("am-one", "1.10", ""));
    let Some(mut older) = Bench::new(&[("am-one", "1.9", &old)]) else { return };
    let newer = Bench::new(&[("am-one", "1.10", &new)]).expect("the first was possible");
    for (plan, became) in [(older.plan.clone(), "1.9"), (newer.plan.clone(), "1.10"), (older.plan.clone(), "1.10")] {
        older.plan = plan;
        older.acquire();
        older.install(&Heard::default()).unwrap();
        assert_eq!(older.version("am-one").as_deref(), Some(became));
    }
}

#[test]
fn a_dpkg_that_somebody_else_uses_is_waited_for() {
    let one = deb("am-one", "1", "");
    let Some(bench) = Bench::new(&[("am-one", "1", &one)]) else { return };
    bench.acquire();
    let lock = std::fs::File::create(bench.root.path().join("var/lib/dpkg/lock-frontend")).unwrap();
    // As dpkg's own, such a lock belongs to this process, and the one that the test starts is another.
    let whole = nix::libc::flock {
        l_type: nix::libc::F_WRLCK.try_into().unwrap(),
        l_whence: nix::libc::SEEK_SET.try_into().unwrap(),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(&lock, nix::fcntl::FcntlArg::F_SETLK(&whole)).unwrap();
    let Answer::Waiting { reason, message, .. } = bench.install(&Heard::default()).unwrap() else {
        panic!("it does not wait")
    };
    assert_eq!(
        (reason, message.as_str()),
        (Reason::HostPackageMissing, "packages: somebody else is at work with dpkg")
    );
    assert_eq!(bench.version("am-one"), None);
    drop(lock);
    assert_eq!(bench.install(&Heard::default()).unwrap(), Answer::Done("packages installed".into()));
}

#[test]
fn what_dpkg_does_not_install_is_named_with_its_words_and_what_the_list_lacks_is_too() {
    let lonely = deb("am-lonely", "1", "Depends: am-nobody\n");
    let Some(mut bench) = Bench::new(&[("am-lonely", "1", &lonely)]) else { return };
    bench.acquire();
    let failure = bench.install(&Heard::default()).unwrap_err();
    assert_eq!(failure.reason, Reason::HostPackageMissing);
    let chain = failure.chain();
    assert!(chain.starts_with("dpkg does not install am-lonely 1 (exit status 1)\n"), "{chain}");
    assert!(chain.contains("am-lonely depends on am-nobody"), "{chain}");

    let alone = deb("am-alone", "1", "");
    bench = Bench::new(&[("am-alone", "1", &alone)]).expect("the first was possible");
    let host = HostPackage { package: "am-alone".into(), program: "true".into(), version_argument: "--version".into() };
    let mut needy = Component::new("needy", "1", Source::HostPackage(host));
    needy.packages = vec!["am-alone".into(), "am-nobody".into()];
    bench.acquire();
    bench.plan.components = vec![needy];
    let failure = bench.install(&Heard::default()).unwrap_err();
    assert_eq!(failure.chain(), "the system lacks am-nobody, and the plan's list of packages does not have that");
}

#[test]
fn a_list_that_does_not_come_is_waited_for_and_one_for_another_system_stops_the_boot() {
    let one = deb("am-one", "1", "");
    let Some(mut bench) = Bench::new(&[("am-one", "1", &one)]) else { return };
    bench.plan.os = "debian-13".into();
    let failure = acquire::work(&bench.world(), &Heard::default()).unwrap_err();
    assert_eq!(failure.reason, Reason::PackagesUnsound);
    assert!(
        failure.chain().contains("it is for debian-12 on x86_64, this machine has debian-13"),
        "{}",
        failure.chain()
    );
    bench.plan.packages = [(Arch::X86_64, Listed { sha256: Digest::of([5; 32]), size: 7 })].into();
    let Answer::Waiting { message, .. } = bench.acquire() else { panic!("it does not wait") };
    assert!(message.starts_with("no origin gave the list of packages (sha256 050505050505…): "), "{message}");
    assert!(!Path::new(&bench.root.path().join("usr")).exists());
}
