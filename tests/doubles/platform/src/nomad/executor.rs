//! `nomad executor`: the process that becomes a task, in a session and a cgroup of its own, and as what it is to be.
//! May not return when all is well: it is replaced, or ends as its task does.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, User};

use super::isolation::{self, Isolation};

/// The word on the command line.
pub const COMMAND: &str = "executor";
/// The word for a program whose loader is not there.
pub const MISSING: &str = "executor-missing";
/// The word for a task of the driver `exec`.
pub const ISOLATED: &str = "executor-isolated";
/// The word for that task's first process, within.
pub const INNER: &str = "executor-inner";

/// How often the executor of an isolated task looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// What a container's first process says of such a program.
pub fn missing(words: &[&str]) -> ExitCode {
    eprintln!("exec {}: no such file or directory", words.first().copied().unwrap_or_default());
    ExitCode::FAILURE
}

/// `executor SCOPE USER COMMAND ARGUMENT…`; without a user, the agent's own.
pub fn main(words: &[&str]) -> ExitCode {
    let [scope, user, command, arguments @ ..] = words else { return ExitCode::from(127) };
    told(command, run(scope, user, command, arguments).map(|never| match never {}))
}

/// `executor-isolated SCOPE TASK`. The task's own words do not stand here: who looks for it by these would find its executor.
pub fn isolated(words: &[&str]) -> ExitCode {
    let [scope, it] = words else { return ExitCode::from(127) };
    told("executor", shut_in(scope, it))
}

fn told(command: &str, result: Result<ExitCode, String>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("exec {command}: {error}");
        ExitCode::FAILURE
    })
}

fn run(scope: &str, user: &str, command: &str, arguments: &[&str]) -> Result<Infallible, String> {
    // The leader of a session cannot make another; then it has one already.
    let _ = nix::unistd::setsid();
    if nix::unistd::geteuid().is_root() {
        isolation::enter_cgroup(scope)?;
    }
    if !user.is_empty() {
        let known = named(user)?;
        nix::unistd::setgroups(&[]).map_err(|error| error.to_string())?;
        nix::unistd::setgid(known.gid).map_err(|error| error.to_string())?;
        nix::unistd::setuid(known.uid).map_err(|error| error.to_string())?;
    }
    Err(Command::new(command).args(arguments).exec().to_string())
}

fn named(user: &str) -> Result<User, String> {
    User::from_name(user).map_err(|error| error.to_string())?.ok_or_else(|| format!("unknown user {user}"))
}

fn shut_in(scope: &str, it: &str) -> Result<ExitCode, String> {
    let _ = nix::unistd::setsid();
    isolation::enter_cgroup(scope)?;
    isolation::leave()?;
    // The first process of the new namespaces is the next child.
    let child = Command::new("/proc/self/exe").args([INNER, it]).spawn();
    let child = child.map_err(|error| error.to_string())?;
    Ok(wait_for(Pid::from_raw(i32::try_from(child.id()).map_err(|error| error.to_string())?)))
}

/// `executor-inner TASK`: the first process within.
pub fn inner(words: &[&str]) -> ExitCode {
    let [it] = words else { return ExitCode::from(127) };
    told("task", become_task(it).map(|never| match never {}))
}

fn become_task(it: &str) -> Result<Infallible, String> {
    let it: Isolation = serde_json::from_str(it).map_err(|error| error.to_string())?;
    let user = named(&it.user)?;
    isolation::enter_root(&it)?;
    isolation::become_user(&it, &user)?;
    // Should the executor be killed, so is the task. Who becomes another user forgets it, so this comes last.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(|error| error.to_string())?;
    Err(Command::new(&it.command).args(&it.arguments).exec().to_string())
}

/// Hands signals on, and ends as the task does.
fn wait_for(child: Pid) -> ExitCode {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    // No thread can be made any more: the next process is to be the first of other namespaces.
    let mut signals = signal_hook::iterator::Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2]).ok();
    loop {
        for signal in signals.iter_mut().flat_map(signal_hook::iterator::SignalsInfo::pending) {
            if let Ok(signal) = Signal::try_from(signal) {
                // It may be gone already.
                let _ = kill(child, signal);
            }
        }
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(LOOK),
            Ok(WaitStatus::Exited(_, code)) => return ExitCode::from(u8::try_from(code).unwrap_or(1)),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(0));
            }
            Err(nix::errno::Errno::EINTR) | Ok(_) => {}
            Err(_) => return ExitCode::FAILURE,
        }
    }
}
