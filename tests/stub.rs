//! `fetch-init`, the very bytes that go into user-data, under dash and busybox sh, with each tool a machine may have and with bad origins.
//! May not need the network: origins are on loopback, the root is a temporary folder.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: starts shells and looks at what they leave"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anymetal::userdata::host;
use anymetal_contract::plan::Arch;
use anymetal_contract::release::Pinned;
use anymetal_contract::{Digest, Pins};
use anymetal_lab::http::{Request, Response, Server};
use anymetal_lab::openssl::Https;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const SHELLS: [&[&str]; 2] = [&["dash"], &["busybox", "sh"]];
/// What the script uses of any machine, besides a tool to fetch with.
const BASE: [&str; 7] = ["uname", "mkdir", "mv", "rm", "chmod", "sha256sum", "tr"];
/// Stands for an init: what counts here is its digest.
const INIT: &[u8] = b"an init\0\n";

/// The program's real file, by its absolute path, because PATH may hold somebody's wrappers.
fn program(name: &str) -> PathBuf {
    let found = ["/usr/bin", "/bin", "/usr/local/bin"]
        .map(|folder| Path::new(folder).join(name))
        .into_iter()
        .find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not on this machine: install the package {name}"))
}

/// A machine as the script sees it: a root, and a PATH with these tools only.
struct Machine {
    folder: TempDir,
    /// What its environment has besides a PATH.
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    fn with(tools: &[&str]) -> Self {
        Self::having(&[&BASE, tools].concat())
    }

