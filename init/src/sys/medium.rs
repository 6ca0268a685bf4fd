//! A file on a volume that somebody put into the machine: found by the volume's label, mounted read-only for as long as it is read.
//! May not know what is in the file.
#![expect(clippy::disallowed_methods, reason = "side effects live in sys/; this is the room for volumes")]

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Where udev links every volume that has a label.
const BY_LABEL: &str = "/dev/disk/by-label";
/// Where the volume is while it is read.
const MOUNTED: &str = "/run/anymetal/medium";
/// The same of a file that is read for longer, so that neither takes the other's volume away.
const HELD: &str = "/run/anymetal/medium-held";
/// What such volumes are: a stick, and an optical disc or its image.
const KINDS: [&str; 3] = ["vfat", "iso9660", "ext4"];
/// The largest file that is read.
const MOST: u64 = 1 << 20;

/// What was found.
pub(crate) enum Found {
    File {
        label: String,
        bytes: Vec<u8>,
    },
    /// In words: which labels there are none of, or which volume lacks the file.
    Nothing(String),
}

/// The file of that name on the first volume with one of these labels that has it.
pub(crate) fn read(labels: &[&str], name: &str) -> anyhow::Result<Found> {
    let mut without = Vec::new();
    for label in labels {
        let device = Path::new(BY_LABEL).join(label);
        let Ok(device) = device.canonicalize() else { continue };
        match on(&device, name)
            .with_context(|| format!("reading {name} on the volume {label} ({})", device.display()))?
        {
            Some(bytes) => return Ok(Found::File { label: (*label).to_owned(), bytes }),
            None => without.push(*label),
        }
    }
    Ok(Found::Nothing(if without.is_empty() {
        format!("there is no volume labelled {}", labels.join(" or "))
    } else {
        format!("there is no {name} on the volume {}", without.join(" and "))
    }))
}

/// The file of that name on the first volume with one of these labels that has it, open, and the label. The volume is given back when the file is
/// closed; until then nobody sees where it is mounted.
pub(crate) fn open(labels: &[&str], name: &str) -> anyhow::Result<Option<(String, File)>> {
    for label in labels {
        let Ok(device) = Path::new(BY_LABEL).join(label).canonicalize() else { continue };
        let doing = || format!("opening {name} on the volume {label} ({})", device.display());
        let mounted = Mounted::new(&device, HELD).with_context(doing)?;
        let path = mounted.0.join(name);
        if is_plain(&path).with_context(doing)?.is_some() {
            let file = File::open(&path).with_context(doing)?;
            return Ok(Some(((*label).to_owned(), file)));
        }
    }
    Ok(None)
}

fn on(device: &Path, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let mounted = Mounted::new(device, MOUNTED)?;
    let path = mounted.0.join(name);
    let about = || format!("reading {}", path.display());
    let Some(length) = is_plain(&path).with_context(about)? else { return Ok(None) };
    anyhow::ensure!(length <= MOST, "{}: it is longer than {MOST} bytes", about());
    fs::read(&path).map(Some).with_context(about)
}

/// The length of a plain file; `None` when there is nothing.
fn is_plain(path: &Path) -> anyhow::Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => {
            let found = found?;
            anyhow::ensure!(found.is_file(), "it is no plain file");
            Ok(Some(found.len()))
        }
    }
}

/// A mounted volume, unmounted when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(device: &Path, at: &str) -> anyhow::Result<Self> {
        let at = PathBuf::from(at);
        fs::create_dir_all(&at).with_context(|| format!("making {}", at.display()))?;
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        let mut last = None;
        for kind in KINDS {
            match mount(Some(device), &at, Some(kind), flags, None::<&str>) {
                Ok(()) => return Ok(Self(at)),
                Err(error) => last = Some(error),
            }
        }
        let error = last.expect("there is more than no kind of volume");
        Err(error).with_context(|| format!("mounting it as {}", KINDS.join(", ")))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Nobody else sees it from now on; the kernel keeps it for as long as a file on it is open.
        let _stays_read_only_until_the_next_boot = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
