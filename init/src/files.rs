//! The phase `files`: every rendered file in place, whole, accepted by the program it is for.
//! May not print what it renders: there are secrets in it.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::{Outcome, Reason, plan};

use crate::certificates::{self, Prepared};
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

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let certificate = certificates::prepare(world);
    if let Prepared::Missing(why) = &certificate {
        return Ok(Answer::waiting(Reason::CertificateUnusable, why.as_str()));
    }
    let files = &world.plan().files;
    let mut changed = Vec::new();
    for file in files {
        let text = render::render(file, world.facts(), &world.secrets())?;
        if put(world, file, text.as_bytes(), steps)? {
            world.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(file.name.clone());
            changed.push(file.name.as_str());
            steps.step(&file.name, Outcome::Done, &format!("written to {}", file.path));
        } else {
            steps.step(&file.name, Outcome::Same, &format!("{} is as it should be", file.path));
        }
    }
    if certificates::bring(world, &certificate, steps)? {
        changed.push("the site's certificate");
    }
    Ok(if changed.is_empty() {
        Answer::Same(format!("{}, none changed", count(files.len(), "file")))
    } else {
        Answer::Done(format!("{}, {} changed: {}", count(files.len(), "file"), changed.len(), changed.join(", ")))
    })
}

/// Makes it so that the file is there with these bytes. Says whether anything had to be done.
fn put(world: &World, file: &plan::File, bytes: &[u8], steps: &dyn Steps) -> Result<bool, Failure> {
    let target = world.at(&file.path);
    let mode = mode(&file.mode).expect("the phase `plan` refuses a plan with such a mode");
    let owner = owner_of(world, file, steps).because(Reason::HostFault)?;
    if is_so(&target, bytes, mode, owner).because(Reason::HostFault)? {
        return Ok(false);
    }
    let candidate = Candidate::beside(&target, bytes).because(Reason::HostFault)?;
    candidate.give(owner, mode).because(Reason::HostFault)?;
    if !file.check.is_empty() {
        check(world, file, candidate.path())?;
    }
    candidate.place().because(Reason::HostFault)?;
    Ok(true)
}

/// Whether there is nothing to do. A symbolic link is replaced, never written through.
fn is_so(target: &Path, bytes: &[u8], mode: u32, owner: Option<Owner>) -> anyhow::Result<bool> {
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
    // By absolute path it is a component's own, which the phase `install` has put there; by name it is the host's.
    let (program, unrunnable) = if program.starts_with('/') {
        (world.at(program).into_os_string(), Reason::HostFault)
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

    #[test]
    fn a_file_is_written_once_with_its_mode_and_its_folders() {
        let (_folder, world) = root();
        let heard = Heard::default();
        assert!(put(&world, &file(&[]), b"text", &heard).unwrap());
        assert!(!put(&world, &file(&[]), b"text", &heard).unwrap());
        assert!(put(&world, &file(&[]), b"other", &heard).unwrap());
        let target = world.at("/etc/bird/bird.conf");
        assert_eq!(fs::read(&target).unwrap(), b"other");
        std::fs::set_permissions(&target, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(put(&world, &file(&[]), b"other", &heard).unwrap(), "a wrong mode was left");
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
        assert!(put(&world, &file(&[]), b"text", &Heard::default()).unwrap());
        assert!(matches!(fs::look(&target).unwrap(), Found::File { .. }));
        std::fs::remove_file(&target).unwrap();
        std::fs::create_dir(&target).unwrap();
        let failure = put(&world, &file(&[]), b"text", &Heard::default()).unwrap_err();
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
        assert!(put(&world, &accepting, b"good", &Heard::default()).unwrap());
        let failure = put(&world, &accepting, b"bad: hunter2", &Heard::default()).unwrap_err();
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
            let failure = put(&world, &file(&[program, "{}"]), b"x", &Heard::default()).unwrap_err();
            assert_eq!(failure.reason, reason);
            assert!(failure.chain().contains(said), "{}", failure.chain());
        }
    }

    #[test]
    fn a_mode_is_four_octal_digits() {
        assert_eq!((mode("0640"), mode("4755")), (Some(0o640), Some(0o4755)));
        for bad in ["640", "0689", "+640", "00640", ""] {
            assert_eq!(mode(bad), None, "{bad:?}");
        }
    }
}
