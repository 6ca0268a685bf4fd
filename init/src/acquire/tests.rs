//! The phase `acquire` against origins that behave and misbehave, and what it leaves in the store.
//! Also the plan, world and listener that the suite of `install` shares.

#![expect(clippy::disallowed_methods, reason = "a suite prepares and looks at the store as it lies on the disk")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anymetal_contract::plan::{self, Arch, Format, Plan};
use anymetal_contract::{Digest, Unit};
use anymetal_lab::archive::{noise, sha256};
use anymetal_lab::http::{Response, Server};
use anymetal_lab::{disk, tls};

use super::*;
use crate::world::{Overrides, Planned};

/// Hears what a phase says.
#[derive(Default)]
pub(crate) struct Heard {
    steps: Mutex<Vec<(String, Outcome, String)>>,
    progress: Mutex<Vec<(String, u64, Option<u64>)>>,
}

impl Heard {
    /// The sentences said of steps, with their outcomes.
    pub(crate) fn said(&self) -> Vec<(Outcome, String)> {
        self.steps.lock().unwrap().iter().map(|(_, outcome, message)| (*outcome, message.clone())).collect()
    }

    /// How many sentences hold these words.
    pub(crate) fn times(&self, words: &str) -> usize {
        self.said().iter().filter(|(_, message)| message.contains(words)).count()
    }
}

impl Steps for Heard {
    fn step(&self, step: &str, outcome: Outcome, message: &str) {
        self.steps.lock().unwrap().push((step.into(), outcome, message.into()));
    }

    fn progress(&self, step: &str, done: u64, total: Option<u64>, unit: Unit) {
        assert_eq!(unit, Unit::Bytes);
        self.progress.lock().unwrap().push((step.into(), done, total));
    }
}

/// A world with a temporary root and a plan of these components.
pub(crate) fn world_of(root: &std::path::Path, components: Vec<Component>, origins: &[&str]) -> World {
    let world = World::new(root, Arch::X86_64, Overrides::default());
    let plan = Plan {
        kind: plan::KIND.into(),
        version: plan::VERSION,
        site: "demo".into(),
        platform: "equinix-metal".into(),
        os: "debian-12".into(),
        domain: "example.org".into(),
        anycast: plan::Anycast::default(),
        bgp: plan::Bgp::default(),
        phases: BTreeSet::new(),
        origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        components,
        files: vec![],
        services: vec![],
        deadlines: BTreeMap::new(),
        reports: vec![],
    };
    world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).expect("the world is new");
    world
}

/// A component whose artefact for x86_64 is this.
pub(crate) fn component(name: &str, version: &str, artefact: Artefact) -> Component {
    let source = Source::Artefacts(BTreeMap::from([(Arch::X86_64, artefact)]));
    Component { name: name.into(), version: version.into(), source }
}

pub(crate) fn artefact_of(bytes: &[u8]) -> Artefact {
    let size = Some(bytes.len() as u64);
    Artefact { sha256: sha256(bytes), size, format: Format::Zip, members: vec![], urls: vec![] }
}

/// One artefact, these origins, and limits that a test can wait for.
struct Bench {
    root: tempfile::TempDir,
    world: World,
    heard: Heard,
    digest: Digest,
}

/// Long enough that a busy machine's loopback does not count as silent.
const SILENCE: Duration = Duration::from_secs(1);

impl Bench {
    fn new(bytes: &[u8], origins: &[&str]) -> Self {
        Self::with(artefact_of(bytes), origins)
    }

    fn with(artefact: Artefact, origins: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let digest = artefact.sha256.clone();
        let world = world_of(root.path(), vec![component("consul", "1.8.7", artefact)], origins);
        Self { root, world, heard: Heard::default(), digest }
    }

    fn run(&self) -> Result<Answer, Failure> {
        let connect = Duration::from_secs(5);
        acquire(&self.world, &self.heard, Limits { connect, whole: None, silence: SILENCE })
    }

    fn blob(&self) -> PathBuf {
        self.world.at(place::STORE).join(self.digest.as_str())
    }

    fn part(&self) -> PathBuf {
        self.world.at(place::STORE).join(format!("{}.part", self.digest))
    }

    fn leave_part(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.world.at(place::STORE)).unwrap();
        std::fs::write(self.part(), bytes).unwrap();
    }

    #[track_caller]
    fn done(&self) -> String {
        match self.run() {
            Ok(Answer::Done(message)) => message,
            other => panic!("it did not get done: {other:?}"),
        }
    }

    #[track_caller]
    fn waits(&self) -> (Reason, String) {
        match self.run() {
            Ok(Answer::Waiting { reason, message }) => (reason, message),
            other => panic!("it does not wait: {other:?}"),
        }
    }

    #[track_caller]
    fn fails(&self) -> (Reason, String) {
        let failure = self.run().expect_err("it fails");
        (failure.reason, failure.chain())
    }
}

