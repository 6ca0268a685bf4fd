//! The phase `acquire` against origins that are dead, wrong, cut, silent or lying.
//! What a phase finds and leaves in the store is in `tests`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anymetal_contract::Reason;
use anymetal_contract::plan::Artefact;
use anymetal_lab::archive::{noise, sha256};
use anymetal_lab::http::{Response, Server};
use anymetal_lab::tls;

use super::tests::{Bench, DEAD, ROUNDS, artefact_of, good, ranges};
use super::{Doings, Times};
use crate::phase::Answer;
use crate::sys::clock;

#[test]
fn an_origin_that_may_come_back_is_waited_for() {
    let bytes = noise(5000, 6);
    let (wrong, gone) = (good(&noise(5000, 7)), Server::start(|_, _| Response::new(503, "")));
    let (reason, message) = Bench::new(&bytes, &[&wrong.url(), &gone.url()]).waits();
    assert_eq!(reason, Reason::ArtefactMismatch);
    assert!(message.contains("gave other bytes") && message.contains("answered 503"), "{message}");
    let (reason, message) = Bench::new(&bytes, &[&gone.url(), "http://user:hunter2@127.0.0.1:1"]).waits();
    assert_eq!(reason, Reason::ArtefactUnreachable);
    assert!(message.contains("http://127.0.0.1:1/sha256/") && message.contains("did not answer"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_dead_origin_is_passed_over() {
    let bytes = noise(5000, 8);
    let server = good(&bytes);
    assert_eq!(Bench::new(&bytes, &[DEAD, &server.url()]).done(), format!("1 artefact, 5.0 kB from {}", server.url()));
}

#[test]
fn a_transfer_that_is_cut_goes_on_where_it_was_and_no_byte_is_sent_twice() {
    for seed in 0..6 {
        let bytes = noise(400_000, 9);
        let cuts: Vec<usize> =
            noise(16, seed).chunks(2).map(|two| usize::from(two[0]) * 256 + usize::from(two[1])).collect();
        let sent = Arc::new(AtomicUsize::new(0));
        let server = Server::start({
            let (bytes, sent) = (bytes.clone(), Arc::clone(&sent));
            move |request, before| {
                let mut response = Response::file(request, &bytes);
                response.cut_after = cuts.get(before).copied();
                let length = response.cut_after.unwrap_or(usize::MAX).min(response.body.len());
                sent.fetch_add(length, Ordering::SeqCst);
                response
            }
        });
        let bench = Bench::new(&bytes, &[&server.url()]);
        // A round gives up after three poor answers; the runner then asks again.
        let end = (0..10).map(|_| bench.run().unwrap()).find(|answer| !matches!(answer, Answer::Waiting { .. }));
        assert_eq!(end, Some(Answer::Done(format!("1 artefact, 400.0 kB from {}", server.url()))), "seed {seed}");
        assert_eq!(
            sent.load(Ordering::SeqCst),
            bytes.len(),
            "bytes were sent twice (seed {seed}): {:?}",
            ranges(&server)
        );
    }
}

#[test]
fn a_server_that_ignores_ranges_is_read_from_the_start() {
    let bytes = noise(300_000, 10);
    let server = Server::start({
        let bytes = bytes.clone();
        move |_, before| {
            let mut response = Response::ok(bytes.clone());
            response.cut_after = (before == 0).then_some(100_000);
            response
        }
    });
    Bench::new(&bytes, &[&server.url()]).done();
    assert_eq!(ranges(&server), [None, Some("bytes=100000-".into())]);
}

#[test]
fn a_server_that_sends_another_range_is_asked_for_the_whole() {
    let bytes = noise(3000, 11);
    let server = Server::start({
        let bytes = bytes.clone();
        move |request, _| {
            let mut response = Response::file(request, &bytes);
            for (name, value) in &mut response.headers {
                if name == "Content-Range" {
                    *value = "bytes 7-2999/3000".into();
                }
            }
            response
        }
    });
    let bench = Bench::new(&bytes, &[&server.url()]);
    bench.leave_part(&bytes[..1000]);
    bench.done();
    assert_eq!(ranges(&server), [Some("bytes=1000-".into()), None]);
}

#[test]
fn a_length_that_is_not_the_pinned_one_is_refused_before_the_body() {
    let bytes = noise(2000, 12);
    let liar = Server::start(|_, _| {
        let mut response = Response::ok(vec![0; 10]);
        response.claim_length = Some(1 << 40);
        response
    });
    let (reason, message) = Bench::new(&bytes, &[&liar.url()]).fails();
    assert_eq!(reason, Reason::ArtefactMismatch);
    assert!(message.ends_with("offers 1099511627776 bytes where 2000 are pinned"), "{message}");
    let unpinned = Artefact { size: None, ..artefact_of(&bytes) };
    let (_, message) = Bench::with(unpinned, &[&liar.url()]).fails();
    assert!(message.ends_with("sends more than 2147483648 bytes (2.1 GB)"), "{message}");
}

#[test]
fn a_body_shorter_than_it_claims_is_a_cut_not_a_lie() {
    let bytes = noise(2000, 13);
    let short = Server::start({
        let bytes = bytes.clone();
        move |_, _| {
            let mut response = Response::ok(&bytes[..500]);
            response.claim_length = Some(2000);
            response
        }
    });
    let (reason, message) = Bench::new(&bytes, &[&short.url()]).waits();
    assert_eq!(reason, Reason::ArtefactUnreachable);
    assert!(message.contains("broke off after 500 of 2000 bytes"), "{message}");
}

#[test]
fn a_transfer_that_falls_silent_ends_and_the_next_origin_goes_on() {
    let bytes = noise(300_000, 14);
    let stalling = Server::start({
        let bytes = bytes.clone();
        move |request, _| {
            let mut response = Response::file(request, &bytes);
            response.stall_after = Some(120_000);
            response
        }
    });
    let server = good(&bytes);
    let bench = Bench::new(&bytes, &[&stalling.url(), &server.url()]);
    bench.done();
    assert_eq!(bench.heard.times("fell silent for 1 s after 120000 of 300000 bytes"), 1, "{:?}", bench.heard.said());
    assert_eq!(ranges(&stalling), [None], "a silent origin was asked again in the same round");
    assert_eq!(ranges(&server), [Some("bytes=120000-".into())]);
}

#[test]
fn a_server_that_never_answers_is_silent_too() {
    let bytes = noise(300, 15);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (reason, message) = Bench::new(&bytes, &[&url]).waits();
    assert_eq!(reason, Reason::ArtefactUnreachable);
    assert!(message.contains("did not answer (timeout"), "{message}");
}

#[test]
fn a_certificate_that_is_not_accepted_is_said_once_and_the_digest_decides() {
    let bytes = noise(2000, 50);
    let server = tls::Expired::start(bytes.clone());
    let bench = Bench::new(&bytes, &[&server.url()]);
    assert_eq!(bench.done(), format!("1 artefact, 2.0 kB from {}", server.url()));
    let words = format!("the certificate of {} is not accepted", server.url());
    assert_eq!(bench.heard.times(&words), 1, "{:?}", bench.heard.said());
    let (reason, _) = Bench::new(&noise(2000, 51), &[&server.url()]).fails();
    assert_eq!(reason, Reason::ArtefactMismatch, "other bytes passed because the certificate did not count");
}

#[test]
fn wrong_bytes_everywhere_are_final_and_every_origin_is_named() {
    let bytes = noise(5000, 3);
    let (a, b) = (good(&noise(5000, 4)), good(&noise(4999, 5)));
    let bench = Bench::new(&bytes, &[&a.url(), &b.url()]);
    let (reason, message) = bench.fails();
    assert_eq!(reason, Reason::ArtefactMismatch);
    let (digest, other) = (&bench.digest, sha256(&noise(5000, 4)));
    assert_eq!(
        message,
        format!(
            "no origin gave consul 1.8.7 (sha256 {}…): {}/sha256/{digest} gave other bytes (sha256 {}…); \
             {}/sha256/{digest} offers 4999 bytes where 5000 are pinned",
            digest.short(),
            a.url(),
            other.short(),
            b.url()
        )
    );
    assert!(!bench.blob().exists() && !bench.part().exists(), "wrong bytes were left in the store");
}

/// An origin that gives this file at this many bytes every tenth of a second.
fn drips(bytes: &[u8], piece: usize) -> Server {
    let bytes = bytes.to_vec();
    Server::start(move |request, _| {
        let pace = Some(Duration::from_millis(100));
        Response { pace, piece, ..Response::file(request, &bytes) }
    })
}

#[test]
fn beside_an_origin_that_is_too_slow_the_next_is_asked_and_goes_on_where_that_was() {
    let bytes = noise(300_000, 70);
    // 2 KiB/s: it flows, and would take two and a half minutes.
    let (slow, fast) = (drips(&bytes, 205), good(&bytes));
    let bench = Bench::new(&bytes, &[&slow.url(), &fast.url()]).beside(Duration::from_millis(400));
    assert_eq!(bench.done(), format!("1 artefact, 300.0 kB from {}", fast.url()));
    let said = format!("{}/sha256/{} gave only ", slow.url(), bench.digest);
    assert_eq!(bench.heard.times(&said), 1, "{:?}", bench.heard.said());
    assert_eq!(bench.heard.times(&format!("; asking {} beside it", fast.url())), 1, "{:?}", bench.heard.said());
    let asked = ranges(&fast);
    assert!(matches!(&asked[..], [Some(range)] if range.starts_with("bytes=") && range != "bytes=0-"), "{asked:?}");
    assert_eq!(ranges(&slow), [None]);
}

#[test]
fn an_origin_that_flows_and_cannot_make_the_deadline_is_too_slow() {
    let bytes = noise(2_000_000, 71);
    // 20 kB/s is no silence, and a hundred seconds where twenty are left.
    let (slow, fast) = (drips(&bytes, 2048), good(&bytes));
    let bench = Bench::new(&bytes, &[&slow.url(), &fast.url()]);
    let bench = bench.beside(Duration::from_millis(400)).until(Duration::from_secs(20));
    assert_eq!(bench.done(), format!("1 artefact, 2.0 MB from {}", fast.url()));
}

#[test]
fn an_origin_that_takes_the_question_and_says_nothing_holds_nobody_up() {
    let bytes = noise(3000, 72);
    let listeners = [(); 4].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let silent = listeners.each_ref().map(|listener| format!("http://{}", listener.local_addr().unwrap()));
    let fast = good(&bytes);
    let last = fast.url();
    let origins: Vec<&str> = silent.iter().map(String::as_str).chain([last.as_str()]).collect();
    let bench = Bench::new(&bytes, &origins).beside(Duration::from_millis(100));
    assert_eq!(bench.done(), format!("1 artefact, 3.0 kB from {}", fast.url()));
}

#[test]
fn the_faster_of_two_slow_ones_goes_on_and_who_is_too_slow_is_named_with_what_it_gave() {
    let bytes = noise(2_000_000, 73);
    let (slow, slower) = (drips(&bytes, 1024), drips(&bytes, 205));
    let bench = Bench::new(&bytes, &[&slower.url(), &slow.url()]);
    let bench = bench.beside(Duration::from_millis(500)).until(Duration::ZERO);
    let (reason, message) = bench.waits();
    assert_eq!(reason, Reason::ArtefactUnreachable);
    for url in [slow.url(), slower.url()] {
        assert!(message.contains(&format!("{url}/sha256/{} gave only ", bench.digest)), "{message}");
    }
    assert!(bench.part().exists(), "what came is thrown away");
}

#[test]
fn a_page_instead_of_the_file_is_waited_out_and_the_right_bytes_end_it() {
    let bytes = noise(5000, 74);
    for (size, kind) in [(Some(5000), "text/html; charset=utf-8"), (None, "text/html"), (None, "application/zip")] {
        let portal = Server::start({
            let bytes = bytes.clone();
            move |request, before| {
                if before >= ROUNDS as usize + 2 {
                    return Response::file(request, &bytes);
                }
                let mut page = Response::ok("<html>Log in, dear guest!</html>\n");
                page.headers.push(("Content-Type".into(), kind.into()));
                page
            }
        });
        let bench = Bench::with(Artefact { size, ..artefact_of(&bytes) }, &[&portal.url()]);
        for _ in 0..ROUNDS + 2 {
            let (reason, message) = bench.waits();
            assert_eq!(reason, Reason::ArtefactUnreachable, "{message}");
            assert!(message.ends_with(" gave a web page instead of the file"), "{message}");
        }
        assert_eq!(bench.done(), format!("1 artefact, 5.0 kB from {}", portal.url()));
    }
}

#[test]
fn wrong_bytes_that_pass_strand_nobody() {
    let bytes = noise(5000, 75);
    let (mut wrong, right) = (vec![7; 5000], bytes.clone());
    wrong[0] = b'P';
    let server = Server::start(move |request, before| {
        Response::file(request, if before < ROUNDS as usize - 1 { &wrong } else { &right })
    });
    let bench = Bench::new(&bytes, &[&server.url()]);
    for _ in 1..ROUNDS {
        assert_eq!(bench.waits().0, Reason::ArtefactMismatch);
    }
    assert_eq!(bench.done(), format!("1 artefact, 5.0 kB from {}", server.url()));
}

#[test]
fn wrong_bytes_are_final_after_rounds_and_minutes_both() {
    let (digest, now) = (sha256(b"x"), clock::monotonic());
    let mut doings = Doings::default();
    let minutes = |minutes| now + Duration::from_mins(minutes);
    let mut last = |at| doings.is_final(at, &digest, Times::NODE);
    assert_eq!([0, 0, 0, 0, 0, 2].map(|at| last(minutes(at))), [false; 6], "rounds without minutes");
    assert!(last(minutes(3)));
    let mut doings = Doings::default();
    assert!(!doings.is_final(now, &digest, Times::NODE));
    assert!(!doings.is_final(minutes(60), &digest, Times::NODE), "minutes without rounds");
}
