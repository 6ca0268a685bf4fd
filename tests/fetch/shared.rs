//! Several at one cache: two that fetch at once, one that was killed, and who goes on after it.
//! May not rely on time: servers hold their answers until the others are where they should be.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anymetal_lab::http::Server;
use anymetal_lab::wait;

use super::desk::{Blob, Desk, Meter, Ran, good, misbehaving, platform, ranges};

/// Only a failing test meets it.
const LIMIT: Duration = Duration::from_mins(1);
const FETCH: [&str; 4] = ["fetch", "site.yaml", "--cache", "cache"];

fn start(desk: &Desk) -> Child {
    desk.anymetal(&FETCH).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What this child says on stderr until it has said these words.
fn hear(child: &mut Child, words: &str) -> String {
    let (mut heard, mut byte) = (Vec::new(), [0]);
    let stderr = child.stderr.as_mut().unwrap();
    while !String::from_utf8_lossy(&heard).contains(words) {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended: {}", String::from_utf8_lossy(&heard));
        heard.push(byte[0]);
    }
    String::from_utf8(heard).unwrap()
}

/// An origin that sends nothing until the gate is open.
fn gated(blobs: &[Blob]) -> (Server, Arc<(Mutex<bool>, Condvar)>) {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let server = misbehaving(blobs, {
        let gate = Arc::clone(&gate);
        move |_, _, _| {
            let (open, changed) = &*gate;
            let _open = changed.wait_timeout_while(open.lock().unwrap(), LIMIT, |open| !*open).unwrap();
        }
    });
    (server, gate)
}

#[test]
fn who_comes_second_says_that_it_waits_and_finds_the_blob_there() {
    let blob = Blob::consul(200_000, 20);
    let (server, gate) = gated(std::slice::from_ref(&blob));
    let desk = Desk::new(std::slice::from_ref(&blob), &[&server.url()]);
    let first = start(&desk);
    assert!(wait::until(LIMIT, || server.requests().len() == 1), "the first one asked nobody");
    let mut second = start(&desk);
    hear(&mut second, &format!("somebody else is fetching {}; waiting\n", blob.name));
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    let first = Ran::of(first.wait_with_output().unwrap());
    assert_eq!(first.done(), [blob.line(&server.url()), "fetched 1 of 1 blob, 200.0 kB; 1 in cache".into()]);
    let second = Ran::of(second.wait_with_output().unwrap());
    assert_eq!(second.done(), [blob.line("cache"), "fetched 0 of 1 blob, 0 bytes; 1 in cache".into()]);
    assert_eq!(server.requests().len(), 1, "it was fetched twice");
    assert_eq!(desk.cached(), [blob.hex()], "something was left beside");
}

#[test]
fn whatever_many_fetch_at_once_comes_once() {
    let blobs = platform(300_000);
    let sent = Meter::default();
    let server = misbehaving(&blobs, {
        let sent = sent.clone();
        move |_, _, response| sent.add(response)
    });
    let desk = Desk::new(&blobs, &[&server.url()]);
    let all: Vec<_> = (0..4).map(|_| start(&desk)).collect();
    let mut fetched = 0;
    for one in all {
        let ran = Ran::of(one.wait_with_output().unwrap());
        let lines = ran.done();
        assert!(lines.last().unwrap().ends_with("; 12 in cache"), "{lines:?}");
        fetched += lines.iter().filter(|line| line.ends_with(&server.url())).count();
    }
    assert_eq!((fetched, server.requests().len(), sent.bytes()), (12, 12, 12 * 300_000));
    assert_eq!(desk.cached().len(), 12, "something was left beside");
    for blob in &blobs {
        assert_eq!(fs::read(desk.blob(blob)).unwrap(), blob.bytes);
    }
}

#[test]
fn the_next_run_goes_on_where_one_was_killed() {
    let blob = Blob::consul(3_000_000, 21);
    let sent = Meter::default();
    let server = misbehaving(std::slice::from_ref(&blob), {
        let sent = sent.clone();
        move |_, before, response| {
            response.stall_after = (before == 0).then_some(1_234_567);
            sent.add(response);
        }
    });
    let desk = Desk::new(std::slice::from_ref(&blob), &[&server.url()]);
    let mut killed = start(&desk);
    assert!(wait::until(LIMIT, || desk.part_length(&blob) == Some(1_234_567)), "{:?} came", desk.part_length(&blob));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(desk.cached(), [format!("{}.part", blob.hex())]);

    desk.fetch(&[]).done();
    assert_eq!(ranges(&server), [None, Some("bytes=1234567-".into())]);
    assert_eq!(sent.bytes(), blob.bytes.len(), "bytes came twice");
    assert_eq!(fs::read(desk.blob(&blob)).unwrap(), blob.bytes);
    assert_eq!(desk.cached(), [blob.hex()]);
}

#[test]
fn who_waits_goes_on_where_the_first_one_was_killed() {
    let blob = Blob::consul(1_000_000, 22);
    let server = misbehaving(std::slice::from_ref(&blob), |_, before, response| {
        response.stall_after = (before == 0).then_some(500_000);
    });
    let desk = Desk::new(std::slice::from_ref(&blob), &[&server.url()]);
    let mut first = start(&desk);
    assert!(wait::until(LIMIT, || desk.part_length(&blob) == Some(500_000)), "{:?} came", desk.part_length(&blob));
    let mut second = start(&desk);
    hear(&mut second, "; waiting\n");
    first.kill().unwrap();
    first.wait().unwrap();
    Ran::of(second.wait_with_output().unwrap()).done();
    assert_eq!(ranges(&server), [None, Some("bytes=500000-".into())]);
    assert_eq!(fs::read(desk.blob(&blob)).unwrap(), blob.bytes);
}

#[test]
fn what_is_being_written_is_not_pruned() {
    let (blob, other) = (Blob::consul(100_000, 23), Blob::consul(5000, 24));
    let (server, gate) = gated(std::slice::from_ref(&blob));
    let desk = Desk::new(std::slice::from_ref(&blob), &[&server.url()]);
    let fetching = start(&desk);
    assert!(wait::until(LIMIT, || server.requests().len() == 1), "it asked nobody");
    // by somebody who knows nothing of that site
    let stranger = Desk::new(std::slice::from_ref(&other), &[&good(&[]).url()]);
    let (site, cache) = (stranger.path("site.yaml"), desk.path("cache"));
    let words = ["cache", "prune", site.to_str().unwrap(), "--cache", cache.to_str().unwrap()];
    assert_eq!(stranger.run(&words).done(), ["removed 0 of 0 blobs, 0 bytes"]);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    Ran::of(fetching.wait_with_output().unwrap()).done();
    assert_eq!(stranger.run(&words).done().last(), Some(&"removed 1 of 1 blob, 100.0 kB"));
    assert!(desk.cached().is_empty());
}
