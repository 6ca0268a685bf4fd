//! `anymetal fetch` as an operator meets it: what comes from where, what is said, how it ends.
//! May not need the net: servers that behave, and such that do not, stand here.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: starts programs and looks at what they leave"
)]

mod cached;
mod desk;
mod opened;
mod proxied;
mod shared;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anymetal_lab::archive::noise;
use anymetal_lab::http::{Response, Server};
use anymetal_lab::{disk, tls};

use desk::{Blob, DEAD, Desk, Meter, asked, flip, good, misbehaving, platform, ranges};

#[test]
fn every_blob_of_a_site_comes_by_its_digest_and_a_second_run_asks_nobody() {
    let blobs = platform(20_000);
    let server = good(&blobs);
    let desk = Desk::new(&blobs, &[&server.url()]);
    let first = desk.fetch(&[]);
    let mut lines: Vec<_> = blobs.iter().map(|blob| blob.line(&server.url())).collect();
    lines.push("fetched 12 of 12 blobs, 240.0 kB; 12 in cache".into());
    assert_eq!(first.done(), lines);
    for blob in &blobs {
        assert_eq!(fs::read(desk.blob(blob)).unwrap(), blob.bytes, "{}", blob.name);
        let said = format!("{}: 20.0 kB from {}\n", blob.name, server.url());
        assert_eq!(first.times(&said), 1, "{}", first.stderr);
    }
    assert_eq!(desk.cached().len(), 12, "something was left beside");
    assert_eq!(server.requests().len(), 12);

    // Bytes it does not read cannot trouble it.
    flip(&desk.blob(&blobs[0]), 7);
    let second = desk.fetch(&[]);
    let mut lines: Vec<_> = blobs.iter().map(|blob| blob.line("cache")).collect();
    lines.push("fetched 0 of 12 blobs, 0 bytes; 12 in cache".into());
    assert_eq!((second.done(), second.stderr.as_str()), (lines.iter().map(String::as_str).collect(), ""));
    assert_eq!(server.requests().len(), 12, "it asked again");
}

#[test]
fn as_many_come_at_a_time_as_was_said() {
    let blobs = platform(2000);
    for (words, jobs) in [([].as_slice(), 4), (&["--jobs", "2"], 2)] {
        let (crowd, most) = (Arc::new((Mutex::new(0_usize), Condvar::new())), Arc::new(AtomicUsize::new(0)));
        let server = misbehaving(&blobs, {
            let most = Arc::clone(&most);
            move |_, _, _| {
                let (here, changed) = &*crowd;
                let mut count = here.lock().unwrap();
                *count += 1;
                most.fetch_max(*count, Ordering::SeqCst);
                changed.notify_all();
                // The first ones wait for each other, with a limit that only a failing test meets.
                let few = |_: &mut usize| most.load(Ordering::SeqCst) < jobs;
                let (mut count, _) = changed.wait_timeout_while(count, Duration::from_secs(20), few).unwrap();
                *count -= 1;
            }
        });
        Desk::new(&blobs, &[&server.url()]).fetch(words).done();
        assert_eq!(most.load(Ordering::SeqCst), jobs);
    }
}

#[test]
fn a_certificate_that_is_not_accepted_is_said_and_the_digest_decides() {
    let blob = Blob::consul(2000, 10);
    let server = tls::Expired::start(blob.bytes.clone());
    let ran = Desk::new(std::slice::from_ref(&blob), &[&server.url()]).fetch(&[]);
    assert_eq!(ran.done()[0], blob.line(&server.url()));
    let words = format!("{}: the certificate of {} is not accepted (", blob.name, server.url());
    assert_eq!(ran.times(&words), 1, "{}", ran.stderr);
}

