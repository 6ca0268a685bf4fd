//! A folder with a site whose archives are made here, a cache of its own, and servers that have those archives.
//! May not expect anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anymetal_lab::archive::{sha256, tar_gz_of, zip_of};
use anymetal_lab::http::{Request, Response, Server};
use tempfile::TempDir;

/// A URL at which nobody listens.
pub const DEAD: &str = "http://127.0.0.1:1";

/// The variables of an environment that may name proxies.
pub const PROXIES: [&str; 8] =
    ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// An archive of the site.
#[derive(Clone)]
pub struct Blob {
    /// As a line of `fetch` begins: `consul 1.21.5 x86_64`.
    pub name: String,
    pub component: &'static str,
    pub version: &'static str,
    pub arch: &'static str,
    pub bytes: Vec<u8>,
    /// Whether the site says how long it is.
    pub sized: bool,
    /// Where upstream has it.
    pub urls: Vec<String>,
}

impl Blob {
    fn new(component: &'static str, version: &'static str, arch: &'static str, bytes: Vec<u8>) -> Self {
        let name = format!("{component} {version} {arch}");
        Self { name, component, version, arch, bytes, sized: true, urls: vec![format!("{DEAD}/{component}.zip")] }
    }

    /// Consul for one architecture, an archive of so many bytes.
    pub fn consul(length: usize, seed: u64) -> Self {
        Self::packed("consul", "1.21.5", "x86_64", zip_of("consul", length, seed))
    }

    /// Consul, as these bytes.
    pub fn packed(component: &'static str, version: &'static str, arch: &'static str, bytes: Vec<u8>) -> Self {
        Self::new(component, version, arch, bytes)
    }

    pub fn hex(&self) -> String {
        sha256(&self.bytes).to_string()
    }

    /// Its line on stdout when it came from there, or from the cache.
    pub fn line(&self, from: &str) -> String {
        format!("{} sha256:{} {} bytes from {from}", self.name, self.hex(), self.bytes.len())
    }
}

/// All archives of the whole platform, for both architectures, sorted by name: twelve, of these many bytes each.
pub fn platform(length: usize) -> Vec<Blob> {
    let all = [
        ("bindle", "0.8.2"),
        ("consul", "1.21.5"),
        ("hippo", "0.20.2"),
        ("nomad", "1.10.5"),
        ("spin", "0.10.1"),
        ("traefik", "2.11.55"),
    ];
    let each = all.into_iter().flat_map(|(name, version)| ["aarch64", "x86_64"].map(|arch| (name, version, arch)));
    let blob = |(seed, (name, version, arch))| Blob::new(name, version, arch, archive(name, arch, length, 100 + seed));
    (0_u64..).zip(each).map(blob).collect()
}

/// An archive as upstream packs that component.
fn archive(name: &str, arch: &str, length: usize, seed: u64) -> Vec<u8> {
    match (name, arch) {
        ("consul" | "nomad", _) => zip_of(name, length, seed),
        ("hippo", "x86_64") => tar_gz_of("linux-x64/Hippo.Web", length, seed),
        ("hippo", _) => tar_gz_of("linux-arm64/Hippo.Web", length, seed),
        ("bindle", _) => tar_gz_of("bindle-server", length, seed),
        _ => tar_gz_of(name, length, seed),
    }
}

