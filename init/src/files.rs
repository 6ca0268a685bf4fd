//! The phase `files`: every rendered file in place, whole, accepted by the program it is for.
//! May not print what it renders: there are secrets in it.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::{Outcome, Reason, plan};

use crate::certificates::{self, Prepared};
use crate::cluster_tls;
use crate::install;
use crate::phase::{Answer, Steps};
use crate::plan::count;
use crate::render;
use crate::sys::fs::{self, Candidate, Found};
use crate::sys::owner::{self, Owner};
use crate::sys::process;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// How long a program may take to judge a file. They read it and answer; a minute is for a machine that is busy unpacking.
const CHECK: Duration = Duration::from_mins(1);
/// How many lines of what a program says against a file are told.
const TOLD: usize = 10;

/// The phase's work: all files are rendered, written beside their places and judged before the first of them, or a program, is put into use. Until then
/// nothing of what runs has been touched; a kill afterwards leaves some of it new, and the next run does the rest.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let certificate = certificates::prepare(world);
    if let Prepared::Missing(why) = &certificate {
        return Ok(Answer::waiting(Reason::CertificateUnusable, why.as_str()));
    }
    let files = &world.plan().files;
    let render = |file| render::render(file, world.facts(), &world.secrets());
    let texts = files.iter().map(render).collect::<Result<Vec<_>, _>>()?;
    // Nothing that runs looks at a certificate of the cluster before it is started anew.
    let cluster = cluster_tls::ensure(world, steps)?;
    let mut put = put(world, files.iter().zip(texts.iter().map(String::as_bytes)), steps)?;
    put.changed.splice(..0, cluster.iter().map(String::as_str));
    if certificates::bring(world, &certificate, steps)? {
        put.changed.push("the site's certificate");
    }
    Ok(put.answer(files.len()))
}

/// What has been put into use.
#[derive(Default)]
struct Put<'a> {
    /// Names of files.
    changed: Vec<&'a str>,
    /// A sentence for each component whose version in use became another.
    switched: Vec<String>,
}

impl Put<'_> {
    fn answer(&self, files: usize) -> Answer {
        let (all, Self { changed, switched }) = (count(files, "file"), self);
        let mut words = vec![if changed.is_empty() {
            format!("{all}, none changed")
        } else {
            format!("{all}, {} changed: {}", changed.len(), changed.join(", "))
        }];
        words.extend(switched.iter().cloned());
        let same = changed.is_empty() && switched.is_empty();
        if same { Answer::Same(words.join("; ")) } else { Answer::Done(words.join("; ")) }
    }
}

/// Makes it so that all these files are there with these bytes, and what `install` has prepared is in use: everything or nothing.
fn put<'a>(
    world: &World,
    files: impl Iterator<Item = (&'a plan::File, &'a [u8])>,
    steps: &dyn Steps,
) -> Result<Put<'a>, Failure> {
    let mut staged = Vec::new();
    for (file, bytes) in files {
        staged.push((file, stage(world, file, bytes, steps)?));
    }
    for (file, candidate) in &staged {
        if let Some(candidate) = candidate.as_ref().filter(|_| !file.check.is_empty()) {
            check(world, file, candidate.path())?;
        }
    }
    let mut put = Put { switched: install::switch(world, steps)?, ..Put::default() };
    for (file, candidate) in staged {
        let Some(candidate) = candidate else {
            steps.step(&file.name, Outcome::Same, &format!("{} is as it should be", file.path));
            continue;
        };
        candidate.place().because(Reason::HostFault)?;
        world.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(file.name.clone());
        put.changed.push(&file.name);
        steps.step(&file.name, Outcome::Done, &format!("written to {}", file.path));
    }
    Ok(put)
}

/// The file, written beside its place; nothing when it is there already as it should be.
fn stage(world: &World, file: &plan::File, bytes: &[u8], steps: &dyn Steps) -> Result<Option<Candidate>, Failure> {
    let target = world.at(&file.path);
    let mode = mode(&file.mode).expect("the phase `plan` refuses a plan with such a mode");
    let owner = owner_of(world, file, steps).because(Reason::HostFault)?;
    if is_so(&target, bytes, mode, owner).because(Reason::HostFault)? {
        return Ok(None);
    }
    let candidate = Candidate::beside(&target, bytes).because(Reason::HostFault)?;
    candidate.give(owner, mode).because(Reason::HostFault)?;
    candidate.sync().because(Reason::HostFault)?;
    Ok(Some(candidate))
}

