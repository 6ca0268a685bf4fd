//! What cloud-init makes of values that read otherwise: files it writes elsewhere, modes that are others, commands it cannot run.
//! May not change a value, nor know what anymetal merges.
//!
//! By its own code, 22.4 and 25.1: `cc_write_files.py`, and `shellify` of `util.py`.

use serde_yaml::Value;

use super::cloud_config::resolved;
use super::diagnostic::{Findings, quoted};
use super::yaml::{Kind, Node, Scalar};

/// Users that Debian's `base-passwd` makes: they are there when files are written, before any other user is made.
const USERS: [&str; 18] = [
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data",
    "backup", "list", "irc", "_apt", "nobody",
];
/// What cloud-init takes for the encoding of a file's content.
const ENCODINGS: [&str; 10] =
    ["", "text/plain", "gz", "gzip", "b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"];

/// Looks at the keys of a cloud-config whose values easily mean something else.
pub(super) fn judge(root: &Node, findings: &mut Findings) {
    let Kind::Mapping(entries) = &root.kind else { return };
    for (key, node) in entries {
        match (key.scalar.text.as_str(), &node.kind) {
            (name @ ("merge_how" | "merge_type"), _) => findings.warning(
                key.at,
                format!("`{name}` has no effect here: anymetal merges these parts itself, mappings key by key and lists one after the other"),
                "remove it",
            ),
            ("write_files", Kind::Sequence(files)) => files.iter().for_each(|file| written(file, findings)),
            (name @ ("runcmd" | "bootcmd"), Kind::Sequence(commands)) => {
                for command in commands {
                    self::command(name, command, findings);
                }
            }
            (name @ ("runcmd" | "bootcmd"), Kind::Scalar(scalar)) if !scalar.is_null() => findings.mistake(
                node.at,
                format!("`{name}` is one text, and cloud-init wants a list of commands"),
                format!("write it as a list: `{name}: [{}]`", quoted(&scalar.text).trim_matches('`')),
            ),
            _ => {}
        }
    }
}

/// One entry of `write_files`.
fn written(file: &Node, findings: &mut Findings) {
    let Kind::Mapping(members) = &file.kind else { return };
    for (key, node) in members {
        let Kind::Scalar(scalar) = &node.kind else { continue };
        match key.scalar.text.as_str() {
            "path" => path(node, scalar, findings),
            "permissions" => permissions(node, scalar, findings),
            "owner" => owner(node, scalar, findings),
            "encoding" if !ENCODINGS.contains(&scalar.text.trim().to_lowercase().as_str()) => findings.warning(
                node.at,
                format!(
                    "cloud-init does not know the encoding {}, and writes the content as it stands",
                    quoted(&scalar.text)
                ),
                "write `b64` or `gz+b64`, or leave it out for text",
            ),
            "content" if changes(scalar).is_some() => findings.warning(
                node.at,
                format!("the content {} is no text to cloud-init", quoted(&scalar.text)),
                "put it between quotes",
            ),
            _ => {}
        }
    }
}

fn path(node: &Node, scalar: &Scalar, findings: &mut Findings) {
    let text = &scalar.text;
    if text.starts_with('/') || text.is_empty() {
        return;
    }
    let place = format!("/{}", text.trim_start_matches("./"));
    findings.warning(
        node.at,
        format!("cloud-init writes {} to {}: it knows no home and no folder but `/`", quoted(text), quoted(&place)),
        "write the whole path, from `/` on",
    );
}

fn permissions(node: &Node, scalar: &Scalar, findings: &mut Findings) {
    let text = quoted(&scalar.text);
    let hint = "write four octal digits between quotes, as in `permissions: \"0644\"`";
    match resolved(scalar) {
        Value::Null => {}
        Value::String(digits) => {
            if i64::from_str_radix(digits.trim_start_matches("0o"), 8).is_err() {
                let what = format!("{text} is no mode of octal digits, so cloud-init makes the file 0644");
                findings.warning(node.at, what, hint);
            }
        }
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            let mode = number.as_i64().unwrap_or_default();
            let what = if scalar.text.starts_with('0') {
                format!(
                    "cloud-init reads {text} as the number {mode}, which its schema refuses though the mode is the one meant"
                )
            } else {
                format!("cloud-init takes {text} for a decimal number, and the file gets the mode {mode:04o}")
            };
            findings.warning(node.at, what, hint);
        }
        _ => findings.warning(node.at, format!("{text} is no mode"), hint),
    }
}

fn owner(node: &Node, scalar: &Scalar, findings: &mut Findings) {
    let user = scalar.text.split(':').next().unwrap_or_default().trim();
    let is_number = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit());
    if USERS.contains(&user) || user.is_empty() || is_number {
        return;
    }
    findings.warning(
        node.at,
        format!("files are written before users are made: where there is no {} yet, cloud-init stops here and writes none of the files after this one", quoted(user)),
        "leave `owner` out, and `chown` the file in `runcmd`",
    );
}

/// One entry of `runcmd` or `bootcmd`: a line for a shell, or a list of words.
fn command(key: &str, command: &Node, findings: &mut Findings) {
    let unable = |what: &str| {
        format!("cloud-init cannot run {what}, and then runs nothing of `{key}`, not even what anymetal has there")
    };
    match &command.kind {
        Kind::Mapping(_) => findings.mistake(
            command.at,
            unable("a mapping"),
            "YAML takes a line with `: ` in it for one: put the whole line between quotes",
        ),
        Kind::Scalar(scalar) if !scalar.is_null() && !resolved(scalar).is_string() => {
            findings.mistake(command.at, unable(&quoted(&scalar.text)), "put it between quotes");
        }
        Kind::Scalar(_) => {}
        Kind::Sequence(words) => {
            for word in words {
                match &word.kind {
                    Kind::Scalar(scalar) => {
                        if let Some(read) = changes(scalar) {
                            let what =
                                format!("the command gets the word {} for {}", quoted(&read), quoted(&scalar.text));
                            findings.warning(word.at, what, "put it between quotes");
                        }
                    }
                    Kind::Mapping(_) | Kind::Sequence(_) => findings.warning(
                        word.at,
                        "this is no word: the command gets Python's form of a list or a mapping",
                        "write a list of texts, or one text for a shell",
                    ),
                }
            }
        }
    }
}

