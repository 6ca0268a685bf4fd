//! A task's folders, its command, and its process.
//! May not decide whether it is started again: `restart` does.

use std::fs::OpenOptions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::chroot::Chroot;
use super::environment::{self, Folders};
use super::executor;
use super::isolation;
use super::state::{Process, text};
use super::world::World;

/// Where an allocation's files are.
pub fn folder(world: &World, alloc: &str) -> PathBuf {
    world.config.data_dir.join("alloc").join(alloc)
}

/// A task's log: `stdout` or `stderr`. The double does not rotate.
pub fn log(world: &World, alloc: &str, task: &str, stream: &str) -> PathBuf {
    folder(world, alloc).join("alloc/logs").join(format!("{task}.{stream}.0"))
}

/// A process that is a task.
pub enum Running {
    /// Started by this agent.
    Child(Child),
    /// Started by the agent before this one.
    Adopted(Process),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: i32,
    pub signal: i32,
}

impl Running {
    /// How it ended, when it has. Of an adopted one only that it ended is known.
    pub fn ended(&mut self) -> Option<Exit> {
        use std::os::unix::process::ExitStatusExt as _;
        match self {
            Self::Child(child) => {
                let status = child.try_wait().ok().flatten()?;
                let signal = status.signal().unwrap_or(0);
                Some(Exit { code: status.code().unwrap_or(128 + signal), signal })
            }
            Self::Adopted(process) => {
                (started(process.pid) != Some(process.started)).then_some(Exit { code: 0, signal: 0 })
            }
        }
    }

    /// The process, to know it again.
    pub fn process(&self) -> Option<Process> {
        match self {
            Self::Child(child) => {
                let pid = i32::try_from(child.id()).ok()?;
                Some(Process { pid, started: started(pid)? })
            }
            Self::Adopted(process) => Some(*process),
        }
    }

    /// Sends its first process a signal, or all of its session's first group one.
    pub fn signal(&self, signal: Signal, all: bool) {
        let pid = match self {
            Self::Child(child) => i32::try_from(child.id()).unwrap_or(0),
            Self::Adopted(process) => process.pid,
        };
        if pid > 1 {
            // It may be gone already, which is what was wanted.
            let _ = kill(Pid::from_raw(if all { -pid } else { pid }), signal);
        }
    }
}

/// The process of an earlier agent, when it is still there.
pub fn adopt(process: Process) -> Option<Running> {
    (started(process.pid) == Some(process.started)).then_some(Running::Adopted(process))
}

/// When a living process was started, in ticks since the machine's start.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if after.first() == Some(&"Z") {
        return None;
    }
    after.get(19)?.parse().ok()
}

/// Why a task cannot be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cannot {
    /// It is not allowed, or what it needs before its start cannot be made.
    Hook(String),
    /// Its driver cannot run it.
    Driver(String),
}

/// Makes the folders of a task and of its allocation.
pub fn prepare(world: &World, alloc: &Value, task: &Value) -> Result<(), Cannot> {
    let root = folder(world, text(alloc, "ID"));
    let own = root.join(text(task, "Name"));
    let wrong = |error: std::io::Error| Cannot::Hook(format!("task_dir: failed to build task directory: {error}"));
    if text(task, "Driver") == "exec" && text(task, "User") == "root" {
        return Err(Cannot::Hook("validate: running as user \"root\" is disallowed".into()));
    }
    for (path, mode) in [
        (root.clone(), 0o755),
        (root.join("alloc"), 0o777),
        (root.join("alloc/logs"), 0o777),
        (root.join("alloc/tmp"), 0o777),
        (root.join("alloc/data"), 0o777),
        (own.clone(), 0o777),
        (own.join("local"), 0o777),
        (own.join("secrets"), 0o777),
        (own.join("tmp"), 0o777),
    ] {
        std::fs::create_dir_all(&path).map_err(wrong)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(wrong)?;
    }
    // The folder above is closed to everybody but for passing through, as Nomad's is.
    let above = world.config.data_dir.join("alloc");
    std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o711)).map_err(wrong)?;
    if !task["Artifacts"].as_array().is_none_or(Vec::is_empty) {
        return Err(Cannot::Hook("artifacts: the double fetches no artifacts".into()));
    }
    for template in task["Templates"].as_array().into_iter().flatten() {
        let body = text(template, "EmbeddedTmpl");
        if body.contains("{{") || body.is_empty() {
            return Err(Cannot::Hook("template: the double renders only templates without actions".into()));
        }
        let path = own.join(text(template, "DestPath"));
        std::fs::create_dir_all(path.parent().unwrap_or(&own)).map_err(wrong)?;
        std::fs::write(&path, body).map_err(wrong)?;
        let mode = u32::from_str_radix(text(template, "Perms"), 8).unwrap_or(0o644);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(wrong)?;
    }
    Ok(())
}

