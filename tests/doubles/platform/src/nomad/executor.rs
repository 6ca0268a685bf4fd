//! `nomad executor`: the process that becomes a task, in a session of its own and as the user it is to be.
//! May not return when all is well: it is replaced.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

/// The word on the command line.
pub const COMMAND: &str = "executor";
/// The word for a program whose loader is not there.
pub const MISSING: &str = "executor-missing";

/// What a container's first process says of such a program.
pub fn missing(words: &[&str]) -> ExitCode {
    eprintln!("exec {}: no such file or directory", words.first().copied().unwrap_or_default());
    ExitCode::FAILURE
}

/// `executor USER COMMAND ARGUMENT…`; without a user, the agent's own.
pub fn main(words: &[&str]) -> ExitCode {
    let [user, command, arguments @ ..] = words else { return ExitCode::from(127) };
    match run(user, command, arguments) {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("exec {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(user: &str, command: &str, arguments: &[&str]) -> Result<std::convert::Infallible, String> {
    // The leader of a session cannot make another; then it has one already.
    let _ = nix::unistd::setsid();
    if !user.is_empty() {
        let known = nix::unistd::User::from_name(user).map_err(|error| error.to_string())?;
        let known = known.ok_or_else(|| format!("unknown user {user}"))?;
        nix::unistd::setgroups(&[]).map_err(|error| error.to_string())?;
        nix::unistd::setgid(known.gid).map_err(|error| error.to_string())?;
        nix::unistd::setuid(known.uid).map_err(|error| error.to_string())?;
    }
    Err(std::process::Command::new(command).args(arguments).exec().to_string())
}
