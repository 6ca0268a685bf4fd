//! Clients of a small HTTP/1.1 server: each in a thread of its own, with a limit on how long it may take to ask, on how many there are, and on how
//! many come from one address. May not answer: whoever serves does.

use std::io::{self, Read as _};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock;

/// The longest head of a request that is read, in bytes.
const LONGEST: usize = 4096;
/// A thread's stack: the head of a request, and little more.
const STACK: usize = 128 * 1024;

/// What clients may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Clients at a time.
    pub(crate) at_once: usize,
    /// Of these, from one address.
    pub(crate) from_one: usize,
    /// How long a client may take to ask, from the first byte to the last.
    pub(crate) asking: Duration,
    /// How long a client may take to make room for another byte of the answer.
    pub(crate) taking: Duration,
}

/// Serves for ever. A client that has not asked yet makes room for a newer one where there are too many: who asks at once is never shut out by any
/// number that do not. `near` says whose connections are taken, `answer` gets the request's head.
pub(crate) fn serve(
    listener: &TcpListener,
    rules: Rules,
    near: impl Fn(IpAddr) -> bool,
    answer: impl Fn(&mut TcpStream, &[u8]) -> io::Result<()> + Send + Sync + 'static,
) {
    let (clients, answer) = (Arc::new(Clients::default()), Arc::new(answer));
    for client in listener.incoming() {
        let Ok(client) = client else {
            // Too many open files, say: that passes, and must not be asked about a million times until then.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let Some(peer) = client.peer_addr().ok().map(|peer| peer.ip()).filter(|peer| near(*peer)) else { continue };
        let Some(id) = clients.admit(&client, peer, rules) else { continue };
        let (held, answer) = (Held { clients: Arc::clone(&clients), id }, Arc::clone(&answer));
        let _could_not_be_started = std::thread::Builder::new().stack_size(STACK).spawn(move || {
            let mut client = client;
            let _client_gone = attend(&mut client, rules, &held, &*answer);
        });
    }
}

fn attend(
    client: &mut TcpStream,
    rules: Rules,
    held: &Held,
    answer: &(impl Fn(&mut TcpStream, &[u8]) -> io::Result<()> + ?Sized),
) -> io::Result<()> {
    let mut request = [0; LONGEST];
    let length = read_head(client, &mut request, clock::monotonic() + rules.asking)?;
    held.has_asked();
    client.set_write_timeout(Some(rules.taking))?;
    answer(client, &request[..length])
}

/// Reads until the head is whole, the client has said all it will, or the time is over.
fn read_head(client: &mut TcpStream, head: &mut [u8], until: Instant) -> io::Result<usize> {
    let mut length = 0;
    while !ends(&head[..length]) && length < head.len() {
        let left = until.saturating_duration_since(clock::monotonic());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match client.read(&mut head[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}

/// Whether a request's head has come whole.
fn ends(head: &[u8]) -> bool {
    head.windows(4).any(|window| window == b"\r\n\r\n") || head.windows(2).any(|window| window == b"\n\n")
}

/// Who is there, the longest first.
#[derive(Default)]
struct Clients {
    there: Mutex<(u64, Vec<Client>)>,
}

struct Client {
    id: u64,
    peer: IpAddr,
    /// To end it from another thread.
    socket: TcpStream,
    asked: bool,
}

impl Clients {
    fn there(&self) -> MutexGuard<'_, (u64, Vec<Client>)> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One client more, or `None` when there is no room for it.
    fn admit(&self, socket: &TcpStream, peer: IpAddr, rules: Rules) -> Option<u64> {
        let socket = socket.try_clone().ok()?;
        let mut there = self.there();
        let (last, clients) = &mut *there;
        if clients.iter().filter(|client| client.peer == peer).count() >= rules.from_one {
            make_room(clients, |client| client.peer == peer)?;
        }
        if clients.len() >= rules.at_once {
            make_room(clients, |_| true)?;
        }
        *last += 1;
        clients.push(Client { id: *last, peer, socket, asked: false });
        Some(*last)
    }
}

/// Ends the longest there of these that has not asked.
fn make_room(clients: &mut Vec<Client>, of: impl Fn(&Client) -> bool) -> Option<()> {
    let idle = clients.iter().position(|client| !client.asked && of(client))?;
    let _gone_already = clients.remove(idle).socket.shutdown(Shutdown::Both);
    Some(())
}

/// A client's place, until it is dropped.
struct Held {
    clients: Arc<Clients>,
    id: u64,
}

impl Held {
    fn has_asked(&self) {
        for client in self.clients.there().1.iter_mut().filter(|client| client.id == self.id) {
            client.asked = true;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.clients.there().1.retain(|client| client.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests talk to it as any client may")]

    use std::io::Write as _;
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    fn serving(rules: Rules) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            serve(
                &listener,
                rules,
                |_| true,
                |client, head| {
                    client.write_all(head)?;
                    client.flush()
                },
            );
        });
        address
    }

    fn ask(address: SocketAddr) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        said
    }

    #[test]
    fn any_number_that_do_not_ask_shut_nobody_out() {
        for (at_once, from_one) in [(32, 8), (4, 100), (1, 1)] {
            let asking = Duration::from_mins(10);
            let address = serving(Rules { at_once, from_one, asking, taking: asking });
            let _held: Vec<TcpStream> = (0..40)
                .map(|_| {
                    let mut client = TcpStream::connect(address).unwrap();
                    client.write_all(b"G").unwrap();
                    client
                })
                .collect();
            assert_eq!(ask(address), "GET / HTTP/1.1\r\n\r\n", "{at_once} at once, {from_one} from one address");
        }
    }

    #[test]
    fn a_request_that_comes_byte_by_byte_has_one_deadline() {
        let asking = Duration::from_millis(300);
        let address = serving(Rules { at_once: 4, from_one: 4, asking, taking: asking });
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let began = clock::monotonic();
        loop {
            assert!(began.elapsed() < Duration::from_secs(30), "it may drip for ever");
            let sent = client.write_all(b"x");
            let closed = match client.read(&mut [0]) {
                Ok(0) => true,
                Err(error) => !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
                Ok(_) => panic!("it was answered"),
            };
            if sent.is_err() || closed {
                break;
            }
        }
    }

    #[test]
    fn a_client_that_takes_its_answer_keeps_its_place() {
        let rules = Rules { at_once: 1, from_one: 1, asking: Duration::from_mins(10), taking: Duration::from_mins(10) };
        let clients = Clients::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let id = clients.admit(&socket, peer, rules).unwrap();
        let second = clients.admit(&socket, peer, rules).unwrap();
        assert_eq!(
            clients.there().1.iter().map(|client| client.id).collect::<Vec<_>>(),
            [second],
            "{id} has not asked"
        );
        clients.there().1[0].asked = true;
        assert_eq!(clients.admit(&socket, peer, rules), None);
    }
}
