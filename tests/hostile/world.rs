//! A node's network with something behind every door, and the router beside it, which plays the metadata, a neighbour and the internet.
//! May not judge.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use anymetal_lab::shipped;
use anymetal_lab::topology::{EDGE_PORT, GATEWAY4, GATEWAY6, NODE_PORT, Topology};

/// Somebody on the internet.
pub const PUBLIC: &str = "192.0.2.99:443";

/// What answers on the node itself.
const ON_NODE: &[&str] = &[
    "127.0.0.1:4647",
    "127.0.0.1:8300",
    "127.0.0.1:8500",
    "127.0.0.1:8501",
    "127.0.0.1:3030",
    "127.0.0.1:5309",
    "127.0.0.1:8081",
    "127.0.0.1:9469",
    "10.66.142.17:4647",
    "10.66.142.17:4655",
    "198.51.100.7:8443",
    "198.51.100.7:80",
    "[::1]:8500",
    "127.0.0.1:25000",
    "10.66.142.17:25000",
    "[::1]:25000",
    "127.0.0.53:53",
];
/// What answers elsewhere: addresses of the router's loopback, or of its end of the cable.
const ELSEWHERE: &[&str] = &[
    "169.254.169.254:80",
    "[fd00:ec2::254]:80",
    "10.66.142.16:8500",
    "169.254.255.1:179",
    "[fc00::e]:179",
    PUBLIC,
    "[2001:db8:99::1]:443",
];

/// All of it; it goes when it is dropped.
pub struct World {
    pub topology: Topology,
    pub folder: tempfile::TempDir,
    asked: Arc<Mutex<BTreeSet<String>>>,
}

impl World {
    /// Nothing where it cannot be had, and says why.
    pub fn new() -> Option<Self> {
        if let Err(why) = Topology::possible() {
            eprintln!("skipped: {why}");
            return None;
        }
        let topology = Topology::new().unwrap();
        for address in ["169.254.169.254/32", "fd00:ec2::254/128", "192.0.2.99/32", "2001:db8:99::1/128"] {
            topology.edge.ip(&["address", "add", address, "dev", "lo"]).unwrap();
        }
        topology.node.ip(&["address", "add", "198.51.100.7/32", "dev", "lo"]).unwrap();
        topology.node.ip(&["route", "add", "default", "via", GATEWAY4, "dev", NODE_PORT]).unwrap();
        topology.node.ip(&["-6", "route", "add", "default", "via", GATEWAY6, "dev", NODE_PORT]).unwrap();
        topology.edge.ip(&["link", "set", EDGE_PORT, "up"]).unwrap();
        let world = Self { topology, folder: tempfile::tempdir().unwrap(), asked: Arc::default() };
        for (network, addresses) in [(&world.topology.node, ON_NODE), (&world.topology.edge, ELSEWHERE)] {
            network.inside(|| addresses.iter().for_each(|address| world.answer(address)));
        }
        network_of_names(&world);
        Some(world)
    }

