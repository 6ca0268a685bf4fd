//! Upstreams as they are, small: their layouts, their checksums, their signatures, on one server; and a site that knows where that is.
//! May not judge what the program makes of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use anymetal_lab::archive::{noise, sha256};
use anymetal_lab::authority::ServerConfig;
use anymetal_lab::debian::{Deb, Suite};
use anymetal_lab::http::{Request, Response, Server};
use anymetal_lab::openpgp::Key;
use tempfile::TempDir;

/// Files by their path, which begins with the upstream's name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Versions whose digests no description knows: the lab's archives have others.
pub const CONSUL: &str = "1.21.4";
/// The packages that a site with everything wants.
const PACKAGES: [&str; 8] =
    ["bird2", "ca-certificates", "libgcc-s1", "libgssapi-krb5-2", "libssl3", "libstdc++6", "nftables", "zlib1g"];
/// The end of the archive's indexes.
const UNTIL: &str = "Tue, 17 Feb 2099 11:07:25 UTC";
/// A site with Consul alone.
pub const SMALL: &str = "components: {consul: 1.21.4, nomad: none}\n";
/// A site with everything.
pub const WHOLE: &str = "architectures: [x86_64]\n\
    components: {consul: 1.21.4, nomad: 1.10.4, traefik: 2.11.54, bindle: 0.8.2, hippo: 0.20.2, spin: 0.10.0}\n";

/// A server of upstreams' files, which can be changed while it runs.
pub struct Upstreams {
    pub hashicorp: Key,
    pub debian: Key,
    pub files: Arc<Mutex<Files>>,
    pub server: Server,
}

/// What a program said.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

impl Upstreams {
    pub fn start() -> Self {
        let (hashicorp, debian) = (Key::make(1, "hashicorp"), Key::with_subkey(2, "debian"));
        let mut files = releases(&hashicorp);
        files.extend(archive(&debian));
        Self::of(hashicorp, debian, files)
    }

    /// Another server with the same files.
    pub fn mirror(&self) -> Self {
        Self::of(self.hashicorp.clone(), self.debian.clone(), self.files.lock().unwrap().clone())
    }

    fn of(hashicorp: Key, debian: Key, files: Files) -> Self {
        let files = Arc::new(Mutex::new(files));
        let server = Server::start(serving(&files));
        Self { hashicorp, debian, files, server }
    }

    /// The same on a server by TLS.
    pub fn by_tls(self, tls: Arc<ServerConfig>) -> Self {
        let server = Server::start_tls("127.0.0.1:0", tls, serving(&self.files));
        Self { server, ..self }
    }

    /// Writes the keys that a site names into a folder.
    pub fn keys(&self, folder: &Path) {
        fs::write(folder.join("hashicorp.asc"), self.hashicorp.public()).unwrap();
        fs::write(folder.join("debian.asc"), self.debian.public()).unwrap();
    }

    /// The file whose path ends so.
    pub fn path(&self, end: &str) -> String {
        let files = self.files.lock().unwrap();
        files.keys().find(|path| path.ends_with(end)).unwrap_or_else(|| panic!("no file is called {end}")).clone()
    }

    pub fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(path.to_owned(), bytes.into());
    }

    pub fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path).expect("what is removed was there");
    }

    /// Consul's checksums with this digest for both architectures, signed by that key.
    pub fn consul(&self, digest: &str, key: &Key) {
        let sums = self.path(&format!("consul_{CONSUL}_SHA256SUMS"));
        let text = format!("{digest}  consul_{CONSUL}_linux_amd64.zip\n{digest}  consul_{CONSUL}_linux_arm64.zip\n");
        self.put(&format!("{sums}.sig"), key.detached(text.as_bytes()));
        self.put(&sums, text);
    }

    /// The digest of the archive whose path ends so.
    pub fn digest(&self, end: &str) -> String {
        let path = self.path(end);
        sha256(&self.files.lock().unwrap()[&path]).to_string()
    }

    /// A folder with a site of these lines, for which all upstreams are here.
    pub fn site(&self, lines: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        self.keys(folder.path());
        self.write(folder.path(), lines);
        folder
    }

    /// Writes the site of these lines into a folder that has the keys.
    pub fn write(&self, folder: &Path, lines: &str) {
        let url = self.server.url();
        let text = format!(
            "version: 1\nsite: demo\nplatform: equinix-metal\nos: debian-12\nanycast: {{v4: [192.0.2.1/32]}}\n{lines}\
             sources:\n  hashicorp: {{url: {url}/hashicorp, key: hashicorp.asc}}\n  github: {url}/github\n  bindle: {url}/bindle\n  \
             debian: {{url: {url}/debian, key: debian.asc}}\n  debian-security: {{url: {url}/debian-security, key: debian.asc}}\n"
        );
        fs::write(folder.join("site.yaml"), text).unwrap();
    }

    /// A folder with what an operator carries in: files by their names, Debian's archive as it is.
    pub fn carried(&self) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in self.files.lock().unwrap().iter() {
            let name = path.rsplit('/').next().unwrap();
            let place = if path.starts_with("debian") { folder.path().join(path) } else { folder.path().join(name) };
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, bytes).unwrap();
        }
        folder
    }
}

