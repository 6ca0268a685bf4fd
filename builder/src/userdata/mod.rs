//! A plan to a cloud-config: the plan, the lines that fetch init and a unit, dropped; the unit started; the operator's own parts merged in.
//! May not write a file, and may not change the plan's bytes: their digest is the plan digest.

pub mod host;
mod merge;
mod packed;
mod platform;
mod rules;
pub mod size;
mod yaml;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use anymetal_contract::plan::{Arch, File};
use anymetal_contract::{Digest, place};
use serde_yaml::{Mapping, Value};

use crate::plan;
use crate::site::Site;
use size::Part;

/// A user-data, whose rules all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserData {
    /// The whole text.
    pub text: String,
    /// What is worth saying to the author, a sentence each.
    pub warnings: Vec<String>,
}

/// The user-data of a site: `plan` is the canonical plan, `inits` the digest of the init of each architecture, `max_size` what the author allows
/// instead of [`size::LIMIT`]. The error is the author's to mend.
pub fn make(site: &Site, plan: &[u8], inits: &BTreeMap<Arch, Digest>, max_size: Option<usize>) -> Result<UserData> {
    if site.origins.is_empty() {
        return Err(anyhow!(
            "the site has no `origins`, so no node could fetch anymetal-init\nhint: name a URL under `origins`, and serve there what `anymetal build` writes"
        ));
    }
    let dropped = dropped(site, plan, inits)?;
    let ours = ours(site, &dropped);
    let document = merge::all(ours, &site.cloud_config).map_err(|against| anyhow!(against.join("\n")))?;
    let text = written(site, plan, inits, &document);
    let broken = rules::text(&text, &document);
    if !broken.is_empty() {
        return Err(anyhow!(
            broken.into_iter().map(|rule| format!("user-data: {rule}")).collect::<Vec<_>>().join("\n")
        ));
    }
    let warning = size::judge(text.len(), &parts(site, &dropped), max_size).map_err(|refusal| anyhow!(refusal))?;
    Ok(UserData { text, warnings: idle(site).chain(warning).collect() })
}

/// The entries of `write_files` that are ours, by a short name.
fn dropped(site: &Site, plan: &[u8], inits: &BTreeMap<Arch, Digest>) -> Result<Vec<(&'static str, Value)>> {
    let clear =
        |File { path, mode, body, .. }: File| entry(&[("path", path), ("permissions", mode), ("content", body)]);
    let packed = [
        ("path", place::PLAN.to_owned()),
        ("permissions", "0644".to_owned()),
        ("encoding", packed::ENCODING.to_owned()),
        ("content", packed::pack(plan)),
    ];
    Ok(vec![
        ("fetch-init", clear(host::fetch_init(inits, &site.origins)?)),
        ("anymetal.service", clear(host::unit()?)),
        ("plan.json", entry(&packed)),
    ])
}

fn entry(members: &[(&str, String)]) -> Value {
    Value::Mapping(members.iter().map(|(key, value)| (Value::from(*key), Value::from(value.as_str()))).collect())
}

/// Our own document.
fn ours(site: &Site, dropped: &[(&str, Value)]) -> Mapping {
    // A power cut right after the first start must not leave half of these files: cloud-init writes them once per instance.
    let commands: [&[&str]; 4] = [
        &["sync"],
        &["systemctl", "daemon-reload"],
        &["systemctl", "enable", "anymetal.service"],
        &["systemctl", "start", "--no-block", "anymetal.service"],
    ];
    let command = |words: &&[&str]| Value::Sequence(words.iter().map(|word| Value::from(*word)).collect());
    let mut document = platform::named(&site.platform).document();
    document.insert("write_files".into(), dropped.iter().map(|(_, entry)| entry.clone()).collect::<Vec<_>>().into());
    document.insert("runcmd".into(), commands.iter().map(command).collect::<Vec<_>>().into());
    document
}

/// The text, with what a person who opens it wants to know.
fn written(site: &Site, plan: &[u8], inits: &BTreeMap<Arch, Digest>, document: &Mapping) -> String {
    let mut text = String::from(rules::FIRST_LINE);
    let mut line = |words: String| _ = writeln!(text, "# {words}");
    line(format!("The first boot of every node of the site {}, by anymetal {}.", site.name, env!("CARGO_PKG_VERSION")));
    line("Made from the site: change that and build again, not this.".to_owned());
    line(format!("plan sha256:{}", plan::digest(plan)));
    for (arch, sha256) in inits {
        line(format!("init {arch} sha256:{sha256}"));
    }
    text + &yaml::document(document, comment)
}

fn comment(key: &str) -> Option<&'static str> {
    match key {
        "write_files" => {
            Some("The plan is gzip in base64: `base64 -d | gunzip` shows it, and its sha256 is the plan digest above.")
        }
        "runcmd" => {
            Some("The work itself is a service, which outlives cloud-init and reboots: `journalctl -u anymetal`.")
        }
        _ => None,
    }
}

/// How many bytes each part of the text takes.
fn parts(site: &Site, dropped: &[(&'static str, Value)]) -> Vec<Part> {
    let bytes = |document: &Mapping| yaml::document(document, |_| None).len();
    let key = "write_files:\n".len();
    let ours = dropped.iter().map(|(name, entry)| {
        let alone = Mapping::from_iter([("write_files".into(), Value::Sequence(vec![entry.clone()]))]);
        Part { name: (*name).to_owned(), bytes: bytes(&alone) - key }
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
    use super::*;
    use crate::sample;
    use crate::site::model::Extra;

    fn made(change: impl Fn(&mut Site)) -> Result<UserData> {
        let mut site = sample::site();
        change(&mut site);
        make(&site, b"{\"kind\":\"anymetal.plan\"}", &BTreeMap::from([(Arch::X86_64, Digest::of([7; 32]))]), None)
    }

    fn extra(yaml: &str) -> Vec<Extra> {
        vec![Extra { origin: "cloud_config[0]".into(), document: serde_yaml::from_str(yaml).unwrap() }]
    }

    #[test]
    fn a_person_who_opens_it_sees_what_it_is() {
        let text = made(|_| {}).unwrap().text;
        let head = [
            "#cloud-config".to_owned(),
            format!("# The first boot of every node of the site demo, by anymetal {}.", env!("CARGO_PKG_VERSION")),
            "# Made from the site: change that and build again, not this.".to_owned(),
            format!("# plan sha256:{}", plan::digest(b"{\"kind\":\"anymetal.plan\"}")),
            format!("# init x86_64 sha256:{}", "07".repeat(32)),
            "datasource:".to_owned(),
            "  Ec2:".to_owned(),
            "    strict_id: false".to_owned(),
        ];
        assert!(text.starts_with(&(head.join("\n") + "\n")), "{text}");
        let tail = "runcmd:\n- [sync]\n- [systemctl, daemon-reload]\n- [systemctl, enable, anymetal.service]\n- [systemctl, start, --no-block, anymetal.service]\n";
        assert!(text.ends_with(tail), "{text}");
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
        assert!(error.contains("user-data: there is `image_tag=`"), "{error}");
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
