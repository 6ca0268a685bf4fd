//! One BGP session (RFC 4271) as values: what comes and what time it is go in, what is sent and what has become known comes out.
//! May not open a socket or read a clock, and announces nothing: it only takes.

use std::time::Duration;

use routecore::bgp::message::keepalive::KeepaliveBuilder;
use routecore::bgp::message::notification::{
    CeaseSubcode, Details, FiniteStateMachineSubcode, MessageHeaderSubcode, NotificationBuilder, OpenMessageSubcode,
    UpdateMessageSubcode,
};
use routecore::bgp::message::open::OpenBuilder;
use routecore::bgp::message::{Message, OpenMessage, SessionConfig};
use routecore::bgp::types::AfiSafiType;

use super::routes::{self, Change};

/// What the platform's own peers propose (facts of the platform, section 2.2); the lower of two proposals counts.
const HOLD: Duration = Duration::from_secs(90);
/// How long the first message is waited for (RFC 4271 section 8.2.2 suggests four minutes; nobody here is that slow).
const OPENING: Duration = Duration::from_mins(1);
/// Marker, length, type (RFC 4271 section 4.1).
const HEADER: usize = 19;
/// The longest message (RFC 4271 section 4.1).
const LONGEST: usize = 4096;

/// Who speaks to whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parties {
    /// The neighbour's own number.
    pub(super) asn: u32,
    /// The neighbour's name in BGP.
    pub(super) id: [u8; 4],
    /// The number of who may speak to it.
    pub(super) peer: u32,
}

/// What has become known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    Established,
    Route(Change),
    /// Why it is over.
    Over(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    OpenSent,
    OpenConfirm,
    Established,
    Over,
}

/// Why a session is ended by this side: in words, and as RFC 4271 section 4.5 codes it.
struct Refusal(String, Details);

/// A session from its first byte.
pub(super) struct Session {
    parties: Parties,
    state: State,
    /// `None` when no hold time is kept.
    hold: Option<Duration>,
    heard: Duration,
    sent: Duration,
    /// What came and is no whole message yet.
    rest: Vec<u8>,
    /// Not sent yet.
    out: Vec<u8>,
    facts: Vec<Fact>,
}

impl Session {
    /// One that has just been connected, and says so.
    pub(super) fn open(parties: Parties, now: Duration) -> Self {
        let mut open = OpenBuilder::new_vec();
        open.set_asn(parties.asn.into());
        open.set_holdtime(u16::try_from(HOLD.as_secs()).expect("it is a minute and a half"));
        open.set_bgp_id(parties.id);
        open.add_mp(AfiSafiType::Ipv4Unicast);
        open.add_mp(AfiSafiType::Ipv6Unicast);
        open.four_octet_capable(parties.asn.into());
        let (state, hold) = (State::OpenSent, Some(OPENING));
        let (rest, facts) = (Vec::new(), Vec::new());
        Self { parties, state, hold, heard: now, sent: now, rest, out: open.finish(), facts }
    }

    /// These bytes came.
    pub(super) fn hear(&mut self, bytes: &[u8], now: Duration) {
        self.rest.extend_from_slice(bytes);
        while self.state != State::Over {
            match self.next() {
                Ok(None) => break,
                Ok(Some(message)) => {
                    self.heard = now;
                    if let Err(refusal) = self.take(message) {
                        self.refuse(refusal);
                    }
                }
                Err(refusal) => self.refuse(refusal),
            }
        }
        self.pass(now);
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, now: Duration) {
        let Some(hold) = self.hold.filter(|_| self.state != State::Over) else { return };
        if now.saturating_sub(self.heard) >= hold {
            let why = format!("nothing was heard for {} s", hold.as_secs());
            return self.refuse(Refusal(why, Details::HoldTimerExpired));
        }
        // A third of the hold time (RFC 4271 section 4.4).
        if self.state != State::OpenSent && now.saturating_sub(self.sent) >= hold / 3 {
            self.keep_alive();
            self.sent = now;
        }
    }

    /// Another session has taken its place (RFC 4486).
    pub(super) fn give_way(&mut self) {
        if self.state != State::Over {
            let why = "a newer session took its place".to_owned();
            self.refuse(Refusal(why, CeaseSubcode::ConnectionCollisionResolution.into()));
        }
    }

    /// The connection is gone.
    pub(super) fn lose(&mut self, why: &str) {
        if self.state != State::Over {
            self.end(why.to_owned());
        }
    }

