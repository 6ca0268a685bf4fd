//! Attempts of native code in a task: at the network, the kernel, other processes and the host's files.
//! May not judge: it says what it was given.

use std::fmt::Display;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Gid, Pid, Uid};

/// How long a connection may take: what is dropped in silence is refused too.
const LIMIT: Duration = Duration::from_secs(3);

/// Runs the attempts that the arguments name, in their order: `connect=ADDRESS:PORT`, `get=HOST:PORT/PATH`, `udp=…`, `bind=…`, `read=PATH`,
/// `write=PATH`, `list=PATH`, and by a word alone `self`, `become-root`, `kernel`, `others`, `cgroup`, `raw`, `namespace`. What stands behind
/// `namespace` is tried within one, if there is one to be had.
pub fn run(arguments: &[String]) -> Vec<String> {
    let mut said = Vec::new();
    for argument in arguments {
        match argument.split_once('=') {
            Some((what, of)) => said.push(format!("{argument}: {}", outcome(one(what, of)))),
            None => said.extend(several(argument)),
        }
    }
    said
}

fn outcome<T, E: Display>(result: Result<T, E>) -> String {
    result.map_or_else(|error| format!("refused ({error})"), |_| "done".to_owned())
}

fn one(what: &str, of: &str) -> Result<(), String> {
    match what {
        "connect" => connect(of).map(|_| ()),
        "get" => get(of),
        "udp" => udp(of),
        "bind" => TcpListener::bind(of).map(|_| ()).map_err(words),
        "read" => fs::read(of).map(|_| ()).map_err(words),
        "list" => fs::read_dir(of).map(|_| ()).map_err(words),
        "write" => fs::OpenOptions::new().write(true).open(of).map(|_| ()).map_err(words),
        other => Err(format!("no such attempt: {other}")),
    }
}

/// The name of what the kernel said, which is the same everywhere.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn words(error: std::io::Error) -> String {
    error
        .raw_os_error()
        .map_or_else(|| format!("{:?}", error.kind()), |number| format!("{:?}", Errno::from_raw(number)))
}

fn addresses(of: &str) -> Result<Vec<SocketAddr>, String> {
    of.to_socket_addrs().map(Iterator::collect).map_err(words)
}

fn connect(of: &str) -> Result<TcpStream, String> {
    let mut last = "no address".to_owned();
    for address in addresses(of)? {
        match TcpStream::connect_timeout(&address, LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = words(error),
        }
    }
    Err(last)
}

/// An answer by HTTP, whatever it says.
fn get(of: &str) -> Result<(), String> {
    let (host, path) = of.split_once('/').unwrap_or((of, ""));
    let mut stream = connect(host)?;
    let asked = format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\nMetadata-Token: vultr\r\n\r\n");
    stream.set_read_timeout(Some(LIMIT)).map_err(words)?;
    stream.write_all(asked.as_bytes()).map_err(words)?;
    let mut first = [0; 4];
    stream.read_exact(&mut first).map_err(words)
}

fn udp(of: &str) -> Result<(), String> {
    for address in addresses(of)? {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).map_err(words)?;
        socket.connect(address).and_then(|()| socket.send(b"?")).map_err(words)?;
    }
    Ok(())
}

fn several(what: &str) -> Vec<String> {
    let lines = match what {
        "self" => return myself(),
        "become-root" => become_root(),
        "kernel" => kernel(),
        "others" => others(),
        "cgroup" => cgroup(),
        "raw" => raw(),
        "namespace" => namespace(),
        other => vec![(other, "refused (no such attempt)".to_owned())],
    };
    lines.into_iter().map(|(attempt, how)| format!("{attempt}: {how}")).collect()
}

