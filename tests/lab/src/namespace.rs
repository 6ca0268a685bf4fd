//! A network namespace: a network of its own, seen by who works inside, and gone when it is dropped.
//! May not touch any other network. Needs root.

use std::fs::File;
use std::process::Command;

use anyhow::{Context as _, ensure};
use nix::sched::{CloneFlags, setns};

/// A named network namespace.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new one, with nothing in it but a loopback that is up.
    pub fn new(name: String) -> anyhow::Result<Self> {
        host(&["ip", "netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, for `ip netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ip`, in it.
    pub fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        host(&[&["ip", "-n", &self.name], arguments].concat())
    }

    /// A program that will run in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs this in it: a listener bound there is reachable there, and only there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    let namespace = File::open(&path).unwrap_or_else(|e| panic!("the lab cannot open {path}: {e}"));
                    setns(namespace, CloneFlags::CLONE_NEWNET)
                        .unwrap_or_else(|e| panic!("the lab cannot enter a namespace: {e}"));
                    work()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = host(&["ip", "netns", "del", &self.name]) {
            eprintln!("the lab could not clean up: {error:#}");
        }
    }
}

/// Runs a program of the host that has to succeed.
pub(crate) fn host(argv: &[&str]) -> anyhow::Result<()> {
    let output =
        Command::new(argv[0]).args(&argv[1..]).output().with_context(|| format!("running {}", argv.join(" ")))?;
    ensure!(output.status.success(), "{}: {}", argv.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
