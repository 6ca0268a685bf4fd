//! What may not stand in a user-data, whoever wrote it: judged over the final text, and over each of the operator's parts so that the part
//! can be named. May not mend anything.

use std::path::{Component, Path, PathBuf};

use anymetal_contract::place;
use serde_yaml::{Mapping, Value};

/// The first line, and nothing but a line feed behind it: platforms that check it check exactly this.
pub const FIRST_LINE: &str = "#cloud-config\n";

/// Words that Equinix Metal's installer (osie.sh) looks for anywhere in the raw text, comments included, to install another image.
const TOKENS: [&str; 4] = ["image_repo=", "image_tag=", "image_uri=", "cpr_url="];

/// Folders that belong to anymetal on a node; nothing of the operator's may be written there.
const OURS: [&str; 3] = ["/etc/anymetal", place::OPT, place::STATE];

/// Every rule that the final text breaks; `intended` is the document it was written from.
pub fn text(text: &str, intended: &Mapping) -> Vec<String> {
    let mut broken = Vec::new();
    if !text.starts_with(FIRST_LINE) {
        broken.push("the first line is not exactly `#cloud-config` and a line feed".to_owned());
    }
    if text.contains('\r') {
        broken.push(
            "there is a carriage return: platforms and cloud-init take the line ending for a part of the line"
                .to_owned(),
        );
    }
    broken.extend(tokens(text));
    match serde_yaml::from_str::<Mapping>(text) {
        Ok(read) if read == *intended => broken.extend(document(&read)),
        Ok(_) => broken.push("reading the text back gives another document: this is a mistake of anymetal".to_owned()),
        Err(error) => broken.push(format!("the text is not YAML: {error}: this is a mistake of anymetal")),
    }
    broken.extend(written_twice(intended));
    broken
}

/// Every rule that one of the operator's parts breaks on its own.
pub fn part(part: &Mapping) -> Vec<String> {
    let mut broken = document(part);
    let mut plain = Vec::new();
    strings(&Value::Mapping(part.clone()), &mut |text| plain.extend(tokens(text)));
    broken.extend(plain);
    for path in paths(part) {
        if path == Path::new(place::UNIT) || OURS.iter().any(|ours| path.starts_with(ours)) {
            let hint =
                if path == Path::new(place::MACHINE) { "; `anymetal build --machine FILE` brings it" } else { "" };
            broken.push(format!("`write_files` writes {}, which is anymetal's own{hint}", path.display()));
        }
    }
    broken
}

/// Rules of keys and paths.
fn document(document: &Mapping) -> Vec<String> {
    let mut broken = Vec::new();
    members(document, &mut |key, value| {
        match key {
        "phone_home" => broken.push(
            "there is a `phone_home` key: it replaces the platform's own, and the platform never learns that the machine is up".to_owned(),
        ),
        "defer" if *value != Value::Bool(false) => broken.push(format!(
            "there is `defer: {}`: cloud-init of Equinix Metal never writes such a file, and says nothing",
            shown(value)
        )),
        _ => {}
    }
    });
    for path in paths(document) {
        if path.starts_with("/tmp") {
            broken
                .push(format!("`write_files` writes {}: /tmp is emptied during the boot, after that", path.display()));
        }
    }
    broken
}

fn tokens(text: &str) -> impl Iterator<Item = String> {
    let found = TOKENS.into_iter().filter(|token| text.contains(token));
    found
        .map(|token| format!("there is `{token}` in the text: Equinix Metal would install another image for it"))
        .collect::<Vec<_>>()
        .into_iter()
}

/// Files that two entries of `write_files` write, of which only the last would remain.
fn written_twice(document: &Mapping) -> Vec<String> {
    let replaces = |entry: &&Value| entry.get("append") != Some(&Value::Bool(true));
    let paths: Vec<_> = entries(document).iter().filter(replaces).filter_map(path).collect();
    let mut twice: Vec<_> =
        paths.iter().filter(|path| paths.iter().filter(|other| other == path).count() > 1).collect();
    twice.sort();
    twice.dedup();
    twice.iter().map(|path| format!("`write_files` writes {} twice", path.display())).collect()
}

fn entries(document: &Mapping) -> &[Value] {
    document.get("write_files").and_then(Value::as_sequence).map(Vec::as_slice).unwrap_or_default()
}

fn paths(document: &Mapping) -> Vec<PathBuf> {
    entries(document).iter().filter_map(path).collect()
}

/// Where an entry of `write_files` writes.
fn path(entry: &Value) -> Option<PathBuf> {
    entry.get("path").and_then(Value::as_str).map(plain)
}

/// The path without `.`, `..` and double slashes.
fn plain(path: &str) -> PathBuf {
    Path::new(path).components().fold(PathBuf::new(), |mut plain, component| {
        match component {
            Component::ParentDir => _ = plain.pop(),
            Component::CurDir => {}
            other => plain.push(other),
        }
        plain
    })
}