/// Whether there is nothing to do. A symbolic link is replaced, never written through.
pub(crate) fn is_so(target: &Path, bytes: &[u8], mode: u32, owner: Option<Owner>) -> anyhow::Result<bool> {
    match fs::look(target)? {
        Found::File { mode: is, owner: belongs } => {
            Ok(is == mode && owner.is_none_or(|owner| owner == belongs) && fs::read(target)? == bytes)
        }
        Found::Nothing | Found::Link => Ok(false),
        Found::Folder | Found::Other => {
            anyhow::bail!("writing {}: there is something that is no file", target.display())
        }
    }
}

/// Whom to give the file. Below a root that is no node there may be no such user, or no right to give; that is told and left.
fn owner_of(world: &World, file: &plan::File, steps: &dyn Steps) -> anyhow::Result<Option<Owner>> {
    let found = owner::named(&file.owner).with_context(|| format!("giving {} to {}", file.name, file.owner));
    if world.is_node() {
        return found.map(Some);
    }
    let why = match found {
        Ok(owner) if owner::is_root() => return Ok(Some(owner)),
        Ok(_) => "only root may give files away".to_owned(),
        Err(error) => error.root_cause().to_string(),
    };
    steps.step(&file.name, Outcome::Same, &format!("its owner is left, not {}: {why}", file.owner));
    Ok(None)
}

/// Asks the program the file is for.
fn check(world: &World, file: &plan::File, candidate: &Path) -> Result<(), Failure> {
    let candidate = candidate.to_string_lossy();
    let words: Vec<String> = file.check.iter().map(|word| word.replace("{}", &candidate)).collect();
    let (program, arguments) = words.split_first().expect("a check that is not empty has a first word");
    // By absolute path it is a component's own, which the phase `install` has made ready; by name it is the host's.
    let (program, unrunnable) = if program.starts_with('/') {
        (install::soon(world, program).into_os_string(), Reason::HostFault)
    } else {
        (program.into(), Reason::HostPackageMissing)
    };
    let said = process::run(&program, arguments, CHECK)
        .with_context(|| format!("checking {}", file.name))
        .because(unrunnable)?;
    if said.success {
        return Ok(());
    }
    // The candidate is gone when somebody reads this: its name would only mislead.
    let lines = said.last_lines(TOLD).join("\n").replace(&*candidate, &file.path);
    let lines = world.without_secrets(&lines);
    let message = format!("{} does not accept {} ({})\n{lines}", file.check[0], file.name, said.ending);
    Err(Failure::new(Reason::FileRejected, message))
}

