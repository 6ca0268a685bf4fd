//! A release to a cloud-config: the lines that fetch init, a unit, what both start from; the unit started; the operator's own parts merged in.
//! May not write a file. What is pinned does not travel in it, unless somebody wants that.

pub mod host;
mod merge;
mod packed;
pub(crate) mod platform;
pub(crate) mod rebuilt;
mod rules;
pub mod size;
mod yaml;

use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use anymetal_contract::plan::File;
use anymetal_contract::{Digest, Plan, Release, place};
use serde_yaml::{Mapping, Value};

use crate::site::Site;
use crate::site::model::Extra;
use crate::{plan, release};
use size::Part;

/// A user-data, whose rules all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// The whole text.
    pub text: String,
    /// What is worth saying to the author, a sentence each.
    pub warnings: Vec<String>,
}

/// What is put into a user-data.
#[derive(Debug, Clone, Copy)]
pub struct Cargo<'c> {
    /// The release.
    pub release: &'c Release,
    /// The same, canonical.
    pub text: &'c [u8],
    /// Its signature, when it has one.
    pub signature: Option<&'c str>,
    /// The plan that it pins.
    pub plan: &'c Plan,
    /// The same, canonical, when plan and release are to travel in here.
    pub inline: Option<&'c [u8]>,
    /// The nodes' document of secrets, when it travels in here.
    pub secrets: Option<&'c [u8]>,
    /// The document of the one machine that this is for, when it is for one. No release pins it: it is not the site's.
    pub machine: Option<&'c str>,
}

/// What the operator's own parts add to our cloud-config.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    document: Mapping,
}

impl Operator {
    /// Returns the digest that a release pins: of the YAML that we write of it.
    pub fn digest(&self) -> Digest {
        plan::digest(yaml::document(&self.document, |_| None).as_bytes())
    }
}

/// Makes the user-data of a site; `max_size` is what the author allows instead of [`size::LIMIT`]. The error is the author's to mend.
pub fn make(site: &Site, cargo: Cargo<'_>, max_size: Option<usize>) -> Result<UserData> {
    if site.origins.is_empty() {
        return Err(anyhow!(
            "the site has no `origins`, so no node could fetch anymetal-init\nhint: name a URL under `origins`, and serve there the folder sha256 that `anymetal build` writes"
        ));
    }
    let dropped = dropped(cargo)?;
    let (text, document) = written(cargo, &dropped, &site.cloud_config)?;
    let broken = rules::text(&text, &document);
    if !broken.is_empty() {
        return Err(anyhow!(
            broken.into_iter().map(|rule| format!("user-data: {rule}")).collect::<Vec<_>>().join("\n")
        ));
    }
    let warning = size::judge(text.len(), &parts(site, &dropped), max_size).map_err(|refusal| anyhow!(refusal))?;
    Ok(UserData { text, warnings: idle(site).chain(warning).collect() })
}

/// Returns what these parts add to our cloud-config on this platform; `None` when they add nothing. Fails when they cannot be merged.
pub fn operator(platform: &str, parts: &[Extra]) -> Result<Option<Operator>> {
    let ours = ours(platform, &[]);
    let whole = merge::all(ours.clone(), parts).map_err(|against| anyhow!(against.join("\n")))?;
    let document = merge::beyond(&whole, &ours);
    Ok((!document.is_empty()).then_some(Operator { document }))
}

/// One of our own files.
#[derive(Debug, Clone)]
struct Dropped {
    /// For people: its name without a path.
    name: &'static str,
    path: String,
    /// What it holds.
    content: Vec<u8>,
    /// The entry of `write_files`.
    entry: Value,
}

/// The files that are ours.
fn dropped(cargo: Cargo<'_>) -> Result<Vec<Dropped>> {
    let Cargo { release, text, signature, plan, inline, secrets, machine } = cargo;
    let open = |name, path: &str, mode: &str, content: String| Dropped {
        name,
        path: path.to_owned(),
        entry: entry(&[("path", path), ("permissions", mode), ("content", &content)]),
        content: content.into_bytes(),
    };
    let file = |name, File { path, mode, body, .. }: File| open(name, &path, &mode, body);
    let packed = |name, path: &str, mode: &str, content: &[u8]| Dropped {
        name,
        path: path.to_owned(),
        entry: entry(&[
            ("path", path),
            ("permissions", mode),
            ("encoding", packed::ENCODING),
            ("content", &packed::pack(content)),
        ]),
        content: content.to_vec(),
    };
    let pins = release::pins(release, text, &plan.origins)?.to_string();
    let mut files = vec![
        file("fetch-init", host::fetch_init()?),
        file("anymetal.service", host::unit(plan.proxy.as_ref())?),
        open("pins", place::PINS, "0644", pins),
    ];
    if !release.signers.is_empty() {
        files.push(open(
            "signers",
            place::SIGNERS,
            "0644",
            release.signers.iter().map(|key| key.clone() + "\n").collect(),
        ));
    }
    files.extend(signature.map(|text| open("release.json.minisig", place::SIGNATURE, "0644", text.to_owned())));
    if let Some(plan) = inline {
        files.push(packed("release.json", place::RELEASE, "0644", text));
        files.push(packed("plan.json", place::PLAN, "0644", plan));
    }
    files.extend(secrets.map(|secrets| packed("secrets.json", place::SECRETS, "0600", secrets)));
    files.extend(machine.map(|document| open("machine.json", place::MACHINE, "0600", document.to_owned())));
    Ok(files)
}