/// Runs `anymetal` in that folder; a lock believes what upstreams say unsigned.
pub fn anymetal(folder: &Path, args: &[&str]) -> Said {
    let believing = ["--accept-first", "all"].into_iter().filter(|_| args[0] == "lock" && !args.contains(&"--check"));
    run(folder, &args.iter().copied().chain(believing).collect::<Vec<_>>())
}

/// What a server of these files does.
fn serving(files: &Arc<Mutex<Files>>) -> impl Fn(&Request, usize) -> Response + Send + Sync + use<> {
    let shared = Arc::clone(files);
    move |request, _| {
        let files = shared.lock().unwrap();
        let file = files.get(request.path.trim_start_matches('/'));
        file.map_or_else(Response::not_found, |file| Response::file(request, file))
    }
}

/// Runs `anymetal` in that folder with these words and no more.
pub fn run(folder: &Path, args: &[&str]) -> Said {
    run_with(folder, args, &[])
}

/// The same with these variables in its environment.
pub fn run_with(folder: &Path, args: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anymetal"));
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"]
    {
        command.env_remove(name);
    }
    let Output { stdout, stderr, status } =
        command.args(args).envs(variables.iter().copied()).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { out: text(stdout), err: text(stderr), code: status.code() }
}

/// The text of the lock in that folder.
pub fn locked(folder: &Path) -> String {
    fs::read_to_string(lock(folder)).unwrap()
}

pub fn lock(folder: &Path) -> PathBuf {
    folder.join("site.lock")
}

/// Every upstream's release of one version, as it lays them out.
fn releases(hashicorp: &Key) -> Files {
    let mut files = Files::new();
    for (name, version) in [("consul", CONSUL), ("consul", "1.21.5"), ("nomad", "1.10.4")] {
        let archives = ["amd64", "arm64"].map(|arch| format!("{name}_{version}_linux_{arch}.zip"));
        let folder = format!("hashicorp/{name}/{version}");
        let text = release(&mut files, &folder, &archives, "  ");
        let sums = format!("{folder}/{name}_{version}_SHA256SUMS");
        files.insert(format!("{sums}.sig"), hashicorp.detached(text.as_bytes()));
        files.insert(sums, text.into_bytes());
    }
    for (folder, archives, sums, between) in [
        (
            "github/traefik/traefik/releases/download/v2.11.54",
            ["traefik_v2.11.54_linux_amd64.tar.gz", "traefik_v2.11.54_linux_arm64.tar.gz"],
            "traefik_v2.11.54_checksums.txt",
            "  ",
        ),
        (
            "github/deislabs/hippo/releases/download/v0.20.2",
            ["hippo-server-linux-x64.tar.gz", "hippo-server-linux-arm64.tar.gz"],
            "checksums.txt",
            "  ./",
        ),
        (
            "github/fermyon/spin/releases/download/v0.10.0",
            ["spin-v0.10.0-linux-amd64.tar.gz", "spin-v0.10.0-linux-aarch64.tar.gz"],
            "checksums-v0.10.0.txt",
            " *",
        ),
        (
            "bindle",
            ["bindle-v0.8.2-linux-amd64.tar.gz", "bindle-v0.8.2-linux-aarch64.tar.gz"],
            "checksums-v0.8.2.txt",
            "  ",
        ),
    ] {
        let text = release(&mut files, folder, &archives.map(str::to_owned), between);
        files.insert(format!("{folder}/{sums}"), text.into_bytes());
    }
    files
}

/// Archives of noise, each with its own, and the text of their checksums.
fn release(files: &mut Files, folder: &str, archives: &[String], between: &str) -> String {
    let mut text = String::new();
    for archive in archives {
        let bytes = noise(500 + files.len(), files.len() as u64);
        let _infallible = writeln!(text, "{}{between}{archive}", sha256(&bytes));
        files.insert(format!("{folder}/{archive}"), bytes);
    }
    text
}

/// Debian's archive, with the packages that are wanted and one that they need.
fn archive(key: &Key) -> Files {
    let date = "Sat, 11 Jul 2026 10:16:37 UTC";
    let deb = |name: &&str| ["amd64", "arm64"].map(|arch| Deb::new(name, "1.0-1", arch).field("Depends", "libc6"));
    let mut debs: Vec<_> = PACKAGES.iter().flat_map(deb).collect();
    debs.extend(["amd64", "arm64"].map(|arch| Deb::new("libc6", "2.36-9", arch)));
    let sign = |text: &str| key.clearsigned(text);
    let suites = [
        ("debian", "bookworm", debs),
        ("debian", "bookworm-updates", vec![]),
        ("debian-security", "bookworm-security", vec![]),
    ];
    let below = |(upstream, name, debs): (&str, &str, Vec<Deb>)| {
        let files = Suite::new(name, date, debs).field("Valid-Until", UNTIL).files(&sign);
        files.into_iter().map(|(path, bytes)| (format!("{upstream}/{path}"), bytes)).collect::<Files>()
    };
    suites.into_iter().flat_map(below).collect()
}
