//! A site's secrets on its author's desk: the file he keeps, and the document that nodes get.
//! May not print a value, and touches files only through `sys/`.

mod added;
mod fresh;
mod htpasswd;
mod secret;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anymetal_contract::secrets::{self, KIND, Shape, VERSION};
use anymetal_contract::text;

use crate::site::diagnostic::{Complaint, Diagnostic, Findings, Severity, quoted};
use crate::site::yaml::lookalikes::{self, Strictness};
use crate::site::{LARGEST, Site, decode, yaml};
use crate::sys::private;
use crate::sys::read::{Refused, bounded};
pub use added::{Added, added};
pub use fresh::{file, logins, made_up};
pub use secret::Secret;
use written::{ACME, Bindle, HTPASSWD, Placed, Source, Written};

/// Why there is no document.
#[derive(Debug)]
pub enum Trouble {
    /// The site's file of secrets is not there.
    Absent(PathBuf),
    /// Something is wrong with it.
    Found(Vec<Diagnostic>),
}

/// What is found in the site's file of secrets, which is not needed yet: `None` when it is not there. Values that come from elsewhere are
/// not looked at.
pub fn check(site: &Site, wanted: &BTreeSet<String>) -> Option<Vec<Diagnostic>> {
    let path = &site.secrets.file;
    private::is_there(path).then(|| {
        let mut findings = Findings::of(path);
        _ = whole(site, wanted, &mut findings);
        findings.sorted()
    })
}

/// The document for the site's nodes: what is wanted and nothing else; and what the author should know besides.
pub fn document(site: &Site, wanted: &BTreeSet<String>) -> Result<(secrets::Secrets, Vec<Diagnostic>), Trouble> {
    let path = &site.secrets.file;
    if !private::is_there(path) {
        return Err(Trouble::Absent(path.clone()));
    }
    let mut findings = Findings::of(path);
    let folder = path.parent().unwrap_or(Path::new(""));
    let document = whole(site, wanted, &mut findings)
        .and_then(|written| resolve(&site.name, written, wanted, &|source| bring(source, folder), &mut findings));
    let found = findings.sorted();
    match document.filter(|_| found.iter().all(|found| found.severity == Severity::Warning)) {
        Some(document) => Ok((document, found)),
        None => Err(Trouble::Found(found)),
    }
}

/// The file, read; what it lacks is found too.
fn whole(site: &Site, wanted: &BTreeSet<String>, findings: &mut Findings) -> Option<Written> {
    let written = load(&site.secrets.file, findings).and_then(|text| read(&text, site, wanted, findings))?;
    written.tell(findings);
    Some(written)
}

/// The file's text, as it is, with a byte order mark when it has one.
fn load(path: &Path, findings: &mut Findings) -> Option<String> {
    if let Some(mode) = private::mode(path).filter(|mode| mode & 0o077 != 0) {
        let what = format!("others on this machine may read it: its mode is {mode:04o}");
        findings.doubtful(Complaint::new(what, format!("`chmod 600 {}`", path.display())));
    }
    let bytes = match bounded(path, LARGEST) {
        Ok(bytes) => bytes,
        Err(refused) => {
            findings.unusable(refusal(&refused, "check that this is the right file"));
            return None;
        }
    };
    let text = decode(&bytes, findings)?;
    lookalikes::refuse(text, Strictness::Ours, findings)?;
    String::from_utf8(bytes).ok()
}

/// What stands in the text.
fn read(text: &str, site: &Site, wanted: &BTreeSet<String>, findings: &mut Findings) -> Option<Written> {
    // What the parser found odd may be a secret, so of its words only the place is said.
    let mut parsing = Findings::of(&site.secrets.file);
    let root = yaml::parse(text::without_mark(text), &mut parsing);
    for found in parsing.sorted() {
        let complaint = Complaint::new(
            "this cannot be read, or stands twice",
            "each name once, a colon, a space, and the value between single quotes when it is not letters and digits",
        );
        match found.at {
            Some(at) => findings.complain(at, complaint),
            None => findings.unusable(complaint),
        }
    }
    root.map(|root| written::read(&root, &site.name, wanted, findings))
}

/// A value that comes from elsewhere.
fn bring(source: &Source, folder: &Path) -> Result<Secret, Complaint> {
    match source {
        Source::Text(text) => Ok(text.clone()),
        Source::Variable(name) => match private::variable(name) {
            Some(value) => one_line(value.as_encoded_bytes(), &source.told()),
            None => Err(Complaint::new(
                format!("there is no variable {} in the environment", quoted(name)),
                "set it for this command",
            )),
        },
        Source::File(relative) => {
            let bytes = bounded(&folder.join(relative), LARGEST).map_err(|refused| {
                let Complaint { what, hint } = refusal(&refused, "paths are relative to the file of secrets");
                Complaint::new(format!("the file {}: {what}", quoted(relative)), hint)
            })?;
            one_line(&bytes, &source.told())
        }
    }
}

