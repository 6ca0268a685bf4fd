//! `supplies`: where a node takes archives from, and in which order.
//! May not say where any of them is: `origins`, `sources` and init do.

use anymetal_contract::plan::Supply;

use crate::site::diagnostic::{Findings, Mark};
use crate::site::fields;
use crate::site::yaml::Node;

/// What people call them.
const ALIASES: [(&str, &str); 6] = [
    ("bundles", "bundle"),
    ("sibling", "siblings"),
    ("peers", "siblings"),
    ("nodes", "siblings"),
    ("origin", "origins"),
    ("mirrors", "origins"),
];

/// The supplies in the order given; empty when nothing is said, or what is so anyway.
pub(super) fn supplies(node: Option<&Node>, findings: &mut Findings) -> Vec<Supply> {
    let example = "supplies: [bundle, siblings, origins, upstream]";
    let Some(node) = node else { return Vec::new() };
    let Some(items) = fields::list(node, "supplies", example, findings) else { return Vec::new() };
    let words = Supply::ALL.map(|supply| (supply.id(), supply));
    let mut named: Vec<(Supply, Mark)> = Vec::new();
    for item in items {
        let Some(supply) = fields::word(item, "a supply", &words, &ALIASES, findings) else { continue };
        if let Some((_, first)) = named.iter().find(|(other, _)| *other == supply) {
            let what = format!("`{}` is given twice, first at {first}", supply.id());
            findings.mistake(item.at, what, "keep one of them");
            continue;
        }
        named.push((supply, item.at));
    }
    if items.is_empty() {
        let hint = "name one, or remove the line: then all are asked, what is nearest first";
        findings.mistake(node.at, "`supplies` names nothing that archives could come from", hint);
    }
    let named: Vec<Supply> = named.into_iter().map(|(supply, _)| supply).collect();
    if named == Supply::ALL { Vec::new() } else { named }
}
