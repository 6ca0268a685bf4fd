//! The phase `acquire` with origins that behave: what it finds and leaves in the store, how many at a time, and full disks.
//! Also the plan, world and listener that the suite of `install` shares.

#![expect(clippy::disallowed_methods, reason = "a suite prepares and looks at the store as it lies on the disk")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use anymetal_contract::plan::{Arch, Format, Plan};
use anymetal_contract::{Digest, Outcome, Unit, place};
use anymetal_lab::archive::{noise, sha256};
use anymetal_lab::disk;
use anymetal_lab::http::{Response, Server};

use super::*;
use crate::world::{Overrides, Planned};

/// Hears what a phase says.
#[derive(Default)]
pub(crate) struct Heard {
    steps: Mutex<Vec<(String, Outcome, String)>>,
    progress: Mutex<Vec<(String, u64, Option<u64>)>>,
    deadline: Option<Instant>,
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

    fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}

/// A world with a temporary root and a plan of these components.
pub(crate) fn world_of(root: &std::path::Path, components: Vec<Component>, origins: &[&str]) -> World {
    let world = World::new(root, Arch::X86_64, Overrides::default());
    let plan = Plan {
        site: "demo".into(),
        platform: "equinix-metal".into(),
        origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        components,
        ..Plan::default()
    };
    world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).expect("the world is new");
    world
}

/// A component whose artefact for `x86_64` is this.
pub(crate) fn component(name: &str, version: &str, artefact: Artefact) -> Component {
    let source = Source::Artefacts(BTreeMap::from([(Arch::X86_64, artefact)]));
    Component::new(name, version, source)
}

pub(crate) fn artefact_of(bytes: &[u8]) -> Artefact {
    let size = Some(bytes.len() as u64);
    Artefact { sha256: sha256(bytes), size, format: Format::Zip, members: vec![], urls: vec![] }
}

/// One artefact, these origins, and limits that a test can wait for.
pub(super) struct Bench {
    root: tempfile::TempDir,
    pub(super) world: World,
    pub(super) heard: Heard,
    pub(super) digest: Digest,
    beside: Duration,
}

/// Rounds of wrong bytes from everybody that are final.
pub(super) const ROUNDS: u32 = 3;

/// Long enough that a busy machine's loopback does not count as silent.
const SILENCE: Duration = Duration::from_secs(1);

impl Bench {
    pub(super) fn new(bytes: &[u8], origins: &[&str]) -> Self {
        Self::with(artefact_of(bytes), origins)
    }

    pub(super) fn with(artefact: Artefact, origins: &[&str]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let digest = artefact.sha256.clone();
        let world = world_of(root.path(), vec![component("consul", "1.8.7", artefact)], origins);
        Self { root, world, heard: Heard::default(), digest, beside: Times::NODE.beside }
    }

    pub(super) fn run(&self) -> Result<Answer, Failure> {
        let limits = Limits { connect: Duration::from_secs(5), whole: None, silence: SILENCE };
        let last = Duration::from_secs(5);
        acquire(
            &self.world,
            &self.heard,
            Times { limits, beside: self.beside, last, rounds: ROUNDS, wrong: Duration::ZERO },
        )
    }

    /// As on a node whose phase has so long.
    pub(super) fn until(mut self, left: Duration) -> Self {
        self.heard.deadline = Some(clock::monotonic() + left);
        self
    }

    /// With this patience for a place that gives too little.
    pub(super) fn beside(mut self, beside: Duration) -> Self {
        self.beside = beside;
        self
    }

    pub(super) fn blob(&self) -> PathBuf {
        self.world.at(place::STORE).join(self.digest.as_str())
    }

    pub(super) fn part(&self) -> PathBuf {
        self.world.at(place::STORE).join(format!("{}.part", self.digest))
    }

    pub(super) fn leave_part(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.world.at(place::STORE)).unwrap();
        std::fs::write(self.part(), bytes).unwrap();
    }

    #[track_caller]
    pub(super) fn done(&self) -> String {
        match self.run() {
            Ok(Answer::Done(message)) => message,
            other => panic!("it did not get done: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn waits(&self) -> (Reason, String) {
        match self.run() {
            Ok(Answer::Waiting { reason, message, .. }) => (reason, message),
            other => panic!("it does not wait: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn fails(&self) -> (Reason, String) {
        for round in 1..ROUNDS {
            let answer = self.run();
            match answer {
                Ok(Answer::Waiting { reason: Reason::ArtefactMismatch, .. }) => {}
                Err(failure) if failure.reason != Reason::ArtefactMismatch => return (failure.reason, failure.chain()),
                other => panic!("round {round} does not wait: {other:?}"),
            }
        }
        let failure = self.run().expect_err("it fails");
        (failure.reason, failure.chain())
    }
}

/// An origin that does what an origin should, with one file.
pub(super) fn good(bytes: &[u8]) -> Server {
    let bytes = bytes.to_vec();
    Server::start(move |request, _| Response::file(request, &bytes))
}

pub(super) fn ranges(server: &Server) -> Vec<Option<String>> {
    server.requests().iter().map(|request| request.header("range").map(str::to_owned)).collect()
}

/// A URL at which nobody listens.
pub(super) const DEAD: &str = "http://127.0.0.1:1";

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
    assert_eq!(
        bench.heard.times(&format!("{}/sha256/{} answered 404; asking {}", first.url(), bench.digest, plans.url())),
        1
    );
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
fn what_a_run_for_another_plan_was_cut_off_at_does_not_stay_for_ever() {
    let bytes = noise(9000, 21);
    let server = good(&bytes);
    let bench = Bench::new(&bytes, &[&server.url()]);
    bench.leave_part(b"");
    let foreign = bench.world.at(place::STORE).join(format!("{}.part", sha256(b"another")));
    std::fs::write(&foreign, "half").unwrap();
    bench.done();
    assert!(!foreign.exists() && bench.blob().exists());
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
    let times = Times { rounds: 1, wrong: Duration::ZERO, ..Times::NODE };
    let failure = acquire(&world, &Heard::default(), times).unwrap_err();
    assert_eq!(failure.reason, Reason::ArtefactMismatch);
    let chain = failure.chain();
    assert!(chain.contains("no origin gave bad 1") && chain.contains("; no origin gave worse 1"), "{chain}");
    assert!(world.at(place::STORE).join(sha256(&bytes).as_str()).exists());
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
