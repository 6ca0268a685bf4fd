//! Programs put into place for a suite to run.
//! May not open one for writing in this process: a child that another thread forks meanwhile would hold it open, and Linux refuses to run a
//! file that is open for writing ("text file busy", execve(2)). So `install` writes it.

use std::path::Path;
use std::process::{Command, Stdio};

/// A copy of a program.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    install(Command::new("install").args(["-m", "0755"]).arg(from.as_ref()).arg(to.as_ref()));
}

/// A program with this content.
pub fn put(to: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let mut content_file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::io::Write::write_all(&mut content_file, content.as_ref()).expect("a temporary file can be written");
    copy(content_file.path(), to);
}

fn install(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("coreutils are there");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