#[test]
fn a_damaged_blob_is_named_and_comes_anew() {
    let blob = Blob::consul(30_000, 1);
    let server = good(std::slice::from_ref(&blob));
    let desk = Desk::new(std::slice::from_ref(&blob), &[&server.url()]);
    desk.fetch(&[]).done();
    let path = desk.blob(&blob);
    let mut flipped = blob.bytes.clone();
    flipped[12_345] ^= 1;
    // the length alone tells of the second
    for (damaged, words) in [(flipped.as_slice(), ["--verify"].as_slice()), (b"cut", &[])] {
        fs::write(&path, damaged).unwrap();
        let ran = desk.fetch(words);
        assert_eq!(ran.done(), [blob.line(&server.url()), "fetched 1 of 1 blob, 30.0 kB; 1 in cache".into()]);
        let named = format!("the store's copy of {} is damaged (cache/sha256/{} has sha256 ", blob.name, blob.hex());
        assert_eq!(ran.times(&named), 1, "{}", ran.stderr);
        assert_eq!(fs::read(&path).unwrap(), blob.bytes);
    }
    assert_eq!(desk.fetch(&["--verify"]).done()[0], blob.line("cache"));
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn answers_cut_at_random_places_are_gone_on_with_and_no_byte_comes_twice() {
    for seed in 0..5 {
        let blobs = platform(200_000);
        let sent = Meter::default();
        let server = misbehaving(&blobs, {
            let (sent, cuts) = (sent.clone(), random(seed, 12 * 8));
            let places = blobs.clone();
            move |request, before, response| {
                let place = places.iter().position(|blob| request.path.ends_with(&blob.hex())).unwrap();
                // Seven answers for each blob are cut; sometimes before their first byte.
                response.cut_after = (before < 7).then(|| cuts[place * 8 + before]);
                sent.add(response);
            }
        });
        let desk = Desk::new(&blobs, &[&server.url()]);
        assert_eq!(desk.fetch(&[]).done().last(), Some(&"fetched 12 of 12 blobs, 2.4 MB; 12 in cache"), "seed {seed}");
        assert_eq!(sent.bytes(), 12 * 200_000, "bytes came twice (seed {seed}): {:?}", ranges(&server));
        for blob in &blobs {
            assert_eq!(fs::read(desk.blob(blob)).unwrap(), blob.bytes);
        }
    }
}

#[test]
fn a_server_that_cuts_and_does_no_ranges_gets_it_done_in_the_end() {
    let blob = Blob::consul(300_000, 2);
    let cuts = random(77, 5);
    let server = Server::start({
        let bytes = blob.bytes.clone();
        move |_, before| {
            let mut response = Response::ok(bytes.clone());
            response.cut_after = cuts.get(before).copied();
            response
        }
    });
    let desk = Desk::new(std::slice::from_ref(&blob), &[&server.url()]);
    desk.fetch(&[]).done();
    assert_eq!(fs::read(desk.blob(&blob)).unwrap(), blob.bytes);
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn places_that_are_dead_wrong_lying_or_empty_are_passed_over_with_a_word() {
    let mut blob = Blob::consul(9000, 3);
    let liar = Server::start(|_, _| {
        let mut response = Response::ok("short");
        response.claim_length = Some(1 << 40);
        response
    });
    let other = Server::start(|_, _| Response::ok(noise(9000, 4)));
    let empty = Server::start(|_, _| Response::not_found());
    let last = good(std::slice::from_ref(&blob));
    blob.urls = vec![format!("{}/upstream/{}", last.url(), blob.hex())];
    let desk = Desk::new(std::slice::from_ref(&blob), &[DEAD, &liar.url(), &other.url(), &empty.url()]);
    let ran = desk.fetch(&[]);
    assert_eq!(ran.done(), [blob.line(&last.url()), "fetched 1 of 1 blob, 9.0 kB; 1 in cache".into()]);
    let at = |server: &str| format!("{}: {server}/sha256/{}", blob.name, blob.hex());
    for words in [
        format!("{} did not answer (", at(DEAD)),
        format!("{} offers 1099511627776 bytes where 9000 are pinned; asking ", at(&liar.url())),
        format!("{} gave other bytes (sha256 ", at(&other.url())),
        format!("{} answered 404; asking {}\n", at(&empty.url()), last.url()),
    ] {
        assert_eq!(ran.times(&words), 1, "{words:?} is not in\n{}", ran.stderr);
    }
    assert_eq!(fs::read(desk.blob(&blob)).unwrap(), blob.bytes);
}

#[test]
fn what_could_not_be_had_is_named_with_what_each_place_said_and_the_rest_is_kept() {
    let blobs = platform(5000);
    let server = Server::start({
        let (blobs, wrong) = (blobs.clone(), noise(5000, 5));
        move |request, _| match asked(request, &blobs) {
            Some(blob) if blob.name.starts_with("hippo") => Response::ok(wrong.clone()),
            Some(blob) if blob.name.starts_with("spin") => Response::not_found(),
            Some(blob) => Response::file(request, &blob.bytes),
            None => Response::ok(wrong.clone()),
        }
    });
    let with_urls: Vec<_> =
        blobs.iter().map(|blob| Blob { urls: vec![format!("{}/other.zip", server.url())], ..blob.clone() }).collect();
    let desk = Desk::new(&with_urls, &[&server.url()]);
    let ran = desk.fetch(&[]);
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.lines().last(), Some(&"fetched 8 of 12 blobs, 40.0 kB; 8 in cache"));
    let url = server.url();
    for (blob, origin) in [
        (&blobs[4], "gave other bytes (sha256 "),
        (&blobs[5], "gave other bytes (sha256 "),
        (&blobs[8], "answered 404; "),
        (&blobs[9], "answered 404; "),
    ] {
        let (name, hex) = (&blob.name, blob.hex());
        let words = format!("anymetal: no origin gave {name} (sha256 {}…): {url}/sha256/{hex} {origin}", &hex[..12]);
        assert_eq!(ran.times(&words), 1, "{words:?} is not in\n{}", ran.stderr);
    }
    assert_eq!(ran.times(&format!("; {url}/other.zip gave other bytes (sha256 ")), 4, "{}", ran.stderr);
    assert!(ran.stderr.contains("\nanymetal: 4 of 12 blobs could not be had\nhint: "), "{}", ran.stderr);
    // Nobody said that another time would be better, so nobody was asked another time: two places for each that failed.
    assert_eq!(server.requests().len(), 8 + 4 * 2);
    assert_eq!(desk.cached().len(), 8, "something was left beside: {:?}", desk.cached());
}

#[test]
fn a_server_that_is_away_for_a_moment_is_asked_again_and_one_that_stays_away_is_not_for_ever() {
    let blob = Blob::consul(5000, 6);
    let server = misbehaving(std::slice::from_ref(&blob), |_, before, response| {
        if before < 2 {
            *response = Response::new(503, "");
        }
    });
    let desk = Desk::new(std::slice::from_ref(&blob), &[&server.url()]);
    let once = desk.fetch(&["--retries", "1"]);
    assert_eq!(once.code, Some(2));
    // each sentence once, and one of them when it is given up
    assert_eq!(once.times("answered 503; asking http"), 1, "{}", once.stderr);
    assert_eq!((once.times("no origin gave "), once.times("\nasking again for 1 blob\n")), (2, 1), "{}", once.stderr);
    assert_eq!(server.requests().len(), 2);
    desk.fetch(&["--retries", "1"]).done();
}

#[test]
fn files_that_were_carried_in_are_taken_by_digest_or_name_and_wrong_ones_are_not() {
    let mut blobs = platform(7000);
    for blob in &mut blobs {
        blob.urls = vec![format!("{DEAD}/pool/{}.zip?token=t", blob.name.replace(' ', "_"))];
    }
    let server = good(&blobs);
    let desk = Desk::new(&blobs, &[&server.url()]);
    let name = |place: usize| format!("{}.zip", blobs[place].name.replace(' ', "_"));
    desk.put(&format!("stick/sha256/{}", blobs[0].hex()), &blobs[0].bytes);
    desk.put(&format!("stick/{}", blobs[1].hex()), &blobs[1].bytes);
    desk.put(&format!("stick/{}", name(2)), &blobs[2].bytes);
    desk.put(&format!("stick/{}", name(3)), noise(7000, 8));
    desk.put(&format!("stick/{}", name(4)), "short");
    desk.put(&format!("other/{}", name(3)), &blobs[3].bytes);
    let ran = desk.fetch(&["--from", "stick", "--from", "other"]);
    let lines = ran.done();
    let carried = [
        format!("stick/sha256/{}", blobs[0].hex()),
        format!("stick/{}", blobs[1].hex()),
        format!("stick/{}", name(2)),
        format!("other/{}", name(3)),
        server.url(),
    ];
    for ((line, blob), from) in lines.iter().zip(&blobs).zip(&carried) {
        assert_eq!(*line, blob.line(from));
    }
    assert_eq!(
        ran.times(&format!("{}: stick/{} has other bytes (sha256 ", blobs[3].name, name(3))),
        1,
        "{}",
        ran.stderr
    );
    let short = format!("{}: stick/{} has 5 bytes where 7000 are pinned; it is passed over\n", blobs[4].name, name(4));
    assert_eq!(ran.times(&short), 1, "{}", ran.stderr);
    assert_eq!(server.requests().len(), 8);
    assert_eq!(lines.last(), Some(&"fetched 12 of 12 blobs, 84.0 kB; 12 in cache"));
    for blob in &blobs {
        assert_eq!(fs::read(desk.blob(blob)).unwrap(), blob.bytes);
    }

    let ran = desk.fetch(&["--from", "nowhere"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("\nanymetal: looking at nowhere: "), "{}", ran.stderr);
}

/// Needs to mount, and says so without that right.
#[test]
fn a_disk_without_room_is_told_and_nothing_half_written_stays() {
    let pinned = Blob::consul(600_000, 9);
    let unknown = Blob { sized: false, ..pinned.clone() };
    let server = good(std::slice::from_ref(&pinned));
    for (blob, words) in [
        (&pinned, "anymetal: the artefacts need 600.0 kB more in cache/sha256, where "),
        (&unknown, "anymetal: storing consul 1.21.5 x86_64: it must fit into cache/sha256, where "),
    ] {
        let desk = Desk::new(std::slice::from_ref(blob), &[&server.url()]);
        fs::create_dir(desk.path("cache")).unwrap();
        let seen = disk::small(&desk.path("cache"), 128 * 1024, || (desk.fetch(&[]), desk.cached()));
        let Some((ran, left)) = seen else {
            eprintln!("not root: a disk that fills up was not tried");
            return;
        };
        assert_eq!(ran.code, Some(2));
        assert_eq!(ran.times(words), 1, "{}", ran.stderr);
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Numbers below 65536, the same for the same seed.
fn random(seed: u64, count: usize) -> Vec<usize> {
    noise(count * 2, seed).chunks(2).map(|two| usize::from(two[0]) * 256 + usize::from(two[1])).collect()
}
