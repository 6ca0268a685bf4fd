//! Whether a text is an http or https URL that may stand in a site.
//! May not repeat what may be a secret: a URL with credentials is never quoted.

use std::net::Ipv6Addr;

use anymetal_supply::origin::lower;

use super::diagnostic::{Complaint, Findings, Mark, quoted};

/// What a URL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Blobs lie below it: no query, and slashes at the end do not count.
    Base,
    /// It is asked for as it stands.
    Whole,
    /// It is asked for as it stands, but of the node itself: its host is a name, which says what is meant.
    Canary,
}

/// The URL, without slashes at the end when it is a base.
pub(crate) fn url(text: &str, purpose: Use) -> Result<String, Complaint> {
    let complain = |what: &str, hint: &str| Err(Complaint::new(format!("{} {what}", quoted(text)), hint));
    let after = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = after.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        let hint = match purpose {
            Use::Base | Use::Whole => {
                "secrets do not belong in a site: use an origin that needs none, or one that the network protects"
            }
            Use::Canary => "secrets do not belong in a site: ask for something that everybody may see",
        };
        return Err(Complaint::new("this URL has credentials in it", hint));
    }
    if text.trim() != text {
        return complain("has white space at an end", "remove it");
    }
    if let Some(c) = text.chars().find(|c| !allowed(*c)) {
        let what = format!("has the character {} in it, which no URL may have", quoted(&c.to_string()));
        return complain(&what, "write it percent-encoded, as in `%20`");
    }
    if let (Use::Base, Some(c)) = (purpose, text.chars().find(|c| "'$*".contains(*c))) {
        let what = format!("has the character `{c}` in it, which a shell on the node would read as more than text");
        return complain(&what, &format!("write it percent-encoded, as `%{:02X}`", u32::from(c)));
    }
    if bad_percent(text) {
        return complain("has a `%` that is not followed by two hexadecimal digits", "write a percent sign as `%25`");
    }
    let url = lower(text);
    if !(url.starts_with("https://") || url.starts_with("http://")) {
        let example = match purpose {
            Use::Base | Use::Whole => "write it like `https://mirror.example/anymetal`",
            Use::Canary => "write it like `http://app.example.org/healthz`",
        };
        return complain("is not an http or https URL", example);
    }
    if let Some(hint) = bad_authority(authority) {
        return complain("has no usable host", hint);
    }
    if purpose == Use::Canary && !is_name(authority) {
        return complain(
            "has an address for a host",
            "write the application's name: the request goes to the anycast address of the node itself anyway",
        );
    }
    if text.contains('#') {
        return complain("has a fragment (`#…`)", "remove it: no server ever sees it");
    }
    if purpose == Use::Base && text.contains('?') {
        return complain(
            "has a query (`?…`)",
            "an origin is a base URL: blobs are asked for at `<origin>/sha256/<digest>`",
        );
    }
    Ok(if purpose == Use::Base { url.trim_end_matches('/') } else { &url }.to_owned())
}

/// A word about a query that looks as if it let somebody in: it stands in the plan, which everybody may read. The value is not repeated.
pub(crate) fn doubt(url: &str, at: Mark, findings: &mut Findings) {
    const WORDS: [&str; 10] =
        ["auth", "credential", "jwt", "key", "password", "passwd", "pwd", "secret", "sig", "token"];
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(_, value)| !value.is_empty());
    let odd = names.map(|(name, _)| name).find(|name| WORDS.iter().any(|word| name.to_lowercase().contains(word)));
    if let Some(name) = odd {
        let what = format!(
            "the query of this URL has {} in it, and the plan, which everybody may read, has the URL",
            quoted(name)
        );
        findings.warning(at, what, "use a URL that needs none, or one that the network protects, if that is a secret");
    }
}

/// RFC 3986, section 2, less what only a fragment or a literal address needs elsewhere.
fn allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c)
}

fn bad_percent(text: &str) -> bool {
    text.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes();
        digits.len() < 2 || !digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}

/// What to do about a host or port that cannot be; `None` when they can.
fn bad_authority(authority: &str) -> Option<&'static str> {
    let (host, port) = if let Some(literal) = authority.strip_prefix('[') {
        let Some((address, rest)) = literal.split_once(']') else {
            return Some("close the bracket of the IPv6 address");
        };
        if address.parse::<Ipv6Addr>().is_err() {
            return Some("write an IPv6 address between the brackets");
        }
        match rest.strip_prefix(':') {
            None if rest.is_empty() => return None,
            None => return Some("write the port after `]:`"),
            Some(port) => ("ipv6", Some(port)),
        }
    } else {
        authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
    };
    if port.is_some_and(|port| {
        !port.bytes().all(|b| b.is_ascii_digit())
            || port.parse::<u16>().is_ok_and(|p| p == 0)
            || port.parse::<u16>().is_err()
    }) {
        return Some("a port is a number from 1 to 65535; an IPv6 address stands between brackets");
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (host.len() > 253 || !host.split('.').all(label)).then_some("write a host name or an address after `://`")
}

