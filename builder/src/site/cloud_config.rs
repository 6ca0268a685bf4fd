//! The operator's own cloud-config: nodes to values, read as cloud-init will read them.
//! May not judge the keys, nor merge them: the user-data does.
//!
//! cloud-init reads YAML 1.1 with `PyYAML`'s safe loader, where `no` is false, `0644` is octal and `22:30` is a number to the base of 60.
//! The same text must mean the same after it went through here.

use std::fmt::Display;
use std::path::Path;

use serde_yaml::{Mapping, Number, Value};

use super::cloud_init;
use super::diagnostic::{Findings, Mark, quoted};
use super::text;
use super::yaml::lookalikes::{self, Strictness};
use super::yaml::{self, Kind, Node, Scalar};

/// The first line cloud-init asks for.
const FIRST_LINE: &str = "#cloud-config";

/// A file's bytes as a cloud-config.
pub(super) fn document(bytes: &[u8], findings: &mut Findings) -> Option<Mapping> {
    let text = text::decode(bytes, findings)?;
    if text.lines().next().unwrap_or_default().trim_end() != FIRST_LINE {
        let what = format!("not a cloud-config: the first line is not `{FIRST_LINE}`");
        findings.mistake(
            Mark::START,
            what,
            "only cloud-config is merged: put scripts into its `runcmd` or `write_files`",
        );
        return None;
    }
    lookalikes::refuse(text, Strictness::Anybodys, findings)?;
    keys(&yaml::parse(text, findings)?, findings)
}

/// A mapping of keys as a cloud-config.
pub(super) fn keys(node: &Node, findings: &mut Findings) -> Option<Mapping> {
    cloud_init::judge(node, findings);
    match value(node, findings) {
        Value::Mapping(mut keys) if !keys.is_empty() => {
            // how to merge is not up to a part
            keys.remove("merge_how");
            keys.remove("merge_type");
            Some(keys)
        }
        Value::Mapping(_) => {
            findings.mistake(node.at, "a cloud-config without keys", "give it some, or remove it");
            None
        }
        _ => {
            findings.mistake(node.at, "a cloud-config must be a mapping of keys", "write it like `packages: [jq]`");
            None
        }
    }
}

/// The node as a value. The tree is at most [`yaml::DEPTH`] deep.
fn value(node: &Node, findings: &mut Findings) -> Value {
    match &node.kind {
        Kind::Scalar(written) => scalar(written, node.at, findings),
        Kind::Sequence(items) => Value::Sequence(items.iter().map(|item| value(item, findings)).collect()),
        Kind::Mapping(entries) => Value::Mapping(
            entries.iter().map(|(key, item)| (scalar(&key.scalar, key.at, findings), value(item, findings))).collect(),
        ),
    }
}

/// The scalar as `PyYAML`'s safe loader resolves it, whatever is to be said of it.
pub(super) fn resolved(written: &Scalar) -> Value {
    scalar(written, Mark::START, &mut Findings::of(Path::new("")))
}

/// The scalar as `PyYAML`'s safe loader resolves it. Dates stay text: cloud-init has no use for any other.
fn scalar(Scalar { text, plain }: &Scalar, at: Mark, findings: &mut Findings) -> Value {
    if !plain {
        return Value::String(text.clone());
    }
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    match integer(text) {
        Some(Integer::Plain(number)) => Value::Number(number),
        Some(Integer::Sexagesimal(number)) => {
            sexagesimal(at, text, &number, findings);
            Value::Number(number)
        }
        Some(Integer::TooLarge) => {
            let what = format!("the number {} is too large", quoted(text));
            findings.mistake(at, what, "put it between quotes if it is text");
            Value::Null
        }
        None => match (float(text), sexagesimal_float(text)) {
            (Some(number), _) => Value::Number(number.into()),
            (None, Some(number)) => {
                sexagesimal(at, text, &number, findings);
                Value::Number(number.into())
            }
            (None, None) => Value::String(text.clone()),
        },
    }
}

