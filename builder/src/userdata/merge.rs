//! Our cloud-config and the operator's own, merged by keys: mappings are merged, lists of the same key are joined (ours first, then the parts in
//! the order of the site), equal values are one. Nothing is dropped: what cannot be merged is named with both origins.

use std::collections::BTreeMap;

use serde_yaml::{Mapping, Value};

use super::rules;
use crate::site::model::Extra;

/// How our own part is called in messages.
const OURS: &str = "anymetal";

/// The merged document, or everything that stands against it, each with its origin. Our `runcmd` goes first because it never waits: a command of
/// the operator's that hangs or fails cannot keep the node from coming up. What must happen before belongs into `bootcmd`.
pub fn all(ours: Mapping, parts: &[Extra]) -> Result<Mapping, Vec<String>> {
    let mut against = Vec::new();
    let mut merged = Merged { origins: ours.keys().map(|key| (word(key), OURS.to_owned())).collect(), document: ours };
    for part in parts {
        let mut say = |what: String| against.push(format!("{}: {what}", part.origin));
        rules::part(&part.document).into_iter().for_each(&mut say);
        merged.add(part, &mut say);
    }
    if against.is_empty() { Ok(merged.document) } else { Err(against) }
}

/// Returns what `whole` has beyond `ours`: further keys, further members of mappings, further items of lists, in their order. What is ours and
/// is not there, or has another value, is passed over.
pub fn beyond(whole: &Mapping, ours: &Mapping) -> Mapping {
    let mut more = Mapping::new();
    for (key, value) in whole {
        let rest = match (ours.get(key), value) {
            (Some(Value::Mapping(ours)), Value::Mapping(whole)) => Value::Mapping(beyond(whole, ours)),
            (Some(Value::Sequence(ours)), Value::Sequence(whole)) => {
                let mut ours = ours.clone();
                let mut stays = |item: &Value| {
                    let at = ours.iter().position(|other| other == item);
                    at.map(|at| ours.remove(at)).is_none()
                };
                Value::Sequence(whole.iter().filter(|item| stays(item)).cloned().collect())
            }
            (Some(ours), value) if ours == value => continue,
            (_, value) => value.clone(),
        };
        let empty = match &rest {
            Value::Mapping(rest) => rest.is_empty() && ours.contains_key(key),
            Value::Sequence(rest) => rest.is_empty() && ours.contains_key(key),
            _ => false,
        };
        if !empty {
            more.insert(key.clone(), rest);
        }
    }
    more
}

struct Merged {
    document: Mapping,
    /// Who said the value at a path first; a path is keys joined by dots.
    origins: BTreeMap<String, String>,
}

impl Merged {
    fn add(&mut self, part: &Extra, say: &mut impl FnMut(String)) {
        let Self { document, origins } = self;
        into(document, &part.document, "", &part.origin, origins, say);
    }
}

fn into(
    document: &mut Mapping,
    part: &Mapping,
    above: &str,
    origin: &str,
    origins: &mut BTreeMap<String, String>,
    say: &mut impl FnMut(String),
) {
    for (key, value) in part {
        let path = if above.is_empty() { word(key) } else { format!("{above}.{}", word(key)) };
        match (document.get_mut(key), value) {
            (None, _) => {
                document.insert(key.clone(), value.clone());
                origins.insert(path, origin.to_owned());
            }
            (Some(Value::Mapping(there)), Value::Mapping(more)) => into(there, more, &path, origin, origins, say),
            (Some(Value::Sequence(there)), Value::Sequence(more)) => there.extend(more.iter().cloned()),
            (Some(there), _) if *there == *value => {}
            (Some(there), _) => {
                say(format!("`{path}` is {}, but {} has {}", shape(value), first(&path, origins), shape(there)));
            }
        }
    }
}

