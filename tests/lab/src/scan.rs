//! A port scan: which ports of a machine take a connection, which refuse, which are silent. Called in the network it is to be seen from.
//! May not judge what it finds. Needs root, for a raw socket.
//!
//! A SYN scan (RFC 9293 section 3.5): one segment a port and no connection kept, so a whole machine takes no memory worth naming. The
//! kernel, which knows nothing of it, resets what the machine opens.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// So many at once, then a pause: 4000 a second, which an emulated machine takes without dropping any. All ports take 17 s a round.
const BURST: usize = 40;
const PAUSE: Duration = Duration::from_millis(10);
/// How long the last answers of a round are waited for.
const LINGER: Duration = Duration::from_millis(1500);
/// What was lost is asked for again, as long as a round still finds something, and at least once.
const ROUNDS: u16 = 3;

/// What a scan has found.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// Ports that take a connection.
    pub open: BTreeSet<u16>,
    /// Ports that refuse one.
    pub refused: BTreeSet<u16>,
    /// Ports that say nothing.
    pub silent: BTreeSet<u16>,
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, ports) in [("open", &self.open), (", refused", &self.refused), (", silent", &self.silent)] {
            write!(f, "{word}: {} ({})", ports.len(), ranges(ports))?;
        }
        Ok(())
    }
}

/// `22, 80-81, 443`.
fn ranges(ports: &BTreeSet<u16>) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *port => *last = *port,
            _ => runs.push((*port, *port)),
        }
    }
    let run = |(first, last): &(u16, u16)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

/// Scans these TCP ports of a machine. All of them take about 40 s, at most a minute.
pub fn tcp(machine: IpAddr, ports: RangeInclusive<u16>) -> io::Result<Scan> {
    let family = if machine.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    // A datagram socket as far as sending and receiving go. Connected, it knows its own address and hears this machine only.
    let socket = UdpSocket::from(socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Tcp)?);
    socket.connect((machine, 0))?;
    socket.set_nonblocking(true)?;
    let own = socket.local_addr()?.ip();
    let mut scan = Scan { silent: ports.collect(), ..Scan::default() };
    for round in 0..ROUNDS {
        // A port of one's own per round, so that an answer to the last one is not taken for one to this.
        let from = 61_000 + round;
        let before = scan.silent.len();
        let asked: Vec<u16> = scan.silent.iter().copied().collect();
        for burst in asked.chunks(BURST) {
            for port in burst {
                send(&socket, &syn((own, from), (machine, *port)))?;
            }
            std::thread::sleep(PAUSE);
            hear(&socket, from, &mut scan)?;
        }
        let sent = Instant::now();
        while sent.elapsed() < LINGER && !scan.silent.is_empty() {
            std::thread::sleep(PAUSE);
            hear(&socket, from, &mut scan)?;
        }
        if scan.silent.is_empty() || (round > 0 && scan.silent.len() == before) {
            break;
        }
    }
    Ok(scan)
}

/// What an earlier segment met on its way (ICMP) is reported by the next call, which then has done nothing.
fn is_of_before(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
    )
}

