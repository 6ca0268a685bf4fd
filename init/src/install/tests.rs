//! The phase `install` on a temporary root: places, modes, the record, `current`, and the host's programs.
//! What hostile archives try is in `hostile`.

#![expect(clippy::disallowed_methods, reason = "a suite prepares and looks at the tree as it lies on the disk")]

use std::os::unix::fs::PermissionsExt as _;

use anymetal_contract::plan::{Format, HostPackage};
use anymetal_lab::archive::{Entry, Kind, noise, sha256, tar_gz, zip, zip_streamed};
use anymetal_lab::disk;

use super::*;
use crate::acquire::tests::{Heard, artefact_of, component, world_of};

/// An artefact of these members, each under its own name, all programs.
fn artefact(format: Format, bytes: &[u8], members: &[&str]) -> Artefact {
    let member = |name: &&str| Member { member: (*name).into(), file: (*name).into(), executable: true };
    Artefact { format, members: members.iter().map(member).collect(), ..artefact_of(bytes) }
}

fn store(world: &World, bytes: &[u8]) {
    let dir = world.at(place::STORE);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join(sha256(bytes).as_str()), bytes).unwrap();
}

/// A world whose plan has these components and whose store has these archives.
fn world(root: &Path, components: Vec<Component>, archives: &[&[u8]]) -> World {
    let world = world_of(root, components, &[]);
    for archive in archives {
        store(&world, archive);
    }
    world
}

fn run(world: &World) -> Result<Answer, Failure> {
    install(world, &Heard::default(), OsStr::new("/nonexistent"))
}

fn changed(world: &World) -> Vec<String> {
    world.changed.lock().unwrap().iter().cloned().collect()
}

fn consul(bytes: &[u8]) -> Component {
    component("consul", "1.8.7", artefact(Format::Zip, bytes, &["consul"]))
}

#[test]
fn only_the_named_members_are_installed_with_their_names_and_modes() {
    let body = noise(300_000, 1);
    let archive = tar_gz(&[
        Entry::bare("linux-x64/", Kind::Directory),
        Entry::file("linux-x64/Hippo.Web", body.clone()),
        Entry::file("linux-x64/README.md", "read me"),
        Entry::file("./linux-x64/appsettings.json", "{}"),
        Entry::bare("linux-x64/lib.so", Kind::Symlink("lib.so.1".into())),
    ]);
    let mut wanted = artefact(Format::TarGz, &archive, &[]);
    wanted.members = vec![
        Member { member: "linux-x64/Hippo.Web".into(), file: "bin/hippo".into(), executable: true },
        Member { member: "linux-x64/appsettings.json".into(), file: "appsettings.json".into(), executable: false },
    ];
    let root = tempfile::tempdir().unwrap();
    let world = world(root.path(), vec![component("hippo", "0.20.2", wanted)], &[&archive]);
    assert_eq!(run(&world).unwrap(), Answer::Done("hippo 0.20.2 installed".into()));

    let dir = world.at("/opt/anymetal/hippo/0.20.2");
    assert_eq!(std::fs::read(dir.join("bin/hippo")).unwrap(), body);
    let mode = |path: &str| dir.join(path).metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("bin/hippo"), mode("appsettings.json"), mode(""), mode("bin")), (0o755, 0o644, 0o755, 0o755));
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".anymetal", "appsettings.json", "bin"]);
    let record = std::fs::read_to_string(dir.join(".anymetal")).unwrap();
    assert_eq!(
        record,
        format!(
            r#"{{
  "kind": "anymetal.installed",
  "version": 1,
  "artefact": "{}",
  "files": {{
    "appsettings.json": {{
      "member": "linux-x64/appsettings.json",
      "executable": false,
      "sha256": "{}"
    }},
    "bin/hippo": {{
      "member": "linux-x64/Hippo.Web",
      "executable": true,
      "sha256": "{}"
    }}
  }}
}}
"#,
            sha256(&archive),
            sha256(b"{}"),
            sha256(&body)
        )
    );
}