/// Without what cloud-init takes for granted: every byte of a user-data counts.
fn entry(members: &[(&str, &str)]) -> Value {
    let said = members.iter().filter(|member| **member != ("permissions", "0644"));
    Value::Mapping(said.map(|(key, value)| (Value::from(*key), Value::from(*value))).collect())
}

/// Our own document on this platform.
fn ours(platform: &str, dropped: &[Dropped]) -> Mapping {
    // A power cut right after the first start must not leave half of these files: cloud-init writes them once per instance.
    let commands: [&[&str]; 4] = [
        &["sync"],
        &["systemctl", "daemon-reload"],
        &["systemctl", "enable", "anymetal.service"],
        &["systemctl", "start", "--no-block", "anymetal.service"],
    ];
    let command = |words: &&[&str]| Value::Sequence(words.iter().map(|word| Value::from(*word)).collect());
    let mut document = platform::named(platform).document();
    let files = dropped.iter().map(|file| file.entry.clone()).collect::<Vec<_>>();
    document.insert("write_files".into(), files.into());
    document.insert("runcmd".into(), commands.iter().map(command).collect::<Vec<_>>().into());
    document
}

/// The text, with what a person who opens it wants to know, and the document that it is.
fn written(cargo: Cargo<'_>, dropped: &[Dropped], parts: &[Extra]) -> Result<(String, Mapping)> {
    let document = merge::all(ours(&cargo.plan.platform, dropped), parts);
    let document = document.map_err(|against| anyhow!(against.join("\n")))?;
    let Release { site, serial, plan, .. } = cargo.release;
    let mut text = String::from(rules::FIRST_LINE);
    let mut line = |words: String| _ = writeln!(text, "# {words}");
    line(format!("The first boot of every node of the site {site}, serial {serial}, plan {}.", plan.sha256.short()));
    line("Made by anymetal from the site: change that and build again, not this.".to_owned());
    if cargo.machine.is_some() {
        line("For one machine alone, whose own document is in it.".to_owned());
    }
    if cargo.secrets.is_some() {
        line("There are secrets in it: not for others to read.".to_owned());
    }
    let text = text + &yaml::document(&document, comment);
    Ok((text, document))
}

fn comment(key: &str) -> Option<&'static str> {
    match key {
        "runcmd" => Some("The work itself is a service: `journalctl -u anymetal`."),
        _ => None,
    }
}

/// How many bytes each part of the text takes.
fn parts(site: &Site, dropped: &[Dropped]) -> Vec<Part> {
    let bytes = |document: &Mapping| yaml::document(document, |_| None).len();
    let key = "write_files:\n".len();
    let ours = dropped.iter().map(|file| {
        let alone = Mapping::from_iter([("write_files".into(), Value::Sequence(vec![file.entry.clone()]))]);
        Part { name: file.name.to_owned(), bytes: bytes(&alone) - key }
    });
    let extra = site.cloud_config.iter().map(|part| Part { name: part.origin.clone(), bytes: bytes(&part.document) });
    ours.chain(extra).collect()
}

