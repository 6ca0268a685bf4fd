//! Sockets on the private link: one that hears what is said to all, one that hears and says what is said to one, and one that gives files.
//! May not know what is said.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};

use anyhow::Context as _;

/// How long a datagram was, and who sent it.
pub(crate) type Heard = io::Result<(usize, SocketAddrV4)>;

/// This node's sockets. Nothing of them is reachable but by its address on the link and by the link's own broadcast.
#[derive(Debug)]
pub(crate) struct Link {
    /// Bound to the link's broadcast address.
    to_all: UdpSocket,
    /// Bound to the node's own address.
    own: UdpSocket,
    broadcast: SocketAddrV4,
}

impl Link {
    /// Binds to an address of this machine, and to the broadcast address of its link.
    pub(crate) fn open(address: Ipv4Addr, broadcast: Ipv4Addr, port: u16) -> anyhow::Result<(Self, TcpListener)> {
        let doing = || format!("listening at {address}:{port}");
        let listener = TcpListener::bind((address, port)).with_context(doing)?;
        let own = UdpSocket::bind((address, port)).with_context(doing)?;
        own.set_broadcast(true).with_context(doing)?;
        let to_all = UdpSocket::bind((broadcast, port)).with_context(|| format!("listening at {broadcast}:{port}"))?;
        Ok((Self { to_all, own, broadcast: SocketAddrV4::new(broadcast, port) }, listener))
    }

    /// Says it to everybody on the link. That it could not be sent is as that it got lost.
    pub(crate) fn say_to_all(&self, bytes: &[u8]) {
        let _lost = self.own.send_to(bytes, self.broadcast);
    }

    /// Says it to one.
    pub(crate) fn say(&self, bytes: &[u8], to: SocketAddrV4) {
        let _lost = self.own.send_to(bytes, to);
    }

    /// The next datagram to everybody.
    pub(crate) fn hear_all(&self, buffer: &mut [u8]) -> Heard {
        hear(&self.to_all, buffer)
    }

    /// The next datagram to this node.
    pub(crate) fn hear_own(&self, buffer: &mut [u8]) -> Heard {
        hear(&self.own, buffer)
    }
}

/// The networks of private addresses (RFC 1918, 6598 and 4193) that this machine has an address on, with their lengths.
pub(crate) fn private_networks() -> Vec<(IpAddr, u8)> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let network = |interface: nix::ifaddrs::InterfaceAddress| {
        let (address, mask) = (interface.address?, interface.netmask?);
        let v4 = || {
            let length = mask.as_sockaddr_in()?.ip().to_bits().leading_ones();
            Some((IpAddr::V4(address.as_sockaddr_in()?.ip()), length))
        };
        let v6 = || {
            let length = mask.as_sockaddr_in6()?.ip().to_bits().leading_ones();
            Some((IpAddr::V6(address.as_sockaddr_in6()?.ip()), length))
        };
        let (address, length) = v4().or_else(v6)?;
        is_private(address).then_some((address, u8::try_from(length).ok()?))
    };
    interfaces.filter_map(network).collect()
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.to_bits() >> 22 == (100 << 8 | 64) >> 6,
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

fn hear(socket: &UdpSocket, buffer: &mut [u8]) -> Heard {
    loop {
        if let (length, SocketAddr::V4(from)) = socket.recv_from(buffer)? {
            return Ok((length, from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_private_by_their_networks() {
        for (address, private) in [
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.9.9", true),
            ("100.64.0.1", true),
            ("100.127.255.255", true),
            ("100.128.0.1", false),
            ("100.63.255.255", false),
            ("203.0.113.9", false),
            ("fd00::1", true),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), private, "{address}");
        }
        assert!(private_networks().iter().all(|(address, length)| is_private(*address) && *length <= 128));
    }
}
