//! A real systemd as the first process of its own mounts and processes, inside a given network: units, watchdogs and exits as on a node.
//! May not touch the host's systemd, nor its files but through what is mounted over them; everything goes when it is dropped. Needs root.
//!
//! What is the host's: its files, read and written as they are, except `/run`, `/tmp` and whatever is bound or made new.
//! What is its own: the network, the process ids, `/run` (so the control socket of systemd itself), its units and its cgroups.
//! The clock is everybody's, so watchdogs take as long as they take.
//!
//! ```no_run
//! # fn example(node: &anymetal_lab::namespace::Namespace) -> anyhow::Result<()> {
//! use std::time::Duration;
//! use anymetal_lab::systemd::Systemd;
//! let systemd = Systemd::new()
//!     .unit("bird.service", "[Service]\nExecStart=/usr/sbin/bird -f -c /etc/bird/bird.conf\n")
//!     .bind("/some/folder/etc-bird", "/etc/bird")  // a folder or a file, which may be missing on the host below /run and /tmp only
//!     .fresh("/var/log/anymetal")                  // an empty one in memory
//!     .start(node, &["bird.service"])?;            // what is wanted at once
//! systemd.wait_active("bird.service", Duration::from_secs(10))?;
//! let id = systemd.main_pid("bird.service")?;      // as the host counts, for kill(2)
//! # Ok(()) }
//! ```

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::bgp::ask;
use crate::cgroup::Cgroup;
use crate::namespace::Namespace;
use crate::wait;

/// Where Debian has it.
const PROGRAM: &str = "/lib/systemd/systemd";
/// The unit that wants what is wanted. Nothing else is started: no login, no mounts, no journal.
const TARGET: &str = "anymetal-lab.target";
/// How long systemd may take until it answers.
const STARTS: Duration = Duration::from_secs(20);

/// What is to be there, before it is started.
#[derive(Debug, Default)]
pub struct Plan {
    units: Vec<(String, String)>,
    binds: Vec<(PathBuf, PathBuf)>,
    fresh: Vec<PathBuf>,
}

impl Plan {
    /// A unit file, by its name (`bird.service`) or with a folder (`bird.service.d/lab.conf`).
    #[must_use]
    pub fn unit(mut self, name: &str, text: &str) -> Self {
        self.units.push((name.into(), text.into()));
        self
    }

    /// A folder or file of the host's that is seen elsewhere too. The place is made when it is below `/run` or `/tmp`, or bound or made
    /// fresh above; elsewhere it has to be on the host, because the host is not written to.
    #[must_use]
    pub fn bind(mut self, what: impl AsRef<Path>, place: impl AsRef<Path>) -> Self {
        self.binds.push((what.as_ref().into(), place.as_ref().into()));
        self
    }

    /// An empty folder in memory over one of the host's; of a place that the host does not have, over the nearest folder above it that it has,
    /// so only for what the host has or what is below one that can be empty (`/var/log`, `/opt`).
    #[must_use]
    pub fn fresh(mut self, place: impl AsRef<Path>) -> Self {
        self.fresh.push(place.as_ref().into());
        self
    }

    /// Starts it in this network, and waits until it answers; what is wanted is on its way then.
    pub fn start(self, network: &Namespace, wanted: &[&str]) -> anyhow::Result<Systemd> {
        let folder = tempfile::Builder::new().prefix("anymetal-systemd-").tempdir_in("/var/tmp")?;
        let units = folder.path().join("units");
        fs::create_dir(&units)?;
        let target = format!("[Unit]\nDefaultDependencies=no\nWants={}\n", wanted.join(" "));
        for (name, text) in self.units.iter().chain([&(TARGET.to_owned(), target)]) {
            let path = units.join(name);
            fs::create_dir_all(path.parent().context("a unit has a folder")?)?;
            fs::write(&path, text).with_context(|| format!("writing the unit {name}"))?;
        }
        let script = folder.path().join("first.sh");
        let cgroup = Cgroup::new()?;
        fs::write(&script, self.script(&units, cgroup.path()))?;
        let log = File::create(folder.path().join("output"))?;
        // Not `ip netns exec`: that mounts another /sys, without cgroups.
        let child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", network.name()))
            .args(["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child=SIGKILL", "sh", "-eu"])
            .arg(&script)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting systemd")?;
        let mut systemd = Systemd { child, first: 0, folder, cgroup };
        let answers = wait::until(STARTS, || {
            systemd.first = first_below(systemd.child.id()).unwrap_or_default();
            systemd.first != 0 && systemd.systemctl(&["show", "--property=Version"]).is_ok()
        });
        ensure!(answers, "waiting for systemd: it does not answer\n{}", systemd.output());
        Ok(systemd)
    }