    /// Answers at that address, in this thread's network.
    fn answer(&self, address: &'static str) {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("listening at {address}: {error}"));
        let asked = Arc::clone(&self.asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                asked.lock().unwrap().insert(address.to_owned());
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let _what_it_asks = stream.read(&mut [0; 512]);
                    let _it_may_have_gone = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nsecrets\n");
                });
            }
        });
    }

    /// Whether anybody has connected to that address.
    pub fn asked(&self, address: &str) -> bool {
        self.asked.lock().unwrap().contains(address)
    }

    /// Whether a real Nomad is asked for on a machine that has the old hierarchies beside the unified one: it then goes by them, and so does
    /// its container library in naming the unified one's groups. On a node there is the unified one alone.
    fn by_old_cgroups() -> bool {
        std::env::var_os("ANYMETAL_REAL_NOMAD").is_some() && !Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
    }

    /// Below which cgroup Nomad's tasks are.
    fn cgroup() -> &'static str {
        if Self::by_old_cgroups() { "nomad" } else { "nomad.slice" }
    }

    /// A shell's script that will run in the node's network, with mounts and a tree of cgroups of its own.
    pub fn command(&self, firewall: bool, script: &str) -> Command {
        const OWN: &str = r#"[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
            mkdir -p "/sys/fs/cgroup/$0"; echo 0 >"/sys/fs/cgroup/$0/cgroup.procs"
            script=$1; shift; exec unshare --cgroup --mount sh -euc "umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/nomad.slice
            $script" "$@""#;
        const HOSTS: &str = r#"mount -t cgroup2 cgroup2 /sys/fs/cgroup; mkdir -p /sys/fs/cgroup/nomad; script=$1; shift; exec sh -euc "$script" "$@""#;
        const NONE: &str = r#"script=$1; shift; exec sh -euc "$script" "$@""#;
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.topology.node.name()));
        command.args(["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "sh", "-euc"]);
        command.arg(match (Self::by_old_cgroups(), firewall) {
            (false, _) => OWN,
            (true, true) => HOSTS,
            (true, false) => NONE,
        });
        command.args([self.topology.node.name(), script]);
        command
    }

    /// Loads the rules that a node has, changed so. What is in them by name is there: users, and the cgroup of what Nomad runs.
    pub fn firewall(&self, change: impl FnOnce(&str) -> String) {
        const LOAD: &str = r#"mount --bind "$1" /etc/passwd; exec nft --file "$0""#;
        let rules = fs::read_to_string(golden("anymetal.nft")).unwrap();
        let (file, passwd) = (self.folder.path().join("anymetal.nft"), self.folder.path().join("passwd"));
        fs::write(&file, change(&rules)).unwrap();
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let known = |name: &str| users.lines().any(|line| line.split(':').next() == Some(name));
        let missing = ["traefik", "bindle", "hippo"].iter().enumerate().filter(|(_, name)| !known(name));
        let mut all = users.clone();
        for (number, name) in missing {
            writeln!(all, "{name}:x:{}:65534::/:/bin/false", 990 + number).unwrap();
        }
        fs::write(&passwd, all).unwrap();
        let rules = fs::read_to_string(&file).unwrap();
        fs::write(&file, rules.replace("\"nomad.slice\"", &format!("\"{}\"", Self::cgroup()))).unwrap();
        let mut load = self.command(true, LOAD);
        load.arg(&file).arg(&passwd);
        load.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let said = load.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    /// Sets what a node's sysctl.d sets of its network. The rest is the whole machine's, which is not ours.
    pub fn sysctl(&self) {
        let text = fs::read_to_string(golden("sysctl.conf")).unwrap();
        let mut set = 0;
        for (key, value) in
            text.lines().filter_map(|line| line.split_once(" = ")).filter(|(key, _)| key.starts_with("net."))
        {
            let path = format!("/proc/sys/{}", key.replace('.', "/"));
            self.topology
                .node
                .inside(|| fs::write(&path, value))
                .unwrap_or_else(|error| panic!("writing {path}: {error}"));
            set += 1;
        }
        assert!(set > 0, "no key of the network is in\n{text}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whatever was in them is gone by now; what is left are empty folders of the kernel's.
        let script = r#"[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
            find "/sys/fs/cgroup/$0" -depth -type d -exec rmdir {} +"#;
        let name = self.topology.node.name();
        let _may_be_none = Command::new("unshare").args(["--mount", "sh", "-uc", script, name]).output();
    }
}

fn network_of_names(world: &World) {
    fs::write(world.folder.path().join("hosts"), "127.0.0.1 localhost\n169.254.169.254 metadata.test\n").unwrap();
    // Closed doors answer UDP as well: that nobody listens must not look like a refusal.
    let sockets: Vec<UdpSocket> = world.topology.node.inside(|| vec![UdpSocket::bind("127.0.0.1:8301").unwrap()]);
    let far: Vec<UdpSocket> = world.topology.edge.inside(|| {
        let at: SocketAddr = format!("{GATEWAY4}:53").parse().unwrap();
        vec![UdpSocket::bind(at).unwrap()]
    });
    // For as long as the suite runs.
    std::mem::forget((sockets, far));
}

/// A file as the goldens have it, for the machine whose addresses the lab's node has.
pub fn golden(name: &str) -> PathBuf {
    shipped::top().join("tests/metadata/goldens/whole").join(name)
}

/// A program that `make doubles` builds.
pub fn double(name: &str) -> PathBuf {
    let path = shipped::top().join("target/doubles/x86_64-unknown-linux-musl/release").join(name);
    if !path.is_file() {
        let made = Command::new("make").args(["--no-print-directory", "doubles"]).current_dir(shipped::top()).status();
        assert!(made.is_ok_and(|status| status.success()), "make doubles failed");
    }
    path
}