#[test]
fn a_second_run_changes_nothing_and_a_version_change_switches_current() {
    for make in [zip, zip_streamed] {
        let old = make(&[Entry::file("consul", noise(100_000, 2)), Entry::file("LICENSE.txt", "words")]);
        let new = make(&[Entry::file("consul", noise(100_000, 3))]);
        let root = tempfile::tempdir().unwrap();
        let first = world(root.path(), vec![consul(&old)], &[&old, &new]);
        assert_eq!(run(&first).unwrap(), Answer::Done("consul 1.8.7 installed".into()));
        assert_eq!(changed(&first), ["consul"]);
        let link = first.at("/opt/anymetal/consul/current");
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("1.8.7"));

        let again = world_of(root.path(), vec![consul(&old)], &[]);
        assert_eq!(run(&again).unwrap(), Answer::Same("consul 1.8.7 in place".into()));
        assert!(changed(&again).is_empty());

        let upgrade = component("consul", "1.9.0", artefact(Format::Zip, &new, &["consul"]));
        let upgraded = world_of(root.path(), vec![upgrade], &[]);
        assert_eq!(run(&upgraded).unwrap(), Answer::Done("consul 1.9.0 installed".into()));
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("1.9.0"));
        assert!(first.at("/opt/anymetal/consul/1.8.7/consul").exists(), "the old version is gone");

        // The way back needs no unpacking.
        assert_eq!(run(&again).unwrap(), Answer::Done("consul 1.8.7 made current".into()));
        assert_eq!(changed(&again), ["consul"]);
    }
}

/// Does something to an installed version's folder.
type Spoil = fn(&Path);