    /// What makes its world and becomes it. Paths are quoted, as a temporary folder's name can be anything.
    fn script(&self, units: &Path, cgroup: &Path) -> String {
        let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
        let top = quoted(cgroup.parent().unwrap_or(cgroup));
        let cgroup = quoted(cgroup);
        // Its cgroup has to look like the root, from a namespace that begins there: systemd 252 makes its own below the root whatever it was
        // started in, and would share `system.slice/bird.service` with every other systemd here, and kill what is in it.
        let mut script = format!(
            "if [ $# = 0 ]; then echo $$ >{cgroup}/cgroup.procs; exec unshare --cgroup sh -eu \"$0\" joined; fi\n\
             mount --make-rprivate /\nmount --bind {cgroup} {top}\nmount -t proc proc /proc\n"
        );
        script += "mount -t tmpfs -o mode=0755 tmpfs /run\nmkdir -p /run/systemd/system\n";
        _ = writeln!(script, "cp -r {}/. /run/systemd/system", quoted(units));
        // What is bound may lie in the host's /tmp, so that goes last; the first descriptors of a folder would not survive.
        let mut late = String::new();
        for place in &self.fresh {
            let place = quoted(place);
            _ = writeln!(script, "p={place}; while [ ! -d \"$p\" ]; do p=$(dirname \"$p\"); done");
            _ = writeln!(script, "mount -t tmpfs -o mode=0755 tmpfs \"$p\"; mkdir -p {place}");
        }
        for (number, (what, place)) in self.binds.iter().enumerate() {
            let (what, place) = (quoted(what), quoted(place));
            let kept = format!("/run/.bound/{number}");
            _ = writeln!(script, "mkdir -p /run/.bound; [ -d {what} ] && mkdir {kept} || touch {kept}");
            _ = writeln!(script, "mount --bind {what} {kept}");
            _ = writeln!(late, "if [ ! -e {place} ]; then mkdir -p \"$(dirname {place})\"");
            _ = writeln!(late, "if [ -d {kept} ]; then mkdir {place}; else touch {place}; fi; fi");
            _ = writeln!(late, "mount --bind {kept} {place}");
        }
        script += "mount -t tmpfs -o mode=1777 tmpfs /tmp\n";
        script += &late;
        // systemd asks this whether it is in a container (https://systemd.io/CONTAINER_INTERFACE): then it leaves the kernel alone.
        _ = writeln!(script, "export container=lab");
        _ = writeln!(script, "exec {PROGRAM} --system --unit={TARGET} --log-target=console --show-status=no");
        script
    }
}

/// A systemd that runs. Everything in it is killed when it is dropped.
pub struct Systemd {
    child: Child,
    /// The host's number of its first process.
    first: u32,
    folder: tempfile::TempDir,
    #[cfg_attr(not(test), expect(dead_code, reason = "it is kept for its end"))]
    cgroup: Cgroup,
}

