//! `sources`: where upstreams are instead, and whose keys sign what is there.
//! May not read a key: its file is named here, and read elsewhere.

use crate::site::diagnostic::{Findings, Mark};
use crate::site::fields::{self, Fields};
use crate::site::url::{self, Use};
use crate::site::yaml::{Kind, Node};
use crate::sources;

/// What is said of one upstream.
pub(in crate::site) struct Said {
    /// Its name.
    pub name: &'static str,
    /// Its base URL.
    pub url: Option<String>,
    /// The file of its keys, relative to the site's, and where it stands.
    pub key: Option<(Mark, String)>,
}

/// `sources`; nothing is elsewhere when nothing is said.
pub(super) fn sources(node: Option<&Node>, findings: &mut Findings) -> Vec<Said> {
    let example = "sources: {github: https://mirror.example/github}";
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "sources", example, findings)) else {
        return Vec::new();
    };
    let mut said = Vec::new();
    for (name, source) in sources::all() {
        let Some(node) = fields.take(name, findings) else { continue };
        said.extend(one(node, name, source.is_signed(), findings));
    }
    fields.end(&super::HOMES, findings);
    said
}

/// A URL alone, or a mapping of url and key.
fn one(node: &Node, name: &'static str, signed: bool, findings: &mut Findings) -> Option<Said> {
    let dotted = format!("sources.{name}");
    let (url, key) = match &node.kind {
        Kind::Mapping(_) => {
            let mut fields = Fields::of(node, &dotted, "{url: https://mirror.example/files}", findings)?;
            let (url, key) = (fields.take("url", findings), fields.take("key", findings));
            fields.end(&super::HOMES, findings);
            if url.is_none() && key.is_none() {
                let what = format!("`{dotted}` says neither where nor whose");
                findings.mistake(node.at, what, "write a `url`, a `key`, or both");
            }
            (url, key)
        }
        Kind::Scalar(_) | Kind::Sequence(_) => (Some(node), None),
    };
    if let Some(node) = key.filter(|_| !signed) {
        let what = format!("nobody signs what {name} has, so it has no key");
        findings.mistake(node.at, what, "remove the key");
    }
    let url = url.and_then(|node| {
        let text = fields::text(node, &format!("the URL of {name}"), findings)?;
        findings.keep(node.at, url::url(text, Use::Base))
    });
    let key =
        key.and_then(|node| Some((node.at, fields::text(node, &format!("`{dotted}.key`"), findings)?.to_owned())));
    Some(Said { name, url, key: key.filter(|_| signed) })
}
