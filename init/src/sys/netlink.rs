//! Requests to the kernel by netlink and its answers, and what it reports by itself (RFC 3549; Linux's `netlink.h`).
//! May not know what is asked. The crates made for it (netlink-packet-route) cost 684 KB of a binary that has 4 MiB; this costs a few.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{NLM_F_ACK, NLM_F_REQUEST};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// Bytes of `struct nlmsghdr`: length, kind, flags, number, sender.
const HEADER: usize = 16;
/// The kind of message that is a yes or no (`NLMSG_ERROR`).
const ERROR: u16 = 2;
/// The longest answer looked at, in bytes. An error repeats the request, which is below a hundred; a table or chain of nftables has its
/// comment and some numbers, and a report of a change is an address or a route.
const LONGEST: usize = 8192;
/// The bits of an attribute's kind that are no part of it (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const FLAGS: u16 = 0xc000;

/// A message that is being written; numbers are in the machine's own order.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// A change of this kind (`RTM_…`), with these flags besides those that ask for an answer, and the fixed part that belongs to the kind.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        Self::with(kind, bits(NLM_F_REQUEST | NLM_F_ACK) | flags, fixed)
    }

    /// A question of this kind, answered by one message or an error.
    pub(super) fn question(kind: u16, fixed: &[u8]) -> Self {
        Self::with(kind, bits(NLM_F_REQUEST), fixed)
    }

    fn with(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Self(bytes)
    }

    /// Adds an attribute: length, kind, value, and zeros to a multiple of four.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(value.len() + 4).expect("an attribute is an address or smaller");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn numbered(mut self, number: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("a request is below a hundred bytes");
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&number.to_ne_bytes());
        self.0
    }
}

fn bits(flags: i32) -> u16 {
    u16::try_from(flags).expect("the flags of netlink have 16 bits")
}

/// A socket to the kernel.
pub(super) struct Kernel {
    socket: OwnedFd,
    asked: u32,
}

impl Kernel {
    /// Opens one to the part of the kernel that has addresses and routes.
    pub(super) fn open() -> anyhow::Result<Self> {
        Self::to(SockProtocol::NetlinkRoute)
    }

    /// Opens one to this part of the kernel.
    pub(super) fn to(protocol: SockProtocol) -> anyhow::Result<Self> {
        Ok(Self { socket: opened(protocol)?, asked: 0 })
    }

    /// Asks for one change; an error of the kernel's is an [`Errno`]. It answers before `send` returns, so nothing has to be waited for.
    pub(super) fn ask(&mut self, request: Request) -> anyhow::Result<()> {
        let answer = self.exchange(request)?;
        ensure!(kind(&answer) == Some(ERROR), "the kernel answered otherwise than with yes or no");
        refused(&answer)
    }

    /// Asks a question. Returns what the answer has after its header; an error of the kernel's is an [`Errno`].
    pub(super) fn answer(&mut self, request: Request) -> anyhow::Result<Vec<u8>> {
        let mut answer = self.exchange(request)?;
        if kind(&answer) == Some(ERROR) {
            refused(&answer)?;
            anyhow::bail!("the kernel answered a question with yes");
        }
        Ok(answer.split_off(HEADER))
    }

    /// Sends a request. Returns the first message of the answer, which is at least a header.
    fn exchange(&mut self, request: Request) -> anyhow::Result<Vec<u8>> {
        self.asked += 1;
        let socket = self.socket.as_raw_fd();
        send(socket, &request.numbered(self.asked), MsgFlags::empty()).context("asking the kernel")?;
        let mut answer = vec![0; LONGEST];
        let count = recv(socket, &mut answer, MsgFlags::empty()).context("waiting for the kernel's answer")?;
        answer.truncate(count);
        let (first, _) = message(&answer).context("reading the kernel's answer: it is too short")?;
        ensure!(first.get(8..12) == Some(&self.asked.to_ne_bytes()), "the kernel answered another question");
        answer.truncate(first.len());
        Ok(answer)
    }
}

/// What the kernel reports by itself.
pub(super) struct Reports {
    socket: OwnedFd,
}

