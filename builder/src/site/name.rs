//! What may be the name of a site, a domain or an administrator, and the domain a site gets when it names none.
//! May not ask any name server.

use std::net::IpAddr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::diagnostic::{Complaint, quoted};

/// The longest name of a site, in characters: it becomes part of host names and labels, which end at 63.
const SITE: usize = 40;

/// A site's name: lower-case letters, digits and dashes, at most 40, a letter or digit at both ends.
pub(super) fn site(text: &str) -> Result<String, Complaint> {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.bytes().all(good) && text.len() <= SITE && !text.starts_with('-') && !text.ends_with('-') {
        return Ok(text.to_owned());
    }
    let dashed: String = text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = dashed.split('-').filter(|word| !word.is_empty()).collect();
    let better: String = words.join("-").chars().take(SITE).collect();
    let better = better.trim_end_matches('-');
    let hint = if better.is_empty() { "write it like `demo`".to_owned() } else { format!("write `{better}`") };
    let what =
        format!("the name {} may hold only lower-case letters, digits and inner dashes, at most {SITE}", quoted(text));
    Err(Complaint::new(what, hint))
}

/// A domain: the bare zone below which every application gets a name.
pub(super) fn domain(text: &str) -> Result<String, Complaint> {
    let lower = text.to_lowercase();
    let hint = if lower.contains("://") {
        "write the host name alone, without `https://`".to_owned()
    } else if let Some(zone) = lower.strip_prefix("*.") {
        format!("write `{zone}`: names below it are meant anyway")
    } else if text.parse::<IpAddr>().is_ok() {
        "a domain is a name: remove the line, and a name is made from the anycast address".to_owned()
    } else if lower.contains(':') || lower.contains('/') {
        "write the host name alone, without a port or a path".to_owned()
    } else if let Some(bare) = lower.strip_suffix('.') {
        format!("write it without the dot at the end: `{bare}`")
    } else if !lower.is_ascii() {
        "write it in its ASCII form (`xn--…`)".to_owned()
    } else if !host_name(&lower) {
        "write it like `cloud.example.com`: letters, digits and inner dashes between dots, at most 63 in each part"
            .to_owned()
    } else if !lower.contains('.') {
        "write a full name with at least one dot, as in `cloud.example.com`".to_owned()
    } else if lower != text {
        format!("write it in lower case: `{lower}`")
    } else {
        return Ok(lower);
    };
    Err(Complaint::new(format!("{} is not a domain", quoted(text)), hint))
}

/// Whether the text is made like a host name whose last part is not a number (RFC 1123, section 2.1).
pub(super) fn host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !numeric
}

/// The domain of a site that names none: the first anycast address below sslip.io, which answers for every name below it with that
/// address. Colons become dashes; a name may not begin or end with one, so an abbreviation at an end gets its zero back.
pub(super) fn default_domain(anycast4: &[Ipv4Net], anycast6: &[Ipv6Net]) -> Option<String> {
    if let Some(prefix) = anycast4.first() {
        return Some(format!("{}.sslip.io", prefix.addr().to_string().replace('.', "-")));
    }
    let dashed = anycast6.first()?.addr().to_string().replace(':', "-");
    let front = if dashed.starts_with('-') { "0" } else { "" };
    let back = if dashed.ends_with('-') { "0" } else { "" };
    Some(format!("{front}{dashed}{back}.sslip.io"))
}

/// Whether names below the domain belong to a public service, where nobody can add a record of his own.
pub(super) fn borrowed(domain: &str) -> bool {
    ["sslip.io", "nip.io", "xip.io"].iter().any(|zone| domain == *zone || domain.ends_with(&format!(".{zone}")))
}

/// A name Hippo takes for its administrator: ASP.NET Identity's default set of characters.
pub(super) fn administrator(text: &str) -> Result<String, Complaint> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._@+".contains(&b);
    if text.bytes().all(good) && text.len() <= 64 {
        return Ok(text.to_owned());
    }
    let what = format!("{} cannot be the name of Hippo's administrator", quoted(text));
    Err(Complaint::new(what, "use at most 64 ASCII letters, digits and `-._@+`"))
}

