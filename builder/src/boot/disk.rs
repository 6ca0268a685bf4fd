//! The disk of a test machine: made from a recipe by mmdebstrap, once, and kept in this user's cache.
//! May not know a mirror: the machine's own apt names it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal_contract::Digest;
use sha2::{Digest as _, Sha256};

use super::mirror;
use super::recipe::{Recipe, Stage};
use crate::sys::tools::{self, APT_CONFIG, APT_GET, MKE2FS, MMDEBSTRAP, QEMU_IMG, SETPRIV};
use crate::sys::{cache, parts};

/// Debian's keys, where the package debian-archive-keyring has them; named outright, as newer systems trust them for nothing else.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The script that turns the finished system in `$1` into a disk, inside mmdebstrap, where its owners are right for root and for anybody.
/// mmdebstrap has /proc, /sys and /dev mounted in there, so the file system is made from a bind mount without them; where nothing can be
/// mounted (fakechroot), they are not mounted either. What is made goes into the system itself, as that is where `download` takes from.
/// `$d` is removed name by name: a recursive removal could follow the bind mount.
const MAKE_DISK: &str = r#"set -e
: > "$1/etc/machine-id"
rm -f "$1/var/lib/dbus/machine-id"
rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/archives/*.deb "$1"/var/cache/apt/*.bin "$1/etc/apt/apt.conf.d/99mmdebstrap"
d=$(mktemp -d "${1%/*}/anymetal.XXXXXX")
trap 'umount "$d/view" 2>/dev/null; rm -f "$d/raw" "$d/disk.qcow2"; rmdir "$d/view" "$d"' EXIT
mkdir "$d/view"
if mount --bind "$1" "$d/view" 2>/dev/null; then view=$d/view; else view=$1; fi
mke2fs -q -t ext4 -L root -E lazy_itable_init=0,lazy_journal_init=0 -d "$view" "$d/raw" SIZEM
qemu-img convert -O qcow2 "$d/raw" "$d/disk.qcow2"
mkdir "$1/anymetal.out"
mv "$d/disk.qcow2" "$1/anymetal.out/"
cp "$1"/boot/vmlinuz-* "$1/anymetal.out/vmlinuz"
cp "$1"/boot/initrd.img-* "$1/anymetal.out/initrd""#;

/// What a machine is started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// A qcow2 disk, never written to.
    pub disk: PathBuf,
    /// The kernel of that disk.
    pub kernel: PathBuf,
    /// Its initial RAM disk.
    pub initrd: PathBuf,
}

/// The image of a recipe, from the cache or made now. `mirror` overrides what apt is configured with; `say` hears how it goes.
pub fn ensure(recipe: &Recipe, mirror: Option<&str>, mut say: impl FnMut(&str)) -> anyhow::Result<Image> {
    let images = cache::root()?.join("images");
    let said = std::cell::RefCell::new(&mut say);
    let waiting = || said.borrow_mut()("another anymetal is making this image; waiting for it");
    let folder = cache::once(&images, key(recipe)?.as_str(), waiting, |part| {
        make(recipe, mirror, part, &mut **said.borrow_mut())
            .with_context(|| format!("making the disk of {}", recipe.name))
    })?;
    Ok(Image { disk: folder.join("disk.qcow2"), kernel: folder.join("vmlinuz"), initrd: folder.join("initrd") })
}

fn make(recipe: &Recipe, mirror: Option<&str>, folder: &Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    tools::require(&[MMDEBSTRAP, MKE2FS, QEMU_IMG, SETPRIV, APT_GET, APT_CONFIG])?;
    let mirror = match mirror {
        Some(mirror) => mirror.to_owned(),
        None => configured_mirror()?,
    };
    let settings = mirror::settings(&tools::output(APT_CONFIG, &["dump".to_owned()])?);
    for (name, stage) in [("before.tar", Stage::BeforePackages), ("after.tar", Stage::AfterPackages)] {
        parts::write(&folder.join(name), &archive(recipe, stage)?)?;
    }
    say(&format!(
        "making the disk of {} once, from the package mirror of this machine; this takes a minute or two",
        recipe.name
    ));
    let arguments = arguments(recipe, &mirror, Path::new(KEYRING).is_file(), &settings);
    tools::watch(MMDEBSTRAP, &arguments, folder, |line| {
        if let Some(step) = step(line) {
            say(step);
        }
    })?;
    for name in ["before.tar", "after.tar"] {
        parts::remove(&folder.join(name))?;
    }
    Ok(())
}

fn configured_mirror() -> anyhow::Result<String> {
    let uris = tools::output(APT_GET, &["--print-uris", "update"].map(str::to_owned))?;
    mirror::mirrors(&uris).into_iter().next().context(
        "finding a mirror of Debian's archive: this machine's apt has none configured\nhint: name one with `--mirror URL`",
    )
}

/// The name in the cache: the digest of everything that decides what the disk holds, but for the versions the mirror has and how it is
/// reached. Each text has its length before it, so that no two recipes run into each other.
fn key(recipe: &Recipe) -> anyhow::Result<Digest> {
    let mut hash = Sha256::new();
    let archives = [archive(recipe, Stage::BeforePackages)?, archive(recipe, Stage::AfterPackages)?];
    for text in arguments(recipe, "", false, &[]).into_iter().map(String::into_bytes).chain(archives) {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    Ok(Digest::of(hash.finalize().into()))
}

/// mmdebstrap's arguments; the archives of [`archive`] are in the working folder, where the results go as well.
fn arguments(recipe: &Recipe, mirror: &str, keyring: bool, settings: &[String]) -> Vec<String> {
    let options = if keyring { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let script = MAKE_DISK.replace("SIZE", &recipe.disk_mib.to_string());
    let mut arguments = vec!["--variant=minbase".to_owned(), "--format=null".to_owned()];
    arguments.push(format!("--include={}", recipe.packages.join(",")));
    arguments.extend(settings.iter().map(|setting| format!("--aptopt={setting}")));
    arguments.push("--essential-hook=tar-in before.tar /".to_owned());
    arguments.push("--customize-hook=tar-in after.tar /".to_owned());
    arguments.push(r#"--customize-hook=chroot "$1" sh -e /anymetal.finish"#.to_owned());
    arguments.push(r#"--customize-hook=rm "$1/anymetal.finish""#.to_owned());
    arguments.push(format!("--customize-hook={script}"));
    for file in ["disk.qcow2", "vmlinuz", "initrd"] {
        arguments.push(format!("--customize-hook=download /anymetal.out/{file} {file}"));
    }
    arguments.extend([recipe.suite.clone(), "-".to_owned(), format!("deb {options}{mirror} {} main", recipe.suite)]);
    arguments
}

/// The files of one stage as a tar archive, owned by root; the last stage brings the finishing commands along.
fn archive(recipe: &Recipe, stage: Stage) -> anyhow::Result<Vec<u8>> {
    let finish = recipe.finish.join("\n") + "\n";
    let finish = (stage == Stage::AfterPackages).then_some(("/anymetal.finish", &finish));
    let files = recipe.files.iter().filter(|file| file.stage == stage).map(|file| (file.path.as_str(), &file.content));
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files.chain(finish) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive
            .append_data(&mut header, path.trim_start_matches('/'), content.as_bytes())
            .with_context(|| format!("packing {path}"))?;
    }
    archive.into_inner().context("packing the recipe's files")
}

/// What a line of mmdebstrap tells a person, if anything.
fn step(line: &str) -> Option<&str> {
    let step = line.strip_prefix("I: ")?;
    let worth = ["downloading", "extracting", "installing", "running apt-get update"];
    if step.contains("mke2fs") {
        return Some("making the file system");
    }
    worth.iter().any(|beginning| step.starts_with(beginning)).then_some(step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::recipe;

    #[test]
    fn the_mirror_is_the_last_word_and_the_size_is_the_recipes() {
        let recipe = recipe::named("debian-12").unwrap();
        let settings = ["Acquire::Retries \"3\";".to_owned()];
        let arguments = arguments(&recipe, "http://mirror.example/debian", true, &settings);
        let end = format!("deb [signed-by={KEYRING}] http://mirror.example/debian bookworm main");
        assert_eq!(arguments[arguments.len() - 3..], ["bookworm".to_owned(), "-".into(), end]);
        assert!(arguments.contains(&"--aptopt=Acquire::Retries \"3\";".to_owned()));
        assert!(arguments.iter().any(|argument| argument.contains("\"$d/raw\" 4096M")), "{arguments:#?}");
    }

    #[test]
    fn each_stage_packs_its_own_files_owned_by_root() {
        let recipe = recipe::named("debian-12").unwrap();
        let names = |stage| {
            let bytes = archive(&recipe, stage).unwrap();
            assert_eq!(bytes, archive(&recipe, stage).unwrap());
            let mut archive = tar::Archive::new(bytes.as_slice());
            let names = archive.entries().unwrap().map(|entry| {
                let entry = entry.unwrap();
                assert_eq!((entry.header().uid().unwrap(), entry.header().mode().unwrap()), (0, 0o644));
                entry.path().unwrap().display().to_string()
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            names(Stage::BeforePackages),
            ["etc/initramfs-tools/conf.d/anymetal", "etc/initramfs-tools/modules"]
        );
        assert!(names(Stage::AfterPackages).contains(&"anymetal.finish".to_owned()));
    }

    #[test]
    fn the_name_in_the_cache_follows_everything_in_the_recipe() {
        let recipe = recipe::named("debian-12").unwrap();
        let change = |change: fn(&mut Recipe)| {
            let mut other = recipe.clone();
            change(&mut other);
            key(&other).unwrap()
        };
        let keys = [
            change(|_| {}),
            change(|recipe| recipe.suite.push('x')),
            change(|recipe| recipe.packages.push("x".into())),
            change(|recipe| recipe.disk_mib += 1),
            change(|recipe| recipe.files[0].content.push('x')),
            change(|recipe| recipe.files[0].stage = Stage::AfterPackages),
            change(|recipe| recipe.finish.push("true".into())),
        ];
        assert_eq!(keys[0], key(&recipe).unwrap());
        assert_eq!(std::collections::BTreeSet::from(keys).len(), 7);
    }

    #[test]
    fn only_the_large_steps_are_said() {
        assert_eq!(step("I: downloading packages with apt..."), Some("downloading packages with apt..."));
        assert_eq!(step("I: running special hook: tar-in a /"), None);
        assert_eq!(step("Selecting previously unselected package udev."), None);
    }
}
