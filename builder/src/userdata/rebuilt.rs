//! A user-data read back: what it carries, and where it differs from what its release, its plan and its own secrets make.
//! May not show a secret: of what it cannot name by a file of ours, only the line is named.

use std::io::Read as _;

use anyhow::{Context as _, Result, bail, ensure};
use anymetal_contract::plan::Delivery;
use anymetal_contract::{Digest, Pins, Plan, Release, Secrets, place, terminal};
use base64::Engine as _;
use serde_yaml::{Mapping, Value};

use super::{Cargo, Dropped, Operator, dropped, merge, ours, packed, rules, written};
use crate::plan;
use crate::release::Host;
use crate::site::model::Extra;

/// The largest file that is unpacked, in bytes; a plan of a whole site has 60 KiB.
const LARGEST: u64 = 4 << 20;
/// What we write to a node; anything else is the operator's.
const OURS: [&str; 9] = [
    place::FETCH,
    place::UNIT,
    place::PINS,
    place::SIGNERS,
    place::SIGNATURE,
    place::RELEASE,
    place::PLAN,
    place::SECRETS,
    place::MACHINE,
];

/// A user-data, as it is.
pub(crate) struct Found {
    text: String,
    document: Mapping,
    /// What it pins.
    pub(crate) pins: Pins,
    /// The release, when it travels in it.
    pub(crate) release: Option<Vec<u8>>,
    /// The plan, when it travels in it.
    pub(crate) plan: Option<Vec<u8>>,
    /// The release's signature.
    pub(crate) signature: Option<String>,
    stub: Digest,
    unit: Digest,
    signers: Vec<String>,
    secrets: Option<Vec<u8>>,
    machine: Option<String>,
}

