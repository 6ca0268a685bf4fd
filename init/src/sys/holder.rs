//! Who holds a port of this machine, by `/proc`: for messages, when somebody else than expected does.
//! May not be relied on for more: the answer may be another a moment later.
#![expect(clippy::disallowed_methods, reason = "this is the room that looks through /proc")]

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The state of a listening socket (`TCP_LISTEN` of the kernel's `tcp_states.h`).
const LISTEN: &str = "0A";
/// The longest name of a program that is told.
const TOLD: usize = 64;

/// Who listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The user, by number.
    user: u32,
    /// The process and its program, when they may be seen.
    process: Option<(u32, String)>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some((id, program)) => write!(f, "{program} (process {id}, user {})", self.user),
            None => write!(f, "a process of user {}", self.user),
        }
    }
}

/// The address in a URL whose host is one.
pub(crate) fn address(url: &str) -> Option<SocketAddr> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next()?.parse().ok()
}

/// Who listens at this address. Nothing when nobody does.
pub(crate) fn of(at: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables.iter().filter_map(|table| fs::read_to_string(table).ok()).collect();
    let (user, inode) = listener(&text, at)?;
    Some(Holder { user, process: process(&format!("socket:[{inode}]")) })
}

/// The user and the inode of who listens, in the kernel's table (`proc_pid_net(5)`): at this address, or at every one.
fn listener(table: &str, at: SocketAddr) -> Option<(u32, u64)> {
    let port = format!("{:04X}", at.port());
    let exact = match at.ip() {
        IpAddr::V4(ip) => hex(&ip.octets()),
        IpAddr::V6(ip) => hex(&ip.octets()),
    };
    let lines = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, own_port) = words.get(1)?.split_once(':')?;
        let fits = address == exact || address.bytes().all(|digit| digit == b'0');
        let listens = own_port == port && words.get(3) == Some(&LISTEN) && fits;
        listens.then_some((address == exact, words.get(7)?.parse().ok()?, words.get(9)?.parse().ok()?))
    });
    lines.max_by_key(|(exact, _, _)| *exact).map(|(_, user, inode)| (user, inode))
}

/// Words of 32 bits in the machine's own order, as the table has them.
fn hex(bytes: &[u8]) -> String {
    let word = |four: &[u8]| u32::from_ne_bytes(four.try_into().expect("an address has a multiple of four bytes"));
    bytes.chunks(4).map(|four| format!("{:08X}", word(four))).collect::<Vec<_>>().concat()
}

/// The process that has a socket open.
fn process(socket: &str) -> Option<(u32, String)> {
    let ids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| has(*id, socket)).find_map(|id| {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
        Some((id, name.trim_end().chars().filter(|c| !c.is_control()).take(TOLD).collect()))
    })
}

fn has(id: u32, socket: &str) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{id}/fd")) else { return false };
    open.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(socket)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found_with_process_program_and_user() {
        for host in ["127.0.0.1", "[::1]"] {
            let Ok(listener) = TcpListener::bind(format!("{host}:0")) else { continue };
            let at = listener.local_addr().unwrap();
            let found = of(at).unwrap_or_else(|| panic!("nobody listens at {at}"));
            assert_eq!(found.user, nix::unistd::getuid().as_raw());
            let (id, program) = found.process.clone().unwrap();
            assert_eq!(id, std::process::id());
            assert_eq!(found.to_string(), format!("{program} (process {id}, user {})", found.user));
        }
        // tcpmux, which nothing has listened at for decades
        assert_eq!(of("127.0.0.1:1".parse().unwrap()), None);
    }

    #[test]
    fn who_listens_everywhere_is_found_and_who_is_connected_is_not() {
        let own = u32::from_ne_bytes([127, 0, 0, 1]);
        let line = |address: String, state: &str, user: u32| {
            format!(
                "   0: {address}:2135 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {user:5} 0 4711 1 0\n"
            )
        };
        let at = "127.0.0.1:8501".parse().unwrap();
        let everywhere = line("00000000".into(), "0A", 65534);
        let here = line(format!("{own:08X}"), "0A", 7);
        assert_eq!(listener(&everywhere, at), Some((65534, 4711)));
        assert_eq!(listener(&format!("{everywhere}{here}"), at), Some((7, 4711)));
        assert_eq!(listener(&line(format!("{own:08X}"), "01", 7), at), None);
        assert_eq!(listener(&here, "127.0.0.1:8500".parse().unwrap()), None);
    }

    #[test]
    fn an_address_is_taken_out_of_a_url() {
        assert_eq!(address("https://127.0.0.1:8501/v1"), Some("127.0.0.1:8501".parse().unwrap()));
        assert_eq!(address("https://localhost:8501"), None);
    }
}