/// Starts a task.
pub fn start(world: &World, alloc: &Value, task: &Value) -> Result<Running, Cannot> {
    let root = folder(world, text(alloc, "ID"));
    let own = root.join(text(task, "Name"));
    let driver = text(task, "Driver");
    // What is in a chroot sees its folders there.
    let folders = if driver == "exec" {
        Folders { alloc: "/alloc".into(), local: "/local".into(), secrets: "/secrets".into() }
    } else {
        Folders {
            alloc: root.join("alloc").display().to_string(),
            local: own.join("local").display().to_string(),
            secrets: own.join("secrets").display().to_string(),
        }
    };
    let names = world.names();
    let variables = environment::variables(alloc, task, &folders, &names, &world.host);
    let fill = |value: &Value| environment::replace(value.as_str().unwrap_or_default(), &[&names, &variables]);
    let config = &task["Config"];
    let command = fill(&config["command"]);
    if command.is_empty() {
        return Err(Cannot::Driver("failed to decode driver config: missing required attribute \"command\"".into()));
    }
    let mut arguments: Vec<String> = config["args"].as_array().into_iter().flatten().map(fill).collect();
    let user = match (text(task, "User"), driver) {
        ("", "exec") => "nobody",
        (user, _) => user,
    };
    let launch = |error: String| {
        Cannot::Driver(format!("failed to launch command with executor: rpc error: code = Unknown desc = {error}"))
    };
    let scope = format!("{}.{}.scope", text(alloc, "ID"), text(task, "Name"));
    let mut program = if driver == "exec" {
        let chroot = Chroot::new(&own, world.config.chroot.as_ref());
        let found = chroot.find(&command).map_err(launch)?;
        if let Some(error) = chroot.lacks_user(user) {
            return Err(launch(error));
        }
        let inside = found.inside.display().to_string();
        if found.no_loader {
            vec![executor::MISSING.to_owned(), inside]
        } else {
            let list = |key: &str| config[key].as_array().into_iter().flatten().map(fill).collect::<Vec<_>>();
            let capabilities =
                isolation::capabilities(world.config.allow_caps.as_deref(), &list("cap_add"), &list("cap_drop"))
                    .map_err(Cannot::Driver)?;
            let it = isolation::Isolation {
                root: own.clone(),
                shared: root.join("alloc"),
                held: chroot.held().clone(),
                user: user.to_owned(),
                capabilities,
                command: inside,
                arguments: std::mem::take(&mut arguments),
            };
            let it = serde_json::to_string(&it).map_err(|error| Cannot::Driver(error.to_string()))?;
            vec![executor::ISOLATED.to_owned(), scope, it]
        }
    } else {
        let path = variables.get("PATH").map_or("", String::as_str);
        let program = found(&command, &own, path).map_err(launch)?.display().to_string();
        vec![executor::COMMAND.to_owned(), scope, user.to_owned(), program]
    };
    program.extend(arguments);
    let sink = |stream: &str| {
        let path = log(world, text(alloc, "ID"), text(task, "Name"), stream);
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|error| Cannot::Driver(format!("failed to launch command with executor: {error}")))
    };
    let (out, err) = (sink("stdout")?, sink("stderr")?);
    if let Ok(Some(user)) = nix::unistd::User::from_name(user) {
        for path in [own.join("local"), own.join("secrets"), own.join("tmp")] {
            // Only what an unprivileged agent may not do either; the task then says what it lacks.
            let _ = chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()));
        }
    }
    Command::new("/proc/self/exe")
        .args(program)
        .env_clear()
        .envs(&variables)
        .current_dir(&own)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map(Running::Child)
        .map_err(|error| Cannot::Driver(format!("failed to launch command with executor: {error}")))
}

/// A command as `raw_exec` finds it: below the task's folder, at its absolute path, on the PATH.
fn found(command: &str, own: &Path, path: &str) -> Result<PathBuf, String> {
    // An absolute path stays what it is however it is joined.
    let places = [own.join("local").join(command), own.join(command)];
    if let Some(place) = places.into_iter().find(|place| place.is_file()) {
        return runnable(place);
    }
    if !command.contains('/') {
        let on_path = path.split(':').map(|folder| Path::new(folder).join(command)).find(|place| place.is_file());
        if let Some(place) = on_path {
            return runnable(place);
        }
    }
    Err(format!("binary {command:?} could not be found"))
}

fn runnable(place: PathBuf) -> Result<PathBuf, String> {
    let mode = std::fs::metadata(&place).map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o111 == 0 {
        return Err(format!("fork/exec {}: permission denied", place.display()));
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_exec_finds_absolute_paths_and_those_on_the_path() {
        let own = Path::new("/nonexistent");
        assert_eq!(found("sh", own, "/nonexistent:/bin"), Ok("/bin/sh".into()));
        assert_eq!(found("/bin/sh", own, ""), Ok("/bin/sh".into()));
        assert_eq!(found("/no/such", own, "").unwrap_err(), "binary \"/no/such\" could not be found");
        assert!(found("/etc/passwd", own, "").unwrap_err().contains("permission denied"));
    }

    #[test]
    fn a_process_is_known_again_while_it_lives() {
        let mut child = Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = Process { pid, started: started(pid).unwrap() };
        assert!(adopt(process).is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(adopt(process).is_none());
    }
}
