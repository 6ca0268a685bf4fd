//! One request to the kernel by netlink, and its yes or no (RFC 3549; Linux's `netlink.h`, `rtnetlink.h`).
//! May not know what is asked. The crates made for it (netlink-packet-route) cost 684 KB of a binary that has 4 MiB; this costs a few.

use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, ensure};
use nix::errno::Errno;
use nix::libc::{NLM_F_ACK, NLM_F_REQUEST};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

/// Bytes of `struct nlmsghdr`: length, kind, flags, number, sender.
const HEADER: usize = 16;
/// The kind of message that is a yes or no (`NLMSG_ERROR`).
const ERROR: u16 = 2;
/// The longest answer looked at, in bytes: it repeats the request, which is below a hundred.
const LONGEST: usize = 4096;

/// A message that is being written; numbers are in the machine's own order.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// Of this kind (`RTM_…`), with these flags besides those that ask for an answer, and the fixed part that belongs to the kind.
    pub(super) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let flags = u16::try_from(NLM_F_REQUEST | NLM_F_ACK).expect("the flags of netlink have 16 bits") | flags;
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

/// A socket to the kernel.
pub(super) struct Kernel {
    socket: OwnedFd,
    asked: u32,
}

impl Kernel {
    pub(super) fn open() -> anyhow::Result<Self> {
        let protocol = SockProtocol::NetlinkRoute;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol);
        Ok(Self { socket: socket.context("opening a netlink socket")?, asked: 0 })
    }

    /// Asks for one change; an error of the kernel's is an [`Errno`]. It answers before `send` returns, so nothing has to be waited for.
    pub(super) fn ask(&mut self, request: Request) -> anyhow::Result<()> {
        self.asked += 1;
        let socket = self.socket.as_raw_fd();
        send(socket, &request.numbered(self.asked), MsgFlags::empty()).context("asking the kernel")?;
        let mut answer = [0; LONGEST];
        let count = recv(socket, &mut answer, MsgFlags::empty()).context("waiting for the kernel's answer")?;
        match verdict(&answer[..count], self.asked)? {
            0 => Ok(()),
            code => Err(Errno::from_raw(code.saturating_neg()).into()),
        }
    }
}

/// The number in the answer to this request: zero for yes, or an `errno` below zero.
fn verdict(answer: &[u8], number: u32) -> anyhow::Result<i32> {
    let is_answer = answer.get(4..6).is_some_and(|kind| kind == ERROR.to_ne_bytes());
    ensure!(is_answer, "the kernel answered otherwise than with yes or no");
    ensure!(answer.get(8..12) == Some(&number.to_ne_bytes()), "the kernel answered another question");
    let code = answer.get(HEADER..).and_then(|rest| rest.first_chunk());
    Ok(i32::from_ne_bytes(*code.context("reading the kernel's answer: it is too short")?))
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

    #[test]
    fn only_an_answer_to_the_question_counts() {
        let answer = |kind: u16, number: u32, code: i32| {
            let parts =
                [&[0; 4][..], &kind.to_ne_bytes(), &[0; 2], &number.to_ne_bytes(), &[0; 4], &code.to_ne_bytes()];
            parts.concat()
        };
        assert_eq!(verdict(&answer(2, 7, 0), 7).unwrap(), 0);
        assert_eq!(verdict(&answer(2, 7, -17), 7).unwrap(), -17);
        verdict(&answer(2, 6, 0), 7).expect_err("another question's");
        verdict(&answer(3, 7, 0), 7).expect_err("no verdict");
        verdict(&answer(2, 7, 0)[..18], 7).expect_err("cut");
        verdict(&[], 7).expect_err("nothing");
    }
}