/// An origin that does what an origin should, with one file.
fn good(bytes: &[u8]) -> Server {
    let bytes = bytes.to_vec();
    Server::start(move |request, _| Response::file(request, &bytes))
}

fn ranges(server: &Server) -> Vec<Option<String>> {
    server.requests().iter().map(|request| request.header("range").map(str::to_owned)).collect()
}

/// A URL at which nobody listens.
const DEAD: &str = "http://127.0.0.1:1";

#[test]
fn an_artefact_comes_from_the_origin_by_its_digest_and_stays() {
    let bytes = noise(1_300_000, 1);
    let server = good(&bytes);
    let bench = Bench::new(&bytes, &[&server.url()]);
    assert_eq!(bench.done(), format!("1 artefact, 1.3 MB from {}", server.url()));
    assert_eq!(std::fs::read(bench.blob()).unwrap(), bytes);
    assert!(!bench.part().exists(), "the part is still there");
    assert_eq!(server.requests()[0].path, format!("/sha256/{}", bench.digest));
    let progress = bench.heard.progress.lock().unwrap().clone();
    assert!(progress.windows(2).all(|pair| pair[0].1 <= pair[1].1), "progress went back: {progress:?}");
    assert_eq!(progress.last(), Some(&("consul".to_owned(), 1_300_000, Some(1_300_000))));

    assert_eq!(bench.run().unwrap(), Answer::Same("all artefacts already in the store".into()));
    assert_eq!(server.requests().len(), 1, "it was fetched again");
}

