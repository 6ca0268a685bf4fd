//! `proxy` and `ca`: how nodes reach the world outside, and whose certificates they and the desk believe there.
//! May not read a file: one of `ca` is named here, and read elsewhere.

use anymetal_contract::plan::Proxy;

use crate::site::diagnostic::{Complaint, Findings, Mark, quoted};
use crate::site::fields::{self, Fields};
use crate::site::url::{self, Use};
use crate::site::yaml::{Kind, Node};

/// One entry of `ca`.
pub(in crate::site) struct Said {
    /// Where it stands.
    pub at: Mark,
    /// A path relative to the site's file, or certificates in PEM.
    pub text: String,
}

/// `proxy`: a URL alone, or a mapping of `url` and `no_proxy`.
pub(super) fn proxy(node: Option<&Node>, findings: &mut Findings) -> Option<Proxy> {
    let node = node?;
    let (url, exempt) = match &node.kind {
        Kind::Mapping(_) => {
            let mut fields = Fields::of(node, "proxy", "proxy: http://proxy.example:3128", findings)?;
            let url = fields.need("url", "write `url: http://proxy.example:3128`", findings);
            let exempt = fields.take("no_proxy", findings);
            fields.end(&super::HOMES, findings);
            (url, exempt)
        }
        Kind::Scalar(_) | Kind::Sequence(_) => (Some(node), None),
    };
    let no_proxy = exempt.map(|node| exempted(node, findings)).unwrap_or_default();
    let url = url.and_then(|node| {
        let text = fields::text(node, "`proxy`", findings)?;
        findings.keep(node.at, address(text))
    })?;
    Some(Proxy { url, no_proxy })
}

/// A proxy's address: scheme, host and port.
fn address(text: &str) -> Result<String, Complaint> {
    const LIKE: &str = "write it like `http://proxy.example:3128`";
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if authority.contains('@') {
        let hint = "secrets do not belong in a site: let the proxy know nodes by their addresses, or bring \
                    `http_proxy`, `https_proxy` and `no_proxy` in a drop-in of anymetal.service that is root's alone";
        return Err(Complaint::new("this proxy has user and password in it", hint));
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if scheme.as_deref().is_some_and(|scheme| scheme.starts_with("socks")) {
        return Err(Complaint::new(format!("{} is a SOCKS proxy, which is not supported", quoted(text)), LIKE));
    }
    let url = url::url(text, Use::Base).map_err(|Complaint { what, .. }| Complaint::new(what, LIKE))?;
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    if rest.contains('/') {
        return Err(Complaint::new(format!("{} has a path, and a proxy has none", quoted(text)), LIKE));
    }
    let port = rest.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if !port {
        // curl takes 1080, wget and apt 80 or 443.
        return Err(Complaint::new(format!("{} has no port", quoted(text)), LIKE));
    }
    Ok(url)
}

/// Hosts that are asked directly, as curl reads `no_proxy`.
fn exempted(node: &Node, findings: &mut Findings) -> Vec<String> {
    let example = "no_proxy: [mirror.example, 192.0.2.0/24]";
    let Some(items) = fields::list(node, "proxy.no_proxy", example, findings) else { return Vec::new() };
    let mut exempted = Vec::new();
    for item in items {
        let Some(text) = fields::text(item, "an entry of `no_proxy`", findings) else { continue };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/[]".contains(c);
        if text != "*" && !text.chars().all(plain) {
            let what = format!("{} is no host, address or network", quoted(text));
            let hint =
                "write a name, which stands for what is below it too, an address, or a network like `192.0.2.0/24`";
            findings.mistake(item.at, what, hint);
            continue;
        }
        exempted.push(text.to_owned());
    }
    exempted
}

/// `ca`: a text alone, or a list of them.
pub(super) fn ca(node: Option<&Node>, findings: &mut Findings) -> Vec<Said> {
    let Some(node) = node else { return Vec::new() };
    let items = match &node.kind {
        Kind::Sequence(items) => items.as_slice(),
        Kind::Scalar(_) | Kind::Mapping(_) => std::slice::from_ref(node),
    };
    if items.is_empty() {
        findings.mistake(node.at, "`ca` names no certificate", "name a file of them, or remove the line");
    }
    let said = items.iter().filter_map(|item| {
        let text = fields::text(item, "an entry of `ca`", findings)?.to_owned();
        Some(Said { at: item.at, text })
    });
    said.collect()
}
