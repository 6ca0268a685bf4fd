//! `tls`: none, by a DNS challenge, or from files on the node.
//! May not hold a key: it is a file's path here.

use crate::site::diagnostic::{Complaint, Findings, quoted};
use crate::site::fields::{self, Fields};
use crate::site::model::Tls;
use crate::site::name;
use crate::site::yaml::Node;

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    None,
    Acme,
    Files,
}

/// `tls`.
pub(super) fn tls(node: Option<&Node>, findings: &mut Findings) -> Tls {
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "tls", "tls: {mode: none}", findings)) else {
        return Tls::None;
    };
    let words = [("none", Mode::None), ("acme", Mode::Acme), ("files", Mode::Files)];
    let aliases = [("letsencrypt", "acme"), ("off", "none"), ("no", "none"), ("false", "none"), ("file", "files")];
    let mode = fields
        .need("mode", "write `mode: none`, `acme` or `files`", findings)
        .and_then(|node| fields::word(node, "`tls.mode`", &words, &aliases, findings));
    let tls = match mode {
        Some(Mode::Acme) => acme(&mut fields, findings),
        Some(Mode::Files) => files(&mut fields, findings),
        Some(Mode::None) | None => Tls::None,
    };
    for (key, owner) in
        [("email", Mode::Acme), ("dns_provider", Mode::Acme), ("certificate", Mode::Files), ("key", Mode::Files)]
    {
        let Some(mode) = mode.filter(|mode| *mode != owner) else {
            // without a mode nobody can tell whether the key is wrong
            if mode.is_none() {
                fields.take(key, findings);
            }
            continue;
        };
        if let Some(at) = fields.written(key) {
            fields.take(key, findings);
            let (mode, owner) = (mode_name(mode), mode_name(owner));
            findings.mistake(
                at,
                format!("`tls.{key}` means nothing with `mode: {mode}`"),
                format!("remove it, or write `mode: {owner}`"),
            );
        }
    }
    fields.end(&super::HOMES, findings);
    tls
}

fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::None => "none",
        Mode::Acme => "acme",
        Mode::Files => "files",
    }
}

fn acme(fields: &mut Fields<'_>, findings: &mut Findings) -> Tls {
    let email = fields
        .need("email", "write the address that the certificate authority may write to", findings)
        .and_then(|node| {
            let text = fields::text(node, "`tls.email`", findings)?;
            findings.keep(node.at, name::email(text))
        });
    let hint = "with anycast the authority may reach another node than the one that asked, so only a DNS challenge works: \
                name the provider of the zone as Traefik does, as in `dns_provider: route53`";
    let dns_provider = fields.need("dns_provider", hint, findings).and_then(|node| {
        let text = fields::text(node, "`tls.dns_provider`", findings)?;
        let good = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let complaint = || {
            Complaint::new(
                format!("{} is not the name of a DNS provider", quoted(text)),
                "write it as Traefik does, as in `route53`",
            )
        };
        findings.keep(node.at, good.then(|| text.to_owned()).ok_or_else(complaint))
    });
    Tls::Acme { email: email.unwrap_or_default(), dns_provider: dns_provider.unwrap_or_default() }
}

fn files(fields: &mut Fields<'_>, findings: &mut Findings) -> Tls {
    let mut path = |key, name: &str, hint: &str| {
        let node = fields.need(key, hint, findings)?;
        let text = fields::text(node, name, findings)?;
        Some((node.at, findings.keep(node.at, absolute(text))?))
    };
    let certificate =
        path("certificate", "`tls.certificate`", "write the path the chain has on the node, as in `/etc/ssl/site.crt`");
    let key = path("key", "`tls.key`", "write the path the key has on the node, as in `/etc/ssl/private/site.key`");
    if let (Some((_, certificate)), Some((at, key))) = (&certificate, &key)
        && certificate == key
    {
        findings.mistake(
            *at,
            "`tls.certificate` and `tls.key` are the same file",
            "keep the key in a file of its own, mode 0600",
        );
    }
    let text = |found: Option<(_, String)>| found.map(|(_, path)| path).unwrap_or_default();
    Tls::Files { certificate: text(certificate), key: text(key) }
}

/// A path on the node that a configuration file can hold without quoting.
fn absolute(text: &str) -> Result<String, Complaint> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b);
    if text.starts_with('/') && text.bytes().all(plain) && !text.split('/').any(|part| part == ".." || part == ".") {
        return Ok(text.to_owned());
    }
    let hint = "it begins with `/`, has no `..`, and is made of letters, digits and `._-+@`";
    Err(Complaint::new(format!("{} cannot be a path on the node", quoted(text)), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_on_the_node_is_absolute_and_plain() {
        for (text, good) in [
            ("/etc/ssl/site.crt", true),
            ("etc/site.crt", false),
            ("/etc/../site.crt", false),
            ("/etc/a b", false),
            ("C:\\site.crt", false),
        ] {
            assert_eq!(absolute(text).is_ok(), good, "{text}");
        }
    }
}
