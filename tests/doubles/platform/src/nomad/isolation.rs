//! What Nomad's driver `exec` shuts a task into: a cgroup below nomad.slice, namespaces of its own for mounts, processes and IPC, a chroot, a
//! user, and of the capabilities those that its plugin allows, as ambient ones (`drivers/shared/executor/executor_linux_cgo.go` of 2.0.5).
//! May not touch the host but for the task's own folder and its cgroup. Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

/// Where a unified hierarchy is, and the file by which it is known.
const CGROUPS: &str = "/sys/fs/cgroup";
/// What an ambient capability of a task is when the plugin's configuration says nothing (drivers/shared/capabilities/defaults.go).
pub const DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What a task is shut into. Travels to the executor as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Isolation {
    /// The task's folder, which becomes its root.
    pub root: PathBuf,
    /// The folder that the allocation's tasks share: `/alloc` within.
    pub shared: PathBuf,
    /// Paths of the host, each with its place within.
    pub held: BTreeMap<String, String>,
    /// Whom it runs as.
    pub user: String,
    /// Which capabilities it has: `NET_BIND_SERVICE`.
    pub capabilities: Vec<String>,
    /// Its program, by its path within.
    pub command: String,
    /// What that is told.
    pub arguments: Vec<String>,
}

/// The capabilities of a task: the defaults that the plugin allows, less what the task drops, and what it adds. Fails when it adds what is
/// not allowed.
pub fn capabilities(allowed: Option<&[String]>, add: &[String], drop: &[String]) -> Result<Vec<String>, String> {
    let plain = |name: &String| name.to_uppercase().trim_start_matches("CAP_").to_owned();
    let allowed: Vec<String> =
        allowed.map_or_else(|| DEFAULT.map(str::to_owned).to_vec(), |names| names.iter().map(plain).collect());
    let (add, drop): (Vec<_>, Vec<_>) = (add.iter().map(plain).collect(), drop.iter().map(plain).collect());
    let missing: Vec<String> =
        add.iter().filter(|name| !allowed.contains(name)).map(|name| name.to_lowercase()).collect();
    if !missing.is_empty() {
        return Err(format!("driver does not allow the following capabilities: {}", missing.join(", ")));
    }
    let all = drop.iter().any(|name| name == "ALL");
    let kept = DEFAULT.iter().map(|name| (*name).to_owned());
    let mut result: Vec<String> =
        kept.filter(|name| allowed.contains(name) && !all && !drop.contains(name)).chain(add).collect();
    result.sort_unstable();
    result.dedup();
    Ok(result)
}

/// Moves this process into a cgroup of its own below nomad.slice, where the machine has a unified hierarchy.
pub fn enter_cgroup(scope: &str) -> Result<(), String> {
    if !Path::new(CGROUPS).join("cgroup.controllers").exists() {
        return Ok(());
    }
    let group = Path::new(CGROUPS).join("nomad.slice/share.slice").join(scope);
    fs::create_dir_all(&group)
        .and_then(|()| fs::write(group.join("cgroup.procs"), std::process::id().to_string()))
        .map_err(|error| format!("entering {}: {error}", group.display()))
}

/// Leaves the host's mounts, and its processes and IPC with the next child.
pub fn leave() -> Result<(), String> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC)
        .map_err(|error| format!("making namespaces: {error}"))
}

