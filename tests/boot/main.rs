//! Ring 4: real machines in QEMU. Real kernel, real systemd, real cloud-init, the exact artefacts, one machine at a time.
//! May not need more of the internet than this machine's own package mirror.
//!
//! `cargo test -p anymetal --features qemu --test boot`; a machine takes about a minute under software emulation. The demo's site is built
//! with the init that `anymetal build` finds, or with the one `ANYMETAL_INIT` names.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: runs the shipped binary and reads what it leaves"
)]

mod gobgp;
mod platform;
#[path = "../node/site.rs"]
mod site;
mod tenant;

use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anymetal::boot::show::Show;
use anymetal::boot::{self, Boot, Delivery, PublicPort, Verdict, Visit, lan};
use anymetal::sys::tools::{self, QEMU_IMG, Tool};
use anymetal_contract::plan::Arch;
use anymetal_contract::{Outcome, Phase, place};
use anymetal_lab::archive::sha256;
use anymetal_lab::outside::Outside;
use anymetal_lab::scan::{self, Udp};
use anymetal_lab::shipped;

const DEBUGFS: Tool = Tool { program: "debugfs", package: "e2fsprogs" };

/// Two emulated machines at once would only make both slower than their deadlines.
static BENCH: Mutex<()> = Mutex::new(());

fn bench() -> MutexGuard<'static, ()> {
    BENCH.lock().unwrap_or_else(PoisonError::into_inner)
}

fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../images/demo").join(file)
}

