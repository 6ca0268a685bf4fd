//! Rules of routers: `` Host(`a`) `` and `` PathPrefix(`/x`) ``, joined by `||` and `&&`, grouped by parentheses.
//! May not know routers: it is given a host and a path.

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    Host(String),
    PathPrefix(String),
    Either(Box<Rule>, Box<Rule>),
    Both(Box<Rule>, Box<Rule>),
}

impl Rule {
    /// Whether a request is meant. Hosts are compared without case and port.
    pub fn fits(&self, host: &str, path: &str) -> bool {
        match self {
            Self::Host(wanted) => bare(host).eq_ignore_ascii_case(wanted),
            Self::PathPrefix(front) => path.starts_with(front.as_str()),
            Self::Either(one, other) => one.fits(host, path) || other.fits(host, path),
            Self::Both(one, other) => one.fits(host, path) && other.fits(host, path),
        }
    }
}

fn bare(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Reads a rule.
pub fn parse(text: &str) -> Result<Rule, String> {
    let mut rest = text.trim();
    let rule = either(&mut rest)?;
    if rest.is_empty() { Ok(rule) } else { Err(format!("error while parsing rule {text}: unexpected {rest:?}")) }
}

fn either(rest: &mut &str) -> Result<Rule, String> {
    let mut rule = both(rest)?;
    while let Some(after) = rest.strip_prefix("||") {
        *rest = after.trim_start();
        rule = Rule::Either(Box::new(rule), Box::new(both(rest)?));
    }
    Ok(rule)
}

fn both(rest: &mut &str) -> Result<Rule, String> {
    let mut rule = one(rest)?;
    while let Some(after) = rest.strip_prefix("&&") {
        *rest = after.trim_start();
        rule = Rule::Both(Box::new(rule), Box::new(one(rest)?));
    }
    Ok(rule)
}

fn one(rest: &mut &str) -> Result<Rule, String> {
    if let Some(after) = rest.strip_prefix('(') {
        *rest = after.trim_start();
        let rule = either(rest)?;
        *rest = rest.strip_prefix(')').ok_or("missing )")?.trim_start();
        return Ok(rule);
    }
    let (name, after) = rest.split_once('(').ok_or_else(|| format!("no matcher in {rest:?}"))?;
    let make: fn(String) -> Rule = match name.trim() {
        "Host" => Rule::Host,
        "PathPrefix" => Rule::PathPrefix,
        other => return Err(format!("the double knows Host and PathPrefix, not {other}")),
    };
    let mut found: Option<Rule> = None;
    let mut after = after.trim_start();
    loop {
        let mark = after.chars().next().filter(|c| matches!(c, '`' | '"')).ok_or("an argument without quotes")?;
        let (value, more) = after[1..].split_once(mark).ok_or("an argument without an end")?;
        let next = make(value.to_owned());
        // Several arguments mean any of them, which version 3 no longer allows.
        found = Some(match found {
            None => next,
            Some(before) => Rule::Either(Box::new(before), Box::new(next)),
        });
        after = more.trim_start();
        match after.strip_prefix(',') {
            Some(more) => after = more.trim_start(),
            None => break,
        }
    }
    *rest = after.strip_prefix(')').ok_or("missing )")?.trim_start();
    found.ok_or_else(|| "a matcher without an argument".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_several_hosts_fits() {
        let rule = parse("Host(`hippo.a`) || Host(`hippo.b`)").unwrap();
        assert!(rule.fits("HIPPO.b:80", "/") && rule.fits("hippo.a", "/"));
        assert!(!rule.fits("hippo.c", "/") && !rule.fits("", "/"));
    }

    #[test]
    fn both_binds_tighter_and_parentheses_tightest() {
        let loose = parse("Host(`a`) || Host(`b`) && PathPrefix(`/v1`)").unwrap();
        assert!(loose.fits("a", "/") && !loose.fits("b", "/") && loose.fits("b", "/v1/x"));
        let tight = parse("(Host(`a`) || Host(`b`)) && PathPrefix(`/v1`)").unwrap();
        assert!(!tight.fits("a", "/") && tight.fits("a", "/v1"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "Host()", "Host(`a`", "Host(`a`) Host(`b`)", "HostRegexp(`a`)"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
