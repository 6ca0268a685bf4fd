//! A plan to a cloud-config: the plan, the lines that fetch init and a unit, dropped; the unit started; the operator's own parts merged in.
//! May not write a file, and may not change the plan's bytes: their digest is the plan digest.

pub mod host;
mod merge;
mod packed;
pub(crate) mod platform;
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
use crate::sign::Signed;
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

/// What is put into a user-data.
#[derive(Debug, Clone, Copy)]
pub struct Cargo<'c> {
    /// The canonical plan.
    pub plan: &'c [u8],
    /// The nodes' document of secrets, when it travels in here.
    pub secrets: Option<&'c [u8]>,
    /// Who may sign, and that one of them did; when the site names anybody.
    pub signed: Option<Signed<'c>>,
    /// The digest of the init of each architecture.
    pub inits: &'c BTreeMap<Arch, Digest>,
}

/// The user-data of a site; `max_size` is what the author allows instead of [`size::LIMIT`]. The error is the author's to mend.
pub fn make(site: &Site, cargo: Cargo<'_>, max_size: Option<usize>) -> Result<UserData> {
    if site.origins.is_empty() {
        return Err(anyhow!(
            "the site has no `origins`, so no node could fetch anymetal-init\nhint: name a URL under `origins`, and serve there the folder sha256 that `anymetal build` writes"
        ));
    }
    let dropped = dropped(site, cargo)?;
    let ours = ours(site, &dropped);
    let document = merge::all(ours, &site.cloud_config).map_err(|against| anyhow!(against.join("\n")))?;
    let text = written(site, cargo, &document);
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
fn dropped(site: &Site, cargo: Cargo<'_>) -> Result<Vec<(&'static str, Value)>> {
    let packed = |path: &str, mode: &str, content: String| {
        let encoding = ("encoding", packed::ENCODING);
        entry(&[("path", path), ("permissions", mode), encoding, ("content", &content)])
    };
    let file = |File { path, mode, body, .. }: File| match packed::pack_when_shorter(&body) {
        Some(content) => packed(&path, &mode, content),
        None => entry(&[("path", &path), ("permissions", &mode), ("content", &body)]),
    };
    let secrets = cargo.secrets.map(|secrets| ("secrets.json", packed(place::SECRETS, "0600", packed::pack(secrets))));
    let signed = cargo.signed.map(|Signed { signers, signature }| {
        let keys: String = signers.iter().map(|key| key.text() + "\n").collect();
        // signatures do not pack
        let open = |name, path, content| (name, entry(&[("path", path), ("content", content)]));
        [open("signers", place::SIGNERS, &keys), open("plan.json.minisig", place::SIGNATURE, signature)]
    });
    let rest = [
        ("fetch-init", file(host::fetch_init(cargo.inits, &site.origins)?)),
        ("anymetal.service", file(host::unit()?)),
        ("plan.json", packed(place::PLAN, "0644", packed::pack(cargo.plan))),
    ];
    Ok(rest.into_iter().chain(signed.into_iter().flatten()).chain(secrets).collect())
}

/// Without what cloud-init takes for granted: every byte of a user-data counts.
fn entry(members: &[(&str, &str)]) -> Value {
    let said = members.iter().filter(|member| **member != ("permissions", "0644"));
    Value::Mapping(said.map(|(key, value)| (Value::from(*key), Value::from(*value))).collect())
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
fn written(site: &Site, cargo: Cargo<'_>, document: &Mapping) -> String {
    let mut text = String::from(rules::FIRST_LINE);
    let mut line = |words: String| _ = writeln!(text, "# {words}");
    line(format!("The first boot of every node of the site {}, by anymetal {}.", site.name, env!("CARGO_PKG_VERSION")));
    line("Made from the site: change that and build again, not this.".to_owned());
    line(format!("plan sha256:{}", plan::digest(cargo.plan)));
    if cargo.secrets.is_some() {
        line("There are secrets in it: not for others to read.".to_owned());
    }
    text + &yaml::document(document, comment)
}

fn comment(key: &str) -> Option<&'static str> {
    match key {
        "write_files" => Some("gz+b64: `base64 -d | gunzip` shows it."),
        "runcmd" => Some("The work itself is a service: `journalctl -u anymetal`."),
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
        make(&site, Cargo { plan: PLAN, secrets: None, signed: None, inits: &pins() }, None)
    }

    const PLAN: &[u8] = b"{\"kind\":\"anymetal.plan\"}";

    fn pins() -> BTreeMap<Arch, Digest> {
        BTreeMap::from([(Arch::X86_64, Digest::of([7; 32]))])
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
            "datasource:".to_owned(),
            "  Ec2:".to_owned(),
            "    strict_id: false".to_owned(),
        ];
        assert!(text.starts_with(&(head.join("\n") + "\n")), "{text}");
        let tail = "runcmd:\n- [sync]\n- [systemctl, daemon-reload]\n- [systemctl, enable, anymetal.service]\n- [systemctl, start, --no-block, anymetal.service]\n";
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn secrets_are_a_file_for_root_alone_and_the_reader_is_told() {
        let secrets = b"{\"kind\":\"anymetal.secrets\"}";
        let cargo = Cargo { plan: PLAN, secrets: Some(secrets), signed: None, inits: &pins() };
        let text = make(&sample::site(), cargo, None).unwrap().text;
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
        // in what is packed nobody finds it
        assert!(!made(|site| site.origins = vec!["http://o/image_tag=x".into()]).unwrap().text.contains("image_tag="));
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
