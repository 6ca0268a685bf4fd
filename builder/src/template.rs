//! A template as it lies in `templates/`: front matter between `---` lines, then the body.
//! May not render: bodies of components are rendered on the node, those of the host in `userdata::host`.

use anyhow::{Context, Result, bail, ensure};
use anymetal_contract::{facts, plan};
use serde::Deserialize;

/// Where a rendered file goes and what it needs; see [`plan::File`] for the fields.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    path: String,
    mode: String,
    owner: String,
    needs: Vec<String>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    check: Vec<String>,
}

/// A template's text to the file it describes. `name` is `<component>/<file>`, without `.tera`.
pub fn read(name: &str, text: &str) -> Result<plan::File> {
    parse(name, text).with_context(|| format!("reading the template {name}"))
}

fn parse(name: &str, text: &str) -> Result<plan::File> {
    let (head, body) = text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .context("its front matter must stand between two lines of `---`, the first line being one")?;
    let front: FrontMatter = serde_yaml::from_str(head).context("reading its front matter")?;
    judge(&front)?;
    let FrontMatter { path, mode, owner, needs, secrets, check } = front;
    Ok(plan::File { name: name.to_owned(), path, mode, owner, needs, secrets, check, body: body.to_owned() })
}

fn judge(front: &FrontMatter) -> Result<()> {
    ensure!(front.path.starts_with('/'), "its path {:?} is not absolute", front.path);
    let octal = front.mode.len() == 4 && front.mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    ensure!(octal, "its mode {:?} is not four octal digits", front.mode);
    let whole = front.owner.split_once(':').is_some_and(|(user, group)| !user.is_empty() && !group.is_empty());
    ensure!(whole, "its owner {:?} is not `user:group`", front.owner);
    if let Some(unknown) = front.needs.iter().find(|need| facts::named(need).is_none()) {
        bail!("it needs {unknown:?}, which is no fact: the names are in the contract's facts::NAMES");
    }
    let candidate = front.check.is_empty() || front.check.iter().any(|word| word == "{}");
    ensure!(candidate, "its check {:?} does not name the candidate, `{{}}`", front.check);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "---\npath: /etc/bird/bird.conf\nmode: \"0640\"\nowner: root:bird\nneeds: [router_id]\ncheck: [bird, -p, -c, \"{}\"]\n---\nrouter id {{ router_id }};\n---\nlast\n";

    #[test]
    fn front_matter_and_body_are_told_apart_at_the_first_line_of_dashes() {
        let file = read("bird/bird.conf", GOOD).unwrap();
        assert_eq!((file.path.as_str(), file.mode.as_str()), ("/etc/bird/bird.conf", "0640"));
        assert_eq!(file.check, ["bird", "-p", "-c", "{}"]);
        assert_eq!(file.body, "router id {{ router_id }};\n---\nlast\n");
    }

    #[test]
    fn each_mistake_in_a_front_matter_is_named_with_the_template() {
        for (right, wrong, what) in [
            ("---\npath", "path", "front matter must stand between"),
            ("path: /etc", "path: etc", "is not absolute"),
            ("\"0640\"", "\"640\"", "is not four octal digits"),
            ("\"0640\"", "\"0648\"", "is not four octal digits"),
            ("root:bird", "root", "is not `user:group`"),
            ("[router_id]", "[router_ip]", "\"router_ip\", which is no fact"),
            ("\"{}\"", "x", "does not name the candidate"),
            ("needs:", "wants:", "unknown field `wants`"),
        ] {
            let error = format!("{:#}", read("bird/bird.conf", &GOOD.replacen(right, wrong, 1)).unwrap_err());
            assert!(error.starts_with("reading the template bird/bird.conf: ") && error.contains(what), "{error}");
        }
    }
}
