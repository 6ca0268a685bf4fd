//! The author's file of secrets as it is written: which names it has, where each value stands or comes from, and what is wrong with it.
//! May not say a value, in a finding or otherwise: only names and places.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::secrets::{self, Shape};
use anymetal_contract::text;

use super::secret::Secret;
use crate::site::diagnostic::{Complaint, Findings, Mark, either, nearest, quoted};
use crate::site::yaml::{Key, Kind, Node};

/// The secret that the author does not write as it is: Bindle's file is made of a name and a password.
pub(super) const HTPASSWD: &str = "bindle_htpasswd";
/// The secret that is a map of variables.
pub(super) const ACME: &str = "acme";
/// What the author writes for [`HTPASSWD`].
const BINDLE: &str = "bindle";

/// A value, where it stands.
pub(super) struct Placed {
    pub at: Mark,
    pub source: Source,
}

/// Where a value comes from.
pub(super) enum Source {
    /// It stands in the file.
    Text(Secret),
    /// From this variable of the environment.
    Variable(String),
    /// From this file, relative to the file of secrets.
    File(String),
}

impl Source {
    /// Where it is, in words.
    pub fn told(&self) -> String {
        match self {
            Self::Text(_) => "the value".to_owned(),
            Self::Variable(name) => format!("the variable {}", quoted(name)),
            Self::File(path) => format!("the file {}", quoted(path)),
        }
    }
}

/// Who may push to Bindle.
pub(super) enum Bindle {
    /// By name and password; the salt is 16 bytes in base64.
    Account { user: String, password: Placed, salt: Placed },
    /// By a line that is made already.
    Htpasswd(Placed),
}

/// All of it.
#[derive(Default)]
pub(super) struct Written {
    pub values: BTreeMap<&'static str, Placed>,
    pub bindle: Option<Bindle>,
    pub acme: BTreeMap<String, Placed>,
    /// What is wanted and not named at all.
    pub lacking: BTreeSet<String>,
}

impl Written {
    /// Says what is lacking.
    pub fn tell(&self, findings: &mut Findings) {
        for name in &self.lacking {
            let key = key(name);
            let advice = secrets::named(name).map_or_else(String::new, |secret| advice(secret.shape, key));
            let hint = format!("`anymetal secrets new SITE` adds it and keeps the others; by hand: {advice}");
            findings.unusable(Complaint::new(format!("`{key}` is missing, and the site needs it"), hint));
        }
    }
}

/// What the author writes for the secret of that name.
pub(super) fn key(name: &str) -> &str {
    if name == HTPASSWD { BINDLE } else { name }
}

/// Reads the tree. Everything that is wrong with what is there is found at once; `wanted` are the names that must be.
pub(super) fn read(root: &Node, site: &str, wanted: &BTreeSet<String>, findings: &mut Findings) -> Written {
    let mut written = Written::default();
    let Kind::Mapping(entries) = &root.kind else {
        findings.mistake(root.at, "secrets are a mapping of names", "write lines like `hippo_password: …`");
        return written;
    };
    head(entries, site, findings);
    let mut named = BTreeSet::new();
    for (key, node) in entries {
        let name = key.scalar.text.as_str();
        named.insert(name);
        match (name, known(name)) {
            ("version" | "site", _) => {}
            (BINDLE, _) => written.bindle = bindle(node, findings),
            (ACME, _) => {
                written.acme = variables(node, findings);
                if matches!(&node.kind, Kind::Mapping(entries) if entries.is_empty()) && wanted.contains(ACME) {
                    findings.mistake(node.at, "`acme` has no variables", advice(Shape::Variables, ACME));
                }
            }
            (_, Some(secret)) => {
                let placed = placed(node, name, findings);
                written.values.extend(placed.map(|placed| (secret.name, checked(placed, secret, findings))));
            }
            (_, None) => findings.complain(key.at, unknown(name)),
        }
    }
    written.lacking = wanted.iter().filter(|name| !named.contains(key(name))).cloned().collect();
    written
}

