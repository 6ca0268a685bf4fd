//! The plan in a user-data, and the inits its `fetch-init` pins.
//! May not look at any other file in it: there are secrets in some.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::{Context as _, Result, bail, ensure};
use anymetal_contract::plan::Arch;
use anymetal_contract::{Digest, place};
use base64::Engine as _;
use serde_yaml::Value;

use super::{Carried, LARGEST};
use crate::userdata::host;

/// What the user-data carries. Its `fetch-init` and its unit have to be those that `anymetal build` makes for that plan.
pub(super) fn read(bytes: &[u8]) -> Result<Carried> {
    let text = std::str::from_utf8(bytes).context("it is no UTF-8")?;
    ensure!(text.starts_with("#cloud-config\n"), "its first line is not `#cloud-config`");
    // the parser's own words may repeat a secret
    let document: Value = serde_yaml::from_str(text).ok().context("it is no YAML")?;
    let files = document.get("write_files").and_then(Value::as_sequence).context("it has no `write_files`")?;
    let plan = content(files, place::PLAN)?;
    let mut carried = Carried::read(plan)?;
    let digest = carried.digest();
    let said = text.lines().find_map(|line| line.strip_prefix("# plan sha256:"));
    ensure!(said == Some(digest.as_str()), "its head does not say that its plan is sha256:{digest}");
    let script = String::from_utf8(content(files, place::FETCH)?).context(place::FETCH)?;
    let inits = pins(&script)?;
    let made = |file: anymetal_contract::plan::File| file.body;
    let right = made(host::fetch_init(&inits, &carried.plan.origins)?);
    let same = |path: &str, found: &str, right: &str| match found
        .lines()
        .zip(right.lines())
        .position(|(found, right)| found != right)
    {
        Some(line) => bail!("line {} of {path} is not as anymetal writes it", line + 1),
        None if found != right => bail!("the end of {path} is not as anymetal writes it"),
        None => Ok(()),
    };
    same(place::FETCH, &script, &right)?;
    let unit = String::from_utf8(content(files, place::UNIT)?).context(place::UNIT)?;
    same(place::UNIT, &unit, &made(host::unit()?))?;
    carried.inits = Some(inits);
    if files.iter().any(|file| file.get("path").and_then(Value::as_str) == Some(place::SIGNATURE)) {
        carried.signature = Some(String::from_utf8(content(files, place::SIGNATURE)?).context(place::SIGNATURE)?);
    }
    Ok(carried)
}

/// What cloud-init would write to this path.
fn content(files: &[Value], path: &str) -> Result<Vec<u8>> {
    let text = |file: &Value, key: &str| file.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut found = files.iter().filter(|file| text(file, "path").as_deref() == Some(path));
    let file = found.next().with_context(|| format!("it does not write {path}"))?;
    ensure!(found.next().is_none(), "it writes {path} twice");
    let content = text(file, "content").with_context(|| format!("{path} has no content"))?;
    match text(file, "encoding").as_deref() {
        None => Ok(content.into_bytes()),
        Some("gz+b64") => unpacked(&content).with_context(|| format!("unpacking {path}")),
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

/// `x86_64) want=<sha256> ;;`
fn pins(script: &str) -> Result<BTreeMap<Arch, Digest>> {
    let pin = |line: &str| {
        let (arch, rest) = line.split_once(") want=")?;
        Some((Arch::named(arch)?, rest.strip_suffix(" ;;")?.parse().ok()?))
    };
    let pins: BTreeMap<_, _> = script.lines().filter_map(pin).collect();
    ensure!(!pins.is_empty(), "{} pins no anymetal-init", place::FETCH);
    Ok(pins)
}