/// Makes the chroot and goes into it. To be called by the first process of the new namespaces.
pub fn enter_root(it: &Isolation) -> Result<(), String> {
    let nothing = None::<&str>;
    attach(nothing, Path::new("/"), nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, "")?;
    attach(Some(&it.root), &it.root, nothing, MsFlags::MS_BIND | MsFlags::MS_REC, "")?;
    // A folder comes before what lies in it.
    let mut held: Vec<_> = it.held.iter().collect();
    held.sort_by_key(|(_, inside)| inside.len());
    for (host, inside) in held {
        if let Ok(host) = fs::canonicalize(host) {
            bind(&host, &within(&it.root, inside))?;
        }
    }
    let closed = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    for (kind, place, flags, data) in [
        ("tmpfs", "/dev", MsFlags::MS_NOSUID, "mode=755"),
        ("tmpfs", "/dev/shm", closed, "mode=1777,size=65536k"),
        ("proc", "/proc", closed, ""),
        ("sysfs", "/sys", closed | MsFlags::MS_RDONLY, ""),
    ] {
        let place = within(&it.root, place);
        fs::create_dir_all(&place).map_err(|error| format!("making {}: {error}", place.display()))?;
        attach(Some(kind), &place, Some(kind), flags, data)?;
    }
    for device in ["null", "zero", "full", "random", "urandom"] {
        let device = Path::new("/dev").join(device);
        over(&device, &within(&it.root, device.to_str().unwrap_or_default()))?;
    }
    let shared = within(&it.root, "/alloc");
    fs::create_dir_all(&shared).map_err(|error| format!("making {}: {error}", shared.display()))?;
    attach(Some(&it.shared), &shared, nothing, MsFlags::MS_BIND, "")?;
    std::env::set_current_dir(&it.root).map_err(|error| error.to_string())?;
    nix::unistd::pivot_root(".", ".").map_err(|error| format!("changing the root: {error}"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(|error| format!("leaving the old root: {error}"))?;
    std::env::set_current_dir("/").map_err(|error| error.to_string())
}

/// Becomes the task's user with its capabilities, which then are in every set, the bounding one included, and nothing else is in any.
pub fn become_user(it: &Isolation, user: &nix::unistd::User) -> Result<(), String> {
    let wanted: CapsHashSet = it
        .capabilities
        .iter()
        .map(|name| format!("CAP_{name}").parse::<Capability>().map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    let wrong = |error: caps::errors::CapsError| error.to_string();
    for capability in caps::all() {
        // What this kernel does not know cannot be dropped, nor had.
        if !wanted.contains(&capability) && caps::has_cap(None, CapSet::Bounding, capability).unwrap_or(false) {
            caps::drop(None, CapSet::Bounding, capability).map_err(wrong)?;
        }
    }
    caps::securebits::set_keepcaps(true).map_err(wrong)?;
    nix::unistd::setgroups(&[]).map_err(|error| error.to_string())?;
    // Nomad leaves the group at 0 (seen with 2.0.5).
    nix::unistd::setgid(nix::unistd::Gid::from_raw(0)).map_err(|error| error.to_string())?;
    nix::unistd::setuid(user.uid).map_err(|error| error.to_string())?;
    caps::set(None, CapSet::Inheritable, &wanted).map_err(wrong)?;
    caps::set(None, CapSet::Permitted, &wanted).map_err(wrong)?;
    for capability in wanted {
        caps::raise(None, CapSet::Ambient, capability).map_err(wrong)?;
    }
    Ok(())
}

fn within(root: &Path, inside: &str) -> PathBuf {
    root.join(inside.trim_start_matches('/'))
}

/// A file or folder of the host, to be read only.
fn bind(host: &Path, place: &Path) -> Result<(), String> {
    over(host, place)?;
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    attach(None::<&str>, place, None, flags, "")
}

fn over(host: &Path, place: &Path) -> Result<(), String> {
    let made = if host.is_dir() {
        fs::create_dir_all(place)
    } else {
        place
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::OpenOptions::new().create(true).append(true).open(place).map(|_| ()))
    };
    // Below a folder that is bound already it is there, and cannot be made.
    made.or_else(|error| if place.exists() { Ok(()) } else { Err(format!("making {}: {error}", place.display())) })?;
    attach(Some(host), place, None, MsFlags::MS_BIND | MsFlags::MS_REC, "")
}

fn attach(
    what: Option<&(impl nix::NixPath + ?Sized)>,
    place: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    data: &str,
) -> Result<(), String> {
    mount(what, place, kind, flags, Some(data)).map_err(|error| format!("mounting {}: {error}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_task_has_thirteen_capabilities_unless_the_plugin_says_otherwise() {
        assert_eq!(capabilities(None, &[], &[]).unwrap().len(), 13);
        assert_eq!(capabilities(Some(&[]), &[], &[]), Ok(vec![]));
        assert_eq!(capabilities(None, &[], &names(&["all"])), Ok(vec![]));
        let allowed = names(&["kill", "CAP_NET_RAW"]);
        assert_eq!(capabilities(Some(&allowed), &names(&["net_raw"]), &names(&["kill"])), Ok(names(&["NET_RAW"])));
        let refused = capabilities(Some(&[]), &names(&["CAP_SETUID"]), &[]).unwrap_err();
        assert_eq!(refused, "driver does not allow the following capabilities: setuid");
    }
}
