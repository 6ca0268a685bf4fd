//! `components`: which version of each, and the archives that the site brings itself.
//! May not judge versions: `sets` does.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;

use crate::site::diagnostic::{Complaint, Findings, Mark, Severity, quoted};
use crate::site::fields::{self, Fields};
use crate::site::model::{Choice, Pin};
use crate::site::sets::{self, COMPONENTS, Chosen, Known};
use crate::site::url::Use;
use crate::site::yaml::{Kind, Node};

/// The largest archive that is believed: 16 GiB.
const LARGEST: u64 = 16 << 30;

/// Every component, with the site's choice or the default.
pub(super) fn components(
    node: Option<&Node>,
    architectures: &BTreeSet<Arch>,
    os: &str,
    findings: &mut Findings,
) -> BTreeMap<String, Choice> {
    let mut marks = BTreeMap::new();
    let mut broken = BTreeSet::new();
    let mut choices: BTreeMap<&'static str, (Choice, Chosen)> =
        COMPONENTS.iter().map(|known| (known.name, default(known))).collect();
    if let Some(mut fields) =
        node.and_then(|node| Fields::of(node, "components", "components: {consul: 1.21.5}", findings))
    {
        for known in &COMPONENTS {
            let Some(node) = fields.take(known.name, findings) else { continue };
            marks.insert(known.name, node.at);
            match choice(node, known, architectures, findings) {
                Some(chosen) => drop(choices.insert(known.name, chosen)),
                None => drop(broken.insert(known.name)),
            }
        }
        fields.end(&super::HOMES, findings);
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

fn default(known: &Known) -> (Choice, Chosen) {
    let choice = Choice { version: known.version.to_string(), artefacts: BTreeMap::new(), named: false };
    (choice, Chosen { version: known.version, named: false, own: BTreeSet::new() })
}

/// A version alone, or a mapping of version and artefacts.
fn choice(
    node: &Node,
    known: &Known,
    architectures: &BTreeSet<Arch>,
    findings: &mut Findings,
) -> Option<(Choice, Chosen)> {
    let name = format!("components.{}", known.name);
    let (version, artefacts) = match &node.kind {
        Kind::Mapping(_) => {
            let mut fields = Fields::of(node, &name, "{version: 1.21.5}", findings)?;
            let example = format!("write `version: {}`", known.version);
            let version = fields.need("version", &example, findings);
            let artefacts = fields.take("artefacts", findings);
            fields.end(&[], findings);
            (version, artefacts.map(|node| pins(node, known, architectures, findings)).unwrap_or_default())
        }
        Kind::Scalar(_) | Kind::Sequence(_) => (Some(node), BTreeMap::new()),
    };
    let node = version?;
    let text = fields::text(node, &format!("the version of {}", known.name), findings)?;
    let version = findings.keep(node.at, sets::version(text))?;
    if let Some(complaint) = sets::alone(known, version) {
        findings.complain(node.at, complaint);
    }
    let own = artefacts.keys().copied().collect();
    Some((Choice { version: version.to_string(), artefacts, named: true }, Chosen { version, named: true, own }))
}

fn pins(node: &Node, known: &Known, architectures: &BTreeSet<Arch>, findings: &mut Findings) -> BTreeMap<Arch, Pin> {
    let name = format!("components.{}.artefacts", known.name);
    if known.host_package {
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
