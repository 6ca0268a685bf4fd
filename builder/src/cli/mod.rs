//! One file per command; what they share stands here: how a command ends, and what is said to whom.
//! stdout is data, stderr is talk. May not decide anything a command is about.

pub mod boot;
pub mod build;
pub mod cache;
pub mod check;
pub mod diff;
pub mod fetch;
pub mod lock;
pub mod rehearse;
pub mod secrets;
pub mod sign;
pub mod verify;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use anymetal_contract::Plan;

use crate::plan;
use crate::secrets::Trouble;
use crate::site::diagnostic::{Diagnostic, Severity};
use crate::site::{self, Site};
use crate::sys::terminal;

/// How a command fails.
#[derive(Debug)]
pub enum Failed {
    /// The author's input is wrong, and stderr has said so already.
    Told,
    /// The author's input is wrong.
    Input(anyhow::Error),
    /// Our fault, or the world's.
    Fault(anyhow::Error),
    /// Our fault, or the world's, and stderr has said so already.
    FaultTold,
}

/// What a command gives back.
pub type Outcome = Result<(), Failed>;

impl From<anyhow::Error> for Failed {
    fn from(error: anyhow::Error) -> Self {
        Self::Fault(error)
    }
}

/// Says why the command failed, with every cause, and gives the exit code: 0 done, 1 your input, 2 our fault or the world's.
pub fn end(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Told) => ExitCode::from(1),
        Err(Failed::FaultTold) => ExitCode::from(2),
        Err(Failed::Input(error)) => {
            talk(format_args!("anymetal: {error:#}"));
            ExitCode::from(1)
        }
        Err(Failed::Fault(error)) => {
            talk(format_args!("anymetal: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// One line of data, whatever it quotes.
pub fn say(line: impl Display) -> Outcome {
    match terminal::data(&line.to_string()) {
        // whoever reads has read enough
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failed::Fault(anyhow::Error::new(error).context("writing to stdout"))),
    }
}

/// One line of talk, or several that are our own. Where nobody listens there is nobody to tell.
pub fn talk(line: impl Display) {
    terminal::talk(&line.to_string());
}

/// The site in that file. All that is found in it goes to stderr, with a count; mistakes end the command.
pub fn site(path: &Path) -> Result<Site, Failed> {
    told(path, site::read(path))
}

/// The site that was read. All that was found goes to stderr, with a count; mistakes end the command.
fn told(path: &Path, read: Result<(Site, Vec<Diagnostic>), Vec<Diagnostic>>) -> Result<Site, Failed> {
    let (site, found) = match read {
        Ok((site, warnings)) => (Some(site), warnings),
        Err(found) => (None, found),
    };
    tell(path, &found);
    site.ok_or(Failed::Told)
}

/// The secrets of a site, as its nodes get them; `None` when its plan wants none. What is found goes to stderr as for the site itself.
pub fn secrets(site: &Site, plan: &Plan) -> Result<Option<Vec<u8>>, Failed> {
    let wanted: BTreeSet<String> = plan.wanted_secrets().into_iter().map(str::to_owned).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    match crate::secrets::document(site, &wanted) {
        Ok((document, found)) => {
            tell(&site.secrets.file, &found);
            Ok(Some(plan::canonical(&document)))
        }
        Err(Trouble::Found(found)) => {
            tell(&site.secrets.file, &found);
            Err(Failed::Told)
        }
        Err(Trouble::Absent(path)) => Err(Failed::Input(anyhow!(
            "the site's secrets are not there: no {}\nhint: `anymetal secrets new SITE` makes them",
            path.display()
        ))),
    }
}

/// Fails when one of the plan's archives that are in the cache there is none that a node can install. Each is said.
pub fn openable(cache: &Path, plan: &Plan) -> Outcome {
    let refused = crate::cache::refused(cache, plan)?;
    if refused.is_empty() {
        return Ok(());
    }
    for sentence in &refused {
        talk(format_args!("anymetal: {sentence}"));
    }
    let noun = if refused.len() == 1 { "1 archive".to_owned() } else { format!("{} archives", refused.len()) };
    Err(Failed::Input(anyhow!(
        "{noun} cannot be installed\n\
         hint: pin an archive as upstream packs it, a zip or a tar.gz with the program where upstream has it"
    )))
}

/// What was found in a file, with a count.
fn tell(path: &Path, found: &[Diagnostic]) {
    found.iter().for_each(talk);
    if let Some(count) = count(path, found) {
        talk(count);
    }
}

/// `3 mistakes and 1 warning in site.yaml`, when there are any.
fn count(path: &Path, found: &[Diagnostic]) -> Option<String> {
    let of = |severity, one: &str| match found.iter().filter(|found| found.severity == severity).count() {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {one}s")),
    };
    let counts: Vec<_> =
        [of(Severity::Mistake, "mistake"), of(Severity::Warning, "warning")].into_iter().flatten().collect();
    (!counts.is_empty()).then(|| format!("{} in {}", counts.join(" and "), path.display()))
}