/// Who said what is at this path: of the path itself, or of what it lies in.
fn first<'a>(path: &str, origins: &'a BTreeMap<String, String>) -> &'a str {
    let mut path = path;
    loop {
        if let Some(origin) = origins.get(path) {
            return origin;
        }
        let Some((above, _)) = path.rsplit_once('.') else { return OURS };
        path = above;
    }
}

fn word(key: &Value) -> String {
    key.as_str().map_or_else(|| serde_yaml::to_string(key).unwrap_or_default().trim_end().to_owned(), ToOwned::to_owned)
}

/// A value as a message shows it: what it is, and a short one itself.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "empty".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        Value::String(text) if text.chars().count() > 40 => "another text".to_owned(),
        Value::String(text) => format!("{text:?}"),
        other => word(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(yaml: &str) -> Mapping {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn merged(parts: &[&str]) -> Result<Mapping, Vec<String>> {
        let ours = mapping(
            "datasource: {Ec2: {strict_id: false}}\nwrite_files: [{path: /etc/anymetal/plan.json}]\nruncmd: [sync]\n",
        );
        let part =
            |(place, yaml): (usize, &&str)| Extra { origin: format!("cloud_config[{place}]"), document: mapping(yaml) };
        all(ours, &parts.iter().enumerate().map(part).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_beyond_ours_is_what_was_merged_in() {
        let ours = mapping("datasource: {Ec2: {strict_id: false}}\nruncmd: [sync, go]\n");
        for (whole, more) in [
            ("datasource: {Ec2: {strict_id: false}}\nruncmd: [sync, go]\n", "{}"),
            (
                "datasource: {Ec2: {strict_id: false, timeout: 5}}\nruncmd: [sync, go, sync, a]\nb: {}\n",
                "datasource: {Ec2: {timeout: 5}}\nruncmd: [sync, a]\nb: {}\n",
            ),
            (
                "datasource: {Ec2: {strict_id: true}}\nruncmd: [a, sync, go]\n",
                "datasource: {Ec2: {strict_id: true}}\nruncmd: [a]\n",
            ),
            ("runcmd: evil\n", "runcmd: evil\n"),
        ] {
            assert_eq!(beyond(&mapping(whole), &ours), mapping(more), "{whole}");
        }
    }

    #[test]
    fn lists_are_joined_ours_first_and_mappings_merged() {
        let both = merged(&[
            "runcmd: [a]\npackages: [x]\ndatasource: {Ec2: {timeout: 5}}\n",
            "packages: [y]\nruncmd: [b]\ndatasource: {Ec2: {timeout: 5}}\n",
        ]);
        let expected = mapping(
            "datasource: {Ec2: {strict_id: false, timeout: 5}}\nwrite_files: [{path: /etc/anymetal/plan.json}]\nruncmd: [sync, a, b]\npackages: [x, y]\n",
        );
        assert_eq!(both.unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_merged_is_named_with_both_origins_all_at_once() {
        let against = merged(&[
            "timezone: UTC\nntp: {pools: [a]}\nruncmd: {a: 1}\n",
            "timezone: CET\nntp: {pools: b}\ndatasource: {Ec2: {strict_id: true}}\n",
        ]);
        assert_eq!(
            against.unwrap_err(),
            [
                "cloud_config[0]: `runcmd` is a mapping, but anymetal has a list",
                "cloud_config[1]: `timezone` is \"CET\", but cloud_config[0] has \"UTC\"",
                "cloud_config[1]: `ntp.pools` is \"b\", but cloud_config[0] has a list",
                "cloud_config[1]: `datasource.Ec2.strict_id` is true, but anymetal has false",
            ]
        );
    }

    #[test]
    fn a_rule_that_a_part_breaks_is_named_with_the_part() {
        let against = merged(&["packages: [x]\n", "phone_home: {url: http://x/}\n"]).unwrap_err();
        assert!(
            against.len() == 1 && against[0].starts_with("cloud_config[1]: there is a `phone_home` key"),
            "{against:?}"
        );
    }
}