/// What Python's `str` makes of the scalar, when that is not what was written.
fn changes(scalar: &Scalar) -> Option<String> {
    let read = match resolved(scalar) {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) if number.is_f64() => format!("{:?}", number.as_f64().unwrap_or_default()),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (read != scalar.text).then_some(read)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{cloud_config, yaml};
    use super::*;

    /// What is said of these lines of a cloud-config, each without its hint.
    fn said(lines: &str) -> Vec<String> {
        let mut findings = Findings::of(Path::new("s"));
        let root = yaml::parse(lines, &mut findings).unwrap();
        _ = cloud_config::keys(&root, &mut findings);
        let texts = findings.sorted().into_iter().map(|found| found.to_string());
        texts.map(|text| text.split("; hint: ").next().unwrap().to_owned()).collect()
    }

    #[test]
    fn values_that_mean_something_else_on_the_machine_are_said_with_their_places() {
        let file = |members: &str| format!("write_files: [{{path: /etc/b, {members}}}]");
        for (lines, expected) in [
            (
                file("permissions: 644"),
                "s:1:43: warning: cloud-init takes `644` for a decimal number, and the file gets the mode 1204",
            ),
            (
                file("permissions: 0644"),
                "s:1:43: warning: cloud-init reads `0644` as the number 420, which its schema refuses though the mode is the one meant",
            ),
            (
                file("permissions: u=rw"),
                "s:1:43: warning: `u=rw` is no mode of octal digits, so cloud-init makes the file 0644",
            ),
            (
                file("permissions: 0o888"),
                "s:1:43: warning: `0o888` is no mode of octal digits, so cloud-init makes the file 0644",
            ),
            (file("permissions: yes"), "s:1:43: warning: `yes` is no mode"),
            (
                file("owner: deploy:deploy"),
                "s:1:37: warning: files are written before users are made: where there is no `deploy` yet, cloud-init stops here and writes none of the files after this one",
            ),
            (
                file("encoding: b63"),
                "s:1:40: warning: cloud-init does not know the encoding `b63`, and writes the content as it stands",
            ),
            (file("content: 0123"), "s:1:39: warning: the content `0123` is no text to cloud-init"),
            (
                "write_files: [{path: ~/.bashrc}]".into(),
                "s:1:22: warning: cloud-init writes `~/.bashrc` to `/~/.bashrc`: it knows no home and no folder but `/`",
            ),
            (
                "write_files: [{path: ./a/b}]".into(),
                "s:1:22: warning: cloud-init writes `./a/b` to `/a/b`: it knows no home and no folder but `/`",
            ),
            (
                "merge_how: 'dict(replace)+list()+str()'\na: 1".into(),
                "s:1:1: warning: `merge_how` has no effect here: anymetal merges these parts itself, mappings key by key and lists one after the other",
            ),
            ("runcmd: [[chmod, 0755, /x]]".into(), "s:1:18: warning: the command gets the word `493` for `0755`"),
            ("runcmd: [[ufw, enable, yes]]".into(), "s:1:24: warning: the command gets the word `True` for `yes`"),
            ("bootcmd: [[sleep, 1.10]]".into(), "s:1:19: warning: the command gets the word `1.1` for `1.10`"),
            (
                "runcmd: [{echo a: b}]".into(),
                "s:1:10: cloud-init cannot run a mapping, and then runs nothing of `runcmd`, not even what anymetal has there",
            ),
            (
                "runcmd: [12]".into(),
                "s:1:10: cloud-init cannot run `12`, and then runs nothing of `runcmd`, not even what anymetal has there",
            ),
            ("bootcmd: modprobe tun".into(), "s:1:10: `bootcmd` is one text, and cloud-init wants a list of commands"),
            ("a: 1:30.5".into(), "s:1:4: warning: cloud-init reads `1:30.5` as 90.5, a number to the base of 60"),
            ("a: -0:30.5".into(), "s:1:4: warning: cloud-init reads `-0:30.5` as -30.5, a number to the base of 60"),
        ] {
            assert_eq!(said(&lines), [expected], "{lines}");
        }
    }

    #[test]
    fn what_means_what_it_says_is_passed_over() {
        for lines in [
            "write_files: [{path: /etc/b, permissions: '0644', owner: root:root, encoding: b64, content: aGk=}]",
            "write_files: [{path: /etc/b, permissions: '644', owner: 'www-data'}, {path: /a, permissions: ~, owner: 1000:1000}]",
            "runcmd: [[sleep, 5], 'echo a: b', echo yes, ~, [a, '0755', 1.5]]",
            "bootcmd: [modprobe tun]\nruncmd: ~",
            "a: [1:70.5, 1:30.5x, ':30.5']",
        ] {
            assert_eq!(said(lines), [""; 0], "{lines}");
        }
    }

    #[test]
    fn a_way_to_merge_does_not_travel_on() {
        let mut findings = Findings::of(Path::new("s"));
        let root = yaml::parse("merge_how: x\nmerge_type: y\na: 1", &mut findings).unwrap();
        let keys = cloud_config::keys(&root, &mut findings).unwrap();
        assert_eq!(serde_yaml::to_string(&keys).unwrap(), "a: 1\n");
    }
}
