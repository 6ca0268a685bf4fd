//! YAML text of a cloud-config: the same bytes every time, readable, and read alike by YAML 1.2 (ours) and 1.1 (cloud-init's `PyYAML`).
//! May not know what the keys mean.

use std::fmt::Write as _;

use serde_yaml::{Mapping, Value};

/// A document, with a comment above some of its top-level keys. A key is a line of its own, indentation is two.
pub fn document(mapping: &Mapping, comment: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut text = String::new();
    for (key, value) in mapping {
        for line in key.as_str().and_then(&comment).into_iter().flat_map(str::lines) {
            let _infallible = writeln!(text, "# {line}");
        }
        member(key, value, 0, &mut text);
    }
    text
}

/// `key: value`, from the beginning of the key to the line feed after the value.
fn member(key: &Value, value: &Value, indent: usize, text: &mut String) {
    text.push_str(&scalar(key));
    text.push(':');
    match value {
        Value::Mapping(mapping) if !mapping.is_empty() => {
            text.push('\n');
            members(mapping, indent + 2, true, text);
        }
        Value::Sequence(items) if !items.is_empty() => {
            text.push('\n');
            sequence(items, indent, text);
        }
        Value::String(lines) if is_literal(lines) => {
            text.push(' ');
            literal(lines, indent + 2, text);
        }
        _ => {
            let _infallible = writeln!(text, " {}", scalar(value));
        }
    }
}

fn members(mapping: &Mapping, indent: usize, mut fresh_line: bool, text: &mut String) {
    for (key, value) in mapping {
        if fresh_line {
            text.extend(std::iter::repeat_n(' ', indent));
        }
        member(key, value, indent, text);
        fresh_line = true;
    }
}

fn sequence(items: &[Value], indent: usize, text: &mut String) {
    for item in items {
        text.extend(std::iter::repeat_n(' ', indent));
        text.push_str("- ");
        match item {
            Value::Mapping(mapping) if !mapping.is_empty() => members(mapping, indent + 2, false, text),
            Value::String(lines) if is_literal(lines) => literal(lines, indent + 2, text),
            Value::Sequence(inner) if !inner.is_empty() => {
                if let Some(line) = flow(inner) {
                    text.push_str(&line);
                } else {
                    text.push('\n');
                    sequence(inner, indent + 2, text);
                }
            }
            _ => {
                let _infallible = writeln!(text, "{}", scalar(item));
            }
        }
    }
}

/// A command: a list within a list, on one line when it is short.
fn flow(items: &[Value]) -> Option<String> {
    let plain = items.iter().all(|item| !matches!(item, Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_)));
    let words: Vec<_> = items.iter().map(scalar).collect();
    let line = format!("[{}]\n", words.join(", "));
    (plain && line.len() <= 120).then_some(line)
}

/// One line, whatever it is. Empty collections are scalars here.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            // PyYAML takes a number for a fraction only with a point in it.
            Some(fraction) if fraction.is_finite() && fraction.fract() == 0.0 => format!("{fraction:.1}"),
            Some(fraction) if fraction.is_finite() => fraction.to_string(),
            _ => number.to_string(),
        },
        Value::String(text) if is_plain(text) => text.clone(),
        Value::String(text) => quoted(text),
        Value::Sequence(_) => "[]".to_owned(),
        Value::Mapping(_) => "{}".to_owned(),
        Value::Tagged(tagged) => scalar(&tagged.value), // the site's reader makes none
    }
}

/// Words that YAML 1.1 reads as something else than text (yaml.org/type/bool.html and null.html).
fn is_word_of_yaml_1_1(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&text.to_ascii_lowercase().as_str())
}

/// Whether the text needs no quotes in either version of YAML, in block and in flow.
fn is_plain(text: &str) -> bool {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '/';
    let goes_on = |c: char| c.is_ascii_alphanumeric() || "/_.+-:@%=".contains(c);
    let option = text.strip_prefix("--").or(text.strip_prefix('-')).unwrap_or(text);
    option.starts_with(begins) && text.chars().all(goes_on) && !text.ends_with(':') && !is_word_of_yaml_1_1(text)
}

