//! A node without a machine: its own network, its own copy-on-write view of the host's files, its own processes, production paths.
//! May not touch the host outside its temporary folder and its own network namespace; both go when it is dropped. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use anyhow::Context as _;

use crate::namespace::{Namespace, host};

/// What both ends of the cable are called.
const PORT: &str = "port0";

/// A node: `/` is the host's, overlaid; what it writes stays for its next start, as on a disk, except `/run`.
pub struct Node {
    network: Namespace,
    /// The other end of its cable.
    beside: Namespace,
    dir: tempfile::TempDir,
}

impl Node {
    /// Whether this process may make one. When it may not, the sentence says why.
    pub fn possible() -> Result<(), String> {
        if nix::unistd::geteuid().is_root() { Ok(()) } else { Err("a node needs root for its namespaces".into()) }
    }

    /// A node whose port has these addresses (`10.70.17.9/31`), with the doubles of systemctl and journalctl, and this kernel command line.
    /// `beside` are the addresses at the other end of the cable, a network of its own.
    pub fn new(addresses: &[&str], beside: &[&str], cmdline: &str) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("anymetal-node-").tempdir()?;
        let name = dir
            .path()
            .file_name()
            .context("a temporary folder has a name")?
            .to_string_lossy()
            .replace("anymetal-node-", "am");
        let other = Namespace::new(format!("{name}b"))?;
        let node = Self { network: Namespace::new(name)?, beside: other, dir };
        // A file system of its own: an overlay's upper layer cannot lie in an overlay, and a disk can be made to fill up.
        host(&["mount", "-t", "tmpfs", "-o", "size=1g,mode=0755", "anymetal-node", &node.path("").to_string_lossy()])?;
        for folder in ["upper", "work", "merged"] {
            fs::create_dir(node.path(folder))?;
        }
        fs::write(node.path("cmdline"), format!("{cmdline}\n"))?;
        fs::write(node.path("console"), "")?;
        let bin = node.path("upper/usr/bin");
        fs::create_dir_all(&bin)?;
        let doubles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../doubles");
        for program in ["systemctl", "journalctl", "systemd-run"] {
            fs::copy(doubles.join(format!("{program}-runner-double")), bin.join(program))
                .with_context(|| format!("copying the double of {program}"))?;
        }
        node.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n")?;
        node.network.ip(&["link", "add", PORT, "type", "veth", "peer", "name", PORT, "netns", node.beside.name()])?;
        for (network, addresses) in [(&node.network, addresses), (&node.beside, beside)] {
            for address in addresses {
                // Duplicate address detection would take a second in which an address cannot be used; only IPv6 knows it.
                let detection: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
                network.ip(&[&["address", "add", address, "dev", PORT], detection].concat())?;
            }
            network.ip(&["link", "set", PORT, "up"])?;
        }
        Ok(node)
    }

    /// The network at the other end of the node's cable.
    pub fn beside(&self) -> &Namespace {
        &self.beside
    }

    /// Runs this in the node's network: a listener bound there is reachable from the node, and only from there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.network.inside(work)
    }

    /// Starts a program on the node. Killing the child kills everything it started, at once: a power cut.
    pub fn start(&self, argv: &[&str]) -> anyhow::Result<Child> {
        // Its cgroups are a tree of their own, whose root is the node's.
        const CGROUPS: &str = r#"
            [ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 cgroup2 /sys/fs/cgroup
            mkdir -p "/sys/fs/cgroup/$1"
            echo 0 >"/sys/fs/cgroup/$1/cgroup.procs"
            shift
            exec unshare --cgroup --mount sh -euc "$@""#;
        const SCRIPT: &str = r#"
            d=$1; shift
            mount -t overlay overlay -o "lowerdir=/,upperdir=$d/upper,workdir=$d/work" "$d/merged"
            cd "$d/merged"
            mount -t proc proc proc
            mount -t sysfs sysfs sys
            mount -t cgroup2 cgroup2 sys/fs/cgroup
            # What of the kernel is the whole machine's stays as it is.
            [ ! -e etc/hostname ] || head -n 1 etc/hostname >proc/sys/kernel/hostname
            mount --bind -o ro proc/sys/kernel proc/sys/kernel
            mount --bind "$d/cmdline" proc/cmdline
            mount -t tmpfs tmpfs run
            mount -t tmpfs tmpfs dev
            mkdir dev/shm
            for device in null zero full random urandom; do touch dev/$device; mount --bind /dev/$device dev/$device; done
            touch dev/console; mount --bind "$d/console" dev/console
            exec chroot . "$@""#;
        self.network
            .command("unshare")
            .args(["--mount", "--uts", "--pid", "--fork", "--kill-child=SIGKILL"])
            .args(["sh", "-euc", CGROUPS, "sh", self.network.name(), SCRIPT, "sh"])
            .arg(self.path(""))
            .args(argv)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting a program on the node")
    }

    /// Puts a file onto the node's disk, before it is started.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        let path = self.disk(path);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))
    }

    /// What the node's next start finds on its kernel command line.
    pub fn cmdline(&self, line: &str) -> anyhow::Result<()> {
        fs::write(self.path("cmdline"), format!("{line}\n")).context("writing the kernel command line")
    }

    /// Fills the node's disk until only so many bytes are free. Removing the file that is returned frees it again.
    pub fn fill(&self, free: u64) -> anyhow::Result<PathBuf> {
        let path = self.path("filler");
        let space = nix::sys::statvfs::statvfs(self.dir.path())?;
        let size = (space.blocks_available() * space.fragment_size()).saturating_sub(free);
        let file = fs::File::create(&path)?;
        nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, i64::try_from(size)?)?;
        Ok(path)
    }

    /// Where the node's own copy of a path is, when the node has written it.
    pub fn disk(&self, path: &str) -> PathBuf {
        self.path("upper").join(path.trim_start_matches('/'))
    }

    /// What the node has said on its console so far.
    pub fn console(&self) -> String {
        fs::read_to_string(self.path("console")).unwrap_or_default()
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = host(&["umount", "--lazy", &self.path("").to_string_lossy()]) {
            eprintln!("the lab could not clean up: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_disk_loses_its_run_and_leaves_the_host_alone() {
        if let Err(why) = Node::possible() {
            eprintln!("skipped: {why}");
            return;
        }
        let node = Node::new(&["10.70.17.9/31"], &["10.70.17.8/31"], "quiet anymetal.test=1").unwrap();
        let server =
            node.inside(|| crate::http::Server::start_at("10.70.17.9:0", |_, _| crate::http::Response::ok("hello")));
        let script = "cat /proc/cmdline; ip -o -4 address show; echo kept >/etc/anymetal-kept; echo lost >/run/anymetal-lost; echo said >/dev/console";
        let first = node.start(&["sh", "-euc", script]).unwrap().wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&first.stdout);
        assert!(
            said.contains("anymetal.test=1") && said.contains("10.70.17.9/31"),
            "{said} {}",
            String::from_utf8_lossy(&first.stderr)
        );
        let again = format!("cat /etc/anymetal-kept; test ! -e /run/anymetal-lost; curl -s {}", server.url());
        let second = node.start(&["sh", "-euc", &again]).unwrap().wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&second.stdout),
            "kept\nhello",
            "{}",
            String::from_utf8_lossy(&second.stderr)
        );
        assert_eq!(node.console(), "said\n");
        assert!(!Path::new("/etc/anymetal-kept").exists(), "the node wrote to the host");
    }
}