/// A value in these bytes, without what editors and shells put around one: a byte order mark, and one line end. What else no value has is named, and where
/// in `from` it is.
fn one_line(bytes: &[u8], from: &str) -> Result<Secret, Complaint> {
    let text = text::decode(bytes).map_err(|why| Complaint::new(format!("{from} is {}", why.what), why.hint))?;
    let bare = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    let Some((offset, c)) = bare.char_indices().find(|(_, c)| c.is_control() || text::lookalike(*c).is_some()) else {
        return Ok(Secret::new(bare));
    };
    let at = text::place(bare, offset);
    Err(match (c, text::lookalike(c)) {
        ('\n' | '\r', _) if bare[offset..].trim().is_empty() => {
            let what = format!("{from} has more than one line end behind the value, at {at}");
            Complaint::new(what, "end it with one at most, as `printf %s` does with none")
        }
        ('\n' | '\r', _) => Complaint::new(
            format!("{from} has more than one line: a line end stands at {at}"),
            "a secret is one line: leave nothing else there",
        ),
        (_, Some(found)) => Complaint::new(format!("{from} has the character {found} at {at}"), found.hint),
        (_, None) => Complaint::new(
            format!("{from} has the control character U+{:04X} at {at}", u32::from(c)),
            "remove it: no secret has one",
        ),
    })
}

fn refusal(refused: &Refused, hint: &str) -> Complaint {
    let what = match refused {
        Refused::TooLarge { .. } => format!("it has more than {LARGEST} bytes"),
        Refused::Folder => "it is a folder".to_owned(),
        Refused::Odd(what) => format!("it is {what}, not a regular file: copy what is in it to a file first"),
        Refused::Io(error) => format!("cannot be read: {error}"),
    };
    Complaint::new(what, hint)
}

/// Brings what is wanted from where it is, and puts it into the nodes' form.
fn resolve(
    site: &str,
    written: Written,
    wanted: &BTreeSet<String>,
    bring: &dyn Fn(&Source) -> Result<Secret, Complaint>,
    findings: &mut Findings,
) -> Option<secrets::Secrets> {
    let mut values = BTreeMap::new();
    let mut text = |placed: &Placed, judge: &dyn Fn(&Secret) -> Result<(), Complaint>| {
        let from = placed.source.told();
        let judged = |text: &Secret| {
            judge(text).map_err(|Complaint { what, hint }| match &placed.source {
                Source::Text(_) => Complaint::new(what, hint),
                _ => Complaint::new(format!("{from}: {what}"), hint),
            })
        };
        let brought = bring(&placed.source).and_then(|text| judged(&text).map(|()| text));
        findings.keep(placed.at, brought)
    };
    for (name, placed) in &written.values {
        let Some(secret) = secrets::named(name).filter(|_| wanted.contains(*name)) else { continue };
        let brought = text(placed, &|text| written::judge(name, secret.shape, text));
        values.extend(brought.map(|text| ((*name).to_owned(), text.expose().to_owned())));
    }
    if let Some(bindle) = written.bindle.filter(|_| wanted.contains(HTPASSWD)) {
        let line = match &bindle {
            Bindle::Htpasswd(line) => text(line, &|text| written::judge("bindle.htpasswd", Shape::Htpasswd, text)),
            Bindle::Account { user, password, salt } => {
                let password = text(password, &written::password_of);
                let salt = text(salt, &|salt| written::salt_of(salt).map(drop));
                let salt = salt.and_then(|salt| written::salt_of(&salt).ok());
                password.zip(salt).map(|(password, salt)| htpasswd::line(user, &password, salt))
            }
        };
        values.extend(line.map(|line| (HTPASSWD.to_owned(), line.expose().to_owned())));
    }
    let mut acme = BTreeMap::new();
    for (name, placed) in written.acme.iter().filter(|_| wanted.contains(ACME)) {
        let plain = |text: &Secret| match text.expose() {
            text if text.is_empty() || text.chars().any(char::is_control) => {
                Err(Complaint::new(format!("`acme.{name}` is empty or has a control character"), "write one line"))
            }
            _ => Ok(()),
        };
        acme.extend(text(placed, &plain).map(|text| (name.clone(), text.expose().to_owned())));
    }
    let whole = wanted.iter().all(|name| if name == ACME { !acme.is_empty() } else { values.contains_key(name) });
    let document = secrets::Secrets { kind: KIND.to_owned(), version: VERSION, site: site.to_owned(), values, acme };
    whole.then_some(document)
}

#[cfg(test)]
mod tests;