#[test]
fn the_override_is_asked_before_the_plan_and_the_artefacts_url_last() {
    let bytes = noise(1000, 2);
    let (first, plans) = (Server::start(|_, _| Response::not_found()), Server::start(|_, _| Response::not_found()));
    let last = good(&bytes);
    let mut artefact = artefact_of(&bytes);
    artefact.urls = vec![format!("{}/releases/consul.zip?token=hunter2", last.url())];
    let mut bench = Bench::with(artefact, &[&plans.url()]);
    bench.world.overrides.origin = Some(format!("{}/", first.url()));
    assert_eq!(bench.done(), format!("1 artefact, 1.0 kB from {}", last.url()));
    assert_eq!(first.requests()[0].path, format!("/sha256/{}", bench.digest));
    assert_eq!(plans.requests().len(), 1);
    assert_eq!(bench.heard.times(&format!("{}/sha256/{} answered 404; asking {}", first.url(), bench.digest, plans.url())), 1);
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
        let cuts: Vec<usize> = noise(16, seed).chunks(2).map(|two| usize::from(two[0]) * 256 + usize::from(two[1])).collect();
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
        assert_eq!(sent.load(Ordering::SeqCst), bytes.len(), "bytes were sent twice (seed {seed}): {:?}", ranges(&server));
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
fn a_copy_that_was_damaged_on_the_disk_is_fetched_again() {
    let bytes = noise(3000, 16);
    let server = good(&bytes);
    let bench = Bench::new(&bytes, &[&server.url()]);
    bench.done();
    let mut damaged = bytes.clone();
    damaged[1500] ^= 1;
    std::fs::write(bench.blob(), damaged).unwrap();
    bench.done();
    assert_eq!(std::fs::read(bench.blob()).unwrap(), bytes);
    assert_eq!(bench.heard.times("the store's copy of consul 1.8.7 is damaged"), 1);
}

#[test]
fn what_a_killed_run_left_is_used_when_it_is_right_and_dropped_when_it_is_not() {
    let bytes = noise(9000, 17);
    for (left, asked) in [
        (bytes[..4000].to_vec(), vec![Some("bytes=4000-".to_owned())]),
        (bytes.clone(), vec![]),
        // Zeros where the power went before the data was on the disk.
        ([&bytes[..2000], &[0; 2000]].concat(), vec![Some("bytes=4000-".to_owned()), None]),
        (noise(9000, 18), vec![None]),
        (noise(20_000, 18), vec![None]),
        (vec![], vec![None]),
    ] {
        let server = good(&bytes);
        let bench = Bench::new(&bytes, &[&server.url()]);
        bench.leave_part(&left);
        bench.done();
        assert_eq!(std::fs::read(bench.blob()).unwrap(), bytes);
        assert_eq!(ranges(&server), asked, "{} bytes were left", left.len());
    }
}

#[test]
fn a_part_longer_than_the_file_of_an_unpinned_size_is_begun_anew() {
    let bytes = noise(9000, 19);
    let server = good(&bytes);
    let bench = Bench::with(Artefact { size: None, ..artefact_of(&bytes) }, &[&server.url()]);
    bench.leave_part(&noise(20_000, 20));
    bench.done();
    assert_eq!(ranges(&server), [Some("bytes=20000-".into()), None]);
}

#[test]
fn four_artefacts_come_at_a_time_and_equal_ones_once() {
    let files: Vec<Vec<u8>> = (0..6).map(|seed| noise(2000, 30 + seed)).collect();
    let (under_way, most) = (Arc::new((Mutex::new(0_usize), Condvar::new())), Arc::new(AtomicUsize::new(0)));
    let server = Server::start({
        let (files, under_way, most) = (files.clone(), Arc::clone(&under_way), Arc::clone(&most));
        move |request, _| {
            let (count, changed) = &*under_way;
            let mut count = count.lock().unwrap();
            *count += 1;
            most.fetch_max(*count, Ordering::SeqCst);
            changed.notify_all();
            // The first ones wait for each other, with a limit that only a failing test meets.
            let full = |_: &mut usize| most.load(Ordering::SeqCst) < AT_ONCE;
            let (mut count, _) = changed.wait_timeout_while(count, Duration::from_secs(20), full).unwrap();
            *count -= 1;
            let file = files.iter().find(|file| request.path.ends_with(sha256(file).as_str())).unwrap();
            Response::file(request, file)
        }
    });
    let root = tempfile::tempdir().unwrap();
    let twin = files.iter().chain([&files[0]]).enumerate();
    let components = twin.map(|(place, file)| component(&format!("c{place}"), "1", artefact_of(file))).collect();
    let world = world_of(root.path(), components, &[&server.url()]);
    let answer = work(&world, &Heard::default()).unwrap();
    assert_eq!(answer, Answer::Done(format!("6 artefacts, 12.0 kB from {}", server.url())));
    assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn one_failure_does_not_keep_the_others_from_the_store() {
    let bytes = noise(2000, 40);
    let server = good(&bytes);
    let root = tempfile::tempdir().unwrap();
    let components = vec![
        component("bad", "1", artefact_of(&noise(2000, 41))),
        component("good", "1", artefact_of(&bytes)),
        component("worse", "1", artefact_of(&noise(2000, 42))),
    ];
    let world = world_of(root.path(), components, &[&server.url()]);
    let failure = work(&world, &Heard::default()).unwrap_err();
    assert_eq!(failure.reason, Reason::ArtefactMismatch);
    let chain = failure.chain();
    assert!(chain.contains("no origin gave bad 1") && chain.contains("; no origin gave worse 1"), "{chain}");
    assert!(world.at(place::STORE).join(sha256(&bytes).as_str()).exists());
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
fn an_architecture_the_plan_does_not_have_is_named() {
    let root = tempfile::tempdir().unwrap();
    let mut world = world_of(root.path(), vec![component("consul", "1.8.7", artefact_of(b"x"))], &[DEAD]);
    world.arch = Arch::Aarch64;
    let failure = work(&world, &Heard::default()).unwrap_err();
    assert_eq!(failure.reason, Reason::NoArtefact);
    assert_eq!(failure.chain(), "the plan has no artefact of consul 1.8.7 for aarch64; it has x86_64");
}

#[test]
fn what_cannot_fit_is_not_begun() {
    let bytes = noise(2000, 60);
    let server = good(&bytes);
    let bench = Bench::with(Artefact { size: Some(1 << 60), ..artefact_of(&bytes) }, &[&server.url()]);
    let (reason, message) = bench.fails();
    assert_eq!(reason, Reason::DiskFull);
    assert!(message.starts_with("the artefacts need 1152921504.6 GB more in "), "{message}");
    assert!(server.requests().is_empty(), "it was begun");
}

/// Needs to mount; without that right the sentence says so and `what_cannot_fit_is_not_begun` stands alone.
#[test]
fn a_disk_that_fills_up_on_the_way_is_told_with_what_is_needed_and_left_empty() {
    let bytes = noise(600_000, 61);
    let server = good(&bytes);
    let bench = Bench::with(Artefact { size: None, ..artefact_of(&bytes) }, &[&server.url()]);
    let store = bench.world.at(place::STORE);
    std::fs::create_dir_all(&store).unwrap();
    let seen = disk::small(bench.root.path(), 128 * 1024, || {
        let failed = bench.fails();
        (failed, bench.part().exists())
    });
    let Some(((reason, message), left)) = seen else {
        eprintln!("not root: the disk that fills up on the way was not tried");
        return;
    };
    assert_eq!(reason, Reason::DiskFull);
    assert!(message.starts_with("storing consul 1.8.7: it must fit into "), "{message}");
    assert!(message.contains("No space left on device"), "{message}");
    assert!(!left, "the part still fills the disk");
}

#[test]
fn a_plan_without_artefacts_has_nothing_to_do() {
    let root = tempfile::tempdir().unwrap();
    let world = world_of(root.path(), vec![], &[]);
    assert_eq!(work(&world, &Heard::default()).unwrap(), Answer::Same("this plan has no artefacts".into()));
}