#[test]
fn whatever_is_not_as_it_was_installed_is_installed_anew() {
    let body = noise(50_000, 4);
    let archive = zip(&[Entry::file("consul", body.clone())]);
    let spoils: [(&str, Spoil); 7] = [
        ("consul was changed", |dir| std::fs::write(dir.join("consul"), "x").unwrap()),
        ("consul is missing", |dir| std::fs::remove_file(dir.join("consul")).unwrap()),
        ("consul was changed", |dir| {
            std::fs::set_permissions(dir.join("consul"), std::fs::Permissions::from_mode(0o4755)).unwrap();
        }),
        ("consul is missing", |dir| {
            std::fs::rename(dir.join("consul"), dir.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink("elsewhere", dir.join("consul")).unwrap();
        }),
        ("it has no record of what it holds", |dir| std::fs::remove_file(dir.join(".anymetal")).unwrap()),
        ("its record of what it holds cannot be read", |dir| std::fs::write(dir.join(".anymetal"), "{").unwrap()),
        ("it came from another archive", |dir| {
            let record = std::fs::read_to_string(dir.join(".anymetal")).unwrap();
            let start = record.find("artefact\": \"").unwrap() + 12;
            let other = record.replace(&record[start..start + 64], &"0".repeat(64));
            std::fs::write(dir.join(".anymetal"), other).unwrap();
        }),
    ];
    for (why, spoil) in spoils {
        let root = tempfile::tempdir().unwrap();
        let world = world(root.path(), vec![consul(&archive)], &[&archive]);
        run(&world).unwrap();
        let dir = world.at("/opt/anymetal/consul/1.8.7");
        spoil(&dir);
        world.changed.lock().unwrap().clear();
        let heard = Heard::default();
        let answer = install(&world, &heard, OsStr::new("")).unwrap();
        assert_eq!(answer, Answer::Done("consul 1.8.7 installed".into()), "{why}");
        assert_eq!(heard.times(&format!("consul 1.8.7 is installed anew: {why}")), 1, "{:?}", heard.said());
        assert_eq!(std::fs::read(dir.join("consul")).unwrap(), body);
        assert_eq!(changed(&world), ["consul"], "the service would go on with the old file");
        let left = std::fs::read_dir(world.at("/opt/anymetal/consul")).unwrap().count();
        assert_eq!(left, 2, "more than the version and `current` is left");
    }
}

#[test]
fn another_member_for_the_same_file_is_installed_anew() {
    let archive = zip(&[Entry::file("consul", "one"), Entry::file("other", "two")]);
    let root = tempfile::tempdir().unwrap();
    let mut wanted = artefact(Format::Zip, &archive, &["consul"]);
    run(&world(root.path(), vec![component("consul", "1.8.7", wanted.clone())], &[&archive])).unwrap();
    wanted.members[0].member = "other".into();
    let world = world_of(root.path(), vec![component("consul", "1.8.7", wanted)], &[]);
    assert_eq!(run(&world).unwrap(), Answer::Done("consul 1.8.7 installed".into()));
    assert_eq!(std::fs::read_to_string(world.at("/opt/anymetal/consul/current/consul")).unwrap(), "two");
}

#[test]
fn what_a_killed_run_left_is_swept_up_and_finished() {
    let archive = zip(&[Entry::file("consul", "program")]);
    let root = tempfile::tempdir().unwrap();
    let world = world(root.path(), vec![consul(&archive)], &[&archive]);
    let home = world.at("/opt/anymetal/consul");
    // Killed while it wrote; between moving the old away and the new in; and while it switched.
    std::fs::create_dir_all(home.join("1.8.7.new-0123456789ab")).unwrap();
    std::fs::write(home.join("1.8.7.new-0123456789ab/consul"), "half").unwrap();
    std::fs::create_dir_all(home.join("1.8.7.old-0123456789ab")).unwrap();
    std::os::unix::fs::symlink("1.8.7", home.join("current.new-link")).unwrap();
    run(&world).unwrap();
    let mut names: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1.8.7", "current"]);
}

#[test]
fn a_refused_archive_leaves_the_version_in_use_alone() {
    let good = zip(&[Entry::file("consul", "good")]);
    let bad = zip(&[Entry::file("consul", "bad"), Entry::file("../x", "x")]);
    let root = tempfile::tempdir().unwrap();
    run(&world(root.path(), vec![consul(&good)], &[&good])).unwrap();
    let world = world(root.path(), vec![consul(&bad)], &[&bad]);
    let failure = run(&world).unwrap_err();
    assert_eq!(failure.reason, Reason::ArchiveHostile);
    assert_eq!(failure.chain(), "installing consul 1.8.7: the member \"../x\" climbs out of its folder");
    assert_eq!(std::fs::read_to_string(world.at("/opt/anymetal/consul/current/consul")).unwrap(), "good");
    assert_eq!(std::fs::read_dir(world.at("/opt/anymetal/consul")).unwrap().count(), 2, "something is left over");
}

#[test]
fn names_of_the_plan_cannot_lead_out() {
    let archive = zip(&[Entry::file("consul", "x")]);
    let root = tempfile::tempdir().unwrap();
    let with = |name: &str, version: &str, file: &str| {
        let mut wanted = artefact(Format::Zip, &archive, &["consul"]);
        wanted.members[0].file = file.into();
        let world = world(root.path(), vec![component(name, version, wanted)], &[&archive]);
        run(&world).expect_err("it is refused")
    };
    for (name, version, file) in [
        ("..", "1", "f"),
        ("a/b", "1", "f"),
        ("", "1", "f"),
        ("a", "..", "f"),
        ("a", "current", "f"),
        ("a", "1/2", "f"),
        ("a", "1.new-x", "f"),
        ("a", "1", "../f"),
        ("a", "1", "/etc/passwd"),
        ("a", "1", "d/../../f"),
        ("a", "1", "./f"),
        ("a", "1", "f/"),
        ("a", "1", "f\0"),
        ("a", "1", ""),
        ("a", "1", ".anymetal"),
    ] {
        let failure = with(name, version, file);
        assert_eq!(failure.reason, Reason::PlanBeyondInit, "{name:?} {version:?} {file:?}");
        assert!(failure.chain().ends_with("cannot be a path below /opt/anymetal"), "{}", failure.chain());
    }
    assert!(!root.path().join("opt").exists(), "something was written");
}

#[test]
fn a_full_disk_is_its_own_reason_and_leaves_nothing_half_done() {
    let archive = zip(&[Entry::file("consul", vec![7; 1_000_000])]);
    let root = tempfile::tempdir().unwrap();
    let world = world(root.path(), vec![consul(&archive)], &[&archive]);
    let opt = world.at("/opt");
    std::fs::create_dir(&opt).unwrap();
    let seen = disk::small(&opt, 128 * 1024, || {
        let failure = run(&world).unwrap_err();
        (failure.reason, failure.chain(), std::fs::read_dir(opt.join("anymetal/consul")).unwrap().count())
    });
    let Some((reason, chain, left)) = seen else {
        eprintln!("not root: the full disk was not tried");
        return;
    };
    assert_eq!(reason, Reason::DiskFull);
    assert!(chain.starts_with("installing consul 1.8.7: writing ") && chain.contains("No space left"), "{chain}");
    assert_eq!(left, 0, "half a version is left");
}

/// A folder with one program that prints this, and the component that needs it.
fn host(dir: &Path, prints: &str, lowest: &str) -> Component {
    anymetal_lab::program::put(dir.join("bird"), format!("#!/bin/sh\n[ \"$1\" = --version ] && {prints}\n"));
    bird(lowest)
}

fn bird(lowest: &str) -> Component {
    let (package, program, version_argument) = ("bird2".into(), "bird".into(), "--version".into());
    let source = Source::HostPackage(HostPackage { package, program, version_argument });
    Component::new("bird", lowest, source)
}

#[test]
fn a_host_package_that_will_do_is_named_with_its_version() {
    let archive = zip(&[Entry::file("consul", "x")]);
    let (root, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let bird = host(bin.path(), "echo BIRD version 2.0.12 >&2", "2.0.7");
    let world = world(root.path(), vec![consul(&archive), bird], &[&archive]);
    let path = bin.path().as_os_str();
    let both = "consul 1.8.7 installed; bird 2.0.12 from bird2";
    assert_eq!(install(&world, &Heard::default(), path).unwrap(), Answer::Done(both.into()));
    let both = "consul 1.8.7 in place; bird 2.0.12 from bird2";
    assert_eq!(install(&world, &Heard::default(), path).unwrap(), Answer::Same(both.into()));
}

/// An apt-get beside it that has nothing to do.
fn idle_apt(dir: &Path) {
    anymetal_lab::program::put(dir.join("apt-get"), "#!/bin/sh\n");
}

#[test]
fn a_host_package_that_is_missing_old_or_mute_is_named_with_what_is_needed() {
    let (root, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    idle_apt(bin.path());
    let at = bin.path().join("bird");
    let sentence = |component: Component| {
        let failure = install(&world_of(root.path(), vec![component], &[]), &Heard::default(), bin.path().as_os_str());
        let failure = failure.expect_err("it will not do");
        assert_eq!(failure.reason, Reason::HostPackageMissing);
        failure.chain()
    };
    assert_eq!(sentence(bird("2.0.12")), "the package bird2 is needed, at least 2.0.12: there is no program bird");
    assert_eq!(
        sentence(host(bin.path(), "echo BIRD version 2.0.7", "2.0.12")),
        format!("the package bird2 is too old: {} is 2.0.7, at least 2.0.12 is needed", at.display())
    );
    assert_eq!(
        sentence(host(bin.path(), "echo no idea", "2.0.12")),
        format!(
            "the package bird2 is needed, at least 2.0.12: {} --version names no version, it prints \"no idea\"",
            at.display()
        )
    );
}

#[test]
fn all_missing_host_packages_are_said_at_once_before_anything_is_unpacked() {
    let archive = zip(&[Entry::file("consul", "x")]);
    let (root, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    idle_apt(bin.path());
    let mut other = bird("1.2");
    let Source::HostPackage(package) = &mut other.source else { unreachable!("it was made so") };
    (package.package, package.program) = ("chrony".into(), "chronyd".into());
    let world = world(root.path(), vec![consul(&archive), bird("2.0.12"), other], &[&archive]);
    let chain = install(&world, &Heard::default(), bin.path().as_os_str()).unwrap_err().chain();
    assert_eq!(
        chain,
        "the package bird2 is needed, at least 2.0.12: there is no program bird; \
         the package chrony is needed, at least 1.2: there is no program chronyd"
    );
    assert!(!world.at("/opt").exists());
}

/// As [`world_of`], with a plan whose files come after.
fn with_files(root: &Path, components: Vec<Component>) -> World {
    let mut world = world_of(root, components, &[]);
    world.plan.get_mut().unwrap().plan.phases.insert(Phase::Files);
    world
}

#[test]
fn where_files_come_after_nothing_is_put_into_use_before_they_are_good() {
    let (old, new) = (zip(&[Entry::file("consul", "old")]), zip(&[Entry::file("consul", "new")]));
    let root = tempfile::tempdir().unwrap();
    run(&world(root.path(), vec![consul(&old)], &[&old, &new])).unwrap();
    let home = root.path().join("opt/anymetal/consul");
    let used = || std::fs::read_to_string(home.join("current/consul")).unwrap();
    // Another version, and another archive under the version that is in use.
    let upgrade = component("consul", "1.9.0", artefact(Format::Zip, &new, &["consul"]));
    for (wanted, version) in [(upgrade, "1.9.0"), (consul(&new), "1.8.7")] {
        let world = with_files(root.path(), vec![wanted]);
        assert_eq!(run(&world).unwrap(), Answer::Done(format!("consul {version} installed")));
        assert_eq!((used().as_str(), changed(&world).len()), ("old", 0), "{version} is in use already");
        let soon = |path: &str| std::fs::read_to_string(soon(&world, path)).unwrap();
        assert_eq!(soon("/opt/anymetal/consul/current/consul"), "new", "the old program would judge the new files");
        assert_eq!(super::soon(&world, "/usr/bin/env"), root.path().join("usr/bin/env"));
    }
    let world = with_files(root.path(), vec![consul(&new)]);
    run(&world).unwrap();
    assert_eq!(switch(&world, &Heard::default()).unwrap(), [""; 0], "it is the same version, replaced");
    assert_eq!((used().as_str(), changed(&world)), ("new", vec!["consul".to_owned()]));
    let heard = Heard::default();
    let world = with_files(root.path(), vec![component("consul", "1.9.0", artefact(Format::Zip, &new, &["consul"]))]);
    assert_eq!(run(&world).unwrap(), Answer::Done("consul 1.9.0 in place, soon current".into()));
    assert_eq!(switch(&world, &heard).unwrap(), ["consul 1.9.0 made current"]);
    assert_eq!(heard.times("consul 1.9.0 made current, was 1.8.7"), 1, "{:?}", heard.said());
    assert_eq!(
        run(&with_files(root.path(), world.plan().components.clone())).unwrap(),
        Answer::Same("consul 1.9.0 in place".into())
    );
}

#[test]
fn packages_of_a_node_that_runs_wait_until_the_plan_is_known_to_fit_it() {
    let root = tempfile::tempdir().unwrap();
    let mut wanted = bird("2.0.12");
    wanted.packages.push("anymetal-no-such-package".into());
    let mut world = world_of(root.path(), vec![wanted], &[]);
    world.plan.get_mut().unwrap().plan.phases.insert(Phase::Facts);
    let begun =
        crate::ledger::Keeper::begin(&world.at(place::LEDGER), &"0".repeat(32), &crate::ledger::What::default())
            .unwrap();
    begun
        .keeper
        .change(|ledger| drop(ledger.units.insert("bird.service".into(), crate::ledger::Applied::default())))
        .unwrap();
    assert!(world.ledger.set(begun.keeper).is_ok());
    let expected = "packages: held back until the facts are known, since this node runs already";
    assert_eq!(run(&world).unwrap(), Answer::waiting(Reason::HostPackageMissing, expected));
}