/// Every member of every mapping, however deep.
fn members<'a>(mapping: &'a Mapping, visit: &mut impl FnMut(&'a str, &'a Value)) {
    for (key, value) in mapping {
        if let Some(key) = key.as_str() {
            visit(key, value);
        }
        inner(value, visit);
    }
}

fn inner<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Mapping(mapping) => members(mapping, visit),
        Value::Sequence(items) => items.iter().for_each(|item| inner(item, visit)),
        Value::Tagged(tagged) => inner(&tagged.value, visit),
        _ => {}
    }
}

/// Every text, keys included.
fn strings(value: &Value, visit: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => visit(text),
        Value::Sequence(items) => items.iter().for_each(|item| strings(item, visit)),
        Value::Mapping(mapping) => mapping.iter().for_each(|(key, value)| {
            strings(key, visit);
            strings(value, visit);
        }),
        Value::Tagged(tagged) => strings(&tagged.value, visit),
        _ => {}
    }
}

fn shown(value: &Value) -> String {
    serde_yaml::to_string(value).unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(words: &str) -> Vec<String> {
        text(words, &serde_yaml::from_str(words).unwrap_or_default())
    }

    fn one(broken: &[String], what: &str) {
        assert!(matches!(broken, [only] if only.contains(what)), "expected one word about {what:?}, got {broken:#?}");
    }

    #[test]
    fn a_good_text_breaks_nothing() {
        let good = "#cloud-config\n# image_repo is only a word\nwrite_files:\n- {path: /etc/a, defer: false}\n- {path: /etc/a, append: true}\n- {path: /tmpfiles}\n";
        assert_eq!(broken(good), Vec::<String>::new());
    }

    #[test]
    fn the_first_line_is_cloud_config_and_a_line_feed() {
        for text in [
            "# cloud-config\na: 1\n",
            "#cloud-config \na: 1\n",
            "\n#cloud-config\na: 1\n",
            "## template: jinja\n#cloud-config\na: 1\n",
            "a: 1\n",
        ] {
            one(&broken(text), "the first line");
        }
    }

    #[test]
    fn a_carriage_return_is_refused_anywhere() {
        one(&broken("#cloud-config\na: 1 # x\r\nb: 2\n"), "carriage return");
        assert_eq!(broken("#cloud-config\r\na: 1\n").len(), 2, "first line and carriage return");
    }

    #[test]
    fn the_installers_tokens_are_refused_even_in_a_comment() {
        for token in TOKENS {
            one(&broken(&format!("#cloud-config\n# {token}x\na: 1\n")), token);
            let part = serde_yaml::from_str(&format!("runcmd: ['echo {token}x']")).unwrap();
            one(&super::part(&part), token);
        }
    }

    #[test]
    fn phone_home_is_refused_at_any_depth() {
        one(&broken("#cloud-config\nphone_home: {url: http://x/}\n"), "`phone_home`");
        one(&broken("#cloud-config\na: [{b: {phone_home: 1}}]\n"), "`phone_home`");
    }

    #[test]
    fn deferred_files_are_refused() {
        one(&broken("#cloud-config\nwrite_files: [{path: /etc/a, defer: true}]\n"), "`defer: true`");
        one(&broken("#cloud-config\nwrite_files: [{path: /etc/a, defer: 'yes'}]\n"), "`defer: ");
    }

    #[test]
    fn files_below_tmp_are_refused_however_they_are_written() {
        for path in ["/tmp/x", "//tmp//x", "/etc/../tmp/x", "/./tmp/x"] {
            one(&broken(&format!("#cloud-config\nwrite_files: [{{path: {path}}}]\n")), "/tmp/x: /tmp is emptied");
        }
    }

    #[test]
    fn a_file_written_twice_is_refused() {
        one(&broken("#cloud-config\nwrite_files: [{path: /etc/a}, {path: /etc//a}]\n"), "writes /etc/a twice");
    }

    #[test]
    fn what_is_anymetals_own_may_not_be_written_by_a_part() {
        for path in [
            "/etc/systemd/system/anymetal.service",
            "/etc/anymetal/plan.json",
            "/opt/anymetal/x",
            "/var/lib/x/../anymetal/ledger.json",
        ] {
            one(&part(&serde_yaml::from_str(&format!("write_files: [{{path: {path}}}]")).unwrap()), "anymetal's own");
        }
        let appended = "write_files: [{path: /etc/anymetal/plan.json, append: true}]";
        one(&part(&serde_yaml::from_str(appended).unwrap()), "anymetal's own");
        let drop_in = "write_files: [{path: /etc/systemd/system/anymetal.service.d/proxy.conf}]";
        assert_eq!(part(&serde_yaml::from_str(drop_in).unwrap()), Vec::<String>::new());
    }

    #[test]
    fn a_text_that_reads_as_another_document_is_our_mistake() {
        one(&text("#cloud-config\na: 1\n", &serde_yaml::from_str("a: 2").unwrap()), "another document");
        one(&text("#cloud-config\na: [\n", &Mapping::new()), "not YAML");
    }
}
