//! The outside of a machine in QEMU: a network with a tap device, whose other end is the machine's public port. Who works in it is a stranger
//! on that network: it may connect, scan, later speak BGP.
//! May not touch the host outside its own network namespace, which goes when it is dropped. Needs root.
#![expect(unsafe_code, reason = "TUNSETIFF, the one request that makes a tap device, is not in nix")]

use std::fs::{File, OpenOptions};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};

use crate::namespace::Namespace;

/// The name of the tap device in its namespace.
const TAP: &str = "public0";
/// `IFF_TAP | IFF_NO_PI` (`linux/if_tun.h`): whole Ethernet frames, nothing before them, as QEMU wants it.
const TAP_FLAGS: u16 = 0x0002 | 0x1000;

/// A network with the machine on one side and whoever works `inside` on the other.
pub struct Outside {
    namespace: Namespace,
    tap: Arc<OwnedFd>,
}

impl Outside {
    /// Whether this process may make one. When it may not, the sentence says why.
    pub fn possible() -> Result<(), String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("a network outside a machine needs root for its namespace".into());
        }
        open().map(drop).map_err(|error| format!("a network outside a machine needs a tap device: {error:#}"))
    }

    /// A network where these addresses, each with its length (`203.0.113.10/29`), are on this side.
    pub fn new(addresses: &[&str]) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::new(format!("amout-{}-{number}", std::process::id()))?;
        let tap = namespace.inside(tap)?;
        // A scan comes in bursts, faster than an emulated machine takes frames; the default is 1000.
        namespace.ip(&["link", "set", TAP, "up", "txqueuelen", "10000"])?;
        let outside = Self { namespace, tap: Arc::new(tap) };
        for address in addresses {
            outside.address(address)?;
        }
        Ok(outside)
    }

    /// The device, for the machine's public port. It may be given to one machine after the other.
    pub fn tap(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.tap)
    }

    /// One more address on this side. With a length of all its bits it is a stranger's from anywhere.
    pub fn address(&self, address: &str) -> anyhow::Result<()> {
        // Duplicate address detection would take a second in which it cannot be used; only IPv6 knows it.
        let detection: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
        self.namespace.ip(&[&["address", "add", address, "dev", TAP], detection].concat())
    }

    /// Has this prefix lie behind the machine: an anycast address, say.
    pub fn route(&self, prefix: &str, machine: IpAddr) -> anyhow::Result<()> {
        let family = if machine.is_ipv6() { "-6" } else { "-4" };
        self.namespace.ip(&[family, "route", "add", prefix, "via", &machine.to_string(), "dev", TAP])
    }

    /// Runs this outside: what it connects to and listens at is on the machine's public network.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.inside(work)
    }

    /// A program that will run outside.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// A network behind this one, a hop further from the machine, with one who has the address `far`; `near` is this side's, and his way
    /// to everywhere. Both have their length (`192.0.2.66/30`).
    pub fn beyond(&self, near: &str, far: &str) -> anyhow::Result<Beyond> {
        let namespace = Namespace::new(format!("{}-far", self.namespace.name()))?;
        let (here, there) = ("beyond0", "outside0");
        let pair = ["link", "add", here, "type", "veth", "peer", "name", there, "netns", namespace.name()];
        self.namespace.ip(&pair)?;
        self.namespace.ip(&["address", "add", near, "dev", here])?;
        self.namespace.ip(&["link", "set", here, "up"])?;
        namespace.ip(&["address", "add", far, "dev", there])?;
        namespace.ip(&["link", "set", there, "up"])?;
        let gateway = near.split('/').next().unwrap_or(near);
        namespace.ip(&["route", "add", "default", "via", gateway])?;
        self.inside(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")).context("forwarding outside")?;
        Ok(Beyond { namespace })
    }

    /// Connects from one of this side's addresses, whichever the kernel picks when `from` is `None`.
    pub fn connect(&self, from: Option<IpAddr>, to: (IpAddr, u16), limit: Duration) -> std::io::Result<TcpStream> {
        self.inside(|| match from {
            None => TcpStream::connect_timeout(&to.into(), limit),
            Some(from) => connect_from(from, to.into(), limit),
        })
    }

    /// Waits until the machine takes a connection at this port.
    pub fn wait_for(&self, to: (IpAddr, u16), limit: Duration) -> anyhow::Result<TcpStream> {
        let began = Instant::now();
        loop {
            // At least a moment: a limit of nothing is refused.
            let left = limit.saturating_sub(began.elapsed()).max(Duration::from_millis(100));
            match self.connect(None, to, left) {
                Ok(stream) => return Ok(stream),
                Err(error) if began.elapsed() >= limit => {
                    return Err(error).with_context(|| format!("connecting to port {} of {} from outside", to.1, to.0));
                }
                Err(_not_yet) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

/// A network that the machine reaches by its neighbour only.
pub struct Beyond {
    namespace: Namespace,
}

impl Beyond {
    /// Connects from there.
    pub fn connect(&self, to: (IpAddr, u16), limit: Duration) -> std::io::Result<TcpStream> {
        self.namespace.inside(|| TcpStream::connect_timeout(&to.into(), limit))
    }
}

fn connect_from(from: IpAddr, to: SocketAddr, limit: Duration) -> std::io::Result<TcpStream> {
    let family = if from.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((from, 0))))?;
    let stream = TcpStream::from(socket);
    // Connecting takes no longer than sending may (socket(7), SO_SNDTIMEO).
    stream.set_write_timeout(Some(limit))?;
    connect(stream.as_raw_fd(), &SockaddrStorage::from(to))?;
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// As the kernel reads it for TUNSETIFF: a name, flags, and the rest of `struct ifreq` (`linux/if.h`).
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

fn open() -> anyhow::Result<File> {
    OpenOptions::new().read(true).write(true).open("/dev/net/tun").context("opening /dev/net/tun")
}

/// A tap device in the calling thread's network. It lives as long as somebody has it open.
fn tap() -> anyhow::Result<OwnedFd> {
    // By its number it is `_IOW('T', 202, int)`; what it reads is a `struct ifreq`.
    nix::ioctl_write_ptr_bad!(set_interface, nix::request_code_write!(b'T', 202, size_of::<i32>()), Request);
    let device = open()?;
    let mut request = Request { name: [0; 16], flags: TAP_FLAGS, rest: [0; 22] };
    request.name[..TAP.len()].copy_from_slice(TAP.as_bytes());
    // SAFETY: the kernel reads and writes a `struct ifreq`, 40 bytes, which `Request` is, and keeps no reference to it.
    unsafe { set_interface(device.as_raw_fd(), &raw mut request) }.context("making a tap device")?;
    Ok(device.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn who_is_beyond_reaches_this_side_by_its_own_way_only() {
        if let Err(why) = Outside::possible() {
            eprintln!("skipped: {why}");
            return;
        }
        let outside = Outside::new(&["203.0.113.10/29"]).unwrap();
        let beyond = outside.beyond("192.0.2.65/30", "192.0.2.66/30").unwrap();
        let listener = outside.inside(|| std::net::TcpListener::bind("203.0.113.10:8179").unwrap());
        let to = ("203.0.113.10".parse().unwrap(), 8179);
        beyond.connect(to, Duration::from_secs(10)).unwrap();
        assert_eq!(listener.accept().unwrap().1.ip().to_string(), "192.0.2.66");
    }

    #[test]
    fn a_frame_that_is_sent_outside_comes_out_of_the_device_and_the_host_sees_none() {
        if let Err(why) = Outside::possible() {
            eprintln!("skipped: {why}");
            return;
        }
        let outside = Outside::new(&["203.0.113.10/29"]).unwrap();
        let (to, host) = ("203.0.113.11:9", "203.0.113.10:0");
        assert!(std::net::UdpSocket::bind(host).is_err(), "the address is on the host");
        outside.inside(|| std::net::UdpSocket::bind(host).unwrap().send_to(b"hello", to).unwrap());
        // Nobody answers, so what comes is the question who has the address (RFC 826): after the header, in the last four bytes of 28.
        let mut device = File::from(outside.tap().try_clone().unwrap());
        let mut frame = [0; 2048];
        let question = (0..20).any(|_| {
            let length = device.read(&mut frame).unwrap();
            length >= 42 && frame[12..14] == [0x08, 0x06] && frame[38..42] == [203, 0, 113, 11]
        });
        assert!(question, "nobody was asked for");
    }
}