impl Systemd {
    /// Whether this process may start one here. When it may not, the sentence says why.
    pub fn possible() -> Result<(), String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("a systemd needs root for its namespaces".into());
        }
        if !Path::new(PROGRAM).exists() {
            return Err(format!("there is no {PROGRAM}"));
        }
        Cgroup::new().map(drop).map_err(|error| format!("a systemd needs cgroups of its own: {error:#}"))
    }

    /// Nothing yet: units and mounts are added to it.
    #[expect(clippy::new_ret_no_self, reason = "it is planned, then started")]
    pub fn new() -> Plan {
        Plan::default()
    }

    /// A program that will run beside what it runs: its network, its mounts, its processes.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.first.to_string();
        command.args(["--target", &target, "--mount", "--uts", "--ipc", "--net", "--pid", "--", program]);
        command
    }

    /// Asks it something, or tells it to do something, and gives what it says.
    pub fn systemctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        ask(self.command("systemctl").arg("--no-pager").args(arguments))
    }

    /// One property of a unit: `ActiveState`, `NRestarts`, `Result`.
    pub fn property(&self, unit: &str, name: &str) -> anyhow::Result<String> {
        self.systemctl(&["show", "--value", "--property", name, unit])
    }

    /// Waits until a unit is active: for `Type=notify`, until it has said that it is ready.
    pub fn wait_active(&self, unit: &str, limit: Duration) -> anyhow::Result<()> {
        self.wait_property(unit, "ActiveState", "active", limit)
    }

    /// Waits until a property of a unit has this value.
    pub fn wait_property(&self, unit: &str, name: &str, value: &str, limit: Duration) -> anyhow::Result<()> {
        let holds = wait::until(limit, || self.property(unit, name).is_ok_and(|now| now == value));
        ensure!(
            holds,
            "waiting for {name}={value} of {unit}: it is {}\n{}\n{}",
            self.property(unit, name)?,
            self.systemctl(&["show", "--property=Result,SubState,ExecMainStatus,StatusText", unit])?,
            self.output()
        );
        Ok(())
    }

    /// The main process of a unit, as the host counts; an error when there is none.
    pub fn main_pid(&self, unit: &str) -> anyhow::Result<u32> {
        let inner: u32 = self.property(unit, "MainPID")?.parse().context("reading MainPID")?;
        ensure!(inner != 0, "looking for the main process of {unit}: it has none");
        let space = fs::read_link(format!("/proc/{}/ns/pid", self.first))?;
        for entry in fs::read_dir("/proc")?.flatten() {
            // The last number is the one in the innermost namespace (proc_pid_status(5)). A process may end while it is looked at.
            let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            let own = fs::read_link(entry.path().join("ns/pid"));
            if numbers.split_whitespace().last() == Some(&inner.to_string()) && own.is_ok_and(|own| own == space) {
                return entry.file_name().to_string_lossy().parse().context("reading a name in /proc");
            }
        }
        anyhow::bail!("looking for the main process of {unit}: the host does not see number {inner}")
    }

    /// Where the host finds what lies at this path in it: `/run/bird/bird.ctl`, say.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.first))
    }

    /// What it and the script before it have written so far, for messages; units' own output goes where they say.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // Killing the first process kills every other of its namespace (pid_namespaces(7)), and its parent's end kills it.
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
        let first = PathBuf::from(format!("/proc/{}/ns/pid", self.first));
        wait::until(Duration::from_secs(10), || !first.exists());
    }
}

fn first_below(outer: u32) -> Option<u32> {
    // nsenter becomes unshare, whose only child it is.
    let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);
    const DOG: &str = r"[Unit]
DefaultDependencies=no
[Service]
Type=notify
NotifyAccess=all
WatchdogSec=2
WatchdogSignal=SIGKILL
ExecStart=/bin/sh -c 'systemd-notify --ready; while :; do systemd-notify WATCHDOG=1; sleep 0.2; done'
ExecStopPost=/bin/sh -c 'echo $SERVICE_RESULT >/var/log/anymetal-dog/post'
";

    #[test]
    fn a_service_that_is_stopped_is_killed_by_its_watchdog_and_what_comes_after_it_runs() {
        if let Err(why) = Systemd::possible() {
            eprintln!("skipped: {why}");
            return;
        }
        let network = Namespace::new(format!("amsd-{}", std::process::id())).unwrap();
        let seen = tempfile::tempdir().unwrap();
        let systemd = Systemd::new()
            .unit("dog.service", DOG)
            .fresh("/var/log/anymetal-dog")
            .bind(seen.path(), "/tmp/seen")
            .start(&network, &["dog.service"])
            .unwrap();
        systemd.wait_active("dog.service", LIMIT).unwrap();
        let dog = systemd.main_pid("dog.service").unwrap();
        let groups = fs::read_to_string(format!("/proc/{dog}/cgroup")).unwrap();
        let own = systemd.cgroup.path().file_name().unwrap().to_string_lossy().into_owned();
        assert!(
            groups.contains(&format!("/{own}/system.slice/dog.service")),
            "the service is in another's cgroup:\n{groups}"
        );
        let network_of = |id: u32| fs::read_link(format!("/proc/{id}/ns/net")).unwrap();
        assert_ne!(network_of(dog), network_of(std::process::id()), "the service is in the host's network");
        ask(systemd.command("touch").arg("/tmp/seen/by-the-host")).unwrap();
        assert!(seen.path().join("by-the-host").exists(), "what was bound is not the host's");

        ask(Command::new("kill").args(["-STOP", &dog.to_string()])).unwrap();
        systemd.wait_property("dog.service", "Result", "watchdog", LIMIT).unwrap();
        systemd.wait_property("dog.service", "ActiveState", "failed", LIMIT).unwrap();
        let post = fs::read_to_string(systemd.path("/var/log/anymetal-dog/post")).unwrap();
        assert_eq!(post, "watchdog\n");
        assert!(!Path::new("/var/log/anymetal-dog").exists(), "the service wrote to the host");
        let cgroup = systemd.cgroup.path().to_owned();
        drop(systemd);
        assert!(!Path::new(&format!("/proc/{dog}")).exists() && !cgroup.exists(), "something was left behind");
    }
}
