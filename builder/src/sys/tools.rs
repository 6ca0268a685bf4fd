//! Programs of the workstation: which Debian package brings each, and how they are run.
//! May not interpret what they print.
#![expect(clippy::disallowed_methods, reason = "a room of sys: the only place where host programs are named and run")]

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::interrupt;

/// A program and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name on PATH.
    pub program: &'static str,
    /// The package.
    pub package: &'static str,
}

/// The emulator.
pub const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" };
/// Makes and converts its disks.
pub const QEMU_IMG: Tool = Tool { program: "qemu-img", package: "qemu-utils" };
/// Makes a Debian system in a folder.
pub const MMDEBSTRAP: Tool = Tool { program: "mmdebstrap", package: "mmdebstrap" };
/// Makes a file system from a folder.
pub const MKE2FS: Tool = Tool { program: "mke2fs", package: "e2fsprogs" };
/// Runs a program that dies with its parent.
pub const SETPRIV: Tool = Tool { program: "setpriv", package: "util-linux" };
/// Knows the machine's package mirror.
pub const APT_GET: Tool = Tool { program: "apt-get", package: "apt" };
/// Knows how it is reached.
pub const APT_CONFIG: Tool = Tool { program: "apt-config", package: "apt" };

/// PATH, and where Debian keeps administrators' programs: an ordinary user's PATH lacks those, mke2fs among them.
fn search_path() -> std::ffi::OsString {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    std::env::join_paths(folders).expect("what was split from PATH can be joined")
}

/// Where a program is.
pub fn find(tool: Tool) -> Option<PathBuf> {
    std::env::split_paths(&search_path()).map(|folder| folder.join(tool.program)).find(|path| path.is_file())
}

/// Says which of these are missing, and how to get them, all in one go.
pub fn require(tools: &[Tool]) -> anyhow::Result<()> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| find(**tool).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = |name: fn(&Tool) -> &'static str, between| {
        missing.iter().map(|tool| name(tool)).collect::<Vec<_>>().join(between)
    };
    anyhow::bail!(
        "looking for the programs a test boot needs: there is no {}\nhint: apt-get install {}",
        list(|tool| tool.program, ", "),
        list(|tool| tool.package, " ")
    )
}

/// A command with the wider search path and plain messages.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env("PATH", search_path()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    command
}

/// A command that gets `signal` (`KILL`, `TERM`) when the thread that starts it ends, however it ends.
pub fn command_dying(tool: Tool, signal: &str) -> Command {
    let mut command = command(SETPRIV.program);
    command.args(["--pdeathsig", signal, "--", tool.program]);
    command
}

/// Runs a program to its end and gives the text it printed.
pub fn output(tool: Tool, arguments: &[String]) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(tool, arguments)?).into_owned())
}

/// Runs a program to its end and gives the bytes it printed.
pub fn bytes(tool: Tool, arguments: &[String]) -> anyhow::Result<Vec<u8>> {
    finished(tool, command(tool.program).args(arguments))
}

/// Runs a program to its end in a folder.
pub fn run(tool: Tool, arguments: &[String], folder: &Path) -> anyhow::Result<()> {
    finished(tool, command(tool.program).args(arguments).current_dir(folder)).map(drop)
}

fn finished(tool: Tool, command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let doing = || format!("running {}", tool.program);
    tracing::debug!("running {command:?}");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = interrupt::let_through(|| command.spawn()).with_context(doing)?;
    let output = child.wait_with_output().with_context(doing)?;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{}: {}: {}", doing(), output.status, errors.trim());
    Ok(output.stdout)
}

/// Runs a program to its end in a folder and shows each line it says on stderr. A failure repeats the last of them.
pub fn watch(tool: Tool, arguments: &[String], folder: &Path, mut line: impl FnMut(&str)) -> anyhow::Result<()> {
    const LAST: usize = 15;
    let doing = || format!("running {}", tool.program);
    tracing::debug!("running {} {}", tool.program, arguments.join(" "));
    let mut command = command_dying(tool, "TERM");
    command.args(arguments).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = interrupt::let_through(|| command.spawn()).with_context(doing)?;
    let mut last = VecDeque::with_capacity(LAST);
    for said in BufReader::new(child.stderr.take().expect("stderr is piped")).split(b'\n') {
        let said = said.with_context(doing)?;
        let said = String::from_utf8_lossy(&said).trim_end().to_owned();
        line(&said);
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(said);
    }
    let status = child.wait().with_context(doing)?;
    anyhow::ensure!(status.success(), "{}: {status}; it said last:\n{}", doing(), Vec::from(last).join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_program_is_named_with_its_package_at_once() {
        let gone = |program, package| Tool { program, package };
        let here = gone("sh", "dash");
        let error = require(&[gone("no-such-a", "pack-a"), here, gone("no-such-b", "pack-b")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "looking for the programs a test boot needs: there is no no-such-a, no-such-b\nhint: apt-get install pack-a pack-b"
        );
        assert!(require(&[here]).is_ok());
    }

    #[test]
    fn a_failure_repeats_what_was_said_last() {
        let sh = Tool { program: "sh", package: "dash" };
        let mut lines = Vec::new();
        let arguments = ["-c", "echo one >&2; echo two >&2; exit 3"].map(str::to_owned);
        let error = watch(sh, &arguments, Path::new("/"), |line| lines.push(line.to_owned())).unwrap_err().to_string();
        assert_eq!(lines, ["one", "two"]);
        assert!(error.contains("exit status: 3") && error.ends_with("one\ntwo"), "{error}");
    }
}