/// Says that a number is read to the base of 60.
fn sexagesimal(at: Mark, text: &str, number: &dyn Display, findings: &mut Findings) {
    let what = format!("cloud-init reads {} as {number}, a number to the base of 60", quoted(text));
    findings.warning(at, what, "put it between quotes if it is a time, a port mapping or an address");
}

#[derive(Debug, PartialEq)]
enum Integer {
    Plain(Number),
    Sexagesimal(Number),
    TooLarge,
}

/// YAML 1.1's integers as `PyYAML`'s resolver has them: binary, octal, decimal, hexadecimal and sexagesimal, with underscores.
fn integer(text: &str) -> Option<Integer> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let begins = digits.bytes().next()?;
    let sexagesimal = digits.contains(':');
    let magnitude = if let Some(binary) = digits.strip_prefix("0b") {
        based(binary, 2)
    } else if let Some(hexadecimal) = digits.strip_prefix("0x") {
        based(hexadecimal, 16)
    } else if digits == "0" {
        Some(0)
    } else if begins == b'0' {
        based(&digits[1..], 8)
    } else if !begins.is_ascii_digit() {
        None
    } else if sexagesimal {
        sexagesimals(digits)
    } else {
        based(digits, 10)
    }?;
    let signed = if negative { -magnitude } else { magnitude };
    let number = u64::try_from(signed).map(Number::from).or_else(|_| i64::try_from(signed).map(Number::from));
    Some(match number {
        Err(_) => Integer::TooLarge,
        Ok(number) if sexagesimal => Integer::Sexagesimal(number),
        Ok(number) => Integer::Plain(number),
    })
}

/// Digits of that base, with underscores. What does not fit stays at the largest, which is too large for anybody.
fn based(digits: &str, radix: u32) -> Option<i128> {
    let values: Option<Vec<u32>> = digits.chars().filter(|c| *c != '_').map(|c| c.to_digit(radix)).collect();
    let values = values.filter(|values| !values.is_empty())?;
    Some(
        values
            .into_iter()
            .fold(0, |total: i128, digit| total.saturating_mul(radix.into()).saturating_add(digit.into())),
    )
}

/// `22:30` and the like: one number, then parts of one or two digits below sixty.
fn sexagesimals(digits: &str) -> Option<i128> {
    let mut parts = digits.split(':');
    let mut total = based(parts.next()?, 10)?;
    for part in parts {
        let short = matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit());
        let value: i128 = part.parse().ok().filter(|value| short && *value < 60)?;
        total = total.saturating_mul(60).saturating_add(value);
    }
    Some(total)
}

/// `1:30.5` and the like, with a fraction behind the last part: `[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*` of `PyYAML`'s resolver.
fn sexagesimal_float(text: &str) -> Option<f64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = unsigned.split_once('.')?;
    let begins = whole.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    if !begins || !whole.contains(':') || !fraction.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return None;
    }
    let whole = i32::try_from(sexagesimals(whole)?).ok()?;
    let fraction: f64 = format!("0.{}", fraction.replace('_', "")).parse().ok()?;
    let number = f64::from(whole) + fraction;
    Some(if negative { -number } else { number })
}

