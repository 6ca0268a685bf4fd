//! Sockets on the private link: one that hears what is said to all, one that hears and says what is said to one, and one that gives files.
//! May not know what is said.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};

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

fn hear(socket: &UdpSocket, buffer: &mut [u8]) -> Heard {
    loop {
        if let (length, SocketAddr::V4(from)) = socket.recv_from(buffer)? {
            return Ok((length, from));
        }
    }
}
