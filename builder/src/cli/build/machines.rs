//! Machines' own documents that `build --machine` is given: read, and named for the user-data that carries each.
//! May not judge what they say of the network: init does, and `anymetal rehearse` shows it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use anymetal_contract::text;
use anymetal_supply::json;
use serde::Deserialize;

use crate::site::Site;
use crate::sys::read;

/// The largest document that is taken, in bytes; one with 64 neighbours has 10 KiB, and all of it has to fit into a user-data.
const LARGEST: u64 = 64 << 10;
/// The `kind` of a machine's own document.
const KIND: &str = "anymetal.machine";

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Machine {
    /// Its name, which is a part of a file's name.
    pub(in crate::cli) name: String,
    /// Its document, as it is.
    pub(in crate::cli) document: String,
}

/// Reads the documents. Fails when one is none, when two have one name, and on a platform that describes machines itself.
pub(super) fn read(site: &Site, files: &[PathBuf]) -> Result<Vec<Machine>> {
    ensure!(
        files.is_empty() || site.platform == "file",
        "the platform {} describes its machines itself, and nodes would not read a document of their own\n\
         hint: leave `--machine` out, or write `platform: file`",
        site.platform
    );
    let mut names: BTreeMap<String, &Path> = BTreeMap::new();
    let mut machines = Vec::new();
    for file in files {
        let machine = one(file).with_context(|| format!("reading {}", file.display()))?;
        if let Some(other) = names.insert(machine.name.clone(), file) {
            let name = &machine.name;
            bail!(
                "{} and {} are both of {name}\nhint: give each machine a name of its own",
                other.display(),
                file.display()
            );
        }
        machines.push(machine);
    }
    Ok(machines)
}

fn one(file: &Path) -> Result<Machine> {
    #[derive(Deserialize)]
    struct Named {
        kind: Option<String>,
        hostname: Option<String>,
        id: Option<String>,
    }
    let bytes = read::bounded(file, LARGEST).map_err(|refused| refused.told(LARGEST))?;
    // what editors add, and cloud-config does not take
    let text = text::decode(&bytes)?.replace("\r\n", "\n");
    // the parser's own words may repeat a password
    let named: Named =
        json::parse(&text).map_err(|error| anyhow!("it is no JSON object of a machine, {}", error.place()))?;
    ensure!(
        named.kind.as_deref() == Some(KIND),
        "it is no machine's own document: its `kind` is not {KIND:?}\nhint: README has an example under \"Where the machines are\""
    );
    let name = named.hostname.or(named.id).unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    ensure!(
        !name.is_empty() && !name.starts_with('.') && name.len() < 200 && name.chars().all(plain),
        "its `hostname` is no name of letters, digits, hyphens and dots"
    );
    Ok(Machine { name, document: text })
}