/// What the kernel says this process may.
fn myself() -> Vec<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let told =
        ["Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:"];
    let lines = status.lines().filter(|line| told.iter().any(|field| line.starts_with(field)));
    let mut said: Vec<String> =
        lines.map(|line| format!("self: {}", line.split_whitespace().collect::<Vec<_>>().join(" "))).collect();
    said.push(format!(
        "self: cgroup {}",
        fs::read_to_string("/proc/self/cgroup").unwrap_or_default().trim().replace('\n', " ")
    ));
    said
}

type Attempts = Vec<(&'static str, String)>;

fn become_root() -> Attempts {
    vec![
        ("setgroups", outcome(nix::unistd::setgroups(&[Gid::from_raw(0)]))),
        ("setgid 0", outcome(nix::unistd::setgid(Gid::from_raw(0)))),
        ("setresuid 0", outcome(nix::unistd::setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0)))),
        ("setuid 0", outcome(nix::unistd::setuid(Uid::from_raw(0)))),
    ]
}

fn kernel() -> Attempts {
    let device = mknod("/tmp/disk", SFlag::S_IFBLK, Mode::S_IRUSR, makedev(8, 0));
    vec![
        ("mount", outcome(mount(Some("tmpfs"), "/tmp", Some("tmpfs"), MsFlags::empty(), None::<&str>))),
        ("unshare mounts", outcome(unshare(CloneFlags::CLONE_NEWNS))),
        ("unshare network", outcome(unshare(CloneFlags::CLONE_NEWNET))),
        ("chroot", outcome(nix::unistd::chroot("/tmp"))),
        ("make a block device", outcome(device)),
        ("set the host's name", outcome(nix::unistd::sethostname("hostile"))),
        ("read the kernel's log", outcome(fs::read("/dev/kmsg").map_err(words))),
        ("write sysctl", outcome(fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").map_err(words))),
        ("write sysrq", outcome(fs::write("/proc/sysrq-trigger", "h").map_err(words))),
    ]
}

/// Every process that can be seen but this one.
fn others() -> Attempts {
    let own = std::process::id();
    let seen: Vec<i32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| u32::try_from(*pid) != Ok(own))
        .collect();
    let any = |attempt: &dyn Fn(i32) -> bool| {
        let hit = seen.iter().filter(|pid| attempt(**pid)).count();
        if hit == 0 { "refused (of none)".to_owned() } else { format!("done to {hit}") }
    };
    vec![
        (
            "see other processes",
            if seen.is_empty() { "refused (none)".to_owned() } else { format!("done: {}", seen.len()) },
        ),
        (
            "read their environment",
            any(&|pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|text| !text.is_empty())),
        ),
        ("enter their root", any(&|pid| fs::read_dir(format!("/proc/{pid}/root/etc")).is_ok())),
        ("trace them", any(&|pid| nix::sys::ptrace::attach(Pid::from_raw(pid)).is_ok())),
        // By numbers, whether seen or not; 0 would be this process's own group.
        ("signal what is not seen", {
            let hit = (2..32_768)
                .filter(|pid| u32::try_from(*pid) != Ok(own))
                .filter(|pid| nix::sys::signal::kill(Pid::from_raw(*pid), None).is_ok());
            match hit.count() {
                0 => "refused (of none)".to_owned(),
                count => format!("done to {count}"),
            }
        }),
    ]
}

/// Out of the cgroup, by which the firewall knows a tenant.
fn cgroup() -> Attempts {
    let own = std::process::id().to_string();
    let mut files = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), 3, &mut files);
    let moved = files.iter().filter(|file| fs::write(file, &own).is_ok()).count();
    let moved = if moved == 0 { "refused (by all)".to_owned() } else { format!("done: {moved}") };
    let kind = |kind: &'static str| mount(Some(kind), "/tmp", Some(kind), MsFlags::empty(), None::<&str>);
    vec![("leave the cgroup", moved), ("mount the cgroups", outcome(kind("cgroup2")))]
}

fn walk(folder: &Path, depth: u32, files: &mut Vec<std::path::PathBuf>) {
    files.push(folder.join("cgroup.procs"));
    if depth > 0 {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
            walk(&entry.path(), depth - 1, files);
        }
    }
}