    /// What is to be sent, and whether the connection is to be closed then.
    pub(super) fn out(&mut self) -> (Vec<u8>, bool) {
        (std::mem::take(&mut self.out), self.state == State::Over)
    }

    /// What has become known since this was asked last.
    pub(super) fn facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// The next whole message.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(header) = self.rest.first_chunk::<HEADER>() else { return Ok(None) };
        if header[..16] != [0xff; 16] {
            let why = "what came is not BGP".to_owned();
            return Err(Refusal(why, MessageHeaderSubcode::ConnectionNotSynchronized.into()));
        }
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        if !(HEADER..=LONGEST).contains(&length) {
            let why = format!("a message of {length} bytes came");
            return Err(Refusal(why, MessageHeaderSubcode::BadMessageLength.into()));
        }
        Ok((self.rest.len() >= length).then(|| self.rest.drain(..length).collect()))
    }

    fn take(&mut self, bytes: Vec<u8>) -> Result<(), Refusal> {
        let kind = bytes[HEADER - 1];
        let message = Message::from_octets(bytes, Some(&SessionConfig::modern())).map_err(|error| {
            let details = match kind {
                1 => OpenMessageSubcode::Unspecific.into(),
                2 => UpdateMessageSubcode::MalformedAttributeList.into(),
                _ => MessageHeaderSubcode::BadMessageType.into(),
            };
            Refusal(format!("a message of type {kind} cannot be read: {error}"), details)
        })?;
        match (self.state, message) {
            (_, Message::Notification(told)) => {
                self.end(format!("the node ended it: {:?}", told.details()));
                Ok(())
            }
            (State::OpenSent, Message::Open(open)) => self.take_open(&open),
            (State::OpenConfirm, Message::Keepalive(_)) => {
                self.state = State::Established;
                self.facts.push(Fact::Established);
                Ok(())
            }
            (State::Established, Message::Keepalive(_)) => Ok(()),
            (State::Established, Message::Update(update)) => {
                let wrong = |error| {
                    let why = format!("an update cannot be read: {error}");
                    Refusal(why, UpdateMessageSubcode::MalformedAttributeList.into())
                };
                self.facts.extend(routes::changes(&update).map_err(wrong)?.into_iter().map(Fact::Route));
                Ok(())
            }
            (state, _) => Err(out_of_place(state, kind)),
        }
    }

    fn take_open(&mut self, open: &OpenMessage<Vec<u8>>) -> Result<(), Refusal> {
        let (version, asn, hold) = (open.version(), open.my_asn().into_u32(), open.holdtime());
        let wrong = |why: String, subcode: OpenMessageSubcode| Err(Refusal(why, subcode.into()));
        if version != 4 {
            return wrong(format!("it speaks BGP {version}"), OpenMessageSubcode::UnsupportedVersionNumber);
        }
        if asn != self.parties.peer {
            let why = format!("it comes from AS{asn} and not from AS{}", self.parties.peer);
            return wrong(why, OpenMessageSubcode::BadPeerAs);
        }
        // RFC 4271 section 4.2: none, or three seconds at least.
        if (1..3).contains(&hold) {
            return wrong(format!("it proposes a hold time of {hold} s"), OpenMessageSubcode::UnacceptableHoldTime);
        }
        // Updates are read with numbers of four bytes in their paths (RFC 6793), which both sides have to want.
        if !open.four_octet_capable() {
            let why = "it knows no AS numbers of four bytes".to_owned();
            return wrong(why, OpenMessageSubcode::UnsupportedCapability);
        }
        self.hold = (hold > 0).then(|| HOLD.min(Duration::from_secs(hold.into())));
        self.state = State::OpenConfirm;
        self.keep_alive();
        Ok(())
    }

    fn keep_alive(&mut self) {
        self.out.extend(KeepaliveBuilder::new_vec().finish());
    }

    fn refuse(&mut self, Refusal(why, details): Refusal) {
        self.out.extend(NotificationBuilder::new_vec_nodata(details));
        self.end(why);
    }

    fn end(&mut self, why: String) {
        self.state = State::Over;
        self.facts.push(Fact::Over(why));
    }
}

fn out_of_place(state: State, kind: u8) -> Refusal {
    let subcode = match state {
        State::OpenSent => FiniteStateMachineSubcode::UnexpectedMessageInOpenSentState,
        State::OpenConfirm => FiniteStateMachineSubcode::UnexpectedMessageInOpenConfirmState,
        State::Established | State::Over => FiniteStateMachineSubcode::UnexpectedMessageInEstablishedState,
    };
    Refusal(format!("a message of type {kind} came where none belongs"), subcode.into())
}
