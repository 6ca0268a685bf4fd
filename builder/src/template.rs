//! A template as it lies in `templates/`: front matter between `---` lines, then the body.
//! May not render: bodies of components are rendered on the node, those of the host in `userdata::host`.

use anyhow::{Context, Result, bail, ensure};
use anymetal_contract::{facts, plan, secrets};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Where a rendered file goes and what it needs; see [`plan::File`] for the fields.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAFile {
    path: String,
    mode: String,
    owner: String,
    needs: Vec<String>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    check: Vec<String>,
}

/// Where a job lives and what it needs; see [`plan::Job`] for the fields. Files are named as in the component's folder.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAJob {
    namespace: String,
    needs: Vec<String>,
    #[serde(default)]
    secrets: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
    #[serde(with = "serde_yaml::with::singleton_map_recursive")]
    answers: Vec<plan::Answers>,
}

/// A template's text to the file it describes. `name` is `<component>/<file>`, without `.tera`.
pub fn file(name: &str, text: &str) -> Result<plan::File> {
    read_file(name, text).with_context(|| format!("reading the template {name}"))
}

/// A template's text to the job of that name that it describes. Whose API it goes to, and by which token, is left empty.
pub fn job(component: &str, name: &str, text: &str) -> Result<plan::Job> {
    read_job(component, name, text).with_context(|| format!("reading the template {component}/{name}.job.json"))
}

fn read_file(name: &str, text: &str) -> Result<plan::File> {
    let (front, body) = parts::<OfAFile>(text)?;
    judge(&front)?;
    let OfAFile { path, mode, owner, needs, secrets, check } = front;
    Ok(plan::File { name: name.to_owned(), path, mode, owner, needs, secrets, check, body: body.to_owned() })
}

fn read_job(component: &str, name: &str, text: &str) -> Result<plan::Job> {
    let (OfAJob { namespace, needs, secrets, files, answers }, body) = parts::<OfAJob>(text)?;
    known(&needs, &secrets)?;
    ensure!(!answers.is_empty(), "it says nothing of what must answer");
    Ok(plan::Job {
        name: name.to_owned(),
        component: component.to_owned(),
        namespace,
        api: String::new(),
        token: String::new(),
        files: files.iter().map(|file| format!("{component}/{file}")).collect(),
        needs,
        secrets,
        answers,
        body: flat(body),
    })
}

/// JSON without its indentation: no line begins within a text, and nobody reads it but Nomad.
fn flat(json: &str) -> String {
    json.split_inclusive('\n').map(|line| line.trim_start_matches(' ')).collect()
}

/// Front matter and body.
fn parts<T: DeserializeOwned>(text: &str) -> Result<(T, &str)> {
    let (head, body) = text
        .strip_prefix("---\n")
        .and_then(|rest| rest.split_once("\n---\n"))
        .context("its front matter must stand between two lines of `---`, the first line being one")?;
    Ok((serde_yaml::from_str(head).context("reading its front matter")?, body))
}

fn judge(front: &OfAFile) -> Result<()> {
    ensure!(front.path.starts_with('/'), "its path {:?} is not absolute", front.path);
    let octal = front.mode.len() == 4 && front.mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
    ensure!(octal, "its mode {:?} is not four octal digits", front.mode);
    let whole = front.owner.split_once(':').is_some_and(|(user, group)| !user.is_empty() && !group.is_empty());
    ensure!(whole, "its owner {:?} is not `user:group`", front.owner);
    known(&front.needs, &front.secrets)?;
    let open = front.mode.ends_with(|digit| digit != '0');
    ensure!(!open || front.secrets.is_empty(), "it holds secrets, and its mode {:?} lets everybody read", front.mode);
    let candidate = front.check.is_empty() || front.check.iter().any(|word| word == "{}");
    ensure!(candidate, "its check {:?} does not name the candidate, `{{}}`", front.check);
    Ok(())
}

/// Whether all names are in the contract's lists.
fn known(needs: &[String], wanted: &[String]) -> Result<()> {
    if let Some(unknown) = needs.iter().find(|need| facts::named(need).is_none()) {
        bail!("it needs {unknown:?}, which is no fact: the names are in the contract's facts::NAMES");
    }
    if let Some(unknown) = wanted.iter().find(|secret| secrets::named(secret).is_none()) {
        bail!("it wants {unknown:?}, which is no secret: the names are in the contract's secrets::NAMES");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "---\npath: /etc/bird/bird.conf\nmode: \"0640\"\nowner: root:bird\nneeds: [router_id]\nsecrets: [hippo_jwt]\ncheck: [bird, -p, -c, \"{}\"]\n---\nrouter id {{ router_id }};\n---\nlast\n";
    const JOB: &str = "---\nnamespace: platform\nneeds: [tls]\nsecrets: [hippo_jwt]\nfiles: [a.yaml]\nanswers:\n- url: \"http://127.0.0.1:8081/ping\"\n- name: {label: bindle, path: /healthz, loopback: \"http://127.0.0.1:3030/healthz\"}\n---\n{\n  \"a\": \"b  c\"\n}\n";

    #[test]
    fn front_matter_and_body_are_told_apart_at_the_first_line_of_dashes() {
        let file = file("bird/bird.conf", GOOD).unwrap();
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
            ("\"0640\"", "\"0644\"", "it holds secrets, and its mode \"0644\" lets everybody read"),
            ("root:bird", "root", "is not `user:group`"),
            ("[router_id]", "[router_ip]", "\"router_ip\", which is no fact"),
            ("[hippo_jwt]", "[hippo_key]", "\"hippo_key\", which is no secret"),
            ("\"{}\"", "x", "does not name the candidate"),
            ("needs:", "wants:", "unknown field `wants`"),
        ] {
            let error = format!("{:#}", file("bird/bird.conf", &GOOD.replacen(right, wrong, 1)).unwrap_err());
            assert!(error.starts_with("reading the template bird/bird.conf: ") && error.contains(what), "{error}");
        }
    }

    #[test]
    fn a_job_says_what_must_answer() {
        let job = job("bindle", "store", JOB).unwrap();
        assert_eq!(
            (job.name.as_str(), job.component.as_str(), job.namespace.as_str()),
            ("store", "bindle", "platform")
        );
        assert_eq!(job.files, ["bindle/a.yaml"]);
        let name = plan::Answers::Name {
            label: "bindle".into(),
            path: "/healthz".into(),
            loopback: "http://127.0.0.1:3030/healthz".into(),
        };
        assert_eq!(job.answers, [plan::Answers::Url("http://127.0.0.1:8081/ping".into()), name]);
        assert_eq!(job.body, "{\n\"a\": \"b  c\"\n}\n");
    }

    #[test]
    fn each_mistake_in_a_jobs_front_matter_is_named_with_the_template() {
        for (right, wrong, what) in [
            ("[tls]", "[ssl]", "\"ssl\", which is no fact"),
            ("[hippo_jwt]", "[hippo_key]", "\"hippo_key\", which is no secret"),
            ("namespace: platform\n", "", "missing field `namespace`"),
            (
                "- url: \"http://127.0.0.1:8081/ping\"\n- name: {label: bindle, path: /healthz, loopback: \"http://127.0.0.1:3030/healthz\"}\n",
                " []\n",
                "says nothing",
            ),
            ("label:", "lable:", "unknown field `lable`"),
        ] {
            let error = format!("{:#}", job("bindle", "store", &JOB.replacen(right, wrong, 1)).unwrap_err());
            assert!(
                error.starts_with("reading the template bindle/store.job.json: ") && error.contains(what),
                "{error}"
            );
        }
    }
}