/// YAML 1.1's floats as `PyYAML`'s resolver has them: a dot is needed, and an exponent needs its sign.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(f64::NAN),
        _ => {}
    }
    let (whole, rest) = unsigned.split_once('.')?;
    let (fraction, exponent) = match rest.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (rest, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let begins = |part: &str| part.bytes().next().is_some_and(|b| b.is_ascii_digit());
    let mantissa = if whole.is_empty() { unsigned == text && begins(fraction) } else { begins(whole) };
    let exponent = exponent.is_none_or(|exponent| {
        exponent
            .strip_prefix(['-', '+'])
            .is_some_and(|digits| begins(digits) && digits.bytes().all(|b| b.is_ascii_digit()))
    });
    if !(mantissa && exponent && digits(whole) && digits(fraction)) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Value {
        let scalar = Scalar { text: text.to_owned(), plain: true };
        super::scalar(&scalar, Mark::START, &mut Findings::of(Path::new("s")))
    }

    /// The right column is what `yaml.safe_load` of `PyYAML` gives (6.0.3).
    #[test]
    fn scalars_are_what_cloud_init_takes_them_for() {
        for (text, expected) in [
            ("no", Value::Bool(false)),
            ("On", Value::Bool(true)),
            ("y", "y".into()),
            ("~", Value::Null),
            ("", Value::Null),
            ("0644", 420.into()),
            ("0o644", "0o644".into()),
            ("08", "08".into()),
            ("1_000", 1000.into()),
            ("0x1F", 31.into()),
            ("0b101", 5.into()),
            ("-17", (-17).into()),
            ("+5", 5.into()),
            ("22:30", 1350.into()),
            ("1:2:3", 3723.into()),
            ("1:30.5", 90.5.into()),
            ("-1:30.5", (-90.5).into()),
            ("1:30.", 90.0.into()),
            ("1:60.5", "1:60.5".into()),
            (":30.5", ":30.5".into()),
            ("22:80", "22:80".into()),
            ("08:30", "08:30".into()),
            ("1.10", 1.1.into()),
            ("1.", 1.0.into()),
            (".5", 0.5.into()),
            ("-.5", "-.5".into()),
            ("1e3", "1e3".into()),
            ("1.0e3", "1.0e3".into()),
            ("1.0e+3", 1000.0.into()),
            ("1.2.3", "1.2.3".into()),
            ("192.0.2.1", "192.0.2.1".into()),
            (".inf", f64::INFINITY.into()),
            ("2032-09-01", "2032-09-01".into()),
            ("18446744073709551615", u64::MAX.into()),
            ("-9223372036854775808", i64::MIN.into()),
            ("text", "text".into()),
        ] {
            assert_eq!(plain(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_that_change_on_the_way_are_said() {
        for (text, expected) in [
            (
                &b"#cloud-config\na: 18446744073709551616\n"[..],
                "s:2:4: the number `18446744073709551616` is too large; hint: put it between quotes if it is text",
            ),
            (
                b"#cloud-config\na: 22:30\n",
                "s:2:4: warning: cloud-init reads `22:30` as 1350, a number to the base of 60; hint: put it between quotes if it is a time, a port mapping or an address",
            ),
        ] {
            let mut findings = Findings::of(Path::new("s"));
            document(text, &mut findings);
            assert_eq!(findings.sorted().iter().map(ToString::to_string).collect::<String>(), expected);
        }
    }

    #[test]
    fn quoted_scalars_are_text() {
        let scalar = Scalar { text: "0644".into(), plain: false };
        assert_eq!(super::scalar(&scalar, Mark::START, &mut Findings::of(Path::new("s"))), Value::from("0644"));
    }

    #[test]
    fn a_document_is_what_cloud_init_would_accept() {
        for (bytes, expected) in [
            (&b"#cloud-config\npackages: [jq]\n"[..], Ok("packages:\n- jq\n".to_owned())),
            (b"#cloud-config\r\nntp: {enabled: no}\r\n", Ok("ntp:\n  enabled: false\n".to_owned())),
            (
                b"#!/bin/sh\necho\n",
                Err("s:1:1: not a cloud-config: the first line is not `#cloud-config`; hint: only cloud-config is merged: put scripts into its `runcmd` or `write_files`".to_owned()),
            ),
            (b"#cloud-config\n- a\n", Err("s:2:1: a cloud-config must be a mapping of keys; hint: write it like `packages: [jq]`".to_owned())),
            (b"#cloud-config\n{}\n", Err("s:2:1: a cloud-config without keys; hint: give it some, or remove it".to_owned())),
        ] {
            let mut findings = Findings::of(Path::new("s"));
            let read = document(bytes, &mut findings).map(|keys| serde_yaml::to_string(&keys).unwrap());
            assert_eq!(read.ok_or_else(|| findings.sorted().iter().map(ToString::to_string).collect()), expected);
        }
    }
}
