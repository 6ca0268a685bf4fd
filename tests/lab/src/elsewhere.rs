//! A program as somebody else runs it: another user, another umask, zone, locale and home, years later.
//! May not change what the program is told to do.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

/// When it is there.
const CLOCK: &str = "2031-05-06 07:08:09";

/// The program, to be given its arguments. As root it runs as nobody, who has to be able to read and write what it is to read and write.
///
/// # Panics
/// When there is no `/proc`.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077; exec \"$@\"", "sh"]);
    if std::fs::metadata("/proc/self").expect("there is a /proc").uid() == 0 {
        command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.args(["faketime", "-f", CLOCK]).arg(program.as_ref());
    let environment =
        [("PATH", "/usr/bin:/bin"), ("TZ", "Asia/Kathmandu"), ("LANG", "tr_TR.UTF-8"), ("HOME", "/nowhere")];
    command.env_clear().envs(environment);
    command
}
