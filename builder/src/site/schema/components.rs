//! `components`: which version of each, and the archives that the site brings itself.
//! May not judge versions: `sets` does.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;

use crate::component::{self, Component};
use crate::site::diagnostic::{Complaint, Findings, Mark, Severity, quoted};
use crate::site::fields::{self, Fields};
use crate::site::model::{Choice, Pin};
use crate::site::sets::{self, Chosen};
use crate::site::url::Use;
use crate::site::yaml::{Kind, Node};

/// The largest archive that is believed: 16 GiB.
const LARGEST: u64 = 16 << 30;

/// Every component the site has, with its choice or the default.
pub(super) fn components(
    node: Option<&Node>,
    architectures: &BTreeSet<Arch>,
    os: &str,
    findings: &mut Findings,
) -> BTreeMap<String, Choice> {
    let mut marks = BTreeMap::new();
    let mut broken = BTreeSet::new();
    let mut left_out = Vec::new();
    let mut choices: BTreeMap<&'static str, (Choice, Chosen)> =
        component::all().iter().map(|known| (known.name.as_str(), default(known))).collect();
    if let Some(mut fields) =
        node.and_then(|node| Fields::of(node, "components", "components: {consul: 1.21.5}", findings))
    {
        for known in component::by_name() {
            let Some((key, node)) = fields.take_even_null(&known.name) else { continue };
            marks.insert(known.name.as_str(), node.at);
            if is_none(node) {
                left_out.push(known);
                continue;
            }
            if let Some(word) = negation(node) {
                let at = if node.is_null() { key } else { node.at };
                findings.mistake(at, format!("{word} is not a version of {}", known.name), instead(known));
                broken.insert(known.name.as_str());
                continue;
            }
            match choice(node, known, architectures, findings) {
                Some(chosen) => drop(choices.insert(&known.name, chosen)),
                None => drop(broken.insert(known.name.as_str())),
            }
        }
        fields.end(&super::HOMES, findings);
    }
    for name in without(&left_out, &marks, findings) {
        choices.remove(name);
    }
    // a version that cannot be read says nothing about the set
    let set = choices
        .iter()
        .filter(|(name, _)| !broken.contains(*name))
        .map(|(name, (_, chosen))| (*name, chosen.clone()))
        .collect();
    for clash in sets::clashes(&set, architectures, os) {
        let at = clash.between.iter().find_map(|name| marks.get(name)).copied();
        let at = at.or(node.map(|node| node.at)).unwrap_or(Mark::START);
        match clash.severity {
            Severity::Mistake => findings.complain(at, clash.complaint),
            Severity::Warning => findings.warning(at, clash.complaint.what, clash.complaint.hint),
        }
    }
    choices.into_iter().map(|(name, (choice, _))| (name.to_owned(), choice)).collect()
}

fn is_none(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if scalar.text == "none")
}

/// What was written by somebody who does not want a component, in other words than `none`: those that other programs and YAML have for it.
fn negation(node: &Node) -> Option<String> {
    const WORDS: [&str; 13] =
        ["no", "n", "false", "off", "null", "nil", "~", "none", "disable", "disabled", "never", "without", "absent"];
    let Kind::Scalar(scalar) = &node.kind else { return None };
    if scalar.is_null() && scalar.text.is_empty() {
        return Some("nothing".to_owned());
    }
    let word = scalar.text.to_lowercase();
    (scalar.text != "none" && WORDS.contains(&word.as_str())).then(|| quoted(&scalar.text))
}

/// What to write in its place.
fn instead(known: &Component) -> String {
    let name = &known.name;
    match (&known.under, known.optional) {
        (_, true) => format!("write `{name}: none` to do without {name}, or remove the line"),
        (Some(under), false) => {
            format!("remove the line: {name} comes with {under}, and `{under}: none` takes it out too")
        }
        (None, false) => format!("remove the line: a site cannot do without {name}"),
    }
}

/// What the site has not got, when it says `none` of these. `marks` is where each component that the site names stands.
fn without(
    none: &[&'static Component],
    marks: &BTreeMap<&'static str, Mark>,
    findings: &mut Findings,
) -> Vec<&'static str> {
    let is_none = |name: &str| none.iter().any(|known| known.name == name);
    let goes =
        |known: &&Component| known.optional && is_none(&known.name) || known.under.as_deref().is_some_and(is_none);
    for known in component::by_name() {
        let (name, under) = (known.name.as_str(), known.under.as_deref());
        let Some(at) = marks.get(name) else { continue };
        let (what, hint) = match (is_none(name), goes(&known), under) {
            (false, true, Some(under)) => (
                format!("{name} needs {under}, and the site says `{under}: none`"),
                format!("remove `{name}`, or name a version of {under}"),
            ),
            (true, false, Some(under)) => {
                let together = component::by_name().filter(|other| other.under.as_deref() == Some(under));
                let names: Vec<_> = together.map(|other| other.name.as_str()).collect();
                let hint =
                    format!("remove the line, or write `{under}: none`, which takes out {} together", names.join(", "));
                (format!("a site that has {under} cannot do without {name}"), hint)
            }
            (true, false, None) => (format!("a site cannot do without {name}"), "remove the line".to_owned()),
            _ => continue,
        };
        findings.mistake(*at, what, hint);
    }
    component::all().iter().filter(goes).map(|known| known.name.as_str()).collect()
}

fn default(known: &Component) -> (Choice, Chosen) {
    let choice = Choice { version: known.default, ..Choice::default() };
    (choice, Chosen { version: known.default, named: false, own: BTreeSet::new(), packages: false })
}

