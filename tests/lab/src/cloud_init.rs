//! A double of cloud-init: what its `write_files` module does with a cloud-config, and the commands it would run, in order.
//! May not run them, and plays no other module: the machine boots of ring 4 have the real one.

use std::io::Read as _;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use serde_yaml::Value;

/// A file cloud-init would write.
#[derive(Debug, Clone)]
pub struct Written {
    /// Absolute.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Decoded.
    pub content: Vec<u8>,
}

/// What `write_files` of this cloud-config would write, in order.
pub fn written(user_data: &str) -> anyhow::Result<Vec<Written>> {
    ensure!(user_data.starts_with("#cloud-config\n"), "this is not a cloud-config");
    let document: Value = serde_yaml::from_str(user_data).context("parsing the cloud-config")?;
    let Some(files) = document.get("write_files").and_then(Value::as_sequence) else { return Ok(Vec::new()) };
    files.iter().map(one).collect()
}

/// What `runcmd` would run, each as one line of sh.
pub fn commands(user_data: &str) -> anyhow::Result<Vec<String>> {
    let document: Value = serde_yaml::from_str(user_data).context("parsing the cloud-config")?;
    let Some(commands) = document.get("runcmd").and_then(Value::as_sequence) else { return Ok(Vec::new()) };
    commands
        .iter()
        .map(|command| match command {
            Value::String(line) => Ok(line.clone()),
            Value::Sequence(words) => Ok(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
            other => bail!("a command is {other:?}"),
        })
        .collect()
}

fn one(file: &Value) -> anyhow::Result<Written> {
    let text = |key: &str| file.get(key).and_then(Value::as_str);
    let path = text("path").context("a file without a path")?.to_owned();
    let content = text("content").unwrap_or_default();
    let content = match text("encoding") {
        None | Some("text/plain") => content.as_bytes().to_vec(),
        Some("gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64") => {
            let mut bytes = Vec::new();
            flate2::read::MultiGzDecoder::new(base64(content)?.as_slice())
                .read_to_end(&mut bytes)
                .context("inflating")?;
            bytes
        }
        Some("b64" | "base64") => base64(content)?,
        Some(other) => bail!("{path}: the double does not play the encoding {other}"),
    };
    let mode = u32::from_str_radix(text("permissions").unwrap_or("0644"), 8).context("permissions are octal text")?;
    Ok(Written { path, mode, content })
}

fn base64(text: &str) -> anyhow::Result<Vec<u8>> {
    let packed: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(packed).context("decoding base64")
}