impl Reports {
    /// Subscribes to these groups (`RTMGRP_…`) of addresses and routes.
    pub(super) fn of(groups: u32) -> anyhow::Result<Self> {
        let socket = opened(SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups)).context("subscribing to the kernel's reports")?;
        Ok(Self { socket })
    }

    /// Waits for reports, until `concerns` says of one of them, by its kind and what it has after its header, that it is of interest. When
    /// there were more than the socket holds, what was lost may have been.
    pub(super) fn wait(&self, concerns: impl Fn(u16, &[u8]) -> bool) -> anyhow::Result<()> {
        let mut bytes = vec![0; LONGEST];
        loop {
            let mut rest = match recv(self.socket.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
                Err(Errno::ENOBUFS) => return Ok(()),
                Err(Errno::EINTR) => continue,
                received => &bytes[..received.context("waiting for the kernel's reports")?],
            };
            while let Some((first, others)) = message(rest) {
                if kind(first).is_some_and(|kind| concerns(kind, &first[HEADER..])) {
                    return Ok(());
                }
                rest = others;
            }
        }
    }
}

fn opened(protocol: SockProtocol) -> anyhow::Result<OwnedFd> {
    socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).context("opening a netlink socket")
}

/// The first whole message, and what follows it.
fn message(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok().filter(|length| *length >= HEADER)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((bytes.get(..length)?, rest))
}

fn kind(message: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(*message.get(4..)?.first_chunk()?))
}

/// The value of the first attribute of this kind.
pub(super) fn attribute(mut bytes: &[u8], kind: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let is = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & !FLAGS;
        let value = bytes.get(4..length)?;
        if is == kind {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

/// An error when the message says so: a number below zero is an `errno`.
fn refused(message: &[u8]) -> anyhow::Result<()> {
    let code = message.get(HEADER..).and_then(|rest| rest.first_chunk());
    match i32::from_ne_bytes(*code.context("reading the kernel's answer: it is too short")?) {
        0 => Ok(()),
        code => Err(Errno::from_raw(code.saturating_neg()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_laid_out_as_the_kernel_reads_it() {
        let bytes = Request::new(20, 0x600, &[2, 32, 0, 0]).attribute(2, &[198, 51, 100, 7, 9]).numbered(7);
        let header = [&32u32.to_ne_bytes()[..], &20u16.to_ne_bytes(), &0x605u16.to_ne_bytes(), &7u32.to_ne_bytes()];
        let rest =
            [&[0; 4][..], &[2, 32, 0, 0], &9u16.to_ne_bytes(), &2u16.to_ne_bytes(), &[198, 51, 100, 7, 9, 0, 0, 0]];
        let expected = [header.concat(), rest.concat()].concat();
        assert_eq!(bytes, expected);
    }

    fn told(kind: u16, number: u32, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + rest.len()).unwrap();
        let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 2], &number.to_ne_bytes(), &[0; 4]];
        [&header.concat()[..], rest].concat()
    }

    #[test]
    fn an_answer_is_cut_into_its_messages_and_their_attributes() {
        let two = [told(24, 7, &[1, 2, 3, 4]), told(3, 7, &[])].concat();
        let (first, rest) = message(&two).unwrap();
        assert_eq!((kind(first), &first[HEADER..], kind(rest)), (Some(24), &[1, 2, 3, 4][..], Some(3)));
        assert_eq!(message(&two[..18]), None, "cut");
        assert_eq!(message(&[0; 20]), None, "of no length");
        let attributes = [&[5, 0, 1, 0, 9, 0, 0, 0][..], &[6, 0, 2, 0x80, 7, 8, 0, 0]].concat();
        assert_eq!(attribute(&attributes, 2), Some(&[7, 8][..]));
        assert_eq!((attribute(&attributes, 3), attribute(&[0; 8], 1), attribute(&[1], 1)), (None, None, None));
    }

    #[test]
    fn no_is_an_error_number() {
        refused(&told(ERROR, 7, &0i32.to_ne_bytes())).unwrap();
        let error = refused(&told(ERROR, 7, &(-17i32).to_ne_bytes())).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Errno::EEXIST));
        refused(&told(ERROR, 7, &[0])).expect_err("cut");
    }
}
