//! A conversation with BIRD over its control socket: one command, one whole reply, each within a limit of time.
//! May not decide what to announce.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::holding::{self, Holding};
use super::reply::{Reader, Reply};
use super::table::{self, Protocol};
use crate::sys::clock::monotonic;
use crate::sys::stream::Stream;

/// "No protocols match", the answer to a pattern that fits none.
const NONE_MATCH: u16 = 8003;
/// How often it is asked whether an enabled protocol is up: a static one takes milliseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A connection to BIRD.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    /// For one command with its reply.
    limit: Duration,
    stream: Stream,
    reader: Reader,
    /// The first words of BIRD: `BIRD 2.0.12 ready.`
    pub(crate) greeting: String,
    /// An error has left an answer on its way, so the next one would be taken for another.
    broken: bool,
}

impl Control {
    /// Connects to the socket at `path`; `limit` is for that, and for each command after it.
    pub(crate) fn open(path: &Path, limit: Duration) -> anyhow::Result<Self> {
        let until = monotonic() + limit;
        let stream = Stream::open(path, until).map_err(|error| {
            let hint = advice(error.kind());
            anyhow::Error::new(error).context(format!("connecting to bird at {}{hint}", path.display()))
        })?;
        let reader = Reader::default();
        let mut control = Self { path: path.into(), limit, stream, reader, greeting: String::new(), broken: false };
        let reply =
            control.receive(until).with_context(|| format!("waiting for bird's greeting at {}", path.display()))?;
        reply.accepted().with_context(|| format!("greeting bird at {}", path.display()))?;
        match reply.lines.as_slice() {
            [line] if line.code == 1 => control.greeting.clone_from(&line.text),
            _ => bail!("what listens at {} is not bird: it greets with \"{}\"", path.display(), reply.words()),
        }
        Ok(control)
    }

    /// Asks, and gives BIRD's answer whether good or bad.
    pub(crate) fn ask(&mut self, command: &str) -> anyhow::Result<Reply> {
        let doing = |path: &Path| format!("telling bird \"{}\" at {}", command.escape_debug(), path.display());
        if command.chars().any(char::is_control) {
            bail!("{}: a command has no control characters", doing(&self.path));
        }
        ensure!(!self.broken, "{}: an earlier command on this connection had no answer", doing(&self.path));
        self.broken = true;
        let until = monotonic() + self.limit;
        let sent = self.stream.send(format!("{command}\n").as_bytes(), until);
        sent.with_context(|| doing(&self.path))?;
        let reply = self.receive(until).with_context(|| doing(&self.path))?;
        self.broken = false;
        Ok(reply)
    }

    /// All protocols of BIRD.
    pub(crate) fn protocols(&mut self) -> anyhow::Result<Vec<Protocol>> {
        let reply = self.ask("show protocols")?;
        table::protocols(&reply).with_context(|| format!("reading bird's protocols from {}", self.path.display()))
    }

    /// How many routes this protocol exports; none while it is down.
    pub(crate) fn exported(&mut self, name: &str) -> anyhow::Result<Option<u64>> {
        let reply = self.ask(&format!("show protocols all {name}"))?;
        table::exported(&reply).with_context(|| format!("counting what bird exports to {name}"))
    }

    /// Makes BIRD announce this and nothing else, and says what was done. What is wanted is up before anything else is disabled.
    pub(crate) fn hold(&mut self, wanted: Holding) -> anyhow::Result<Vec<String>> {
        let commands = holding::commands(wanted, &self.protocols()?)?;
        let mut is_up = false;
        let mut done = Vec::new();
        for command in commands {
            if command.starts_with("disable") && !is_up {
                self.wait_for(wanted)?;
                is_up = true;
            }
            self.switch(&command)?;
            done.push(command);
        }
        if !is_up && !done.is_empty() {
            self.wait_for(wanted)?;
        }
        Ok(done)
    }

    /// Withdraws everything, knowing nothing of what there is; says what was done.
    pub(crate) fn withdraw(&mut self) -> anyhow::Result<Vec<String>> {
        let reply = self.ask(holding::WITHDRAW)?;
        if reply.lines.iter().any(|line| line.code == NONE_MATCH) {
            return Ok(Vec::new());
        }
        confirm(&reply, &[9, 8]).with_context(|| format!("telling bird \"{}\"", holding::WITHDRAW))?;
        Ok(reply.texts(9).map(|text| text.trim().to_owned()).collect())
    }

    /// Enables or disables one protocol; fine when it is so already.
    fn switch(&mut self, command: &str) -> anyhow::Result<()> {
        let reply = self.ask(command)?;
        let expected = if command.starts_with("enable") { [11, 10] } else { [9, 8] };
        confirm(&reply, &expected).with_context(|| format!("telling bird \"{command}\" at {}", self.path.display()))
    }

    fn wait_for(&mut self, wanted: Holding) -> anyhow::Result<()> {
        let until = monotonic() + self.limit;
        loop {
            let protocols = self.protocols()?;
            let lacking = holding::lacking(wanted, &protocols);
            if lacking.is_empty() {
                return Ok(());
            }
            ensure!(monotonic() < until, "bird has enabled {} and it does not come up", lacking.join(", "));
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn receive(&mut self, until: Instant) -> anyhow::Result<Reply> {
        let mut replies = Vec::new();
        let mut buffer = [0; 4096];
        while replies.is_empty() {
            let count = self.stream.receive(&mut buffer, until).context("waiting for bird's answer")?;
            ensure!(count > 0, "bird closed the connection: it ends, or has been restarted");
            self.reader.feed(&buffer[..count], &mut replies)?;
        }
        let reply = replies.remove(0);
        ensure!(replies.is_empty() && self.reader.is_idle(), "bird answered more than it was asked: {}", reply.words());
        Ok(reply)
    }
}

/// What can be done about it, to follow what was being done.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => " (bird is not running: `systemctl status bird`)",
        ErrorKind::PermissionDenied => " (the socket is for root and the group bird)",
        ErrorKind::TimedOut => " (bird takes no connection: `systemctl status bird`, and restart it when it hangs)",
        _ => "",
    }
}

/// The reply is good, and each line that is not its end has one of these codes.
fn confirm(reply: &Reply, expected: &[u16]) -> anyhow::Result<()> {
    reply.accepted()?;
    let (last, lines) = reply.lines.split_last().context("bird answered nothing")?;
    let all = last.code == 0 && !lines.is_empty() && lines.iter().all(|line| expected.contains(&line.code));
    ensure!(all, "bird answered {}", reply.words());
    Ok(())
}
