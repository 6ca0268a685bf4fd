//! The phase `acquire` with a bundle on the node's disk: good, of another plan, damaged anywhere, signed by nobody.
//! Bundles that nobody should make are with their reader, in `anymetal_supply`.

#![expect(clippy::disallowed_methods, reason = "a suite prepares and looks at what lies on the disk")]

use std::collections::BTreeMap;

use anymetal_contract::bundle::{self, Index};
use anymetal_contract::plan::{Arch, Supply};
use anymetal_contract::{Digest, Outcome, Reason, place, release};
use anymetal_lab::archive::{noise, sha256};
use anymetal_lab::http::{Response, Server};
use anymetal_supply::bundle::header::{END, header, padding};

use super::tests::{DEAD, Heard, artefact_of, component, world_of};
use super::*;
use crate::signature::tests::{KEY, OTHER, PLAN, RELEASE, SIGNATURE};
use crate::world::Planned;

/// A bundle of these blobs, as the builder writes one, whose plan has these bytes.
fn bundle_of(plan: &[u8], signature: Option<&str>, blobs: &[&[u8]]) -> Vec<u8> {
    let release = RELEASE.replace(sha256(PLAN.as_bytes()).as_str(), sha256(plan).as_str());
    let release = release.replace(":24}", &format!(":{}}}", plan.len())).into_bytes();
    let mut blobs = [blobs, &[plan, &release]].concat();
    blobs.sort_by_key(|blob| sha256(blob));
    let of = |blob: &&[u8]| bundle::Blob { sha256: sha256(blob), size: blob.len() as u64, name: "a thing".into() };
    let index = Index {
        kind: bundle::KIND.into(),
        version: bundle::VERSION,
        site: "demo".into(),
        release: sha256(&release),
        plan: sha256(plan),
        inits: BTreeMap::<Arch, Digest>::new(),
        blobs: blobs.iter().map(of).collect(),
    };
    let index = serde_json::to_value(index).unwrap().to_string().into_bytes();
    let mut members = vec![(bundle::INDEX.to_owned(), index), (release::FILE.to_owned(), release.clone())];
    members.extend(signature.map(|text| (release::SIGNATURE.to_owned(), text.as_bytes().to_vec())));
    members.extend(blobs.iter().map(|blob| (place::blob(&sha256(blob)), blob.to_vec())));
    let mut bytes = Vec::new();
    for (name, content) in members {
        bytes.extend(header(&name, content.len() as u64));
        bytes.extend(&content);
        bytes.resize(bytes.len() + padding(content.len() as u64), 0);
    }
    bytes.extend(END);
    bytes
}

/// A node whose plan has the bytes [`PLAN`] and wants two artefacts, with this bundle on its disk.
struct Bench {
    root: tempfile::TempDir,
    world: World,
    heard: Heard,
}