/// An e-mail address, as far as it can be told by looking.
pub(super) fn email(text: &str) -> Result<String, Complaint> {
    let whole = text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b))
            && domain(host).is_ok()
    });
    if whole {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(format!("{} is not an e-mail address", quoted(text)), "write it like `ops@example.com`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(complaint: Result<String, Complaint>) -> String {
        complaint.map_or_else(|complaint| complaint.hint, |good| format!("ok {good}"))
    }

    #[test]
    fn a_site_has_a_plain_name() {
        for (text, expected) in [
            ("demo", "ok demo"),
            ("ams-2", "ok ams-2"),
            ("no", "ok no"),
            ("My Site!", "write `my-site`"),
            ("-a--b-", "write `a-b`"),
            ("ü", "write it like `demo`"),
            ("a_b", "write `a-b`"),
        ] {
            assert_eq!(hint(site(text)), expected);
        }
        assert_eq!(hint(site(&"a".repeat(41))), format!("write `{}`", "a".repeat(40)));
    }

    #[test]
    fn a_domain_is_a_bare_zone() {
        let form =
            "write it like `cloud.example.com`: letters, digits and inner dashes between dots, at most 63 in each part";
        for (text, expected) in [
            ("cloud.example.com", "ok cloud.example.com"),
            ("xn--bcher-kva.example", "ok xn--bcher-kva.example"),
            ("Cloud.Example.com", "write it in lower case: `cloud.example.com`"),
            ("cloud.example.com.", "write it without the dot at the end: `cloud.example.com`"),
            ("*.example.com", "write `example.com`: names below it are meant anyway"),
            ("https://example.com", "write the host name alone, without `https://`"),
            ("example.com:443", "write the host name alone, without a port or a path"),
            ("example.com/x", "write the host name alone, without a port or a path"),
            ("192.0.2.1", "a domain is a name: remove the line, and a name is made from the anycast address"),
            ("bücher.example", "write it in its ASCII form (`xn--…`)"),
            ("cluster", "write a full name with at least one dot, as in `cloud.example.com`"),
            ("a_b.example", form),
            ("-a.example", form),
            ("a..example", form),
            ("example.1", form),
        ] {
            assert_eq!(hint(domain(text)), expected, "{text}");
        }
        assert_eq!(hint(domain(&format!("{}.example", "a".repeat(64)))), form);
        assert_eq!(hint(domain(&format!("{}example", "a.".repeat(124)))), form);
    }

    #[test]
    fn the_default_domain_is_the_first_address() {
        let v4: Vec<Ipv4Net> = vec!["147.75.195.143/32".parse().unwrap(), "192.0.2.0/24".parse().unwrap()];
        assert_eq!(default_domain(&v4, &[]).as_deref(), Some("147-75-195-143.sslip.io"));
        for (prefix, domain) in [
            ("2604:1380:45d1:fd00::7/128", "2604-1380-45d1-fd00--7.sslip.io"),
            ("2604:1380:45d1:fd00::/64", "2604-1380-45d1-fd00--0.sslip.io"),
            ("::2604:0:0:1/128", "0--2604-0-0-1.sslip.io"),
        ] {
            assert_eq!(default_domain(&[], &[prefix.parse().unwrap()]).as_deref(), Some(domain));
            assert!(host_name(domain), "{domain} is no host name");
        }
        assert_eq!(default_domain(&[], &[]), None);
    }

    #[test]
    fn an_address_is_made_like_one() {
        for (text, good) in [
            ("ops@example.com", true),
            ("a.b+c@x.example", true),
            ("ops", false),
            ("@x.example", false),
            ("a@b", false),
            ("a b@x.example", false),
        ] {
            assert_eq!(email(text).is_ok(), good, "{text}");
        }
    }
}
