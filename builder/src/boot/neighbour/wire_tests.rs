//! A session in the bytes that BIRD 2.0.12 (Debian 12) sent to a listener that spoke as this one does, with two static routes and a
//! community of the site's (24 November 2026). Each message is its type and what follows it.

use std::time::Duration;

use super::routes::Change;
use super::session::{Fact, Session};
use super::{PARTIES, with};

/// AS 65000, hold time 30, both families, route refresh, graceful restart, numbers of four bytes.
const OPEN: &str = "01 04fde8001ec00002011e021c01040001000101040002000102004002007841040000fde846004700";
const KEEPALIVE: &str = "04";
/// 198.51.100.7/32 with 54825:222.
const ANNOUNCED4: &str = "02 0000001b4001010040020602010000fde84003047f000002c00804d62900de20c6336407";
/// The same community with `2001:db8:a::7/128` (RFC 4760).
const ANNOUNCED6: &str = "02 0000003e900e00260002011020010db8000000000000000000000001008020010db8000a000000000000000000074001010040\
     020602010000fde8c00804d62900de";
/// The end of all routes at first, of both families (RFC 4724).
const END: [&str; 2] = ["02 00000000", "02 00000006800f03000201"];
const WITHDRAWN4: &str = "02 000520c63364070000";
const WITHDRAWN6: &str = "02 00000018900f00140002018020010db8000a00000000000000000007";
/// Cease, administrative shutdown (RFC 4486).
const NOTIFICATION: &str = "03 0602";

fn message(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    let body: Vec<u8> = digits.chunks(2).map(byte).collect();
    let length = u16::try_from(body.len() + 18).unwrap().to_be_bytes();
    [&[0xff; 16], &length[..], &body].concat()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What becomes known of these messages, in words.
fn learn(session: &mut Session, messages: &[&str], now: u64) -> Vec<String> {
    for text in messages {
        session.hear(&message(text), seconds(now));
    }
    let word = |fact| match fact {
        Fact::Established => "established".to_owned(),
        Fact::Route(Change::Announced(prefix, communities)) => format!("+{}", with(prefix, &communities)),
        Fact::Route(Change::Withdrawn(prefix)) => format!("-{prefix}"),
        Fact::Over(why) => format!("over: {why}"),
    };
    session.facts().into_iter().map(word).collect()
}

/// What is sent, in types and codes: `3.2.2` is a notification.
fn said(session: &mut Session) -> (String, bool) {
    let (mut bytes, over) = session.out();
    let mut words = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let rest = bytes.split_off(length);
        let word = if bytes[18] == 3 { format!("3.{}.{}", bytes[19], bytes[20]) } else { bytes[18].to_string() };
        words.push(word);
        bytes = rest;
    }
    (words.join(" "), over)
}

#[test]
fn what_bird_sent_is_a_session_with_two_routes_that_go_again() {
    for (messages, expected) in [
        (vec![OPEN, KEEPALIVE], vec!["established"]),
        (vec![ANNOUNCED4, END[0]], vec!["+198.51.100.7/32 with 54825:222"]),
        (vec![ANNOUNCED6, END[1]], vec!["+2001:db8:a::7/128 with 54825:222"]),
        (vec![WITHDRAWN4, WITHDRAWN6], vec!["-198.51.100.7/32", "-2001:db8:a::7/128"]),
        (vec![NOTIFICATION], vec!["over: the node ended it: Cease(AdministrativeShutdown)"]),
    ]
    .into_iter()
    .scan(Session::open(PARTIES, seconds(0)), |session, (messages, expected)| {
        Some((learn(session, &messages, 1), expected))
    }) {
        assert_eq!(messages, expected);
    }
}

#[test]
fn messages_may_come_in_pieces() {
    let mut session = Session::open(PARTIES, seconds(0));
    let all = [OPEN, KEEPALIVE, ANNOUNCED4].map(message).concat();
    for byte in all {
        session.hear(&[byte], seconds(1));
    }
    assert_eq!(learn(&mut session, &[], 1), ["established", "+198.51.100.7/32 with 54825:222"]);
}

#[test]
fn what_does_not_belong_is_refused_with_its_code() {
    let other = OPEN.replace("fde8", "fde9");
    let short = OPEN.replace("001ec0", "0002c0");
    for (messages, code, why) in [
        (vec![other.as_str()], "1 3.2.2", "over: it comes from AS65001 and not from AS65000"),
        (vec![short.as_str()], "1 3.2.6", "over: it proposes a hold time of 2 s"),
        (vec![KEEPALIVE], "1 3.5.1", "over: a message of type 4 came where none belongs"),
        (vec![OPEN, ANNOUNCED4], "1 4 3.5.2", "over: a message of type 2 came where none belongs"),
        (vec![OPEN, KEEPALIVE, OPEN], "1 4 3.5.3", "over: a message of type 1 came where none belongs"),
    ] {
        let mut session = Session::open(PARTIES, seconds(0));
        let facts = learn(&mut session, &messages, 1);
        assert_eq!(facts.last().map(String::as_str), Some(why));
        assert_eq!(said(&mut session), (code.to_owned(), true), "{why}");
    }
    let mut session = Session::open(PARTIES, seconds(0));
    session.hear(b"GET / HTTP/1.1\r\nHost: neighbour\r\n\r\n", seconds(0));
    assert_eq!(said(&mut session), ("1 3.1.1".to_owned(), true));
}

#[test]
fn it_is_kept_alive_by_a_third_of_the_hold_time_and_ends_with_the_whole() {
    let mut session = Session::open(PARTIES, seconds(0));
    learn(&mut session, &[OPEN, KEEPALIVE], 0);
    assert_eq!(said(&mut session), ("1 4".to_owned(), false));
    for (now, expected) in [(9, ""), (10, "4"), (11, ""), (20, "4"), (29, ""), (30, "3.4.0")] {
        session.pass(seconds(now));
        assert_eq!(said(&mut session), (expected.to_owned(), now == 30), "after {now} s");
    }
    assert_eq!(learn(&mut session, &[], 30), ["over: nothing was heard for 30 s"]);
}