    fn having(tools: &[&str]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        for folder in ["bin", "root/dev", "root/proc", "root/etc/anymetal"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        fs::write(machine.path("root/proc/cmdline"), "BOOT_IMAGE=/vmlinuz quiet *\n").unwrap();
        for tool in tools {
            let (name, real) = if *tool == "busybox wget" { ("wget", "busybox") } else { (*tool, *tool) };
            symlink(program(real), machine.path("bin").join(name)).unwrap();
        }
        let sleep = format!("#!/bin/sh\necho \"$1\" >>'{}'\n", machine.path("sleeps").display());
        anymetal_lab::program::put(machine.path("bin/sleep"), sleep);
        machine
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn init(&self) -> PathBuf {
        self.path("root/opt/anymetal/bin/anymetal-init")
    }

    /// Runs the script to its end; two minutes are far more than any case here takes.
    fn run(&self, shell: &[&str], origins: &[String]) -> Output {
        let inits = Arch::ALL.map(|arch| (arch, digest())).into();
        self.run_pinned(
            shell,
            &Pins { release: Pinned { sha256: digest(), size: 1 }, inits, origins: origins.to_vec() },
        )
    }

    fn run_pinned(&self, shell: &[&str], pins: &Pins) -> Output {
        fs::write(self.path("root/etc/anymetal/pins"), pins.to_string()).unwrap();
        self.run_script(shell, &host::fetch_init().unwrap().body)
    }

    fn run_script(&self, shell: &[&str], script: &str) -> Output {
        fs::write(self.path("fetch-init"), script).unwrap();
        let mut command = Command::new(program("timeout"));
        command.arg("120").arg(program(shell[0])).args(&shell[1..]).arg(self.path("fetch-init")).arg(self.path("root"));
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("PATH", self.path("bin")).output().unwrap()
    }

    fn slept(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path("sleeps")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    fn assert_in_place(&self, output: &Output) {
        assert!(output.status.success(), "{}", said(output));
        assert_eq!(fs::read(self.init()).unwrap(), INIT, "{}", said(output));
        assert_eq!(fs::metadata(self.init()).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(self.beside(), ["anymetal-init"], "something was left beside");
    }

    fn assert_nothing_in_place(&self, output: &Output) {
        assert_eq!(output.status.code(), Some(1), "{}", said(output));
        assert_eq!(self.beside(), [""; 0], "{}", said(output));
    }

    fn beside(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.init().parent().unwrap()) else { return Vec::new() };
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn digest() -> Digest {
    Digest::of(Sha256::digest(INIT).into())
}

/// Origins by the first word of the path: `/good` has the init, `/evil` has other bytes, `/cut` ends early, all else is not there.
fn origins() -> Server {
    let blob = format!("/sha256/{}", digest());
    Server::start(move |request: &Request, _| match request.path.strip_suffix(&blob) {
        Some("/good") => Response::ok(INIT),
        Some("/evil") => Response::ok(b"#!/bin/sh\nreboot\n".as_slice()),
        Some("/cut") => Response { cut_after: Some(3), ..Response::ok(INIT) },
        _ => Response::not_found(),
    })
}

fn asked(server: &Server) -> Vec<String> {
    let first = |request: Request| request.path.split('/').nth(1).unwrap_or_default().to_owned();
    server.requests().into_iter().map(first).collect()
}

/// A proxy that has the init, for whichever server it is asked.
fn proxy() -> Server {
    Server::start(
        |request: &Request, _| {
            if request.path.starts_with("http://") { Response::ok(INIT) } else { Response::not_found() }
        },
    )
}

#[test]
fn a_proxy_is_asked_for_what_is_far_and_never_for_what_is_near() {
    let (origins, proxy) = (origins(), proxy());
    for shell in SHELLS {
        for tool in ["curl", "wget", "busybox wget", "python3"] {
            for tools in [&[tool][..], &[tool, "ip"]] {
                let mut machine = Machine::with(tools);
                for name in ["http_proxy", "https_proxy"] {
                    machine.variables.push((name, proxy.url()));
                }
                let before = proxy.requests().len();
                let near = [
                    format!("{}/good", origins.url()),
                    format!("{}/good", origins.url().replace("127.0.0.1", "localhost")),
                ];
                for origin in near {
                    let output = machine.run(shell, &[origin]);
                    machine.assert_in_place(&output);
                    fs::remove_file(machine.init()).unwrap();
                }
                assert_eq!(proxy.requests().len(), before, "{shell:?} with {tools:?} went through the proxy");
                let output = machine.run(shell, &["http://origin.invalid/am".to_owned()]);
                machine.assert_in_place(&output);
                let path = format!("http://origin.invalid/am/sha256/{}", digest());
                assert_eq!(proxy.requests().last().unwrap().path, path, "{shell:?} with {tools:?}");
            }
        }
    }
}

#[test]
fn curl_wget_busybox_wget_and_python3_each_do_under_each_shell() {
    for shell in SHELLS {
        for tool in ["curl", "wget", "busybox wget", "python3"] {
            let (server, machine) = (origins(), Machine::with(&[tool]));
            let output = machine.run(shell, &[server.url() + "/good"]);
            machine.assert_in_place(&output);
            assert_eq!(asked(&server), ["good"], "{tool} under {shell:?}");
            assert!(
                said(&output).contains(&format!("anymetal: fetching anymetal-init from {}/good/sha256/", server.url()))
            );
            let console = fs::read_to_string(machine.path("root/dev/console")).unwrap();
            assert_eq!(console, String::from_utf8_lossy(&output.stdout), "the console says what the journal says");
        }
    }
}

#[test]
fn without_any_tool_it_says_so_and_stops() {
    for shell in SHELLS {
        let (server, machine) = (origins(), Machine::with(&[]));
        let output = machine.run(shell, &[server.url() + "/good"]);
        machine.assert_nothing_in_place(&output);
        assert!(said(&output).contains("there is none of curl, wget and python3 here\n"), "{}", said(&output));
        assert!(server.requests().is_empty());
    }
}

#[test]
fn origins_that_lie_break_off_or_have_nothing_are_passed_over() {
    for shell in SHELLS {
        for tool in ["curl", "wget", "busybox wget", "python3"] {
            let (server, machine) = (origins(), Machine::with(&[tool]));
            let url = server.url();
            let output = machine.run(shell, &["none", "evil", "cut", "good"].map(|origin| format!("{url}/{origin}")));
            machine.assert_in_place(&output);
            let evil = format!("{url}/evil/sha256/{}: wrong bytes, not used: sha256 ", digest());
            assert!(said(&output).contains(&evil), "{tool} under {shell:?}: {}", said(&output));
            assert_eq!(asked(&server), ["none", "evil", "cut", "good"], "{tool} under {shell:?}");
            assert!(machine.slept().is_empty(), "a round was not enough");
        }
    }
}

#[test]
fn it_gives_up_after_ten_minutes_and_says_what_to_do() {
    for shell in SHELLS {
        let (server, machine) = (origins(), Machine::with(&["curl"]));
        let url = server.url();
        let output = machine.run(shell, &[format!("{url}/evil"), format!("{url}/cut/")]);
        machine.assert_nothing_in_place(&output);
        assert_eq!(server.requests().len(), 28, "{}", said(&output));
        let slept = machine.slept();
        assert_eq!((slept.len(), slept[..6].to_vec(), slept.iter().sum()), (14, vec![2, 4, 8, 16, 30, 60], 600));
        let words = said(&output);
        let last = format!(
            "anymetal: giving up; asked: {url}/evil {url}/cut/; hint: serve the folder sha256 of `anymetal build`"
        );
        assert!(words.lines().last().unwrap().starts_with(&last), "{words}");
    }
}

#[test]
fn an_origin_that_is_down_at_first_is_asked_again() {
    for shell in SHELLS {
        let machine = Machine::with(&["curl"]);
        let server = Server::start(|_, before| if before < 2 { Response::new(503, "") } else { Response::ok(INIT) });
        let output = machine.run(shell, &[server.url()]);
        machine.assert_in_place(&output);
        assert_eq!((server.requests().len(), machine.slept()), (3, vec![2, 4]));
        assert!(said(&output).contains("503"), "{}", said(&output));
        assert!(said(&output).contains("anymetal: no origin gave anymetal-init; again in 2 s\n"), "{}", said(&output));
    }
}

#[test]
fn an_origin_that_sends_without_end_is_cut_off() {
    let server = Server::start(|request, _| {
        if request.path.starts_with("/flood") { Response::ok(vec![b'x'; 65 << 20]) } else { Response::ok(INIT) }
    });
    for shell in SHELLS {
        let machine = Machine::with(&["curl"]);
        let output = machine.run(shell, &["flood", "good"].map(|origin| format!("{}/{origin}", server.url())));
        machine.assert_in_place(&output);
        assert!(!said(&output).contains("wrong bytes"), "all 65 MiB were taken: {}", said(&output));
    }
}

#[test]
fn what_is_in_place_already_is_not_asked_for() {
    for shell in SHELLS {
        let (server, machine) = (origins(), Machine::with(&["curl"]));
        let origin = [server.url() + "/good"];
        machine.run(shell, &origin);
        let output = machine.run(shell, &origin);
        machine.assert_in_place(&output);
        assert_eq!(asked(&server), ["good"]);
        assert!(said(&output).contains("in place already"), "{}", said(&output));
    }
}

#[test]
fn a_damaged_init_is_replaced() {
    for shell in SHELLS {
        let (server, machine) = (origins(), Machine::with(&["curl"]));
        fs::create_dir_all(machine.init().parent().unwrap()).unwrap();
        fs::write(machine.init(), b"").unwrap();
        fs::set_permissions(machine.init(), fs::Permissions::from_mode(0o755)).unwrap();
        machine.assert_in_place(&machine.run(shell, &[server.url() + "/good"]));
    }
}

#[test]
fn origins_of_the_kernel_command_line_go_first() {
    for shell in SHELLS {
        let (server, machine) = (origins(), Machine::with(&["curl"]));
        let url = server.url();
        let line =
            format!("quiet anymetal.origin={url}/cmdline/ anymetal.origin= console=ttyS0 anymetal.origin={url}/second");
        fs::write(machine.path("root/proc/cmdline"), line).unwrap();
        machine.assert_in_place(&machine.run(shell, &[url + "/good"]));
        assert_eq!(asked(&server), ["cmdline", "second", "good"]);
        assert!(server.requests()[0].path.starts_with("/cmdline/sha256/"), "the slash at the end was kept");
    }
}

#[test]
fn no_certificate_is_asked_for_because_the_bytes_are_pinned() {
    let blob = format!("good/sha256/{}", digest());
    let server = Https::serving(&[(&blob, INIT), (&blob.replace("good", "evil"), b"evil")]);
    for shell in SHELLS {
        for tool in ["curl", "wget", "python3"] {
            let machine = Machine::with(&[tool]);
            let output = machine.run(shell, &["evil", "good"].map(|origin| format!("{}/{origin}", server.url())));
            machine.assert_in_place(&output);
            let words = said(&output);
            assert!(
                words.contains("/evil/sha256/") && words.contains("wrong bytes, not used"),
                "{tool} under {shell:?}: {words}"
            );
        }
    }
}

#[test]
fn an_architecture_the_site_does_not_have_is_named() {
    for shell in SHELLS {
        let machine = Machine::with(&["curl"]);
        let origins = vec!["http://127.0.0.1:9".into()];
        let pins = Pins { release: Pinned { sha256: digest(), size: 1 }, inits: BTreeMap::new(), origins };
        let output = machine.run_pinned(shell, &pins);
        machine.assert_nothing_in_place(&output);
        let words =
            format!("no anymetal-init is pinned for {}; hint: add it to `architectures`", std::env::consts::ARCH);
        assert!(said(&output).contains(&words), "{}", said(&output));
    }
}

/// Answers every request with this status line, and closes.
fn hostile(reason: &'static [u8]) -> (String, std::thread::JoinHandle<()>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _request = stream.read(&mut [0; 4096]).unwrap();
        stream
            .write_all(&[b"HTTP/1.1 404 ", reason, b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"].concat())
            .unwrap();
    };
    (url, std::thread::spawn(serve))
}

/// Row 29 of an adversary's report: a reason phrase painted over the console, and wrote a line of its own.
#[test]
fn what_an_origin_says_is_one_printable_line() {
    let reason =
        b"\x1b[2J\x1b[31mALL GOOD\n anymetal [12/12] settle    done\x07 \xe2\x80\xae node is up \\033[1m \\n%s";
    for shell in SHELLS {
        for tool in ["curl", "wget", "busybox wget", "python3"] {
            let (good, machine) = (origins(), Machine::with(&[tool]));
            let (evil, served) = hostile(reason);
            let output = machine.run(shell, &[evil.clone(), good.url() + "/good"]);
            machine.assert_in_place(&output);
            served.join().unwrap();
            let console = fs::read_to_string(machine.path("root/dev/console")).unwrap();
            for line in console.lines() {
                assert!(line.starts_with("anymetal: "), "{tool} under {shell:?}: {line:?}");
                assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{tool} under {shell:?}: {line:?}");
            }
            let about = console.lines().filter(|line| line.starts_with(&format!("anymetal: {evil}/sha256/"))).count();
            assert_eq!(about, 1, "{tool} under {shell:?}: {console}");
            assert_eq!(console, String::from_utf8_lossy(&output.stdout), "the console says what the journal says");
            assert!(output.stderr.is_empty(), "{tool} under {shell:?}: {}", said(&output));
        }
    }
}

#[test]
fn a_missing_console_and_an_unreadable_command_line_stop_nothing() {
    for shell in SHELLS {
        let (server, machine) = (origins(), Machine::with(&["curl"]));
        for folder in ["root/dev", "root/proc"] {
            fs::remove_dir_all(machine.path(folder)).unwrap();
        }
        machine.assert_in_place(&machine.run(shell, &[server.url() + "/good"]));
    }
}

#[test]
fn a_place_that_cannot_be_made_ends_it() {
    for shell in SHELLS {
        let (server, machine) = (origins(), Machine::with(&["curl"]));
        fs::write(machine.path("root/opt"), "a file").unwrap();
        let output = machine.run(shell, &[server.url() + "/good"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(server.requests().is_empty());
    }
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("fetch-init");
    fs::write(&script, host::fetch_init().unwrap().body).unwrap();
    let output = Command::new(program("shellcheck")).arg("--shell=sh").arg(&script).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn systemd_accepts_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let place = |below: &str| folder.path().join(below);
    for program in ["etc/anymetal/fetch-init", "opt/anymetal/bin/anymetal-init"] {
        fs::create_dir_all(place(program).parent().unwrap()).unwrap();
        anymetal_lab::program::put(place(program), "#!/bin/sh\n");
    }
    // The programs it names are looked for on this machine: for this check they are where the test can put them.
    let unit = host::unit(None).unwrap().body;
    let here = unit
        .replace("=/etc/", &format!("={}/", place("etc").display()))
        .replace("=/opt/", &format!("={}/", place("opt").display()));
    assert_ne!(here, unit);
    fs::write(place("anymetal.service"), here).unwrap();
    let mut command = Command::new(program("systemd-analyze"));
    let output = command
        .arg("verify")
        .arg("--man=no")
        .arg("--recursive-errors=no")
        .arg(place("anymetal.service"))
        .output()
        .unwrap();
    assert!(output.status.success() && said(&output).trim().is_empty(), "{}", said(&output));
}
