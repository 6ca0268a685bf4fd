//! Everything that is said in BGP on the edge's cables, as it is said: daemon-independent, and with the kernel's own times.
//! May not send anything: it reads a copy of each frame (packet(7)).

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimeout, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, recvmsg, setsockopt, socket,
};
use nix::sys::time::{TimeSpec, TimeVal};

use super::wire::{Message, Streams};
use crate::namespace::Namespace;
use crate::wait;

/// How long it takes at most to notice that nobody listens any more, in microseconds.
const LOOK: i64 = 50_000;
/// Frames wait here while the machine is busy; ten thousand prefixes are far less.
const BUFFER: usize = 16 << 20;
/// The largest frame: the kernel cuts a segment of so much only when it leaves a real port.
const FRAME: usize = 70_000;

/// Listens until it is dropped.
pub struct Recorder {
    heard: Arc<Mutex<Vec<Message>>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Listens to everything that comes to and leaves this network, from now on.
    pub fn start(network: &Namespace) -> anyhow::Result<Self> {
        let socket = network.inside(open)?;
        let (heard, done) = (Arc::<Mutex<Vec<Message>>>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (heard, done) = (Arc::clone(&heard), Arc::clone(&done));
            move || listen(&socket, &heard, &done)
        });
        Ok(Self { heard, done, thread: Some(thread) })
    }

    /// All messages so far, in their order.
    pub fn messages(&self) -> Vec<Message> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The updates that this address has sent and that say something, in their order, from this number of messages on.
    pub fn updates(&self, from: &str, since: usize) -> Vec<Message> {
        let messages = self.messages().into_iter().skip(since);
        messages.filter(|message| message.from.to_string() == from && message.update().is_some()).collect()
    }

    /// How many messages there were so far: a mark for `updates`.
    pub fn mark(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The first message after a mark of which this holds, once it has come.
    pub fn wait_for(&self, since: usize, limit: Duration, holds: impl Fn(&Message) -> bool) -> Option<Message> {
        wait::until_some(limit, || self.messages().into_iter().skip(since).find(|message| holds(message)))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _it_has_panicked = thread.join();
        }
    }
}

fn open() -> anyhow::Result<OwnedFd> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .context("opening a packet socket")?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, LOOK))?;
    setsockopt(&socket, RcvBufForce, &BUFFER)?;
    Ok(socket)
}

fn listen(socket: &OwnedFd, heard: &Mutex<Vec<Message>>, done: &AtomicBool) {
    let (mut streams, mut frame) = (Streams::default(), vec![0; FRAME]);
    let mut space = nix::cmsg_space!(TimeSpec);
    while !done.load(Ordering::Relaxed) {
        let mut slices = [IoSliceMut::new(&mut frame)];
        let flags = MsgFlags::empty();
        let Ok(received) = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags) else { continue };
        let stamps = received.cmsgs().into_iter().flatten();
        let at = stamps.filter_map(|stamp| match stamp {
            ControlMessageOwned::ScmTimestampns(time) => Some(SystemTime::UNIX_EPOCH + Duration::from(time)),
            _ => None,
        });
        let (at, length) = (at.last().unwrap_or_else(SystemTime::now), received.bytes);
        let messages = streams.frame(at, &frame[..length.min(FRAME)]);
        heard.lock().unwrap_or_else(PoisonError::into_inner).extend(messages);
    }
}
