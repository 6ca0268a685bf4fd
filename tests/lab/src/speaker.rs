//! The node's own BIRD, run from the file that was rendered for it: the operating system's, or another one.
//! May not change that file. Needs root.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::bgp::ask;
use crate::namespace::Namespace;
use crate::shipped;
use crate::wait;

/// How long it may take until it answers on its control socket, and to end in order.
const LIMIT: Duration = Duration::from_secs(20);

/// A BIRD that can be run.
#[derive(Debug, Clone)]
pub struct Bird {
    bird: Vec<String>,
    birdc: Vec<String>,
}

impl Bird {
    /// The operating system's.
    pub fn installed() -> Self {
        Self { bird: vec!["bird".into()], birdc: vec!["birdc".into()] }
    }

    /// BIRD 3, as `make bird3` lays it down with its own libraries; `None` when this machine's mirror has none.
    pub fn three() -> Option<Self> {
        let root = shipped::bird3()?;
        let linker = ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"];
        let linker = linker.iter().map(|path| root.join("usr").join(path)).find(|path| path.exists())?;
        let libraries = root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
        let run = |program: &str| {
            let words: [PathBuf; 4] =
                [linker.clone(), "--library-path".into(), libraries.clone(), root.join("usr/sbin").join(program)];
            words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
        };
        Some(Self { bird: run("bird"), birdc: run("birdc") })
    }

    /// What it says its version is.
    pub fn version(&self) -> anyhow::Result<String> {
        let output = Command::new(&self.bird[0]).args(&self.bird[1..]).arg("--version").output()?;
        // It goes to stderr.
        Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned())
    }

    /// Whether it accepts this configuration; its complaint when it does not.
    pub fn accepts(&self, config: &str) -> anyhow::Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), config)?;
        ask(Command::new(&self.bird[0]).args(&self.bird[1..]).arg("-p").arg("-c").arg(file.path())).map(drop)
    }
}

/// A BIRD that runs on the node. It is killed when it is dropped.
pub struct Speaker {
    program: Bird,
    folder: tempfile::TempDir,
    child: Child,
}

impl Speaker {
    /// Starts it in this network from this configuration, and waits until it can be asked.
    pub fn start(node: &Namespace, program: &Bird, config: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("anymetal-bird-").tempdir()?;
        fs::write(folder.path().join("bird.conf"), config)?;
        let child = spawn(node, program, &folder)?;
        let speaker = Self { program: program.clone(), folder, child };
        speaker.ready()?;
        Ok(speaker)
    }

    /// Ends it in order, and starts it again.
    pub fn restart(&mut self, node: &Namespace) -> anyhow::Result<()> {
        self.tell("down")?;
        let ended = wait::until(LIMIT, || self.child.try_wait().is_ok_and(|code| code.is_some()));
        ensure!(ended, "stopping BIRD: it still runs after {} s", LIMIT.as_secs());
        self.child = spawn(node, &self.program, &self.folder)?;
        self.ready()
    }

    /// Says this on the control socket (`enable anycast4`), and gives the answer.
    pub fn tell(&self, words: &str) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program.birdc[0]);
        command.args(&self.program.birdc[1..]).arg("-s").arg(self.socket()).args(words.split(' '));
        ask(&mut command)
    }

    /// Whether the session of that name is established.
    pub fn established(&self, session: &str) -> anyhow::Result<bool> {
        Ok(self.tell(&format!("show protocols {session}"))?.contains("Established"))
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("bird.ctl")
    }

    fn ready(&self) -> anyhow::Result<()> {
        let ready = wait::until(LIMIT, || self.tell("show status").is_ok());
        let output = fs::read_to_string(self.folder.path().join("output")).unwrap_or_default();
        ensure!(ready, "waiting for BIRD: it does not answer on its control socket\n{output}");
        Ok(())
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn spawn(node: &Namespace, program: &Bird, folder: &tempfile::TempDir) -> anyhow::Result<Child> {
    let path = |name| folder.path().join(name);
    let log = File::create(path("output"))?;
    let mut command = node.command(&program.bird[0]);
    command.args(&program.bird[1..]).arg("-f").arg("-c").arg(path("bird.conf")).arg("-s").arg(path("bird.ctl"));
    command.arg("-P").arg(path("pid"));
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("starting BIRD on the node")
}