/// Characters that both readers take as they are (the reader and scanner of `PyYAML`; YAML 1.1 sections 4.1.1 and 4.1.4).
fn is_printable(c: char) -> bool {
    matches!(c, '\t' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Whether the text can stand as a block of lines.
fn is_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| c == '\n' || is_printable(c))
        && text.split('\n').all(|line| !line.ends_with([' ', '\t']))
}

fn literal(lines: &str, indent: usize, text: &mut String) {
    text.push_str(match lines {
        _ if lines.ends_with("\n\n") => "|+\n",
        _ if lines.ends_with('\n') => "|\n",
        _ => "|-\n",
    });
    for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n') {
        text.extend(std::iter::repeat_n(' ', if line.is_empty() { 0 } else { indent }));
        text.push_str(line);
        text.push('\n');
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        let _infallible = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            '\n' => write!(quoted, "\\n"),
            '\t' => write!(quoted, "\\t"),
            '\r' => write!(quoted, "\\r"),
            c if is_printable(c) => write!(quoted, "{c}"),
            c => write!(quoted, "\\U{:08x}", u32::from(c)),
        };
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(yaml: &str) -> String {
        document(&serde_yaml::from_str(yaml).unwrap(), |_| None)
    }

    #[test]
    fn a_cloud_config_is_written_as_a_person_would() {
        let text = "datasource:\n  Ec2:\n    strict_id: false\nwrite_files:\n- path: /etc/motd\n  permissions: \"0644\"\n  content: |\n    one\n\n    \ttwo\nruncmd:\n- [systemctl, start, --no-block, anymetal.service]\n- echo \"$HOME\"\nempty: {}\n";
        let expected = text.replace("- echo \"$HOME\"", "- \"echo \\\"$HOME\\\"\"");
        assert_eq!(written(text), expected);
    }

    #[test]
    fn a_comment_stands_above_its_key() {
        let mapping = serde_yaml::from_str("a: 1\nb: 2\n").unwrap();
        assert_eq!(document(&mapping, |key| (key == "b").then_some("one\ntwo")), "a: 1\n# one\n# two\nb: 2\n");
    }

    #[test]
    fn what_yaml_1_1_would_take_for_something_else_is_quoted() {
        for text in [
            "yes",
            "No",
            "OFF",
            "y",
            "~",
            "null",
            "12:30:45",
            "0644",
            "1_000",
            "2026-11-22",
            "0x10",
            "=",
            "<<",
            "",
            "1e3",
            "-",
            "a: b",
            "#a",
            "a:",
        ] {
            assert_eq!(written(&format!("k: '{text}'")), format!("k: \"{text}\"\n"));
        }
    }

    #[test]
    fn lines_keep_their_last_line_feeds() {
        for (end, mark) in [("", "|-"), ("\n", "|"), ("\n\n", "|+")] {
            let mapping = Mapping::from_iter([("k".into(), format!("one\n  two{end}").into()), ("l".into(), 1.into())]);
            let text = document(&mapping, |_| None);
            assert!(text.starts_with(&format!("k: {mark}\n  one\n    two\n")), "{text}");
            assert_eq!(serde_yaml::from_str::<Mapping>(&text).unwrap(), mapping);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[ -~\n\t]{0,20}", "\\PC{0,8}", any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..4).prop_map(|members| Value::Mapping(
                    members.into_iter().map(|(k, v)| (Value::from(k), v)).collect()
                )),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in value()) {
            let mapping = Mapping::from_iter([(Value::from("k"), value)]);
            let text = document(&mapping, |_| None);
            prop_assert_eq!(serde_yaml::from_str::<Mapping>(&text).unwrap(), mapping, "{}", text);
        }
    }
}