/// A folder, its site and its cache.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    pub fn new(blobs: &[Blob], origins: &[&str]) -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.put("site.yaml", site(blobs, origins));
        desk
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn put(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// A blob's place in the cache.
    pub fn blob(&self, blob: &Blob) -> PathBuf {
        self.path("cache/sha256").join(blob.hex())
    }

    /// So many bytes of a blob have come so far.
    pub fn part_length(&self, blob: &Blob) -> Option<u64> {
        fs::metadata(self.path("cache/sha256").join(format!("{}.part", blob.hex()))).ok().map(|found| found.len())
    }

    /// What is in the cache, sorted.
    pub fn cached(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("cache/sha256")) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// `anymetal` with these words, in the folder.
    pub fn anymetal(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anymetal"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        for name in PROXIES {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.anymetal(words).output().unwrap())
    }

    pub fn fetch(&self, more: &[&str]) -> Ran {
        self.run(&[&["fetch", "site.yaml", "--cache", "cache"], more].concat())
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Ran {
    pub fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() }
    }

    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Its stdout, when it was done.
    #[track_caller]
    pub fn done(&self) -> Vec<&str> {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.lines()
    }

    /// How often stderr has these words.
    pub fn times(&self, words: &str) -> usize {
        self.stderr.matches(words).count()
    }
}

/// A site with these archives: Consul alone, or all components.
fn site(blobs: &[Blob], origins: &[&str]) -> String {
    let arches: Vec<_> =
        ["x86_64", "aarch64"].into_iter().filter(|arch| blobs.iter().any(|b| b.arch == *arch)).collect();
    let mut text = format!(
        "version: 1\nsite: demo\nplatform: equinix-metal\nos: debian-12\narchitectures: [{}]\n\
         anycast: {{v4: [192.0.2.1/32]}}\ntls: {{mode: files, certificate: /etc/ssl/a, key: /etc/ssl/b}}\norigins: [{}]\ncomponents:\n",
        arches.join(", "),
        origins.iter().map(|origin| format!("'{origin}'")).collect::<Vec<_>>().join(", ")
    );
    let mut by_component: BTreeMap<&str, Vec<&Blob>> = BTreeMap::new();
    for blob in blobs {
        by_component.entry(blob.component).or_default().push(blob);
    }
    if by_component.len() == 1 {
        text += "  nomad: none\n";
    }
    for (component, blobs) in by_component {
        writeln!(text, "  {component}:\n    version: {}", blobs[0].version).unwrap();
        if component == "bindle" {
            // upstream's own is warned of
            text += "    packages: []\n";
        }
        text += "    artefacts:\n";
        for Blob { arch, bytes, sized, urls, .. } in blobs {
            let size = if *sized { format!("size: {}, ", bytes.len()) } else { String::new() };
            writeln!(text, "      {arch}: {{sha256: {}, {size}urls: [{}]}}", sha256(bytes), urls.join(", ")).unwrap();
        }
    }
    text
}

/// The blob a request is for, by its digest.
pub fn asked<'a>(request: &Request, blobs: &'a [Blob]) -> Option<&'a Blob> {
    blobs.iter().find(|blob| request.path.ends_with(&blob.hex()))
}

/// An origin that does what an origin should.
pub fn good(blobs: &[Blob]) -> Server {
    misbehaving(blobs, |_, _, _| {})
}

/// An origin whose answers are changed before they go out: the request, how many came before for the same blob, the answer.
pub fn misbehaving(blobs: &[Blob], change: impl Fn(&Request, usize, &mut Response) + Send + Sync + 'static) -> Server {
    let blobs = blobs.to_vec();
    Server::start(move |request, before| {
        let Some(blob) = asked(request, &blobs) else { return Response::not_found() };
        let mut response = Response::file(request, &blob.bytes);
        change(request, before, &mut response);
        response
    })
}

/// Counts what servers send.
#[derive(Clone, Default)]
pub struct Meter(Arc<AtomicUsize>);

impl Meter {
    /// This answer goes out.
    pub fn add(&self, response: &Response) {
        let stop = response.cut_after.or(response.stall_after).unwrap_or(usize::MAX);
        self.0.fetch_add(stop.min(response.body.len()), Ordering::SeqCst);
    }

    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The ranges that were asked for, in the order in which requests came.
pub fn ranges(server: &Server) -> Vec<Option<String>> {
    server.requests().iter().map(|request| request.header("range").map(str::to_owned)).collect()
}

pub fn flip(path: &Path, place: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
}