/// `version: 1` and `site: NAME`.
fn head(entries: &[(Key, Node)], site: &str, findings: &mut Findings) {
    for (name, right, wrong) in [
        ("version", "1", "this version of the file is not known to this anymetal"),
        ("site", site, "these are the secrets of another site"),
    ] {
        let entry = entries.iter().find(|(key, _)| key.scalar.text == name);
        let hint = format!("write `{name}: {right}`, or name the right file in the site's `secrets.file`");
        match entry {
            None => {
                findings.unusable(Complaint::new(format!("`{name}` is missing"), format!("write `{name}: {right}`")));
            }
            Some((_, Node { kind: Kind::Scalar(scalar), .. })) if scalar.text == right => {}
            Some((_, node)) => findings.mistake(node.at, wrong, hint),
        }
    }
}

/// The secret that is written under its own name.
fn known(name: &str) -> Option<&'static secrets::Name> {
    let special = [Shape::Variables, Shape::Htpasswd, Shape::MadeOnTheNode];
    secrets::named(name).filter(|secret| !special.contains(&secret.shape))
}

fn unknown(name: &str) -> Complaint {
    let keys = || secrets::NAMES.iter().filter_map(|secret| known(secret.name)).map(|secret| secret.name);
    let keys = || keys().chain([ACME, BINDLE]);
    match secrets::named(name).map(|secret| secret.shape) {
        Some(Shape::MadeOnTheNode) => {
            Complaint::new(format!("{name} is made on the node, and brought by nobody"), "remove the line")
        }
        Some(Shape::Htpasswd) => {
            Complaint::new(format!("`{name}` has another form here"), "write `bindle: {htpasswd: …}`")
        }
        _ => {
            let hint = match nearest(name, keys()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("known here: {}", either(keys())),
            };
            Complaint::new(format!("there is no secret {}", quoted(name)), hint)
        }
    }
}

/// A text, `{env: NAME}` or `{file: PATH}`.
fn placed(node: &Node, name: &str, findings: &mut Findings) -> Option<Placed> {
    let source = match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() && !scalar.text.is_empty() => {
            Some(Source::Text(Secret::new(&scalar.text)))
        }
        Kind::Mapping(entries) => match &entries[..] {
            [(key, Node { kind: Kind::Scalar(from), .. })] if !from.is_null() && !from.text.is_empty() => {
                match key.scalar.text.as_str() {
                    "env" => Some(Source::Variable(from.text.clone())),
                    "file" => Some(Source::File(from.text.clone())),
                    _ => None,
                }
            }
            _ => None,
        },
        Kind::Scalar(_) | Kind::Sequence(_) => None,
    };
    if source.is_none() {
        let what = format!("`{name}` is neither a text nor where one comes from");
        findings.mistake(node.at, what, "write the text, `{env: NAME}` or `{file: PATH}`");
    }
    source.map(|source| Placed { at: node.at, source })
}

/// A value that stands here is judged here; what comes from elsewhere is when it has come.
fn checked(placed: Placed, secret: &secrets::Name, findings: &mut Findings) -> Placed {
    if let Source::Text(text) = &placed.source {
        findings.keep(placed.at, judge(secret.name, secret.shape, text));
    }
    placed
}

/// Whether a value has its shape.
pub(super) fn judge(name: &str, shape: Shape, text: &Secret) -> Result<(), Complaint> {
    // a character is no secret where the rule would not tell what is wrong
    let odd = text.expose().char_indices().find(|(_, c)| !(' '..='~').contains(c));
    if let Some((offset, c)) = odd {
        let at = text.expose()[..offset].chars().count() + 1;
        let (found, hint) = match text::lookalike(c) {
            Some(found) => (found.to_string(), found.hint.to_owned()),
            None => (format!("U+{:04X}", u32::from(c)), advice(shape, name)),
        };
        return Err(Complaint::new(format!("`{name}` has the character {found}, which is its {}", nth(at)), hint));
    }
    shape.judge(text.expose()).map_err(|words| Complaint::new(format!("`{name}` is not {words}"), advice(shape, name)))
}