/// A version alone, or a mapping of version, artefacts and packages.
fn choice(
    node: &Node,
    known: &Component,
    architectures: &BTreeSet<Arch>,
    findings: &mut Findings,
) -> Option<(Choice, Chosen)> {
    let name = format!("components.{}", known.name);
    let (version, artefacts, packages) = match &node.kind {
        Kind::Mapping(_) => {
            let mut fields = Fields::of(node, &name, "{version: 1.21.5}", findings)?;
            let example = format!("write `version: {}`", known.default);
            let version = fields.need("version", &example, findings);
            let artefacts = fields.take("artefacts", findings);
            let packages = fields.take("packages", findings);
            fields.end(&[], findings);
            let artefacts = artefacts.map(|node| pins(node, known, architectures, findings)).unwrap_or_default();
            (version, artefacts, packages.and_then(|node| self::packages(node, &name, findings)))
        }
        Kind::Scalar(_) | Kind::Sequence(_) => (Some(node), BTreeMap::new(), None),
    };
    let node = version?;
    if let Some(word) = negation(node).or_else(|| is_none(node).then(|| "`none`".to_owned())) {
        findings.mistake(node.at, format!("{word} is not a version of {}", known.name), instead(known));
        return None;
    }
    let text = fields::text(node, &format!("the version of {}", known.name), findings)?;
    let version = findings.keep(node.at, sets::version(text))?;
    if let Some(complaint) = sets::alone(known, version) {
        findings.complain(node.at, complaint);
    }
    let chosen =
        Chosen { version, named: true, own: artefacts.keys().copied().collect(), packages: packages.is_some() };
    Some((Choice { version, artefacts, packages, named: true }, chosen))
}

/// Packages of the operating system, none twice.
fn packages(node: &Node, name: &str, findings: &mut Findings) -> Option<Vec<String>> {
    let items = fields::list(node, &format!("{name}.packages"), "packages: [libssl3]", findings)?;
    let mut packages: Vec<String> = Vec::new();
    for item in items {
        let Some(text) = fields::text(item, "a package", findings) else { continue };
        let Some(package) = findings.keep(item.at, package(text)) else { continue };
        if packages.contains(&package) {
            findings.mistake(item.at, format!("{} is given twice", quoted(text)), "keep one of them");
            continue;
        }
        packages.push(package);
    }
    Some(packages)
}

/// A package's name (Debian policy, section 5.6.1): lower-case letters, digits and `+-.`, at least two, the first a letter or digit.
fn package(text: &str) -> Result<String, Complaint> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
    if text.len() >= 2 && text.bytes().all(good) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(text.to_owned());
    }
    let hint = "write it as `apt install` takes it, without a version, as in `libssl3`";
    Err(Complaint::new(format!("{} is not the name of a package", quoted(text)), hint))
}

fn pins(
    node: &Node,
    known: &Component,
    architectures: &BTreeSet<Arch>,
    findings: &mut Findings,
) -> BTreeMap<Arch, Pin> {
    let name = format!("components.{}.artefacts", known.name);
    if known.is_host_package() {
        let what = format!("{} comes from the operating system and has no artefacts", known.name);
        findings.mistake(node.at, what, "remove them; its version is the lowest that is accepted");
        return BTreeMap::new();
    }
    let Some(mut fields) = Fields::of(node, &name, "artefacts: {x86_64: {sha256: …}}", findings) else {
        return BTreeMap::new();
    };
    let mut pins: BTreeMap<Arch, Pin> = BTreeMap::new();
    for arch in Arch::ALL {
        let Some(node) = fields.take(arch.id(), findings) else { continue };
        if !architectures.contains(&arch) {
            let what = format!("the site has no {arch} machines, so this artefact of {} is never used", known.name);
            findings.warning(node.at, what, format!("add {arch} to `architectures`, or remove the artefact"));
        }
        let Some(pin) = pin(node, &format!("{name}.{arch}"), findings) else { continue };
        if let Some((other, _)) = pins.iter().find(|(_, other)| other.sha256 == pin.sha256) {
            let what = format!("{} has the same archive for {other} and {arch}", known.name);
            findings.warning(node.at, what, "check the digests: an archive is rarely for both");
        }
        pins.insert(arch, pin);
    }
    fields.end(&[], findings);
    pins
}

fn pin(node: &Node, name: &str, findings: &mut Findings) -> Option<Pin> {
    let mut fields = Fields::of(node, name, "{sha256: …, urls: [https://mirror.example/consul.zip]}", findings)?;
    let sha256 =
        fields.need("sha256", "write the archive's sha256: `sha256sum FILE` prints it", findings).and_then(|node| {
            let text = fields::text(node, &format!("`{name}.sha256`"), findings)?;
            findings.keep(node.at, digest(text))
        });
    let size = fields
        .take("size", findings)
        .and_then(|node| fields::number(node, &format!("`{name}.size`"), 1..=LARGEST, findings));
    let urls = super::settings::urls(fields.take("urls", findings), &format!("{name}.urls"), Use::Whole, findings);
    fields.end(&[], findings);
    Some(Pin { sha256: sha256?, size, urls })
}

fn digest(text: &str) -> Result<Digest, Complaint> {
    text.parse().map_err(|_| {
        // the error repeats the text; ours cuts it and knows the usual slips
        let lower = text.to_lowercase();
        let bare = lower.strip_prefix("sha256:").unwrap_or(&lower);
        let hint = match bare.parse::<Digest>() {
            Ok(good) => format!("write `{good}`"),
            Err(_) => {
                format!("64 lower-case hexadecimal digits are expected, found {} characters", text.chars().count())
            }
        };
        Complaint::new(format!("{} is not a sha256", quoted(text)), hint)
    })
}