fn send(socket: &UdpSocket, segment: &[u8]) -> io::Result<()> {
    const TRIES: usize = 200;
    for _ in 0..TRIES {
        match socket.send(segment) {
            Ok(_) => return Ok(()),
            Err(error) if is_of_before(&error) => {}
            // The device's queue is full.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => std::thread::sleep(PAUSE),
            Err(error) if error.raw_os_error() == Some(nix::Error::ENOBUFS as i32) => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(()) // not sent is not answered: the port is silent until the next round
}

fn hear(socket: &UdpSocket, own: u16, scan: &mut Scan) -> io::Result<()> {
    let ip6 = socket.local_addr()?.is_ipv6();
    let mut packet = [0; 2048];
    loop {
        let length = match socket.recv(&mut packet) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if is_of_before(&error) => continue,
            Err(error) => return Err(error),
        };
        // raw(7): an IPv4 packet comes with its header, an IPv6 packet without.
        let header = if ip6 { 0 } else { usize::from(packet[0] & 0x0f) * 4 };
        let Some((port, answer)) = packet.get(header..length).and_then(|segment| answer(segment, own)) else {
            continue;
        };
        if scan.silent.remove(&port) {
            match answer {
                Answer::Open => scan.open.insert(port),
                Answer::Refused => scan.refused.insert(port),
            };
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Open,
    Refused,
}

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The sequence number by which an answer to this port's segment is known.
fn sequence(port: u16) -> u32 {
    0x616e_0000 | u32::from(port)
}

/// What a segment answers to one of ours, and from which port.
fn answer(segment: &[u8], own: u16) -> Option<(u16, Answer)> {
    let word = |at: usize| Some(u16::from_be_bytes(segment.get(at..at + 2)?.try_into().ok()?));
    let (port, to, acknowledged) = (word(0)?, word(2)?, (u32::from(word(8)?) << 16) | u32::from(word(10)?));
    let flags = *segment.get(13)?;
    if to != own || acknowledged != sequence(port).wrapping_add(1) || flags & ACK == 0 {
        return None;
    }
    match flags & (SYN | RST) {
        SYN => Some((port, Answer::Open)),
        RST => Some((port, Answer::Refused)),
        _ => None,
    }
}

/// A segment that asks for a connection: 20 bytes, no options.
fn syn((own, from): (IpAddr, u16), (machine, to): (IpAddr, u16)) -> [u8; 20] {
    let mut segment = [0; 20];
    segment[0..2].copy_from_slice(&from.to_be_bytes());
    segment[2..4].copy_from_slice(&to.to_be_bytes());
    segment[4..8].copy_from_slice(&sequence(to).to_be_bytes());
    segment[12] = 5 << 4; // its length, in words of four bytes
    segment[13] = SYN;
    segment[14..16].copy_from_slice(&1024_u16.to_be_bytes()); // the window
    let checksum = checksum(own, machine, &segment);
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    segment
}

/// RFC 1071, over the addresses, the protocol and the length (RFC 9293 section 3.1, RFC 8200 section 8.1), and the segment.
fn checksum(own: IpAddr, machine: IpAddr, segment: &[u8; 20]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (protocol, length) = (6_u32, 20_u32);
    let words = [octets(own), octets(machine), segment.to_vec()].concat();
    let sum: u32 = words.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let mut sum = sum + protocol + length;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("two bytes are left")
}

/// What a UDP port does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Udp {
    /// It answers.
    Answers,
    /// The machine says that nobody is there.
    Refuses,
    /// Nothing comes: it is filtered, or whoever listens does not care for the question.
    Silent,
}

/// Asks a UDP port of a machine three times, for a second each. The question is one a name server answers (RFC 1035): who is `.`, and when
/// it does not know it says so.
pub fn udp(machine: IpAddr, port: u16) -> io::Result<Udp> {
    const QUESTION: [u8; 17] = [0x61, 0x6e, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let any: SocketAddr = if machine.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().expect("it is an address");
    let socket = UdpSocket::bind(any)?;
    socket.connect((machine, port))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    for _ in 0..3 {
        match socket.send(&QUESTION).and_then(|_| socket.recv(&mut [0; 2048])) {
            Ok(_) => return Ok(Udp::Answers),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(Udp::Refuses),
            Err(error) if is_of_before(&error) || error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Udp::Silent)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::namespace::Namespace;

    #[test]
    fn a_scan_finds_exactly_the_ports_that_are_open() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: a scan needs root");
            return;
        }
        let namespace = Namespace::new(format!("amscan-{}", std::process::id())).unwrap();
        namespace.inside(|| {
            let listeners = ["127.0.0.1:22", "127.0.0.1:1999", "[::1]:80"].map(|at| TcpListener::bind(at).unwrap());
            let echo = UdpSocket::bind("127.0.0.1:8600").unwrap();
            let scan = tcp("127.0.0.1".parse().unwrap(), 1..=2000).unwrap();
            assert_eq!(format!("{scan:?}"), "open: 2 (22, 1999), refused: 1998 (1-21, 23-1998, 2000), silent: 0 ()");
            let scan = tcp("::1".parse().unwrap(), 79..=81).unwrap();
            assert_eq!((ranges(&scan.open), ranges(&scan.refused)), ("80".to_owned(), "79, 81".to_owned()));
            drop(listeners);
            let here = "127.0.0.1".parse().unwrap();
            assert_eq!(udp(here, 8600).unwrap(), Udp::Silent);
            assert_eq!(udp(here, 8301).unwrap(), Udp::Refuses);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // The three that went unanswered above are still there.
                    for _ in 0..4 {
                        let (length, from) = echo.recv_from(&mut [0; 64]).unwrap();
                        echo.send_to(&vec![0; length], from).unwrap();
                    }
                });
                assert_eq!(udp(here, 8600).unwrap(), Udp::Answers);
            });
        });
    }

    #[test]
    fn only_an_answer_to_our_own_segment_counts() {
        let mut segment = syn(("192.0.2.1".parse().unwrap(), 443), ("192.0.2.2".parse().unwrap(), 61_000));
        assert_eq!(answer(&segment, 61_000), None, "a question is no answer");
        segment[8..12].copy_from_slice(&(sequence(443) + 1).to_be_bytes());
        for (flags, expected) in [
            (SYN | ACK, Some((443, Answer::Open))),
            (RST | ACK, Some((443, Answer::Refused))),
            (RST, None),
            (ACK, None),
        ] {
            segment[13] = flags;
            assert_eq!(answer(&segment, 61_000), expected, "{flags:#x}");
            assert_eq!(answer(&segment, 61_001), None, "it is for another port");
        }
        segment[13] = SYN | ACK;
        segment[11] += 1;
        assert_eq!(answer(&segment, 61_000), None, "it acknowledges what was never sent");
        assert_eq!(answer(&segment[..12], 61_000), None);
    }
}
