//! The demo's artefacts: Debian's consul, packed as its makers pack their own. A stand-in for upstream's archive, for machines that cannot
//! reach upstream; the site of the demo pins exactly these bytes.
//! May not decide what is right: `images/demo/site.yaml` pins the digests, this only makes what they name.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "part of a program of the lab and of suites")]

use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal::boot::mirror;
use anymetal::sys::parts;
use anymetal::sys::tools::{self, APT_CONFIG, APT_GET, Tool};
use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;
use sha2::{Digest as _, Sha256};

/// The version as its makers count, and as Debian does. The suite is frozen: its packages change no more.
const VERSION: &str = "1.8.7";
const DEBIAN_VERSION: &str = "1.8.7+dfsg1-2+b3";
const SUITE: &str = "bullseye";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const DPKG_DEB: Tool = Tool { program: "dpkg-deb", package: "dpkg" };

/// An archive the demo's site pins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub sha256: Digest,
    pub size: u64,
}

/// What the site pins for an architecture.
pub fn pinned(site: &str, arch: Arch) -> anyhow::Result<Pinned> {
    let site: serde_yaml::Value = serde_yaml::from_str(site).context("reading the demo's site")?;
    let consul = &site["components"]["consul"];
    anyhow::ensure!(consul["version"] == VERSION, "reading the demo's site: its consul is not {VERSION}");
    let pin = &consul["artefacts"][arch.id()];
    let sha256 = pin["sha256"].as_str().with_context(|| format!("reading the demo's site: no sha256 for {arch}"))?;
    let length = pin["size"].as_u64().with_context(|| format!("reading the demo's site: no size for {arch}"))?;
    Ok(Pinned { sha256: sha256.parse()?, size: length })
}

/// Makes `OUT/sha256/<hex>` for an architecture, unless it is there already, and checks it against the site's pin.
pub fn make(out: &Path, site: &str, arch: Arch) -> anyhow::Result<PathBuf> {
    let pinned = pinned(site, arch)?;
    let path = out.join("sha256").join(pinned.sha256.as_str());
    if std::fs::read(&path).is_ok_and(|bytes| digest(&bytes) == pinned.sha256) {
        return Ok(path);
    }
    let archive = pack(&consul(&download(arch)?)?)?;
    let made = Pinned { sha256: digest(&archive), size: archive.len() as u64 };
    anyhow::ensure!(
        made == pinned,
        "packing consul for {arch}: the site pins {} of {} bytes, this is {} of {} bytes\n\
         hint: with another compressor in Cargo.lock the same program packs to other bytes; put the new digest in the demo's site",
        pinned.sha256,
        pinned.size,
        made.sha256,
        made.size
    );
    parts::write(&path, &archive)?;
    Ok(path)
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Sha256::digest(bytes).into())
}

/// The package, verified by apt with Debian's keys, from the mirror this machine's apt names; apt's own state is left alone.
fn download(arch: Arch) -> anyhow::Result<Vec<u8>> {
    tools::require(&[APT_GET, APT_CONFIG, DPKG_DEB])?;
    let uris = tools::output(APT_GET, &["--print-uris", "update"].map(str::to_owned))?;
    let mirror =
        mirror::mirrors(&uris).into_iter().next().context("finding a mirror of Debian's archive: apt has none")?;
    let folder = tempfile::tempdir().context("making a folder for apt")?;
    let name = match arch {
        Arch::Aarch64 => "arm64",
        Arch::X86_64 => "amd64",
    };
    for part in ["state/lists/partial", "cache/archives/partial", "package"] {
        std::fs::create_dir_all(folder.path().join(part)).with_context(|| format!("making {part}"))?;
    }
    let list = folder.path().join("sources.list");
    std::fs::write(&list, format!("deb [arch={name} signed-by={KEYRING}] {mirror} {SUITE} main\n"))
        .context("writing a source")?;
    std::fs::write(folder.path().join("state/status"), "").context("writing an empty package state")?;
    let settings = [
        format!("Dir::Etc::SourceList={}", list.display()),
        "Dir::Etc::SourceParts=/nonexistent".to_owned(),
        format!("Dir::State={}/state", folder.path().display()),
        format!("Dir::State::status={}/state/status", folder.path().display()),
        format!("Dir::Cache={}/cache", folder.path().display()),
        format!("APT::Architecture={name}"),
        format!("APT::Architectures={name}"),
        "APT::Sandbox::User=".to_owned(), // the folder is this user's
    ];
    let apt = |arguments: &[&str]| {
        let settings = settings.iter().flat_map(|setting| ["-o".to_owned(), setting.clone()]);
        let all: Vec<String> = settings.chain(arguments.iter().map(|argument| (*argument).to_owned())).collect();
        tools::run(APT_GET, &all, &folder.path().join("package"))
    };
    apt(&["-qq", "update"])?;
    apt(&["-qq", "download", &format!("consul={DEBIAN_VERSION}")])?;
    let mut packages = std::fs::read_dir(folder.path().join("package")).context("looking for the package")?;
    let package = packages.next().context("looking for the package: apt downloaded none")??;
    // As tar: the control part is not needed, and the compression is dpkg's business.
    tools::bytes(DPKG_DEB, &["--fsys-tarfile".to_owned(), package.path().display().to_string()])
}

/// The program out of the package's files.
fn consul(package: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut archive = tar::Archive::new(package);
    for entry in archive.entries().context("reading the package")? {
        let mut entry = entry.context("reading the package")?;
        if entry.path().is_ok_and(|path| path == Path::new("./usr/bin/consul")) {
            let mut program = Vec::new();
            entry.read_to_end(&mut program).context("reading consul out of the package")?;
            return Ok(program);
        }
    }
    anyhow::bail!("reading the package: usr/bin/consul is not in it")
}

/// A zip archive with the one member, the same bytes wherever it is made: fixed time, mode and level. The compressor is the one Cargo.lock
/// pins; its output does not depend on the processor.
fn pack(program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o755);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("consul", options).context("packing consul")?;
    archive.write_all(program).context("packing consul")?;
    Ok(archive.finish().context("packing consul")?.into_inner())
}
