//! `hippo`, `reports`, `origins`, `deadlines`.
//! May not hold a secret: passwords and keys are another document's.

use std::collections::BTreeMap;

use anymetal_contract::Phase;
use anymetal_contract::plan::Report;

use crate::site::diagnostic::{Complaint, Findings, quoted};
use crate::site::fields::{self, Fields};
use crate::site::model::{Hippo, Registration};
use crate::site::name;
use crate::site::url::{self, Use};
use crate::site::yaml::{Kind, Node, Scalar};

/// The name Hippo's administrator has when the site gives none.
const ADMINISTRATOR: &str = "admin";
/// The longest deadline, in seconds: a week. Whoever waits longer is not waiting for a boot.
const LONGEST: u32 = 7 * 24 * 3600;

/// `hippo`.
pub(super) fn hippo(node: Option<&Node>, findings: &mut Findings) -> Hippo {
    let mut hippo = Hippo { registration: Registration::AdministratorOnly, administrator: ADMINISTRATOR.to_owned() };
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "hippo", "hippo: {administrator: admin}", findings))
    else {
        return hippo;
    };
    let words = [
        ("administrator-only", Registration::AdministratorOnly),
        ("closed", Registration::Closed),
        ("open", Registration::Open),
    ];
    let aliases = [
        ("AdministratorOnly", "administrator-only"),
        ("admin", "administrator-only"),
        ("admin-only", "administrator-only"),
        ("none", "closed"),
        ("no", "closed"),
        ("off", "closed"),
        ("false", "closed"),
    ];
    if let Some(node) = fields.take("registration", findings)
        && let Some(registration) = fields::word(node, "`hippo.registration`", &words, &aliases, findings)
    {
        if registration == Registration::Open {
            let what =
                "with open registration anybody who reaches the address makes an account and runs code on the nodes";
            findings.warning(node.at, what, "write `registration: administrator-only` unless that is what you want");
        }
        hippo.registration = registration;
    }
    if let Some(node) = fields.take("administrator", findings)
        && let Some(text) = fields::text(node, "`hippo.administrator`", findings)
        && let Some(name) = findings.keep(node.at, name::administrator(text))
    {
        hippo.administrator = name;
    }
    fields.end(&super::HOMES, findings);
    hippo
}

/// `reports`; the platform alone when nothing is said.
pub(super) fn reports(node: Option<&Node>, findings: &mut Findings) -> Vec<Report> {
    let Some(node) = node else { return vec![Report::Platform] };
    let Some(items) = fields::list(node, "reports", "reports: [platform]", findings) else { return Vec::new() };
    let mut reports = Vec::new();
    let mut marks = Vec::new();
    for item in items {
        let Some(report) = report(item, findings) else { continue };
        if let Some(first) = reports.iter().position(|other| *other == report) {
            findings.mistake(
                item.at,
                format!("this report is given twice, first at {}", marks[first]),
                "keep one of them",
            );
            continue;
        }
        reports.push(report);
        marks.push(item.at);
    }
    reports
}

fn report(item: &Node, findings: &mut Findings) -> Option<Report> {
    let pasted = match &item.kind {
        Kind::Scalar(Scalar { text, .. }) => text.contains("://"),
        Kind::Mapping(entries) => entries.iter().any(|(key, _)| key.scalar.text == "webhook"),
        Kind::Sequence(_) => false,
    };
    if pasted {
        // not repeated: there may be a token in it
        let hint = "write `webhook` alone here, and the URL as `webhook` of the secrets: a text, `{env: NAME}` or `{file: PATH}`";
        findings.mistake(
            item.at,
            "the URL of a webhook is a secret, and what stands in a site everybody may read",
            hint,
        );
        return None;
    }
    match &item.kind {
        Kind::Scalar(_) => fields::word(
            item,
            "a report",
            &[("platform", Report::Platform), ("webhook", Report::Webhook)],
            &[],
            findings,
        ),
        Kind::Mapping(_) | Kind::Sequence(_) => {
            fields::wrong(item, "a report", "a word", "write `platform` or `webhook`", findings);
            None
        }
    }
}