impl Bench {
    fn new(files: &[&[u8]], origins: &[&str], bundle: &[u8]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let name = |place| format!("c{place}");
        let components = files.iter().enumerate().map(|(place, file)| component(&name(place), "1", artefact_of(file)));
        let mut world = world_of(root.path(), components.collect(), origins);
        let plan = world.plan.take().unwrap().plan;
        world.plan.set(Planned { plan, digest: sha256(PLAN.as_bytes()) }).unwrap();
        let path = world.at(place::BUNDLE);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bundle).unwrap();
        Self { root, world, heard: Heard::default() }
    }

    fn ordered(mut self, supplies: &[Supply]) -> Self {
        let mut planned = self.world.plan.take().unwrap();
        planned.plan.supplies = supplies.to_vec();
        self.world.plan.set(planned).unwrap();
        self
    }

    fn signers(&self, text: &str) {
        let path = self.world.at(place::SIGNERS);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn run(&self) -> Result<Answer, Failure> {
        acquire(&self.world, &self.heard, Times { rounds: 1, wrong: Duration::ZERO, ..Times::NODE })
    }

    /// The names in the store.
    fn store(&self) -> Vec<String> {
        let dir = self.root.path().join(place::STORE.trim_start_matches('/'));
        let names = std::fs::read_dir(dir).into_iter().flatten();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn origin_of(files: &[&[u8]]) -> Server {
    let files: Vec<Vec<u8>> = files.iter().map(|file| file.to_vec()).collect();
    Server::start(move |request, _| {
        let file = files.iter().find(|file| request.path.ends_with(sha256(file).as_str()));
        file.map_or_else(Response::not_found, |file| Response::file(request, file))
    })
}

#[test]
fn a_bundle_gives_what_it_has_and_the_origin_is_asked_for_the_rest() {
    let (one, two, three) = (noise(1_300_000, 1), noise(700_000, 2), noise(50_000, 3));
    let server = origin_of(&[&one, &two, &three]);
    let bundle = bundle_of(PLAN.as_bytes(), None, &[&two, &one]);
    let bench = Bench::new(&[&one, &two, &three], &[&server.url()], &bundle);
    let said = format!(
        "3 artefacts, 2.0 MB: 2.0 MB from the bundle /var/lib/anymetal/bundle.tar, 50.0 kB from {}",
        server.url()
    );
    assert_eq!(bench.run().unwrap(), Answer::Done(said));
    assert_eq!(bench.heard.times("c0 1, 1.3 MB from the bundle /var/lib/anymetal/bundle.tar"), 1);
    assert_eq!(server.requests().len(), 1, "what the bundle has was fetched");
    assert_eq!(bench.store().len(), 3);
    assert_eq!(bench.heard.times("another plan"), 0);
}

#[test]
fn a_bundle_of_another_plan_gives_blobs_and_is_said() {
    let one = noise(10_000, 1);
    let bench = Bench::new(&[&one], &[DEAD], &bundle_of(b"{\"another\":\"plan\"}", None, &[&one]));
    assert!(matches!(bench.run().unwrap(), Answer::Done(_)));
    let digest = sha256(b"{\"another\":\"plan\"}");
    let words = format!("the bundle /var/lib/anymetal/bundle.tar is of another plan, {}…", digest.short());
    assert_eq!(bench.heard.times(&words), 1, "{:?}", bench.heard.said());
}

#[test]
fn a_byte_changed_anywhere_is_found_named_and_nothing_of_it_used() {
    let (one, two) = (noise(20_000, 1), noise(9_000, 2));
    let whole = bundle_of(PLAN.as_bytes(), None, &[&one, &two]);
    let server = origin_of(&[&one, &two]);
    // release and plan have come before, from here or not, and are not read again
    let content = |text: &str| {
        let at = whole.windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap();
        at..at + text.len()
    };
    let read = [content(RELEASE), content(PLAN)];
    let mut members = 0;
    for place in
        (0..whole.len()).step_by(whole.len() / 150).filter(|place| read.iter().all(|read| !read.contains(place)))
    {
        let mut bytes = whole.clone();
        bytes[place] ^= 1 << (place % 8);
        let bench = Bench::new(&[&one, &two], &[&server.url()], &bytes);
        let Answer::Done(_) = bench.run().unwrap() else { panic!("it did not come from the origin: byte {place}") };
        let said = bench.heard.said();
        let found = |words: &str| said.iter().any(|(_, message)| message.contains(words));
        assert!(
            found("the bundle /var/lib/anymetal/bundle.tar is damaged"),
            "nobody said that byte {place} is another: {said:?}"
        );
        for file in [&one, &two] {
            let kept = std::fs::read(bench.world.at(place::STORE).join(sha256(file).as_str())).unwrap();
            assert!(kept == **file, "byte {place} came into the store");
        }
        members += usize::from(found("is damaged: its member sha256/"));
    }
    assert!(members > 100, "blobs are most of it, and {members} were named");
}

#[test]
fn a_damaged_bundle_alone_stops_the_boot_with_the_member_named_and_an_empty_store() {
    let one = noise(20_000, 1);
    let mut bytes = bundle_of(PLAN.as_bytes(), None, &[&one]);
    let middle = bytes.len() - 5000;
    bytes[middle] ^= 1;
    let failure = Bench::new(&[&one], &[], &bytes).run().unwrap_err();
    assert_eq!(failure.reason, Reason::ArtefactMismatch);
    let words = format!("bundle.tar is damaged: its member sha256/{} has other bytes (sha256 ", sha256(&one));
    assert!(failure.chain().contains(&words), "{}", failure.chain());

    let bench = Bench::new(&[&one], &[], b"no tar at all");
    let Answer::Waiting { message, .. } = bench.run().unwrap() else { panic!("a good one may still be brought") };
    assert!(message.contains("there is no bundle /var/lib/anymetal/bundle.tar, nor anymetal-bundle.tar"), "{message}");
    assert_eq!(bench.heard.times("is damaged or no bundle"), 1, "{:?}", bench.heard.said());
    assert!(bench.store().is_empty());
}

#[test]
fn where_releases_must_be_signed_a_bundle_must_be_too() {
    let one = noise(10_000, 1);
    for (signature, signers, taken) in [
        (None, KEY, false),
        (Some(SIGNATURE), OTHER, false),
        (Some(SIGNATURE), "nonsense\n", false),
        (Some(SIGNATURE), KEY, true),
    ] {
        let bench = Bench::new(&[&one], &[DEAD], &bundle_of(PLAN.as_bytes(), signature, &[&one]));
        bench.signers(signers);
        let done = matches!(bench.run(), Ok(Answer::Done(_)));
        assert_eq!(done, taken, "{signers:?} {signature:?}: {:?}", bench.heard.said());
        let refused = bench.heard.times("the bundle /var/lib/anymetal/bundle.tar is refused: ");
        assert_eq!((refused, bench.store().len()), if taken { (0, 1) } else { (1, 0) });
    }
}

#[test]
fn a_bundle_gives_release_and_plan_before_there_is_a_plan() {
    let bundle = bundle_of(PLAN.as_bytes(), None, &[]);
    for (bytes, damaged) in [(bundle.clone(), 0), (flipped(bundle, PLAN.as_bytes()), 1)] {
        let mut bench = Bench::new(&[], &[], &bytes);
        bench.world.plan.take();
        std::fs::create_dir_all(bench.world.at("/etc/anymetal")).unwrap();
        crate::signature::tests::released(&bench.world, RELEASE.as_bytes());
        std::fs::remove_file(bench.world.at(place::RELEASE)).unwrap();
        let ended = crate::plan::work(&bench.world, &bench.heard);
        // the plan is no whole one, and is looked at when it is there
        let came = ended.is_err_and(|failure| failure.reason == Reason::PlanUnreadable);
        assert_eq!((came, bench.world.at(place::RELEASE).exists()), (damaged == 0, true));
        assert_eq!(bench.heard.times("bundle.tar is damaged: the plan in it"), damaged, "{:?}", bench.heard.said());
        assert_eq!(bench.heard.times("of another"), 0);
    }
}

/// The bytes with one of this part of them changed, where it is a blob.
fn flipped(mut bytes: Vec<u8>, part: &[u8]) -> Vec<u8> {
    let at = bytes.windows(part.len()).rposition(|window| window == part).unwrap();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn the_plans_order_is_kept() {
    let one = noise(10_000, 1);
    let server = origin_of(&[&one]);
    let bundle = bundle_of(PLAN.as_bytes(), None, &[&one]);
    for (supplies, from) in [
        (vec![Supply::Origins, Supply::Bundle], server.url()),
        (vec![Supply::Bundle, Supply::Origins], "the bundle /var/lib/anymetal/bundle.tar".into()),
        (vec![Supply::Upstream, Supply::Bundle], "the bundle /var/lib/anymetal/bundle.tar".into()),
    ] {
        let bench = Bench::new(&[&one], &[&server.url()], &bundle).ordered(&supplies);
        assert_eq!(bench.run().unwrap(), Answer::Done(format!("1 artefact, 10.0 kB from {from}")), "{supplies:?}");
    }
    assert_eq!(server.requests().len(), 1);
    let without = Bench::new(&[&one], &[DEAD], &bundle).ordered(&[Supply::Origins]);
    let Answer::Waiting { message, .. } = without.run().unwrap() else { panic!("the bundle was used") };
    assert!(message.contains("did not answer") && !message.contains("bundle"), "{message}");
    assert!(without.heard.said().iter().all(|(outcome, _)| *outcome == Outcome::Waiting));
}