/// The demo's site with lines of the author's own, in a folder where a site of the same name has the same secrets.
fn demo_in(folder: &Path, name: &str, extra: &str) -> PathBuf {
    let site = folder.join(name);
    std::fs::write(&site, std::fs::read_to_string(demo("site.yaml")).unwrap() + extra).unwrap();
    if !folder.join("secrets.yaml").exists() {
        let made = Command::new(env!("CARGO_BIN_EXE_anymetal")).args(["secrets", "new"]).arg(&site).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    site
}

/// `anymetal boot` of the demo's site.
fn anymetal_boot(site: &Path, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anymetal"));
    command.arg("boot").arg(site).arg("--artefacts").arg(shipped::artefacts());
    command.arg("--serial-log").arg(folder.join("serial.log")).arg("--junit").arg(folder.join("junit.xml"));
    if let Some(init) = std::env::var_os("ANYMETAL_INIT") {
        command.arg("--init").arg(init);
    }
    command.args(arguments).output().unwrap()
}

fn expect_code(output: &Output, code: i32) -> String {
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

/// What a machine holds that must not depend on how often its power was cut: files and folders, read from its disk.
fn state(disk: &Path) -> Vec<(String, String)> {
    let raw = disk.with_extension("raw");
    let arguments = ["convert", "-O", "raw"].map(str::to_owned).into_iter();
    tools::output(QEMU_IMG, &arguments.chain([disk, &raw].map(|path| path.display().to_string())).collect::<Vec<_>>())
        .unwrap();
    let ask =
        |question: String| tools::output(DEBUGFS, &["-R".to_owned(), question, raw.display().to_string()]).unwrap();
    // Release and plan of the two sites differ by the one word, and so do their digests.
    let own = [place::PLAN, place::RELEASE].map(|file| sha256(ask(format!("cat {file}")).as_bytes()).to_string());
    // `/inode/mode/user/group/name/size/`: the inode says only in which order files were made.
    let list = |folder: &str| {
        let lines = ask(format!("ls -p {folder}"));
        let mut entries: Vec<&str> = lines.lines().filter_map(|line| line.splitn(3, '/').nth(2)).collect();
        // Its text is compared, but for the one word; its size has that word in it.
        let differs =
            |entry: &&str| entry.contains("/plan.json/") || own.iter().any(|sha256| entry.contains(sha256.as_str()));
        entries.retain(|entry| !differs(entry));
        entries.sort_unstable();
        entries.join("\n")
    };
    let files =
        [place::PLAN, "/etc/anymetal/consul/consul.json", "/etc/bird/bird.conf", "/etc/systemd/system/consul.service"];
    let folders =
        [place::STORE, "/opt/anymetal/consul", "/opt/anymetal/consul/1.8.7", "/etc/anymetal", "/etc/anymetal/consul"];
    // The one word by which the two plans differ.
    let text = |file| ask(format!("cat {file}")).replace("\"secrets\":\"medium\"", "\"secrets\":\"user-data\"");
    let texts = files.map(|file| (file.to_owned(), text(file)));
    let state: Vec<_> = texts.into_iter().chain(folders.map(|folder| (folder.to_owned(), list(folder)))).collect();
    std::fs::remove_file(raw).unwrap();
    for (path, content) in &state {
        assert!(!content.is_empty(), "{path} is not on the machine's disk, or is empty");
    }
    state
}

#[test]
fn a_node_boots_and_one_whose_power_is_cut_twice_ends_the_same() {
    let _alone = bench();
    let folder = tempfile::tempdir().unwrap();
    let (whole, cut) = (folder.path().join("whole.qcow2"), folder.path().join("cut.qcow2"));

    // One has its secrets in the user-data, the other on the volume that its user-data comes on too: the same secrets in the end.
    // The one is signed, by a key that the boot makes for itself in place of one that nobody here has.
    let signers = "\nsigners: [RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ]\n";
    let site = demo_in(folder.path(), "site.yaml", signers);
    let boot = anymetal_boot(&site, folder.path(), &["--delivery", "ec2", "--disk", whole.to_str().unwrap()]);
    let said = expect_code(&boot, 0);
    assert!(said.contains("node is up") && !said.contains("warning:"), "{said}");
    assert!(said.contains(", signed by the key ") && said.contains("serial 1"), "{said}");
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    assert!(junit.contains(r#"failures="0""#), "{junit}");

    // Two megabytes a second: the artefact of 20 is under way for long enough to be cut in its middle.
    let faults = ["--fault", "slow=2000000", "--cut-at", "acquire+3", "--cut-at", "services+1"];
    let arguments =
        [&["--delivery", "nocloud", "--deadline", "900", "--disk", cut.to_str().unwrap()], &faults[..]].concat();
    let site = demo_in(folder.path(), "medium.yaml", &format!("{signers}secrets: {{deliver: medium}}\n"));
    let said = expect_code(&anymetal_boot(&site, folder.path(), &arguments), 0);
    assert!(said.contains("switched on 3 times"), "{said}");
    assert_eq!(state(&whole), state(&cut));
}

#[test]
fn a_wrong_artefact_ends_the_boot_and_is_named_with_what_to_do() {
    let _alone = bench();
    let folder = tempfile::tempdir().unwrap();
    let (site, _) = anymetal::site::read(&demo("site.yaml")).unwrap();
    let pinned = &site.components["consul"].artefacts[&Arch::X86_64];
    // The site's own origin cannot be reached from here, and one that cannot be reached may come back: so the phase ends at its deadline.
    let own = folder.path().join("site.yaml");
    let text = std::fs::read_to_string(demo("site.yaml")).unwrap();
    std::fs::write(&own, text + "\ndeadlines: {acquire: 20}\n").unwrap();
    let corrupt = format!("corrupt={}", pinned.sha256);
    let said = expect_code(&anymetal_boot(&own, folder.path(), &["--fault", &corrupt]), 2);
    for part in
        ["acquire failed: ", "(artefact-mismatch)", "hint: put the right file", "the last lines of the serial console"]
    {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

/// A machine that plays a node: it counts its boots and posts what a node would.
const PLAYER: &str = r#"#cloud-config
write_files:
- path: /usr/local/sbin/play
  permissions: "0755"
  content: |
    #!/bin/sh
    url=$(sed -n 's/.*anymetal.report=\([^ ]*\).*/\1/p' /proc/cmdline)
    boots=$(($(cat /var/lib/boots 2>/dev/null || echo 0) + 1))
    echo $boots >/var/lib/boots; sync
    say() {
      curl -sS -m 20 -d "{\"kind\":\"anymetal.event\",\"version\":1,\"seq\":1,\"time\":\"$boots\",\"site\":\"s\",\"node\":\"$(hostname)\",\"plan\":\"\",\"phase\":\"$1\",\"outcome\":\"$2\",\"message\":\"$3\"$4}" "$url"
    }
    say acquire started "boot $boots"
    [ $boots = 1 ] && exec sleep 600
    say acquire done "all of it"
    echo "no space left on the player" >/dev/console
    say install failed "the player has no space" ',"reason":"disk-full"'
- path: /etc/systemd/system/play.service
  content: |
    [Unit]
    Wants=network-online.target
    After=network-online.target
    [Service]
    ExecStart=/usr/local/sbin/play
    [Install]
    WantedBy=multi-user.target
runcmd:
- [systemctl, enable, --now, --no-block, play.service]
"#;

/// What the player is told once its boot has failed: to listen, behind a firewall.
const LISTEN: &str = r#"
nft -f - <<'END'
table inet player {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname lo accept
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport { 22, 80 } accept
    udp dport 8600 accept
    tcp dport 81 reject with tcp reset
    udp dport 8301 reject
  }
}
END
cat >/run/listen.py <<'END'
import socket, threading
def tcp(port):
    server = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    while True:
        client, peer = server.accept()
        client.sendall(peer[0].encode())
        client.close()
def udp(port):
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", port))
    while True:
        server.sendto(*server.recvfrom(2048))
for serve, port in [(tcp, 80), (tcp, 81), (tcp, 4646), (udp, 8600), (udp, 8302)]:
    threading.Thread(target=serve, args=(port,)).start()
END
python3 /run/listen.py >/dev/null 2>&1 &
ip address add 198.51.100.7/32 dev lo
ip address add 2001:db8:a::7/128 dev lo
mount -o ro /dev/disk/by-label/CIDATA /mnt
cat /mnt/anymetal-secrets.json
sed -n 's/^MemTotal: *\([0-9]*\) kB$/memory \1/p' /proc/meminfo
ip route show default
ip -6 route show default
# Some hundred KiB, of which nothing may be lost.
seq 60000
exit 7
"#;

/// What the player looks like from inside, whatever its public port is connected to.
fn look_inside(visit: &Visit<'_>) {
    let ran = visit.run(LISTEN, Duration::from_mins(2)).unwrap();
    let lines: Vec<&str> = ran.output.lines().collect();
    assert_eq!(ran.status, 7, "{:?}", &lines[..lines.len().min(20)]);
    let [secrets, memory, route, numbers @ ..] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(*secrets, r#"{"kind":"anymetal.secrets"}"#);
    let memory: u64 = memory.strip_prefix("memory ").unwrap().parse().unwrap();
    assert!((1300 * 1024..1536 * 1024).contains(&memory), "{memory} KiB");
    assert!(route.starts_with(&format!("default via {} ", lan::PRIVATE_GATEWAY)), "{route}");
    // So there was one default route, none of IPv6, and nothing else was said.
    assert_eq!((numbers.len(), numbers.first(), numbers.last()), (60_000, Some(&"1"), Some(&"60000")));
    let late = visit.run("echo begun; sleep 100", Duration::from_secs(1)).unwrap();
    assert_eq!((late.status, late.output.as_str()), (124, "begun\n"));
}

/// What it looks like from its public network.
fn look_from_outside(outside: &Outside) {
    let limit = Duration::from_mins(1);
    let machines: [IpAddr; 2] = [lan::PUBLIC.parse().unwrap(), lan::PUBLIC6.parse().unwrap()];
    let anycast: [IpAddr; 2] = ["198.51.100.7".parse().unwrap(), "2001:db8:a::7".parse().unwrap()];
    outside.route("198.51.100.7/32", machines[0]).unwrap();
    outside.route("2001:db8:a::7/128", machines[1]).unwrap();
    // To its neighbours there, and to strangers from far away, whom it answers by the way they came; at its own and its anycast addresses.
    for (machine, from) in [
        (machines[0], lan::PUBLIC_GATEWAY),
        (machines[0], "192.0.2.99"),
        (anycast[0], "192.0.2.99"),
        (machines[1], lan::PUBLIC6_GATEWAY),
        (machines[1], "2001:db8:99::1"),
        (anycast[1], "2001:db8:99::1"),
    ] {
        outside.wait_for((machine, 80), limit).unwrap();
        let mut heard = String::new();
        let mut stream = outside.connect(Some(from.parse().unwrap()), (machine, 80), limit).unwrap();
        stream.read_to_string(&mut heard).unwrap();
        assert_eq!(heard.trim_start_matches("::ffff:"), from);
    }
    let scans = std::thread::scope(|scope| {
        let scans = machines.map(|machine| scope.spawn(move || outside.inside(|| scan::tcp(machine, 1..=u16::MAX))));
        scans.map(|scan| scan.join().unwrap().unwrap())
    });
    for found in scans {
        let sets = (found.open.iter().collect::<Vec<_>>(), found.refused.iter().collect::<Vec<_>>());
        assert_eq!(sets, (vec![&22, &80], vec![&81]), "{found:?}");
        assert_eq!(found.silent.len(), 65_535 - 3);
    }
    for machine in machines {
        let found = outside.inside(|| [8600, 8301, 8302, 4648].map(|port| scan::udp(machine, port).unwrap()));
        assert_eq!(found, [Udp::Answers, Udp::Refuses, Udp::Silent, Udp::Silent], "{machine}");
    }
}

#[test]
fn the_harness_cuts_the_power_names_the_phase_that_fails_and_lets_a_visitor_look() {
    let _alone = bench();
    let folder = tempfile::tempdir().unwrap();
    let outside = match Outside::possible() {
        Ok(()) => Some(
            Outside::new(&["203.0.113.10/29", "2001:db8:70:17::2/64", "192.0.2.99/32", "2001:db8:99::1/128"]).unwrap(),
        ),
        Err(why) => {
            eprintln!("not looked at from outside: {why}");
            None
        }
    };
    let boot = Boot {
        delivery: Delivery::NoCloud,
        medium: vec![(place::MEDIUM_SECRETS.to_owned(), b"{\"kind\":\"anymetal.secrets\"}\n".to_vec())],
        cuts: vec!["acquire+1".parse().unwrap()],
        memory_mib: 1536,
        public: outside.as_ref().map_or(PublicPort::Closed, |outside| PublicPort::Tap(outside.tap())),
        ..Boot::new(PLAYER.into(), "debian-12", folder.path().join("serial.log"))
    };
    let (ended, ()) = boot::visited(&boot, &mut Show::on_stderr(), &|_| Ok(()), |visit| {
        let verdict = visit.verdict().unwrap();
        assert!(matches!(verdict, Verdict::Failed { phase: Phase::Install, .. }), "{}", verdict.sentence());
        look_inside(visit);
        if let Some(outside) = &outside {
            look_from_outside(outside);
        }
    })
    .unwrap();
    let Verdict::Failed { phase, message, reason, hint } = &ended.verdict else {
        panic!("the boot ended otherwise: {}", ended.summary());
    };
    assert_eq!(
        (*phase, message.as_str(), reason.as_deref()),
        (Phase::Install, "the player has no space", Some("disk-full"))
    );
    assert!(hint.is_some_and(|hint| hint.contains("free space")));
    assert_eq!(ended.power_ons, 2);
    assert_eq!(ended.board.standing(Phase::Acquire).message, "all of it");
    assert_eq!(ended.board.standing(Phase::Acquire).outcome, Some(Outcome::Done));
    assert_eq!(ended.board.node, "boot-1");
    // The machine of the platform's own cloud.cfg phones home before runcmd, once per instance.
    assert_eq!(ended.log.asked("/phone-home").count(), 1);
    assert!(ended.console.last().any(|line| line.contains("no space left on the player")));
    let junit = boot::report::junit("player", &ended).unwrap();
    assert!(junit.contains(r#"type="disk-full""#), "{junit}");
}