impl Found {
    /// Reads a user-data. Fails when it is none of ours at all; whether it is right is not looked at.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).context("it is no UTF-8")?.to_owned();
        ensure!(text.starts_with(rules::FIRST_LINE), "its first line is not `#cloud-config`");
        // the parser's own words may repeat a secret
        let document: Mapping = serde_yaml::from_str(&text).ok().context("it is no YAML")?;
        let files = document.get("write_files").and_then(Value::as_sequence).context("it has no `write_files`")?;
        let needed = |path| content(files, path)?.with_context(|| format!("it does not write {path}"));
        let word = |path| anyhow::Ok(content(files, path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        let pins = word(place::PINS)?.with_context(|| format!("it does not write {}", place::PINS))?;
        Ok(Self {
            pins: pins.parse().map_err(anyhow::Error::msg).context(place::PINS)?,
            release: content(files, place::RELEASE)?,
            plan: content(files, place::PLAN)?,
            signature: word(place::SIGNATURE)?,
            stub: plan::digest(&needed(place::FETCH)?),
            unit: plan::digest(&needed(place::UNIT)?),
            signers: word(place::SIGNERS)?.unwrap_or_default().lines().map(str::to_owned).collect(),
            secrets: content(files, place::SECRETS)?,
            machine: word(place::MACHINE)?,
            document,
            text,
        })
    }

    /// Returns what a node gets from it besides its plan and init, under this release's serial.
    pub(crate) fn host(&self, release: &Release, plan: &Plan) -> Host {
        Host {
            serial: release.serial,
            stub: self.stub.clone(),
            unit: self.unit.clone(),
            cloud_config: self.operator(plan).map(|part| part.digest()),
            signers: self.signers.clone(),
        }
    }

    /// Returns the digest of the secrets in it.
    pub(crate) fn secrets(&self) -> Option<Digest> {
        self.secrets.as_deref().map(plan::digest)
    }

    /// Returns the first place where it is not what the release, the plan and its own secrets make, in words; `None` when it is that, to the byte.
    pub(crate) fn wrong(&self, release: (&Release, &[u8]), plan: (&Plan, &[u8])) -> Option<String> {
        self.judge(release, plan).err().map(|error| format!("{error:#}"))
    }

    fn judge(&self, (release, text): (&Release, &[u8]), (plan, plan_text): (&Plan, &[u8])) -> Result<()> {
        let inline = (self.release.is_some() || self.plan.is_some()).then_some(plan_text);
        let (signature, secrets) = (self.signature.as_deref(), self.secrets.as_deref());
        let machine = self.machine.as_deref();
        ensure!(
            machine.is_none() || plan.platform == "file",
            "it writes {}, which the platform {} does not read",
            place::MACHINE,
            plan.platform
        );
        let cargo = Cargo { release, text, signature, plan, inline, secrets, machine };
        ensure!(
            (release.stub.clone(), release.unit.clone()) == own_host(plan)?,
            "its release pins a {} or {} of another anymetal\nhint: verify it with the anymetal that built it",
            place::FETCH,
            place::UNIT
        );
        self.judge_secrets(release, plan)?;
        let dropped = dropped(cargo)?;
        dropped.iter().try_for_each(|file| self.judge_file(file))?;
        let operator = self.operator(plan);
        let keys = operator.as_ref().map_or_else(String::new, |part| keys(&part.document));
        let digest = operator.as_ref().map(Operator::digest);
        ensure!(digest == release.cloud_config, "the operator's part of it ({keys}) is not what its release pins");
        let document = operator.map(|part| part.document).unwrap_or_default();
        let part = Extra { origin: "the operator's part".to_owned(), document };
        let (made, _) = written(cargo, &dropped, &[part])?;
        match first_difference(&self.text, &made) {
            Some(line) => bail!("its line {line} is not as anymetal writes it"),
            None => Ok(()),
        }
    }

    /// Fails when the secrets are not where the plan says, or belong to another site.
    fn judge_secrets(&self, release: &Release, plan: &Plan) -> Result<()> {
        let wanted = plan.secrets == Some(Delivery::UserData);
        ensure!(wanted || self.secrets.is_none(), "it has secrets, which its plan does not say");
        let Some(bytes) = &self.secrets else {
            ensure!(!wanted, "it has no secrets, and its plan says that they come in it");
            return Ok(());
        };
        let path = place::SECRETS;
        let secrets: Secrets =
            serde_json::from_slice(bytes).ok().with_context(|| format!("{path} is no document of ours"))?;
        ensure!(secrets.site == release.site, "{path} is of the site {:?}, not of {:?}", secrets.site, release.site);
        Ok(())
    }

    fn judge_file(&self, file: &Dropped) -> Result<()> {
        let files = self.document.get("write_files").and_then(Value::as_sequence).map_or(&[][..], Vec::as_slice);
        let path = &file.path;
        let found = files.iter().find(|entry| is_at(entry, path));
        let found = found.with_context(|| format!("it does not write {path}"))?;
        if *found == file.entry {
            return Ok(());
        }
        let content = content(files, path)?.unwrap_or_default();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match first_difference(&text(&content), &text(&file.content)) {
            Some(line) => bail!("line {line} of {path} is not as anymetal writes it"),
            None => bail!("{path} is not written as anymetal does: by other permissions, owner or encoding"),
        }
    }

    /// What is not ours.
    fn operator(&self, plan: &Plan) -> Option<Operator> {
        let mut document = self.document.clone();
        if let Some(Value::Sequence(files)) = document.get_mut("write_files") {
            files.retain(|entry| !OURS.iter().any(|path| is_at(entry, path)));
        }
        let document = merge::beyond(&document, &ours(&plan.platform, &[]));
        (!document.is_empty()).then_some(Operator { document })
    }
}

/// The digests of the stub and the unit of this anymetal, for this plan.
fn own_host(plan: &Plan) -> Result<(Digest, Digest)> {
    let digest = |file: anymetal_contract::plan::File| plan::digest(file.body.as_bytes());
    Ok((digest(super::host::fetch_init()?), digest(super::host::unit(plan.proxy.as_ref())?)))
}

fn keys(document: &Mapping) -> String {
    document
        .keys()
        .filter_map(Value::as_str)
        .map(|key| format!("`{}`", terminal::one_line(key)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The number of the first line in which two texts differ, from 1.
fn first_difference(one: &str, other: &str) -> Option<usize> {
    let (one, other): (Vec<_>, Vec<_>) = (one.split('\n').collect(), other.split('\n').collect());
    (0..one.len().max(other.len())).find(|line| one.get(*line) != other.get(*line)).map(|line| line + 1)
}

fn is_at(entry: &Value, path: &str) -> bool {
    entry.get("path").and_then(Value::as_str) == Some(path)
}

/// What cloud-init would write to this path.
fn content(files: &[Value], path: &str) -> Result<Option<Vec<u8>>> {
    let text = |file: &Value, key: &str| file.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut found = files.iter().filter(|file| is_at(file, path));
    let Some(file) = found.next() else { return Ok(None) };
    ensure!(found.next().is_none(), "it writes {path} twice");
    let content = text(file, "content").with_context(|| format!("{path} has no content"))?;
    match text(file, "encoding").as_deref() {
        None => Ok(Some(content.into_bytes())),
        Some(packed::ENCODING) => unpacked(&content).with_context(|| format!("unpacking {path}")).map(Some),
        Some(other) => bail!("{path} has the encoding {other:?}, which anymetal does not write"),
    }
}

/// The bytes of a gzip member in base64, and of nothing else.
fn unpacked(text: &str) -> Result<Vec<u8>> {
    let packed: String = text.split('\n').collect();
    let member = base64::engine::general_purpose::STANDARD.decode(packed).context("decoding base64")?;
    let mut decoder = flate2::bufread::GzDecoder::new(&member[..]);
    let mut bytes = Vec::new();
    (&mut decoder).take(LARGEST + 1).read_to_end(&mut bytes).context("inflating")?;
    ensure!(bytes.len() as u64 <= LARGEST, "it unpacks to more than {LARGEST} bytes");
    ensure!(decoder.into_inner().is_empty(), "there is something behind it");
    Ok(bytes)
}
