//! `guard.canaries`: requests of the site's own that must be answered as long as a node announces.
//! May not make one: the guard does, on the node, to the anycast address.

use anymetal_contract::plan::Canary;

use crate::site::diagnostic::{Complaint, Findings, Mark};
use crate::site::fields::{self, Fields};
use crate::site::model::Tls;
use crate::site::url::{self, Use};
use crate::site::yaml::{Kind, Node};

/// What an answer has when all is well.
const GOOD: u16 = 200;
/// Whether a certificate is judged, and what people write for it.
const VERIFY: [(&str, bool); 2] = [("true", true), ("false", false)];
const WRITTEN: [(&str, &str); 4] = [("yes", "true"), ("on", "true"), ("no", "false"), ("off", "false")];
/// How one is written.
const EXAMPLE: &str = "url: http://app.example.org/healthz";

/// The list, none twice. `traefik` is how it gets certificates, when the site has it.
pub(super) fn canaries(node: &Node, traefik: Option<&Tls>, findings: &mut Findings) -> Vec<Canary> {
    let example = "canaries: [\"http://app.example.org/healthz\"]";
    let Some(items) = fields::list(node, "guard.canaries", example, findings) else { return Vec::new() };
    let mut canaries: Vec<(Canary, Mark)> = Vec::new();
    for item in items {
        let Some(canary) = canary(item, findings) else { continue };
        if let Some((_, first)) = canaries.iter().find(|(other, _)| *other == canary) {
            findings.mistake(item.at, format!("this canary is given twice, first at {first}"), "keep one of them");
            continue;
        }
        if let Some(Complaint { what, hint }) = traefik.and_then(|tls| doubt(&canary, tls)) {
            findings.warning(item.at, what, hint);
        }
        canaries.push((canary, item.at));
    }
    canaries.into_iter().map(|(canary, _)| canary).collect()
}

/// A URL, or a mapping with one.
fn canary(item: &Node, findings: &mut Findings) -> Option<Canary> {
    let url = |node: &Node, findings: &mut Findings| {
        let text = fields::text(node, "the URL of a canary", findings)?;
        let url = findings.keep(node.at, url::url(text, Use::Canary))?;
        url::doubt(&url, node.at, findings);
        Some(url)
    };
    match &item.kind {
        Kind::Scalar(_) => Some(Canary { url: url(item, findings)?, status: GOOD, contains: None, verify: false }),
        Kind::Mapping(_) => {
            let mut fields = Fields::of(item, "guard.canaries", EXAMPLE, findings)?;
            let url = fields.need("url", &format!("write `{EXAMPLE}`"), findings).and_then(|node| url(node, findings));
            // below 200 an answer is not over
            let status = fields.take("status", findings);
            let status = status.map(|node| fields::number(node, "the status of a canary", 200..=599, findings));
            let status = status.unwrap_or(Some(GOOD.into())).and_then(|status| u16::try_from(status).ok());
            let contains = fields.take("contains", findings);
            let contains = contains.map(|node| fields::text(node, "`contains` of a canary", findings));
            let verify = fields.take("verify", findings);
            let at = verify.map(|node| node.at);
            let verify = verify
                .map_or(Some(false), |node| fields::word(node, "`verify` of a canary", &VERIFY, &WRITTEN, findings));
            fields.end(&[], findings);
            if let (Some(true), Some(at), Some(url)) = (verify, at, &url)
                && !url.starts_with("https://")
            {
                let what = "`verify` looks at a certificate, and a canary over http has none";
                findings.mistake(at, what, "write `https://` in its URL, or leave `verify` out");
            }
            let contains = contains.map_or(Some(None), |text| text.map(|text| Some(text.to_owned())));
            Some(Canary { url: url?, status: status?, contains: contains?, verify: verify? })
        }
        Kind::Sequence(_) => {
            let hint = format!("write a URL, or `{{{EXAMPLE}}}`");
            fields::wrong(item, "a canary", "a URL or a mapping", &hint, findings);
            None
        }
    }
}

/// Whether Traefik, on its own ports, would never answer so.
fn doubt(canary: &Canary, tls: &Tls) -> Option<Complaint> {
    let (scheme, rest) = canary.url.split_once("://")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let port = authority.split_once(':').map_or("", |(_, port)| port);
    let redirected = (300..400).contains(&canary.status);
    match (scheme, port, *tls == Tls::None) {
        ("https", "" | "443", true) => Some(Complaint::new(
            "without `tls` Traefik has no certificate to answer this with, and no node would ever announce",
            "write `http://`, or say in `tls` where certificates come from",
        )),
        ("http", "" | "80", false) if !redirected => Some(Complaint::new(
            "with `tls` Traefik answers http by a redirect to https, and no node would ever announce",
            "write `https://`",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_traefik_never_answers_is_doubted() {
        let acme = Tls::Acme { email: String::new(), dns_provider: String::new() };
        for (url, status, without, with) in [
            ("http://a.example/", 200, false, true),
            ("http://a.example:80?x", 200, false, true),
            ("http://a.example", 301, false, false),
            ("http://a.example:8080/", 200, false, false),
            ("https://a.example/:80", 200, true, false),
            ("https://a.example:443", 200, true, false),
            ("https://a.example:8443/", 200, false, false),
        ] {
            let canary = Canary { url: url.into(), status, contains: None, verify: false };
            let doubted = (doubt(&canary, &Tls::None).is_some(), doubt(&canary, &acme).is_some());
            assert_eq!(doubted, (without, with), "{url} {status}");
        }
    }
}