/// Four octal digits as a mode.
pub(crate) fn mode(text: &str) -> Option<u32> {
    let octal = text.len() == 4 && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    octal.then(|| u32::from_str_radix(text, 8).ok())?
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare their own files")]

    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Mutex;

    use anymetal_contract::Unit;
    use anymetal_contract::plan::{Arch, File};
    use tempfile::TempDir;

    use super::*;
    use crate::world::Overrides;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Steps for Heard {
        fn step(&self, step: &str, outcome: Outcome, message: &str) {
            self.0.lock().unwrap().push(format!("{step} {}: {message}", outcome.word()));
        }
        fn progress(&self, _: &str, _: u64, _: Option<u64>, _: Unit) {}
    }

    fn file(check: &[&str]) -> File {
        File {
            name: "bird/bird.conf".into(),
            path: "/etc/bird/bird.conf".into(),
            mode: "0640".into(),
            owner: "root:no-such-group-here".into(),
            needs: vec![],
            secrets: vec![],
            check: check.iter().map(|word| (*word).to_owned()).collect(),
            body: String::new(),
        }
    }

    fn root() -> (TempDir, World) {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
        (folder, world)
    }

    /// One file on its own. Says whether anything had to be done.
    fn one(world: &World, file: &File, bytes: &[u8], steps: &dyn Steps) -> Result<bool, Failure> {
        put(world, [(file, bytes)].into_iter(), steps).map(|put| !put.changed.is_empty())
    }

    #[test]
    fn a_file_is_written_once_with_its_mode_and_its_folders() {
        let (_folder, world) = root();
        let heard = Heard::default();
        assert!(one(&world, &file(&[]), b"text", &heard).unwrap());
        assert!(!one(&world, &file(&[]), b"text", &heard).unwrap());
        assert!(one(&world, &file(&[]), b"other", &heard).unwrap());
        let target = world.at("/etc/bird/bird.conf");
        assert_eq!(fs::read(&target).unwrap(), b"other");
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(one(&world, &file(&[]), b"other", &heard).unwrap(), "a wrong mode was left");
        assert!(matches!(fs::look(&target).unwrap(), Found::File { mode: 0o640, .. }));
        let said = "bird/bird.conf same: its owner is left, not root:no-such-group-here: the system has no group";
        assert!(heard.0.lock().unwrap()[0].starts_with(said));
    }

    #[test]
    fn a_link_is_replaced_and_a_folder_is_an_error() {
        let (folder, world) = root();
        let target = world.at("/etc/bird/bird.conf");
        let precious = folder.path().join("precious");
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(&precious, "text").unwrap();
        symlink(&precious, &target).unwrap();
        assert!(one(&world, &file(&[]), b"text", &Heard::default()).unwrap());
        assert!(matches!(fs::look(&target).unwrap(), Found::File { .. }));
        std::fs::remove_file(&target).unwrap();
        std::fs::create_dir(&target).unwrap();
        let failure = one(&world, &file(&[]), b"text", &Heard::default()).unwrap_err();
        assert_eq!(failure.reason, Reason::HostFault);
        assert!(
            failure.chain().ends_with("etc/bird/bird.conf: there is something that is no file"),
            "{}",
            failure.chain()
        );
    }

    #[test]
    fn what_its_program_rejects_is_not_put_in_place_and_the_program_is_quoted() {
        let (_folder, world) = root();
        let accepting = file(&["sh", "-c", "grep -q good \"$0\" || { echo \"$0:3:1 syntax error\"; exit 7; }", "{}"]);
        assert!(one(&world, &accepting, b"good", &Heard::default()).unwrap());
        let failure = one(&world, &accepting, b"bad: hunter2", &Heard::default()).unwrap_err();
        assert_eq!(failure.reason, Reason::FileRejected);
        assert_eq!(
            failure.chain().replace(world.at("/").to_str().unwrap(), "/"),
            "sh does not accept bird/bird.conf (exit status 7)\n/etc/bird/bird.conf:3:1 syntax error"
        );
        assert_eq!(fs::read(&world.at("/etc/bird/bird.conf")).unwrap(), b"good");
        assert_eq!(fs::names(&world.at("/etc/bird")), ["bird.conf"], "the candidate was left");
    }

    #[test]
    fn a_check_by_absolute_path_is_looked_for_below_the_root_and_one_by_name_on_the_host() {
        let (_folder, world) = root();
        let absolute = world.at("/usr/bin/true").display().to_string();
        for (program, reason, said) in [
            ("/usr/bin/true", Reason::HostFault, absolute.as_str()),
            ("no-such-program-here", Reason::HostPackageMissing, "running no-such-program-here: "),
        ] {
            let failure = one(&world, &file(&[program, "{}"]), b"x", &Heard::default()).unwrap_err();
            assert_eq!(failure.reason, reason);
            assert!(failure.chain().contains(said), "{}", failure.chain());
        }
    }

    /// A small tree: three files, the second with a check that takes what has no `bad` in it.
    fn three(words: [&str; 3]) -> Vec<(File, String)> {
        let named =
            |n: usize, check: &[&str]| File { name: format!("f{n}"), path: format!("/etc/{n}/file"), ..file(check) };
        let judge = ["sh", "-c", "! grep -q bad \"$0\"", "{}"];
        let files = [named(0, &[]), named(1, &judge), named(2, &[])];
        files.into_iter().zip(words.map(str::to_owned)).collect()
    }

    fn put_all(world: &World, files: &[(File, String)], steps: &dyn Steps) -> Result<Answer, Failure> {
        put(world, files.iter().map(|(file, text)| (file, text.as_bytes())), steps).map(|put| put.answer(files.len()))
    }

    /// Everything below a folder, with what it holds or points at.
    fn tree(folder: &Path, all: &mut std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match fs::look(&path).unwrap() {
                Found::Folder => tree(&path, all),
                Found::Link => {
                    let target = std::fs::read_link(&path).unwrap();
                    all.insert(path, target.into_os_string().into_encoded_bytes());
                }
                _ => _ = all.insert(path.clone(), std::fs::read(&path).unwrap()),
            }
        }
    }

    fn whole(folder: &TempDir) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
        let mut all = std::collections::BTreeMap::new();
        tree(folder.path(), &mut all);
        all
    }

    #[test]
    fn one_file_that_is_refused_leaves_all_others_as_they_were() {
        let (folder, world) = root();
        put_all(&world, &three(["a", "b", "c"]), &Heard::default()).unwrap();
        let before = whole(&folder);
        let failure = put_all(&world, &three(["A", "bad", "C"]), &Heard::default()).unwrap_err();
        assert_eq!(failure.reason, Reason::FileRejected);
        assert_eq!(whole(&folder), before, "something was changed for a plan that does not fit");
        let answer = put_all(&world, &three(["A", "B", "c"]), &Heard::default()).unwrap();
        assert_eq!(answer, Answer::Done("3 files, 2 changed: f0, f1".into()));
    }

    /// A voice that ends the process at its so-manieth word, as a power cut would: nothing is tidied up.
    struct Cut(std::sync::atomic::AtomicUsize);

    impl Steps for Cut {
        fn step(&self, _: &str, _: Outcome, _: &str) {
            if self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1 {
                std::process::exit(99);
            }
        }
        fn progress(&self, _: &str, _: u64, _: Option<u64>, _: Unit) {}
    }

    /// A node below the folder with two programs and three files, and a plan for other ones. Runs `install` and `files`.
    fn upgrade(root: &Path, version: &str, words: [&str; 3], steps: &dyn Steps) -> Result<Answer, Failure> {
        use crate::acquire::tests::{artefact_of, component, world_of};
        use anymetal_contract::plan::{Artefact, Member};
        use anymetal_lab::archive::{Entry, sha256, zip};
        let components = ["one", "two"].map(|name| {
            let archive = zip(&[Entry::file("program", format!("{name} {version}"))]);
            let members = vec![Member { member: "program".into(), file: "program".into(), executable: true }];
            let store = root.join("var/lib/anymetal/store/sha256");
            std::fs::create_dir_all(&store).unwrap();
            std::fs::write(store.join(sha256(&archive).as_str()), &archive).unwrap();
            component(name, version, Artefact { members, ..artefact_of(&archive) })
        });
        let mut world = world_of(root, components.into(), &[]);
        world.plan.get_mut().unwrap().plan.phases.insert(anymetal_contract::Phase::Files);
        install::install(&world, steps, std::ffi::OsStr::new("/nonexistent"))?;
        put_all(&world, &three(words), steps)
    }

    /// Where a child process finds its folder and when it dies.
    const CHILD: [&str; 2] = ["ANYMETAL_CUT_ROOT", "ANYMETAL_CUT_AT"];

    #[test]
    fn a_cut_at_any_step_of_an_upgrade_ends_in_the_same_state() {
        if let [Some(root), Some(at)] = CHILD.map(std::env::var_os) {
            let at = at.to_str().unwrap().parse().unwrap();
            upgrade(Path::new(&root), "2", ["A", "B", "C"], &Cut(std::sync::atomic::AtomicUsize::new(at))).unwrap();
            std::process::exit(0);
        }
        let fresh = || {
            let folder = tempfile::tempdir().unwrap();
            upgrade(folder.path(), "1", ["a", "b", "c"], &Heard::default()).unwrap();
            folder
        };
        let relative = |folder: &TempDir| -> Vec<_> {
            whole(folder)
                .into_iter()
                .map(|(path, bytes)| (path.strip_prefix(folder.path()).unwrap().to_owned(), bytes))
                .collect()
        };
        let smooth = fresh();
        upgrade(smooth.path(), "2", ["A", "B", "C"], &Heard::default()).unwrap();
        let expected = relative(&smooth);
        let mut cuts = 0;
        for at in 1.. {
            let folder = fresh();
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "files::tests::a_cut_at_any_step_of_an_upgrade_ends_in_the_same_state"]);
            let ended = child.env(CHILD[0], folder.path()).env(CHILD[1], at.to_string()).output().unwrap();
            upgrade(folder.path(), "2", ["A", "B", "C"], &Heard::default()).unwrap();
            assert_eq!(relative(&folder), expected, "cut at step {at}");
            match ended.status.code() {
                Some(99) => cuts += 1,
                Some(0) => break,
                other => panic!("{other:?}: {}", String::from_utf8_lossy(&ended.stdout)),
            }
        }
        assert!(cuts >= 7, "only {cuts} steps were cut");
    }

    #[test]
    fn files_that_are_refused_leave_the_programs_in_use_too() {
        let folder = tempfile::tempdir().unwrap();
        upgrade(folder.path(), "1", ["a", "b", "c"], &Heard::default()).unwrap();
        let used = || {
            ["one", "two"]
                .map(|name| std::fs::read_link(folder.path().join("opt/anymetal").join(name).join("current")).unwrap())
        };
        let (etc, before) = (folder.path().join("etc"), used());
        let files = || {
            let mut all = std::collections::BTreeMap::new();
            tree(&etc, &mut all);
            all
        };
        let as_they_were = files();
        let failure = upgrade(folder.path(), "2", ["A", "bad", "C"], &Heard::default()).unwrap_err();
        assert_eq!(failure.reason, Reason::FileRejected);
        assert_eq!((used(), files()), (before, as_they_were));
    }

    #[test]
    fn a_mode_is_four_octal_digits() {
        assert_eq!((mode("0640"), mode("4755")), (Some(0o640), Some(0o4755)));
        for bad in ["640", "0689", "+640", "00640", ""] {
            assert_eq!(mode(bad), None, "{bad:?}");
        }
    }
}
