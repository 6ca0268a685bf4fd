//! Conversations: with a BIRD of the host in a namespace, and with listeners that behave as no BIRD does.
//! May not touch the host's own BIRD.

use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anymetal_lab::namespace::Namespace;
use anymetal_lab::wait;

use super::control::Control;
use super::holding::{self, Held, Holding};

const LIMIT: Duration = Duration::from_secs(5);
const NODE: &str = include_str!("../../../tests/bird/node.conf");
const NEIGHBOUR: &str = include_str!("../../../tests/bird/neighbour.conf");

/// A BIRD in a namespace; ends with the test.
struct Running {
    child: Child,
    socket: PathBuf,
}

impl Running {
    fn start(namespace: &Namespace, folder: &Path, name: &str, configuration: &str) -> Self {
        let path = |ending: &str| folder.join(format!("{name}.{ending}"));
        crate::sys::fs::replace_lightly(&path("conf"), configuration.as_bytes(), 0o644).unwrap();
        let mut command = namespace.command("bird");
        command.arg("-f").arg("-c").arg(path("conf")).arg("-s").arg(path("ctl")).arg("-P").arg(path("pid"));
        let running = Self { child: command.spawn().unwrap(), socket: path("ctl") };
        wait("bird answers", || Control::open(&running.socket, LIMIT).is_ok());
        running
    }

    fn control(&self) -> Control {
        Control::open(&self.socket, LIMIT).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // `ip netns exec` becomes the program, so this is BIRD itself.
        self.child.kill().and_then(|()| self.child.wait()).expect("a bird of the test could not be ended");
    }
}

fn wait(what: &str, is_so: impl FnMut() -> bool) {
    assert!(wait::until(Duration::from_secs(30), is_so), "waited 30 s and never: {what}");
}

fn network() -> Option<Namespace> {
    let is_there = std::env::var_os("PATH").is_some_and(|path| crate::sys::process::find("bird", &path).is_some());
    if !is_there || !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: this needs bird on PATH, and root for a network namespace");
        return None;
    }
    let namespace = Namespace::new(format!("ambird-{}", std::process::id())).unwrap();
    for address in ["10.7.0.1/32", "10.7.0.5/32", "fd07::1/128", "fd07::5/128"] {
        namespace.ip(&["addr", "add", address, "dev", "lo"]).unwrap();
    }
    Some(namespace)
}

/// The protocols that the routes of this BIRD come from, the best of each prefix first.
fn best(control: &mut Control) -> Vec<String> {
    let reply = control.ask("show route").unwrap();
    let stars = reply.lines.iter().filter(|line| line.text.contains('*'));
    stars.map(|line| line.text.split(['[', ' ']).find(|word| word.starts_with("anycast")).unwrap().to_owned()).collect()
}

/// The routes a neighbour has with this community, and how many withdrawals it has had.
fn heard(control: &mut Control) -> (Vec<String>, u64) {
    let reply = control.ask("show route all").unwrap();
    let mut routes = Vec::new();
    for line in &reply.lines {
        if line.code == 1007 && line.text.contains("node") {
            routes.push(String::new());
        } else if let Some((_, communities)) =
            line.text.trim().split_once("_community: ").or_else(|| line.text.split_once(".community: "))
        {
            routes.last_mut().unwrap().push_str(communities);
        }
    }
    let mut withdrawals = 0;
    for name in ["node4", "node6"] {
        let reply = control.ask(&format!("show protocols all {name}")).unwrap();
        let counts = reply.lines.iter().find_map(|line| line.text.trim().strip_prefix("Import withdraws:"));
        withdrawals += counts.unwrap().split_whitespace().next().unwrap().parse::<u64>().unwrap();
    }
    (routes, withdrawals)
}