fn raw() -> Attempts {
    let raw = |family, protocol| socket(family, SockType::Raw, SockFlag::empty(), protocol);
    let mark = UdpSocket::bind("127.0.0.1:0")
        .map_err(words)
        .and_then(|socket| setsockopt(&socket, sockopt::Mark, &1).map_err(|error| format!("{error:?}")));
    vec![
        ("raw ICMP", outcome(raw(AddressFamily::Inet, SockProtocol::Icmp))),
        ("raw ICMPv6", outcome(raw(AddressFamily::Inet6, SockProtocol::IcmpV6))),
        ("raw packets", outcome(raw(AddressFamily::Packet, SockProtocol::EthAll))),
        ("firewall by netlink", outcome(netfilter())),
        ("mark packets", outcome(mark)),
    ]
}

/// Asks the kernel to forget all rules; whether it does is seen by what is tried next.
fn netfilter() -> Result<(), String> {
    let wrong = |error: Errno| format!("{error:?}");
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::empty(), SockProtocol::NetlinkNetFilter)
        .map_err(wrong)?;
    let message = |kind: u16, flags: u16, family: u8, id: u16| {
        let mut bytes = Vec::new();
        bytes.extend(20_u32.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend([family, 0]);
        bytes.extend(id.to_be_bytes());
        bytes
    };
    // NFNL_MSG_BATCH_BEGIN, NFT_MSG_DELTABLE of every table, NFNL_MSG_BATCH_END (linux/netfilter/nfnetlink.h, nf_tables.h).
    let batch = [message(16, 1, 0, 10), message(10 << 8 | 2, 5, 0, 0), message(17, 1, 0, 10)].concat();
    nix::sys::socket::send(std::os::fd::AsRawFd::as_raw_fd(&netlink), &batch, nix::sys::socket::MsgFlags::empty())
        .map_err(wrong)?;
    let mut answer = [0; 512];
    let count = nix::sys::socket::recv(
        std::os::fd::AsRawFd::as_raw_fd(&netlink),
        &mut answer,
        nix::sys::socket::MsgFlags::MSG_DONTWAIT,
    )
    .map_err(wrong)?;
    // NLMSG_ERROR: 16 bytes of header, then the number.
    match answer
        .get(16..20)
        .filter(|_| count >= 20)
        .map(|bytes| i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    {
        Some(0) => Ok(()),
        Some(error) => Err(format!("{:?}", Errno::from_raw(-error))),
        None => Err("no answer".into()),
    }
}

/// A user namespace, in which whoever makes it has every capability, and what these are good for on the host.
fn namespace() -> Attempts {
    let made = unshare(CloneFlags::CLONE_NEWUSER);
    let mut said = vec![("make a user namespace", outcome(made))];
    if made.is_ok() {
        said.push(("root in it listens on 80 of the host", outcome(TcpListener::bind("0.0.0.0:80").map_err(words))));
        said.push((
            "root in it opens raw sockets of the host",
            outcome(socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Icmp)),
        ));
        said.push(("root in it changes the host's firewall", outcome(netfilter())));
        let mounts = unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP);
        if mounts.is_ok() && mount(Some("cgroup2"), "/tmp", Some("cgroup2"), MsFlags::empty(), None::<&str>).is_ok() {
            let mut files = Vec::new();
            walk(Path::new("/tmp"), 3, &mut files);
            let own = std::process::id().to_string();
            let moved = files.iter().skip(1).filter(|file| fs::write(file, &own).is_ok()).count();
            let made = fs::create_dir("/tmp/hostile").map_err(words);
            said.push((
                "root in it leaves the cgroup",
                if moved == 0 { "refused (by all)".into() } else { format!("done: {moved}") },
            ));
            said.push(("root in it makes a cgroup", outcome(made)));
        }
    }
    said
}
