//! `expose`: what is reachable from outside although it is not safe; and the word about a platform without certificates.
//! May not open anything: the components' routers do, by the fact of this name.

use std::collections::BTreeMap;

use anymetal_contract::plan::Expose;

use crate::site::diagnostic::{Findings, Mark};
use crate::site::fields;
use crate::site::model::{Choice, Tls};
use crate::site::yaml::Node;

/// The components that are sent passwords through their routers.
const ASK_PASSWORDS: [&str; 2] = ["bindle", "hippo"];
/// What to do so that no password travels in clear.
const HINT: &str = "say in `tls` where certificates come from";

/// `expose`; nothing when nothing is said. `tls` is how Traefik gets certificates, and where the site says so.
pub(super) fn expose(
    node: Option<&Node>,
    components: &BTreeMap<String, Choice>,
    (tls, tls_at): (&Tls, Mark),
    findings: &mut Findings,
) -> Option<Expose> {
    let aliases = [("http", "plain"), ("all", "plain"), ("true", "plain"), ("yes", "plain")];
    let expose = node
        .and_then(|node| fields::word(node, "`expose`", &[(Expose::Plain.id(), Expose::Plain)], &aliases, findings));
    let names: Vec<_> = ASK_PASSWORDS.into_iter().filter(|name| components.contains_key(*name)).collect();
    let (safe, names) = (*tls != Tls::None, names.join(" and "));
    match node {
        Some(node) if names.is_empty() => {
            findings.mistake(node.at, "`expose` means nothing in a site without bindle and hippo", "remove it");
        }
        Some(node) if safe => {
            let what = "`expose` means nothing with `tls`: what asks for passwords is reachable by https";
            findings.mistake(node.at, what, "remove it");
        }
        Some(node) if expose.is_some() => {
            let what = format!(
                "passwords for {names} travel in clear: whoever reads one packet on the way to a node runs code on all of them"
            );
            findings.warning(node.at, what, format!("{HINT}, and remove `expose`"));
        }
        None if !safe && !names.is_empty() => {
            let what = format!(
                "without `tls` {names} cannot be reached from outside, since passwords would travel in clear, and applications answer by plain HTTP"
            );
            findings.warning(tls_at, what, format!("{HINT}; `expose: plain` opens them all the same"));
        }
        _ => {}
    }
    expose
}