#[test]
fn every_transition_is_an_update_at_the_neighbour_and_only_a_withdrawal_is_a_withdrawal() {
    let Some(namespace) = network() else { return };
    let folder = tempfile::tempdir().unwrap();
    let node = Running::start(&namespace, folder.path(), "node", NODE);
    let neighbour = Running::start(&namespace, folder.path(), "neighbour", NEIGHBOUR);
    let (mut node, mut there) = (node.control(), neighbour.control());
    wait("both sessions are established", || {
        let names = ["edge_v4_1", "edge_v6_1"];
        super::table::established(&node.protocols().unwrap(), &names) == names
    });
    let all = [Holding::Nothing, Holding::Normal, Holding::Last, Holding::Drain];
    for (from, to) in all.into_iter().flat_map(|from| all.map(|to| (from, to))) {
        hold(&mut node, &mut there, from);
        let (_, before) = heard(&mut there);
        hold(&mut node, &mut there, to);
        let expected = if from != Holding::Nothing && to == Holding::Nothing { 2 } else { 0 };
        let (_, after) = heard(&mut there);
        assert_eq!(after - before, expected, "withdrawals from {from} to {to}");
        assert_eq!(node.hold(to).unwrap(), [""; 0], "{to} is held already");
    }
    hold(&mut node, &mut there, Holding::Drain);
    let done = node.withdraw().unwrap();
    assert_eq!(done, ["anycast4_drain: disabled", "anycast6_drain: disabled"]);
    wait("the neighbour has nothing", || heard(&mut there).0.is_empty());
    assert_eq!(node.withdraw().unwrap(), [""; 0], "the second time there is nothing to withdraw");
    assert_eq!(there.withdraw().unwrap(), [""; 0], "a BIRD without anycast has nothing to withdraw");
}

/// Holds it, and waits until the neighbour has heard.
fn hold(node: &mut Control, neighbour: &mut Control, wanted: Holding) {
    let (ending, communities) = match wanted {
        Holding::Nothing | Holding::Normal => ("", ""),
        Holding::Last => ("_last", "(64512,70)"),
        Holding::Drain => ("_drain", "(65535,0)"),
    };
    node.hold(wanted).unwrap();
    // What was disabled is flushed first, and may be seen at it.
    wait(&format!("bird holds {wanted}"), || holding::actual(&node.protocols().unwrap()) == Held::All(wanted));
    let count = if wanted == Holding::Nothing { 0 } else { 2 };
    let names: Vec<_> = ["anycast4", "anycast6"].iter().take(count).map(|name| format!("{name}{ending}")).collect();
    wait(&format!("the routes are those of {wanted}"), || best(node) == names);
    wait(&format!("the neighbour has {wanted}"), || heard(neighbour).0 == vec![communities; count]);
    for session in ["edge_v4_1", "edge_v6_1"] {
        let exported = || node.exported(session).unwrap() == Some(u64::from(wanted != Holding::Nothing));
        wait(&format!("{session} exports what is held"), exported);
    }
}

/// What a conversation with a listener that says this, and then nothing or its end, comes to.
fn told(words: &'static [u8], stays: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ctl");
    let listener = UnixListener::bind(&path).unwrap();
    let speaker = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(words).unwrap();
        stays.then_some(stream)
    });
    let said = Control::open(&path, Duration::from_millis(200)).and_then(|mut control| {
        control.ask("show\nprotocols").expect_err("a command of two lines was sent");
        control.ask("show protocols").expect_err("nobody answers");
        control.ask("show protocols")
    });
    drop(speaker.join().unwrap());
    format!("{:#}", said.unwrap_err()).replace(path.to_str().unwrap(), "CTL")
}

#[test]
fn a_listener_that_is_no_bird_or_hangs_is_told_as_such() {
    let silent = told(b"", true);
    assert!(silent.starts_with("waiting for bird's greeting at CTL: "), "{silent}");
    assert!(silent.ends_with("nothing moved in the time there was"), "{silent}");
    let closed = told(b"", false);
    assert!(closed.ends_with("bird closed the connection: it ends, or has been restarted"), "{closed}");
    let other = told(b"220 mail.example ESMTP\n", true);
    assert!(other.ends_with("bird sent what is no line of a reply: \"220 mail.example ESMTP\""), "{other}");
    let greeting = told(b"0000 hello\n", true);
    assert_eq!(greeting, "what listens at CTL is not bird: it greets with \"0000 hello\"");
    let broken = told(b"0001 BIRD 2.0.12 ready.\n", true);
    assert!(broken.ends_with("an earlier command on this connection had no answer"), "{broken}");
}

#[test]
fn a_bird_that_does_not_run_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ctl");
    let said = |path: &Path| format!("{:#}", Control::open(path, LIMIT).unwrap_err());
    let hint = "(bird is not running: `systemctl status bird`)";
    assert!(said(&path).contains(hint), "{}", said(&path));
    drop(UnixListener::bind(&path).unwrap());
    assert!(said(&path).contains(hint), "{}", said(&path));
}
