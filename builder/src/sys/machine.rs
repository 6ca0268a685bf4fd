//! A QEMU process: started, heard on its serial console, told to switch off, and gone when this is dropped.
//! May not know what runs in it.
#![expect(clippy::disallowed_methods, reason = "a room of sys: opens the device, the log and the control socket")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::tools::{self, QEMU, QEMU_IMG, SETPRIV};

/// A running machine.
pub struct Machine {
    child: Child,
}

/// What a machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A line of the serial console, as it came.
    Line(Vec<u8>),
    /// QEMU has ended, with these words of its own.
    Ended(String),
}

/// Whether `/dev/kvm` can be opened, and what `/proc/cpuinfo` says.
pub fn processor() -> (String, bool) {
    // A machine whose processor cannot be read is one without KVM.
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    (flags, OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok())
}

/// Says which programs a machine needs and are missing.
pub fn require() -> anyhow::Result<()> {
    tools::require(&[QEMU, QEMU_IMG, SETPRIV])
}

/// Makes a disk that keeps what is written over a base that stays as it is. Unless it is there already.
pub fn overlay(base: &Path, disk: &Path) -> anyhow::Result<()> {
    if disk.exists() {
        return Ok(());
    }
    let base = std::path::absolute(base).with_context(|| format!("finding {}", base.display()))?;
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b"].map(str::to_owned).into_iter();
    let paths = [base.display().to_string(), disk.display().to_string()];
    tools::output(QEMU_IMG, &arguments.chain(paths).collect::<Vec<_>>())?;
    Ok(())
}

impl Machine {
    /// Switches a machine on. Its console is added to `log` and handed to `hear` line by line, from a thread of its own. It gets no signal of
    /// the terminal, and is killed when the calling thread ends, however that ends. `stdin` is QEMU's, so that no other program this process
    /// starts meanwhile gets it; nothing when there is none.
    pub fn start(
        arguments: &[String],
        stdin: Option<&OwnedFd>,
        log: &Path,
        hear: impl Fn(Said) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let stdin = match stdin {
            Some(device) => device.try_clone().context("handing a device to QEMU")?.into(),
            None => Stdio::null(),
        };
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        tracing::debug!("running {} {}", QEMU.program, arguments.join(" "));
        let mut child = tools::command_dying(QEMU, "KILL")
            .args(arguments)
            .process_group(0)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", QEMU.program))?;
        let console = child.stdout.take().expect("stdout is piped");
        let errors = child.stderr.take().expect("stderr is piped");
        std::thread::spawn(move || {
            let mut console = BufReader::new(console);
            let mut line = Vec::new();
            while console.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                // A log that cannot be written is no reason to stop listening.
                if let Err(error) = log.write_all(&line) {
                    tracing::warn!("writing the serial log: {error}");
                }
                hear(Said::Line(std::mem::take(&mut line)));
            }
            hear(Said::Ended(last_words(errors)));
        });
        Ok(Self { child })
    }

    /// Takes the power away, in the middle of whatever it does.
    pub fn cut(mut self) -> anyhow::Result<()> {
        self.child.kill().context("killing QEMU")?;
        self.child.wait().context("waiting for QEMU")?;
        Ok(())
    }

    /// Presses the power button and waits for the machine to switch off; takes the power away after `patience`. Says whether it went by itself.
    pub fn switch_off(mut self, control: &Path, patience: Duration) -> anyhow::Result<bool> {
        press_power_button(control)?;
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.child.try_wait().context("waiting for QEMU")?.is_some() {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        self.cut()?;
        Ok(false)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn last_words(mut errors: ChildStderr) -> String {
    let mut words = String::new();
    let _what_there_is = errors.read_to_string(&mut words);
    words.trim().to_owned()
}

/// QEMU's machine protocol: a greeting, then one command and one answer per line, with events in between.
fn press_power_button(control: &Path) -> anyhow::Result<()> {
    let doing = || format!("talking to QEMU at {}", control.display());
    let mut stream = UnixStream::connect(control).with_context(doing)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).with_context(doing)?;
    let mut reader = BufReader::new(stream.try_clone().with_context(doing)?);
    for command in ["qmp_capabilities", "system_powerdown"] {
        writeln!(stream, "{{\"execute\":\"{command}\"}}").with_context(doing)?;
        loop {
            let mut line = String::new();
            anyhow::ensure!(reader.read_line(&mut line).with_context(doing)? > 0, "{}: it hung up", doing());
            anyhow::ensure!(!line.contains("\"error\""), "{}: {command}: {}", doing(), line.trim());
            if line.contains("\"return\"") {
                break;
            }
        }
    }
    Ok(())
}

/// Empties a log, so that it holds one boot.
pub fn empty(log: &Path) -> anyhow::Result<()> {
    if let Some(folder) = log.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    File::create(log).with_context(|| format!("making {}", log.display()))?;
    Ok(())
}