/// Whether the host of a good authority is a name. One whose last part is a number is an address, in whatever notation.
fn is_name(authority: &str) -> bool {
    let host = authority.split(':').next().unwrap_or_default().trim_end_matches('.');
    let last = host.rsplit('.').next().unwrap_or_default();
    !authority.starts_with('[') && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, purpose: Use) -> String {
        match url(text, purpose) {
            Ok(url) => format!("ok {url}"),
            Err(Complaint { what, .. }) => what,
        }
    }

    #[test]
    fn an_origin_is_a_base_url() {
        for (text, expected) in [
            ("https://mirror.example/am", "ok https://mirror.example/am"),
            ("https://mirror.example/am//", "ok https://mirror.example/am"),
            ("http://192.0.2.7:8080", "ok http://192.0.2.7:8080"),
            ("http://[2001:db8::1]:8080/x", "ok http://[2001:db8::1]:8080/x"),
            ("http://[2001:db8::1]", "ok http://[2001:db8::1]"),
            ("http://localhost/", "ok http://localhost"),
            ("HTTPS://Mirror.Example/Am", "ok https://mirror.example/Am"),
            ("Http://[2001:DB8::1]:80/X?", "`Http://[2001:DB8::1]:80/X?` has a query (`?…`)"),
            ("FTP://m.example", "`FTP://m.example` is not an http or https URL"),
            ("https://m.example/a?b=c", "`https://m.example/a?b=c` has a query (`?…`)"),
            ("https://m.example/#top", "`https://m.example/#top` has a fragment (`#…`)"),
            ("ftp://m.example", "`ftp://m.example` is not an http or https URL"),
            ("m.example/x", "`m.example/x` is not an http or https URL"),
            ("https:/m.example", "`https:/m.example` is not an http or https URL"),
            ("https://", "`https://` has no usable host"),
            ("https:///x", "`https:///x` has no usable host"),
            ("https://a..b", "`https://a..b` has no usable host"),
            ("https://a:0", "`https://a:0` has no usable host"),
            ("https://a:x", "`https://a:x` has no usable host"),
            ("https://a:65536", "`https://a:65536` has no usable host"),
            ("https://2001:db8::1/", "`https://2001:db8::1/` has no usable host"),
            ("https://[zz]/", "`https://[zz]/` has no usable host"),
            ("https://m.example/x ", "`https://m.example/x ` has white space at an end"),
            ("https://m.example/x\r", r"`https://m.example/x\r` has white space at an end"),
            ("https://m.example/a b", "`https://m.example/a b` has the character ` ` in it, which no URL may have"),
            ("https://m.example/\"x", "`https://m.example/\"x` has the character `\"` in it, which no URL may have"),
            (
                "http://a/$(id)",
                "`http://a/$(id)` has the character `$` in it, which a shell on the node would read as more than text",
            ),
            (
                "http://a/*",
                "`http://a/*` has the character `*` in it, which a shell on the node would read as more than text",
            ),
            (
                "http://a/'",
                "`http://a/'` has the character `'` in it, which a shell on the node would read as more than text",
            ),
            (
                "https://m.example/%zz",
                "`https://m.example/%zz` has a `%` that is not followed by two hexadecimal digits",
            ),
        ] {
            assert_eq!(said(text, Use::Base), expected);
        }
        assert_eq!(said("https://m.example/a?b=c", Use::Whole), "ok https://m.example/a?b=c");
        assert_eq!(said("https://m.example/a/", Use::Whole), "ok https://m.example/a/");
    }

    #[test]
    fn a_canary_has_a_name() {
        let address = |url: &str| format!("`{url}` has an address for a host");
        for (text, expected) in [
            ("http://app.example.org/healthz?x", "ok http://app.example.org/healthz?x".to_owned()),
            ("https://7.example:8443", "ok https://7.example:8443".to_owned()),
            ("http://192.0.2.7/", address("http://192.0.2.7/")),
            ("http://192.0.2.7.:80/", address("http://192.0.2.7.:80/")),
            ("http://[2001:db8::1]:80/x", address("http://[2001:db8::1]:80/x")),
            ("http://a.example/#x", "`http://a.example/#x` has a fragment (`#…`)".to_owned()),
            ("http://u:hunter2@a.example/", "this URL has credentials in it".to_owned()),
        ] {
            assert_eq!(said(text, Use::Canary), expected);
        }
    }

    #[test]
    fn credentials_are_refused_and_never_repeated() {
        for text in [
            "https://user:hunter2@m.example/x",
            "https://hunter2@m.example",
            "ftp://hunter2@x y",
            "hunter2@m",
            " https://hunter2@x",
        ] {
            let complaint = url(text, Use::Base).unwrap_err();
            assert_eq!(complaint.what, "this URL has credentials in it");
            assert!(!format!("{complaint:?}").contains("hunter2"));
        }
    }
}
