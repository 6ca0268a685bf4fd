//! Programs of the host that are asked one short question: where they are, and what they print.
//! May not judge what they print.

#![allow(dead_code, reason = "the table of phases does not call it yet")]
#![expect(
    clippy::disallowed_methods,
    reason = "this is a room of sys/ that runs programs, with the clock that bounds them"
)]

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// What is read of a program's output; a version fits into the first line.
const MOST: u64 = 64 * 1024;
/// Between two looks at whether a program has ended.
const LOOK: Duration = Duration::from_millis(10);
/// How long the pipes of an ended program may stay open in the hands of its children.
const AFTERWARDS: Duration = Duration::from_secs(1);

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

/// What a program prints to stdout and then to stderr, whatever its exit code; killed when it takes longer than `limit`.
pub(crate) fn output(program: &Path, argument: &str, limit: Duration) -> anyhow::Result<String> {
    let shown = program.display();
    let mut child = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {shown}"))?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let start = Instant::now();
    loop {
        if child.try_wait().with_context(|| format!("waiting for {shown}"))?.is_some() {
            break;
        }
        if start.elapsed() > limit {
            child.kill().with_context(|| format!("killing {shown}"))?;
            child.wait().with_context(|| format!("waiting for {shown}"))?;
            anyhow::bail!("running {shown} {argument}: it did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(LOOK);
    }
    let printed = |pipe: Option<Receiver<Vec<u8>>>| pipe.and_then(|pipe| pipe.recv_timeout(AFTERWARDS).ok());
    let (out, err) = (printed(out).unwrap_or_default(), printed(err).unwrap_or_default());
    Ok(format!("{}\n{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err)))
}

/// Reads a pipe beside us: the beginning is kept, the rest is read too, so that the program does not block on a full pipe.
fn reader(mut pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        // A pipe that cannot be read has ended; what was read till then counts.
        let _ended = (&mut pipe).take(MOST).read_to_end(&mut kept);
        let _ended = std::io::copy(&mut pipe, &mut std::io::sink());
        // Nobody listens any more when the program was killed.
        let _unheard = sender.send(kept);
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(dir: &Path, name: &str, body: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn only_executable_files_in_absolute_folders_are_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain"), "").unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let there = script(folder.path(), "there", "true");
        let path = std::env::join_paths([Path::new("."), Path::new("/nonexistent"), folder.path()]).unwrap();
        assert_eq!(find("there", &path), Some(there));
        assert_eq!(find("plain", &path), None);
        assert_eq!(find("folder", &path), None);
    }

    #[test]
    fn both_streams_are_read_and_a_large_output_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let loud = script(folder.path(), "loud", "echo first; echo second >&2; yes no | head -c 300000; exit 3");
        let text = output(&loud, "--version", Duration::from_secs(20)).unwrap();
        assert!(text.starts_with("first\n") && text.ends_with("\nsecond\n"), "{} bytes", text.len());
    }

    #[test]
    fn a_program_that_hangs_is_killed_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let hung = script(folder.path(), "hung", "exec sleep 600");
        let error = output(&hung, "--version", Duration::from_millis(50)).unwrap_err().to_string();
        assert!(error.contains("hung --version: it did not end within"), "{error}");
    }
}
