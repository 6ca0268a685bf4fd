//! A TCP listener on loopback whose connections are conversations: bytes come, bytes go, and time passes.
//! May not know what is said: whoever converses does.
#![expect(clippy::disallowed_methods, reason = "a room of sys: the sockets, and their clock")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How often somebody who hears nothing is told that time has passed.
const TICK: Duration = Duration::from_millis(200);
/// How often somebody new is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long one who does not read is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is done next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// These bytes are sent,
    pub send: Vec<u8>,
    /// and then this is over.
    pub hang_up: bool,
}

/// One side of a connection. `now` is the time since the listener began.
pub trait Talk: Send {
    /// What is said first.
    fn greet(&mut self) -> Turn;
    /// These bytes came.
    fn hear(&mut self, bytes: &[u8], now: Duration) -> Turn;
    /// Nothing came for a moment.
    fn wait(&mut self, now: Duration) -> Turn;
    /// The other side went.
    fn lose(&mut self, why: &str);
}

/// A listener that runs until it is dropped, and its connections with it.
pub struct Conversations {
    port: u16,
    over: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Conversations {
    /// Listens there; each connection has a thread of its own, and one side that is made when it comes.
    pub fn start(at: SocketAddr, talk: impl Fn(Duration) -> Box<dyn Talk> + Send + 'static) -> anyhow::Result<Self> {
        let doing = || format!("listening on {at}");
        let listener = TcpListener::bind(at).with_context(doing)?;
        let port = listener.local_addr().with_context(doing)?.port();
        // Whoever ends it may be in another network than it is, and cannot wake it by a connection.
        listener.set_nonblocking(true).with_context(doing)?;
        let (over, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let acceptor = std::thread::spawn({
            let over = Arc::clone(&over);
            move || {
                while !over.load(Ordering::SeqCst) {
                    let Ok((stream, _)) = listener.accept() else {
                        // Nobody came, or somebody went before being taken.
                        std::thread::sleep(LOOK);
                        continue;
                    };
                    let (talk, over) = (talk(began.elapsed()), Arc::clone(&over));
                    std::thread::spawn(move || converse(stream, talk, began, &over));
                }
            }
        });
        Ok(Self { port, over, acceptor: Some(acceptor) })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Conversations {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
    }
}

fn converse(mut stream: TcpStream, mut talk: Box<dyn Talk>, began: Instant, over: &AtomicBool) {
    let why = carry(&mut stream, &mut *talk, began, over).err().map(|error| error.to_string());
    if let Some(why) = why {
        talk.lose(&why);
    }
}

/// Until one side hangs up. An error is what broke the connection.
fn carry(stream: &mut TcpStream, talk: &mut dyn Talk, began: Instant, over: &AtomicBool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    let mut turn = talk.greet();
    loop {
        stream.write_all(&turn.send)?;
        if turn.hang_up || over.load(Ordering::SeqCst) {
            return Ok(());
        }
        turn = match stream.read(&mut buffer) {
            Ok(0) => return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "the other side hung up")),
            Ok(length) => talk.hear(&buffer[..length], began.elapsed()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                talk.wait(began.elapsed())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
    }
}
