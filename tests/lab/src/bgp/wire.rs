//! What goes over a cable: frames to TCP streams at BGP's port to messages (RFC 4271, RFC 4760), each with its time.
//! May not open a socket, nor know a clock: frames come with their times.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::SystemTime;

use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};

/// BGP's port.
const PORT: u16 = 179;
/// Marker, length and type.
const HEADER: usize = 19;
/// The number of a message longer than this is a mistake of ours: nobody here has extended messages (RFC 8654).
const LONGEST: usize = 4096;

/// One BGP message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// When the kernel saw the frame with its last byte.
    pub at: SystemTime,
    /// Who has sent it.
    pub from: IpAddr,
    /// Whom it was sent to.
    pub to: IpAddr,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A session is wanted.
    Open,
    /// Prefixes come or go; with none of both, everything has been told (RFC 4724).
    Update(Update),
    /// The session ends, and why.
    Notification(String),
    /// It goes on.
    Keepalive,
    /// Anything else, or what could not be read, in words.
    Other(String),
}

/// Prefixes that come or go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Prefixes that can be reached, in canonical text, sorted.
    pub announced: Vec<String>,
    /// Prefixes that cannot any more.
    pub withdrawn: Vec<String>,
    /// The communities of what can be reached, each as `asn:value`, sorted.
    pub communities: Vec<String>,
}

impl Message {
    /// The update it is, when it is one that says something.
    pub fn update(&self) -> Option<&Update> {
        match &self.body {
            Body::Update(update) if *update != Update::default() => Some(update),
            _ => None,
        }
    }
}

/// The bytes of one direction of one connection that are not a whole message yet.
struct Stream {
    next: u32,
    bytes: Vec<u8>,
    /// Segments that are not taken yet: those before them have not been seen.
    early: Vec<(u32, Vec<u8>)>,
}

impl Stream {
    fn new(next: u32) -> Self {
        Self { next, bytes: Vec::new(), early: Vec::new() }
    }

    /// Takes a segment that begins where the last one ended, or before, as what was sent again does; whether there was one.
    fn take(&mut self) -> bool {
        // Numbers wrap around (RFC 9293 section 3.4): what is less than half the circle behind is known.
        let behind = |sequence: u32| self.next.wrapping_sub(sequence);
        let Some(found) = self.early.iter().position(|(sequence, _)| behind(*sequence) < 1 << 31) else { return false };
        let (sequence, payload) = self.early.swap_remove(found);
        let new = payload.get(self.next.wrapping_sub(sequence) as usize..).unwrap_or_default();
        self.bytes.extend_from_slice(new);
        self.next = self.next.wrapping_add(u32::try_from(new.len()).unwrap_or_default());
        true
    }
}

/// All connections at BGP's port.
#[derive(Default)]
pub(super) struct Streams {
    streams: HashMap<(IpAddr, u16, IpAddr, u16), Stream>,
}

impl Streams {
    /// The messages that are whole with this Ethernet frame. What is not BGP gives none.
    pub(super) fn frame(&mut self, at: SystemTime, frame: &[u8]) -> Vec<Message> {
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else { return Vec::new() };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { return Vec::new() };
        let (from, to): (IpAddr, IpAddr) = match &packet.net {
            Some(NetSlice::Ipv4(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            Some(NetSlice::Ipv6(ip)) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            _ => return Vec::new(),
        };
        if tcp.source_port() != PORT && tcp.destination_port() != PORT {
            return Vec::new();
        }
        let bodies = self.segment((from, tcp.source_port(), to, tcp.destination_port()), tcp);
        bodies.into_iter().map(|body| Message { at, from, to, body }).collect()
    }

    fn segment(&mut self, key: (IpAddr, u16, IpAddr, u16), tcp: &TcpSlice<'_>) -> Vec<Body> {
        let sequence = tcp.sequence_number();
        if tcp.syn() {
            self.streams.insert(key, Stream::new(sequence.wrapping_add(1)));
            return Vec::new();
        }
        let payload = tcp.payload();
        // One that was there before we listened begins where we hear it first: between two messages, as these are sent whole.
        let stream = self.streams.entry(key).or_insert_with(|| Stream::new(sequence));
        stream.early.push((sequence, payload.to_vec()));
        while stream.take() {}
        let mut bodies = Vec::new();
        while let Some(length) = whole(&stream.bytes) {
            bodies.push(read(&stream.bytes.drain(..length).collect::<Vec<_>>()));
        }
        bodies
    }
}

/// The length of the first message, when all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(u16::from_be_bytes([*bytes.get(16)?, *bytes.get(17)?])).clamp(HEADER, LONGEST);
    (bytes.len() >= length).then_some(length)
}

/// Our own reader: `bgpkit-parser` 0.23 takes a default route that comes first, a zero byte, for the beginning of a path's identifier
/// (RFC 7911), and loses it and all after it.
fn read(bytes: &[u8]) -> Body {
    let rest = &bytes[HEADER..];
    match (bytes[HEADER - 1], rest) {
        (1, _) => Body::Open,
        (2, _) => {
            update(rest).map_or_else(|| Body::Other(format!("an update that cannot be read: {rest:?}")), Body::Update)
        }
        (3, [code, subcode, ..]) => Body::Notification(format!("{code}/{subcode}")),
        (4, _) => Body::Keepalive,
        (kind, _) => Body::Other(format!("a message of type {kind}")),
    }
}

/// RFC 4271 section 4.3; attributes 8 (RFC 1997), 14 and 15 (RFC 4760), of unicast.
fn update(mut bytes: &[u8]) -> Option<Update> {
    let mut update = Update::default();
    update.withdrawn.extend(prefixes(sized(&mut bytes)?, 1)?);
    let mut attributes = sized(&mut bytes)?;
    update.announced.extend(prefixes(bytes, 1)?);
    while !attributes.is_empty() {
        let (flags, kind) = (cut(&mut attributes, 1)?[0], cut(&mut attributes, 1)?[0]);
        // Its length has two bytes when this flag is set.
        let value = if flags & 0x10 == 0 {
            let length = cut(&mut attributes, 1)?[0];
            cut(&mut attributes, length.into())?
        } else {
            sized(&mut attributes)?
        };
        match (kind, value) {
            (8, _) => {
                let pairs = value.as_chunks().0.iter();
                update.communities.extend(
                    pairs.map(|[a, b, c, d]| {
                        format!("{}:{}", u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))
                    }),
                );
            }
            (14, [0, family, 1, length, rest @ ..]) => {
                // After the next hop comes a byte that means nothing.
                update.announced.extend(prefixes(rest.get(usize::from(*length) + 1..)?, *family)?);
            }
            (15, [0, family, 1, rest @ ..]) => update.withdrawn.extend(prefixes(rest, *family)?),
            _ => {}
        }
    }
    for words in [&mut update.announced, &mut update.withdrawn, &mut update.communities] {
        words.sort();
    }
    Some(update)
}