/// A list of URLs, none twice.
pub(super) fn urls(node: Option<&Node>, name: &str, purpose: Use, findings: &mut Findings) -> Vec<String> {
    let key = name.rsplit('.').next().unwrap_or(name);
    let example = format!("{key}: [https://mirror.example/anymetal]");
    let Some(items) = node.and_then(|node| fields::list(node, name, &example, findings)) else { return Vec::new() };
    let mut seen = BTreeMap::new();
    let mut urls = Vec::new();
    for item in items {
        let Some(text) = fields::text(item, "a URL", findings) else { continue };
        let Some(url) = findings.keep(item.at, url::url(text, purpose)) else { continue };
        url::doubt(&url, item.at, findings);
        if let Some(first) = seen.insert(url.clone(), item.at) {
            findings.mistake(item.at, format!("{} is given twice, first at {first}", quoted(&url)), "keep one of them");
            continue;
        }
        urls.push(url);
    }
    urls
}

/// `deadlines`: seconds by phase.
pub(super) fn deadlines(node: Option<&Node>, findings: &mut Findings) -> BTreeMap<Phase, u32> {
    let mut deadlines = BTreeMap::new();
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "deadlines", "deadlines: {metadata: 15m}", findings))
    else {
        return deadlines;
    };
    for phase in Phase::ALL {
        let Some(node) = fields.take(phase.id(), findings) else { continue };
        let Some(text) = fields::text(node, &format!("`deadlines.{phase}`"), findings) else { continue };
        if let Some(seconds) = findings.keep(node.at, duration(text)) {
            deadlines.insert(phase, seconds);
        }
    }
    fields.end(&[], findings);
    deadlines
}

/// Seconds, alone or as hours, minutes and seconds in this order: `900`, `15m`, `1h30m`.
fn duration(text: &str) -> Result<u32, Complaint> {
    let wrong = |hint: &str| Err(Complaint::new(format!("{} is not a deadline", quoted(text)), hint));
    let form = "write seconds, or a text like `90s`, `15m` or `1h30m`";
    let mut total: u64 = 0;
    let mut rest = text;
    let mut smallest = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let Ok(number) = rest[..digits].parse::<u64>() else { return wrong(form) };
        let unit = match rest[digits..].chars().next() {
            None if smallest == u64::MAX && (digits == 1 || !rest.starts_with('0')) => 1,
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            _ => return wrong(form),
        };
        if unit >= smallest {
            return wrong(form);
        }
        smallest = unit;
        total = total.saturating_add(number.saturating_mul(unit));
        rest = rest.get(digits + 1..).unwrap_or_default();
    }
    match u32::try_from(total) {
        Ok(seconds) if (1..=LONGEST).contains(&seconds) => Ok(seconds),
        _ => wrong("it lies between one second and seven days (`168h`)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_seconds_or_a_short_text() {
        let form = "write seconds, or a text like `90s`, `15m` or `1h30m`";
        let range = "it lies between one second and seven days (`168h`)";
        for (text, expected) in [
            ("900", Ok(900)),
            ("1", Ok(1)),
            ("90s", Ok(90)),
            ("15m", Ok(900)),
            ("1h30m", Ok(5400)),
            ("1h0m5s", Ok(3605)),
            ("168h", Ok(604_800)),
            ("168h1s", Err(range)),
            ("0", Err(range)),
            ("0s", Err(range)),
            ("99999999999999999h", Err(range)),
            ("99999999999999999999h", Err(form)),
            ("-5", Err(form)),
            ("0900", Err(form)),
            ("15", Ok(15)),
            ("15 m", Err(form)),
            ("15min", Err(form)),
            ("5s1m", Err(form)),
            ("1m1m", Err(form)),
            ("1h30", Err(form)),
            ("1.5h", Err(form)),
            ("soon", Err(form)),
            ("5é", Err(form)),
        ] {
            assert_eq!(duration(text).as_ref().map_err(|c| c.hint.as_str()).copied(), expected, "{text}");
        }
    }
}
