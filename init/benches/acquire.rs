//! What `acquire` and `install` take for two large archives, beside a shell that does the same one after the other: `curl`, `sha256sum`, and
//! `unzip` or `tar`. Both in the same run, turn by turn; what counts are the ratios. `make bench-acquire` runs it.
#![expect(clippy::disallowed_methods, reason = "a bench prepares files, runs programs and reads the clock")]
#![expect(clippy::unwrap_used, reason = "a bench stops where something is not as it should be")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anymetal_contract::{Event, Phase, place};
use anymetal_lab::archive::{Entry, gzip, sha256, tar, zip};
use anymetal_lab::http::{Response, Server};
use serde_json::json;

/// Turns. The median of each side is told, and the least.
const ROUNDS: usize = 5;

/// One archive of the bench, as an origin has it.
struct Archive {
    component: &'static str,
    format: &'static str,
    bytes: Vec<u8>,
}

fn main() {
    // `cargo test --benches` only wants to know that it can be built.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let program = large_program();
    let half = program[..program.len() / 2].to_vec();
    let archives = [
        Archive { component: "zipped", format: "zip", bytes: zip(&[Entry::file("program", program)]) },
        Archive { component: "tarred", format: "tar.gz", bytes: gzip(&tar(&[Entry::file("program", half)])) },
    ];
    let origin = Server::start({
        let blobs: Vec<_> =
            archives.iter().map(|a| (format!("/sha256/{}", sha256(&a.bytes)), a.bytes.clone())).collect();
        move |request, _| match blobs.iter().find(|(path, _)| *path == request.path) {
            Some((_, bytes)) => Response::file(request, bytes),
            None => Response::not_found(),
        }
    });
    for archive in &archives {
        println!("{}: {} bytes as {}", archive.component, archive.bytes.len(), archive.format);
    }
    let (mut shells, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        shells.push(by_shell(&archives, &origin.url()));
        ours.push(by_init(&archives, &origin.url()));
    }
    told("shell, one after the other", &mut shells);
    told("acquire + install", &mut ours);
    println!("ratio of the medians, shell / ours: {:.2}", middle(&shells).as_secs_f64() / middle(&ours).as_secs_f64());
    println!("ratio of the least,   shell / ours: {:.2}", shells[0].as_secs_f64() / ours[0].as_secs_f64());
}

/// The largest program that is wherever this is built: the compiler itself, some 150 MB, as large as Nomad.
fn large_program() -> Vec<u8> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let folder = Path::new(String::from_utf8(sysroot.stdout).unwrap().trim()).join("lib");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let driver = files.filter(|path| path.to_string_lossy().contains("rustc_driver"));
    fs::read(driver.last().expect("the compiler has its driver")).unwrap()
}

fn by_shell(archives: &[Archive], origin: &str) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let one = |Archive { component, format, bytes }: &Archive| {
        let digest = sha256(bytes);
        let unpack = match *format {
            "zip" => format!("unzip -q -d {component}.d {component}"),
            _ => format!("mkdir {component}.d && tar xzf {component} -C {component}.d"),
        };
        let check = format!("echo '{digest}  {component}' | sha256sum -c --quiet");
        format!("curl -fsS -o {component} {origin}/sha256/{digest}\n{check}\n{unpack}\n")
    };
    let script = format!("set -eu\n{}", archives.iter().map(one).collect::<String>());
    let began = Instant::now();
    let status = Command::new("sh").args(["-c", &script]).current_dir(&folder).status().unwrap();
    let took = began.elapsed();
    assert!(status.success(), "the shell failed (curl, sha256sum, unzip and tar are needed):\n{script}");
    took
}

/// The whole of `run` with nothing to do but `acquire` and `install`.
fn by_init(archives: &[Archive], origin: &str) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| -> PathBuf { folder.path().join(path.trim_start_matches('/')) };
    let write = |path: &str, text: &str| {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
    };
    write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    write("/proc/sys/kernel/hostname", "n1\n");
    write("/proc/cmdline", "quiet\n");
    let components = archives.iter().map(|Archive { component, format, bytes }| {
        let artefact = json!({"sha256": sha256(bytes).as_str(), "size": bytes.len(), "format": format, "urls": [],
            "members": [{"member": "program", "file": "program", "executable": true}]});
        json!({"name": component, "version": "1", "source": {"artefacts": {std::env::consts::ARCH: artefact}}})
    });
    let plan = json!({
        "kind": "anymetal.plan", "version": 1, "site": "bench", "platform": "equinix-metal", "os": "debian-12",
        "domain": "example.org", "anycast": {"v4": ["192.0.2.1/32"], "v6": []}, "bgp": {},
        "phases": ["acquire", "install"], "origins": [origin], "components": components.collect::<Vec<_>>(), "files": [],
        "services": [], "jobs": [], "deadlines": {"settle": 2}, "reports": [],
        "settings": {"hippo": {"registration": "Closed", "administrator": "a"}, "tls": {"mode": "none"},
            "firewall": {"ssh4": [], "ssh6": [], "tcp": [], "udp": []}}
    });
    write(place::PLAN, &plan.to_string());
    let init = std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into());
    let began = Instant::now();
    let output = Command::new(init).args(["run", "--root"]).arg(folder.path()).output().unwrap();
    let whole = began.elapsed();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let events = fs::read_to_string(at(place::EVENTS)).unwrap();
    let ended = |phase: Phase| {
        let ends = |line: &str| {
            serde_json::from_str::<Event>(line).is_ok_and(|event| event.phase == phase.id() && event.ends_phase())
        };
        assert!(events.lines().any(ends), "{phase} has not ended:\n{events}");
    };
    ended(Phase::Acquire);
    ended(Phase::Install);
    whole
}

fn told(what: &str, times: &mut [Duration]) {
    times.sort();
    println!("{what}: least {:.2?}, median {:.2?}, most {:.2?}", times[0], middle(times), times[times.len() - 1]);
}

fn middle(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() / 2]
}