/// Keys of the operator's that the platform's cloud-init accepts and does nothing for.
fn idle(site: &Site) -> impl Iterator<Item = String> {
    let idle = platform::named(&site.platform).idle;
    site.cloud_config.iter().flat_map(move |part| {
        let named = part.document.keys().filter_map(Value::as_str).filter(|key| idle.contains(key));
        named.map(|key| {
            format!(
                "{}: `{key}` has no effect: the cloud-init of {} does not run its module",
                part.origin, site.platform
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sample;

    fn made(change: impl Fn(&mut Site)) -> Result<UserData> {
        with(change, None, None)
    }

    fn with(change: impl Fn(&mut Site), secrets: Option<&[u8]>, inline: Option<&[u8]>) -> Result<UserData> {
        let mut site = sample::site();
        change(&mut site);
        let plan = plan::draft(&site).unwrap();
        let release = release::draft(&site, &plan::canonical(&plan), BTreeMap::new())?;
        let text = plan::canonical(&release);
        make(
            &site,
            Cargo { release: &release, text: &text, signature: None, plan: &plan, inline, secrets, machine: None },
            None,
        )
    }

    fn extra(yaml: &str) -> Vec<Extra> {
        vec![Extra { origin: "cloud_config[0]".into(), document: serde_yaml::from_str(yaml).unwrap() }]
    }

    #[test]
    fn a_person_who_opens_it_sees_what_it_is() {
        let text = made(|_| {}).unwrap().text;
        let digest = plan::digest(&plan::canonical(&plan::draft(&sample::site()).unwrap()));
        let head = [
            "#cloud-config".to_owned(),
            format!("# The first boot of every node of the site demo, serial 1, plan {}.", digest.short()),
            "# Made by anymetal from the site: change that and build again, not this.".to_owned(),
            "datasource:".to_owned(),
            "  Ec2:".to_owned(),
            "    strict_id: false".to_owned(),
        ];
        assert!(text.starts_with(&(head.join("\n") + "\n")), "{text}");
        assert!(text.contains("\n    # Certificates do not matter: the digest decides.\n    get() {\n"), "{text}");
        assert!(text.contains("\n    origin https://mirror.example/anymetal\n"), "{text}");
        let tail = "runcmd:\n- [sync]\n- [systemctl, daemon-reload]\n- [systemctl, enable, anymetal.service]\n- [systemctl, start, --no-block, anymetal.service]\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn secrets_are_a_file_for_root_alone_and_the_reader_is_told() {
        let secrets = b"{\"kind\":\"anymetal.secrets\"}";
        let text = with(|_| {}, Some(secrets), None).unwrap().text;
        let entry = format!(
            "- path: /etc/anymetal/secrets.json\n  permissions: \"0600\"\n  encoding: gz+b64\n  content: |\n    {}",
            packed::pack(secrets)
        );
        assert!(text.contains(&entry), "{text}");
        assert!(text.contains("\n# There are secrets in it: not for others to read.\n"), "{text}");
        assert!(!made(|_| {}).unwrap().text.contains("secrets"));
    }

    #[test]
    fn a_site_without_origins_is_refused_because_init_could_not_be_fetched() {
        let error = made(|site| site.origins.clear()).unwrap_err().to_string();
        assert!(error.contains("no `origins`") && error.contains("\nhint: "), "{error}");
    }

    #[test]
    fn only_its_own_platform_gets_the_data_source() {
        let text = made(|site| site.platform = "file".into()).unwrap().text;
        assert!(!text.contains("datasource"), "{text}");
    }

    #[test]
    fn the_operators_own_parts_are_in_it_and_what_breaks_a_rule_is_refused() {
        let good = made(|site| site.cloud_config = extra("packages: [bird2]\nruncmd: [touch /etc/x]\n")).unwrap();
        assert!(good.text.ends_with("anymetal.service]\n- \"touch /etc/x\"\npackages:\n- bird2\n"), "{}", good.text);
        let error = made(|site| site.cloud_config = extra("runcmd: ['echo image_tag=x']\n")).unwrap_err().to_string();
        assert!(error.contains("cloud_config[0]: there is `image_tag=`"), "{error}");
        let error = made(|site| site.origins = vec!["http://o/image_tag=x".into()]).unwrap_err().to_string();
        assert!(error.contains("there is `image_tag=` in the text"), "{error}");
    }

    #[test]
    fn what_the_platform_will_not_do_is_said() {
        let warnings = made(|site| site.cloud_config = extra("ntp: {pools: [a]}\n")).unwrap().warnings;
        assert_eq!(
            warnings,
            ["cloud_config[0]: `ntp` has no effect: the cloud-init of equinix-metal does not run its module"]
        );
    }

    #[test]
    fn the_sizes_of_the_parts_add_up() {
        let big = format!("write_files: [{{path: /etc/big, content: {}}}]\n", "x".repeat(20_000));
        let error = made(|site| site.cloud_config = extra(&big)).unwrap_err().to_string();
        let numbers: Vec<usize> = error
            .lines()
            .filter(|line| line.starts_with("  "))
            .map(|line| line.split_whitespace().last().unwrap().parse().unwrap())
            .collect();
        let total: usize = error.split_whitespace().nth(2).unwrap().parse().unwrap();
        assert_eq!(numbers.iter().sum::<usize>(), total, "{error}");
        assert!(error.contains("\n  cloud_config[0]     20"), "{error}");
        let rest = numbers.last().unwrap();
        assert!((200..800).contains(rest), "{error}");
    }
}
