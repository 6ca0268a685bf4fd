//! Programs of the host: found, and run with a limit, with what they say.
//! May not judge what they say.
#![expect(clippy::disallowed_methods, reason = "side effects live in sys/; this is the room for programs")]

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::clock;

/// What is kept of a program's output: its end, in bytes.
const KEPT: usize = 64 * 1024;
/// How often a program that has closed its output but not ended is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Whether it ended with 0.
    pub(crate) success: bool,
    /// How it ended, in words: `exit status 1`, `signal 9`.
    pub(crate) ending: String,
    /// The end of what it wrote to stdout and stderr, in the order it wrote.
    pub(crate) output: String,
}

impl Said {
    /// Its last so many lines that are not blank.
    pub(crate) fn last_lines(&self, most: usize) -> Vec<&str> {
        let lines: Vec<&str> = self.output.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(most)..].to_vec()
    }
}

/// Where programs are looked up: the `PATH` of this process, then the two folders of system programs that a service's `PATH` may lack.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/sbin:/sbin");
    path
}

/// The first executable file of that name on the search path.
pub(crate) fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    let executable = |candidate: &PathBuf| {
        std::fs::metadata(candidate).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(program)).find(executable)
}

/// A variable of this process's environment, when it is set and text.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

/// Runs a program, found on PATH when its name has no slash, without input. It is killed when it takes longer than `limit`.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: &[A],
    limit: Duration,
) -> anyhow::Result<Said> {
    run_in(program, arguments, &[], limit)
}

/// The same, with these variables beside those of this process.
pub(crate) fn run_in<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: &[A],
    variables: &[(&str, String)],
    limit: Duration,
) -> anyhow::Result<Said> {
    let program = program.as_ref();
    let doing = || format!("running {}", program.display());
    let until = clock::monotonic() + limit;
    let (output, input) = std::io::pipe().with_context(doing)?;
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(input.try_clone().with_context(doing)?)
        .stderr(input)
        .spawn()
        .with_context(doing)?;
    // The command, and with it our ends of the pipe, is gone: the reader sees the end when the program's own ends are closed.
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .name("output".to_owned())
        .spawn(move || sender.send(read_end(output)))
        .with_context(doing)?;
    let left = until.saturating_duration_since(clock::monotonic());
    let ended = match receiver.recv_timeout(left) {
        Ok(text) => wait_until(&mut child, until).with_context(doing)?.map(|status| (status, text)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
    };
    let Some((status, output)) = ended else {
        child.kill().and_then(|()| child.wait()).with_context(doing)?;
        anyhow::bail!("running {}: it was killed after {} s", program.display(), limit.as_secs());
    };
    Ok(Said { success: status.success(), ending: ending(status), output })
}

/// Whether a process of that id lives.
pub(crate) fn lives(id: u32) -> bool {
    std::path::Path::new("/proc").join(id.to_string()).exists()
}

fn read_end(mut output: impl Read) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 8192];
    while let Ok(read @ 1..) = output.read(&mut piece) {
        kept.extend_from_slice(&piece[..read]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn wait_until(child: &mut Child, until: Instant) -> std::io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if clock::monotonic() >= until {
            return Ok(None);
        }
        std::thread::sleep(LOOK);
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown ending".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn both_outputs_come_in_order_with_the_ending() {
        let said = run("sh", &["-c", "echo one; echo two >&2; echo; echo three; exit 3"], MINUTE).unwrap();
        assert_eq!((said.success, said.ending.as_str()), (false, "exit status 3"));
        assert_eq!(said.last_lines(2), ["two", "three"]);
        assert!(run("true", &[] as &[&str], MINUTE).unwrap().success);
    }

    #[test]
    fn a_program_that_hangs_is_killed_and_a_missing_one_is_named() {
        let error = run("sleep", &["600"], Duration::from_millis(50)).unwrap_err();
        assert!(format!("{error:#}").starts_with("running sleep: it was killed"), "{error:#}");
        let error = run("no-such-program-here", &[] as &[&str], MINUTE).unwrap_err();
        assert!(format!("{error:#}").starts_with("running no-such-program-here: "), "{error:#}");
    }

    #[test]
    fn much_output_is_kept_to_its_end() {
        let said =
            run("sh", &["-c", "i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done"], MINUTE).unwrap();
        assert!(said.output.len() <= KEPT);
        assert_eq!(said.last_lines(1), ["line 29999"]);
    }

    #[test]
    fn only_executable_files_in_absolute_folders_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain"), "").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let there = folder.path().join("there");
        std::fs::write(&there, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&there, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::join_paths([".".as_ref(), "/nonexistent".as_ref(), folder.path()]).unwrap();
        assert_eq!(find("there", &path), Some(there));
        assert_eq!(find("plain", &path), None);
        assert_eq!(find("folder", &path), None);
    }
}