/// A number as a place in an order.
fn nth(number: usize) -> String {
    let end = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

/// How one comes by a value of that shape.
fn advice(shape: Shape, key: &str) -> String {
    match shape {
        Shape::Bytes32 => format!("`{key}: …`, as `openssl rand -base64 32` makes one"),
        Shape::Uuid => format!("`{key}: …`, as `uuidgen` makes one"),
        Shape::Password | Shape::Key => format!("`{key}: …`, as `openssl rand -hex 24` makes one"),
        Shape::Session => format!("`{key}: …`, as the network that is spoken to gave it"),
        Shape::Url => format!("`{key}: https://…`, as whoever listens there gave it"),
        Shape::Htpasswd => {
            format!("`{key}: {{user: admin, password: …, salt: …}}`, a salt as `openssl rand -base64 16` makes one")
        }
        Shape::Variables => {
            format!(
                "`{key}: {{VARIABLE: …}}`, with the variables that Traefik's documentation names for `tls.dns_provider`"
            )
        }
        Shape::MadeOnTheNode => "remove the line".to_owned(),
    }
}

fn bindle(node: &Node, findings: &mut Findings) -> Option<Bindle> {
    let hint = "write `{user: admin, password: …, salt: …}` or `{htpasswd: …}`";
    let Kind::Mapping(entries) = &node.kind else {
        findings.mistake(node.at, "`bindle` is not a mapping", hint);
        return None;
    };
    let mut keys: Vec<_> = entries.iter().map(|(key, _)| key.scalar.text.as_str()).collect();
    keys.sort_unstable();
    let value = |name: &str| entries.iter().find(|(key, _)| key.scalar.text == name).map(|(_, value)| value);
    match keys[..] {
        ["htpasswd"] => {
            let line = placed(value("htpasswd")?, "bindle.htpasswd", findings)?;
            if let Source::Text(text) = &line.source {
                findings.keep(line.at, judge("bindle.htpasswd", Shape::Htpasswd, text));
            }
            Some(Bindle::Htpasswd(line))
        }
        ["password", "salt", "user"] => {
            let user = user(value("user")?, findings);
            let password = placed(value("password")?, "bindle.password", findings);
            let salt = placed(value("salt")?, "bindle.salt", findings);
            for (placed, judge) in
                [(&password, password_of as fn(&Secret) -> _), (&salt, |salt| salt_of(salt).map(drop))]
            {
                if let Some(Placed { at, source: Source::Text(text) }) = placed {
                    findings.keep(*at, judge(text));
                }
            }
            Some(Bindle::Account { user: user?, password: password?, salt: salt? })
        }
        _ => {
            findings.mistake(node.at, "`bindle` has other keys than it needs", hint);
            None
        }
    }
}

/// A name in an htpasswd file.
fn user(node: &Node, findings: &mut Findings) -> Option<String> {
    let good = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() && good(&scalar.text) => Some(scalar.text.clone()),
        _ => {
            findings.mistake(
                node.at,
                "`bindle.user` is not a plain name",
                "use letters, digits and `._-`, as in `admin`",
            );
            None
        }
    }
}

/// Whether bcrypt takes all of a password.
pub(super) fn password_of(text: &Secret) -> Result<(), Complaint> {
    judge("bindle.password", Shape::Password, text)?;
    if text.expose().len() <= super::htpasswd::LONGEST {
        return Ok(());
    }
    let what = format!("`bindle.password` has more than {} characters", super::htpasswd::LONGEST);
    Err(Complaint::new(what, "bcrypt would not look at the rest: write a shorter one"))
}

/// The bytes of a salt.
pub(super) fn salt_of(text: &Secret) -> Result<[u8; 16], Complaint> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.expose()).ok();
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Complaint::new("`bindle.salt` is not 16 bytes in base64", "`openssl rand -base64 16` makes them")
    })
}

fn variables(node: &Node, findings: &mut Findings) -> BTreeMap<String, Placed> {
    let mut variables = BTreeMap::new();
    let hint = advice(Shape::Variables, ACME);
    let Kind::Mapping(entries) = &node.kind else {
        findings.mistake(node.at, "`acme` is not a map of variables", hint);
        return variables;
    };
    for (key, node) in entries {
        let name = &key.scalar.text;
        let good = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || !name.bytes().all(good) || name.starts_with(|c: char| c.is_ascii_digit()) {
            findings.mistake(
                key.at,
                "a key of `acme` is not the name of a variable",
                "use capital letters, digits and `_`",
            );
        } else if let Some(placed) = placed(node, &format!("acme.{name}"), findings) {
            variables.insert(name.clone(), placed);
        }
    }
    variables
}