/// Prefixes, each a number of bits and as many bytes as these need. Families have the numbers of IANA: 1 is IPv4, 2 is IPv6.
fn prefixes(mut bytes: &[u8], family: u8) -> Option<Vec<String>> {
    let mut prefixes = Vec::new();
    while !bytes.is_empty() {
        let length = cut(&mut bytes, 1)?[0];
        let given = cut(&mut bytes, usize::from(length).div_ceil(8))?;
        let mut all = [0; 16];
        all.get_mut(..given.len())?.copy_from_slice(given);
        let address: IpAddr =
            if family == 2 { Ipv6Addr::from(all).into() } else { Ipv4Addr::new(all[0], all[1], all[2], all[3]).into() };
        prefixes.push(format!("{address}/{length}"));
    }
    Some(prefixes)
}

/// What two bytes of length come before.
fn sized<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = cut(bytes, 2)?;
    cut(bytes, u16::from_be_bytes([length[0], length[1]]).into())
}

fn cut<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An update as BIRD 2.0.12 sends it: 198.51.100.7/32 by AS 65000 over 10.66.142.17, with 65535:0.
    const UPDATE: &[u8] = &[
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 55, 2, 0, 0,
        0, 27, 0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8, 0x40, 3, 4, 10, 66, 142, 17, 0xc0, 8, 4, 0xff, 0xff,
        0, 0, 32, 198, 51, 100, 7,
    ];

    fn frame(sequence: u32, payload: &[u8]) -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 66, 142, 17], [169, 254, 255, 1], 5)
            .tcp(40_000, PORT, sequence, 100);
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).unwrap();
        frame
    }

    #[test]
    fn a_message_in_two_segments_of_which_one_comes_again_is_read_once() {
        let (mut streams, now) = (Streams::default(), SystemTime::now());
        assert_eq!(streams.frame(now, &frame(7, &UPDATE[..20])), []);
        assert_eq!(streams.frame(now, &frame(7, &UPDATE[..20])), []);
        let messages = streams.frame(now, &frame(27, &UPDATE[20..]));
        let expected = Update {
            announced: vec!["198.51.100.7/32".into()],
            withdrawn: vec![],
            communities: vec!["65535:0".into()],
        };
        assert_eq!(messages.iter().map(Message::update).collect::<Vec<_>>(), [Some(&expected)]);
        assert_eq!(messages[0].from, "10.66.142.17".parse::<IpAddr>().unwrap());
        assert_eq!(streams.frame(now, &frame(27, &UPDATE[20..])), [], "what was sent again was read again");
    }

    #[test]
    fn a_default_route_is_read_with_all_that_comes_after_it() {
        let value = [&[0, 2, 1, 16][..], &[0; 17], &[0, 64, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 7]].concat();
        let attribute = [&[0x80, 14, u8::try_from(value.len()).unwrap()][..], &value].concat();
        let both = [&[0, 1, 0][..], &[0, u8::try_from(attribute.len()).unwrap()], &attribute, &[0, 8, 10]].concat();
        let expected = Update {
            announced: vec!["0.0.0.0/0".into(), "10.0.0.0/8".into(), "2001:db8:0:7::/64".into(), "::/0".into()],
            withdrawn: vec!["0.0.0.0/0".into()],
            communities: vec![],
        };
        assert_eq!(update(&both), Some(expected));
        assert_eq!(update(&both[..9]), None, "half an update was read");
    }

    #[test]
    fn segments_in_another_order_are_put_in_order() {
        let (mut streams, now) = (Streams::default(), SystemTime::now());
        assert_eq!(streams.frame(now, &frame(7, &UPDATE[..20])), []);
        assert_eq!(streams.frame(now, &frame(37, &UPDATE[30..])), []);
        assert_eq!(streams.frame(now, &frame(27, &UPDATE[20..30])).len(), 1);
    }

    #[test]
    fn what_is_not_bgp_gives_no_message() {
        let mut streams = Streams::default();
        assert_eq!(streams.frame(SystemTime::now(), &[0; 60]), []);
    }
}
