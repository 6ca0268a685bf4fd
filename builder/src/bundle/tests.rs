//! Bundles with lists of packages, and what cannot go into one.
#![expect(clippy::disallowed_methods, reason = "the files it is made of")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use anymetal_contract::packages::{self, Package, Packages};
use anymetal_contract::plan::{Arch, Listed, Plan, Source};
use anymetal_contract::{Digest, place};
use anymetal_lab::init_double::Double;

use super::*;
use crate::form::Form;
use crate::init_binary::{self, Init};
use crate::{plan, release, sample, verify};

/// What a test's bundle is made of.
struct Parts {
    plan: Plan,
    inits: Vec<Init>,
    lists: BTreeMap<Arch, Packages>,
    cached: BTreeMap<Digest, (PathBuf, u64)>,
    folder: tempfile::TempDir,
}

/// A plan with one archive and one package, both in a cache.
fn parts() -> Parts {
    let folder = tempfile::tempdir().unwrap();
    let mut cached = BTreeMap::new();
    let mut kept = |bytes: &[u8]| {
        let sha256 = plan::digest(bytes);
        let path = folder.path().join(sha256.as_str());
        std::fs::write(&path, bytes).unwrap();
        cached.insert(sha256.clone(), (path, bytes.len() as u64));
        sha256
    };
    let mut plan = plan::draft(&sample::site()).unwrap();
    let consul = plan.components.iter_mut().find(|component| component.name == "consul").unwrap();
    let Source::Artefacts(artefacts) = &mut consul.source else { panic!("consul comes as archives") };
    artefacts.get_mut(&Arch::X86_64).unwrap().sha256 = kept(b"an archive");
    let package = Package {
        name: "bird2".into(),
        version: "2.0.12-7".into(),
        sha256: kept(b"a package"),
        size: 9,
        urls: vec!["http://deb.example/bird2.deb".into()],
    };
    let list = Packages {
        kind: packages::KIND.into(),
        version: packages::VERSION,
        os: plan.os.clone(),
        arch: Arch::X86_64,
        packages: vec![package],
    };
    let text = plan::canonical(&list);
    plan.packages.insert(Arch::X86_64, Listed { sha256: plan::digest(&text), size: text.len() as u64 });
    let init = init_binary::inspect("some/init".as_ref(), Double::of(Arch::X86_64).elf()).unwrap();
    Parts { plan, inits: vec![init], lists: BTreeMap::from([(Arch::X86_64, list)]), cached, folder }
}

impl Parts {
    /// The layout, in this function's hands.
    fn laid<T>(&self, with: impl FnOnce(Result<Layout<'_>>) -> T) -> T {
        let text = plan::canonical(&self.plan);
        let inits = self.inits.iter().map(|init| (init.arch, release::pinned(&init.bytes))).collect();
        let release = release::draft(&sample::site(), &text, inits).unwrap();
        let manifest = plan::canonical(&release);
        with(Layout::of(Cargo {
            plan: &self.plan,
            text: &text,
            release: (&manifest, &release),
            signature: None,
            inits: &self.inits,
            lists: &self.lists,
            cached: &self.cached,
        }))
    }

    fn refused(&self) -> String {
        self.laid(|layout| layout.unwrap_err().to_string())
    }

    /// Writes the bundle, and proves it.
    fn proved(&self) -> Result<String> {
        let path = self.folder.path().join("b.tar");
        let mut file = File::create(&path).unwrap();
        self.laid(|layout| layout.unwrap().write(&mut file)).unwrap();
        let lines = verify::prove(&[Form::open(&path)?])?;
        Ok(lines.concat())
    }
}

#[test]
fn lists_of_packages_and_what_they_pin_are_in_it_by_name() {
    let parts = parts();
    assert!(parts.proved().unwrap().ends_with(" 6 blobs whole"));
    let opened = Bundle::open(File::open(parts.folder.path().join("b.tar")).unwrap()).unwrap();
    let mut names: Vec<_> = opened.index().blobs.iter().map(|blob| blob.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "anymetal-init x86_64",
            "consul 1.16.1 x86_64",
            "package bird2 2.0.12-7 x86_64",
            "packages x86_64",
            "the plan",
            "the release"
        ]
    );
    parts.laid(|layout| {
        let layout = layout.unwrap();
        assert_eq!(layout.size(), std::fs::metadata(parts.folder.path().join("b.tar")).unwrap().len());
        assert!(layout.is(&opened));
    });
}

#[test]
fn a_bundle_without_what_its_plan_pins_is_not_whole() {
    // made by hand: without the package, which its list pins
    let mut parts = parts();
    let (list, pinned) = (parts.lists.clone(), parts.plan.packages.clone());
    let empty = Packages { packages: vec![], ..list[&Arch::X86_64].clone() };
    let text = plan::canonical(&empty);
    parts.plan.packages.insert(Arch::X86_64, Listed { sha256: plan::digest(&text), size: text.len() as u64 });
    parts.lists.insert(Arch::X86_64, empty);
    assert!(parts.proved().unwrap().ends_with(" 5 blobs whole"));
    parts.plan.packages = pinned;
    let named = &parts.plan.packages[&Arch::X86_64].sha256;
    assert_eq!(parts.refused(), format!("no list of packages for x86_64 is the one the plan pins, sha256 {named}"));
    parts.lists = list;
    // an init for an architecture that is not the plan's is one too few
    parts.inits = vec![init_binary::inspect("some/init".as_ref(), Double::of(Arch::Aarch64).elf()).unwrap()];
    let said = format!("{:#}", parts.proved().unwrap_err());
    assert!(said.ends_with("b.tar: its plan has archives for x86_64, and it has no anymetal-init for that"), "{said}");
}

#[test]
fn what_is_too_large_or_not_as_long_as_is_pinned_is_named() {
    let mut parts = parts();
    let archive = plan::digest(b"an archive");
    let path = parts.cached[&archive].0.display().to_string();
    parts.cached.get_mut(&archive).unwrap().1 = 1 << 33;
    let large = "has 8589934592 bytes, and a member of a bundle has at most 8589934591";
    assert_eq!(parts.refused(), format!("{path} (consul 1.16.1 x86_64) {large}"));
    let package = plan::digest(b"a package");
    parts.cached.get_mut(&archive).unwrap().1 = 10;
    parts.cached.get_mut(&package).unwrap().1 = 10;
    assert!(parts.refused().contains("(package bird2 2.0.12-7 x86_64) has 10 bytes, and 9 are pinned\nhint: "));
    parts.cached.remove(&package);
    let missing = format!("package bird2 2.0.12-7 x86_64 is not in the cache, sha256 {package}");
    assert!(parts.refused().starts_with(&missing), "{}", place::blob(&package));
}
