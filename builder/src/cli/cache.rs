//! `anymetal cache`: where the blobs are, which ones, whether they are right; and throwing away what no site needs.
//! May not decide what could go: `cache` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::anyhow;
use anymetal_contract::Digest;
use anymetal_supply::amount::Amount;

use super::{Failed, Outcome, say};
use crate::cache::{self, Cache, Show};
use crate::plan::Need;

/// What `cache --help` says besides.
const FORMS: &str = "Alone it says where the cache is and what is in it:
  <cache>: 5 blobs, <bytes> bytes; 1 unfinished, <bytes> bytes";

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = FORMS)]
pub struct Args {
    /// The cache there, not your own
    #[arg(long, global = true, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the blobs: digest, bytes, and the name these sites have for it
    List {
        /// Sites' files
        sites: Vec<PathBuf>,
    },
    /// Remove what none of these sites needs
    Prune {
        /// All sites whose blobs stay
        #[arg(required = true)]
        sites: Vec<PathBuf>,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
    /// Read every blob, and name those that are damaged
    Verify {
        /// Remove them
        #[arg(long)]
        remove: bool,
    },
}

/// Runs what was typed.
pub fn run(args: &Args) -> Outcome {
    let open = || Cache::open(args.cache.as_deref());
    match &args.command {
        None => summary(&open()?),
        Some(Command::List { sites }) => list(&needs(sites)?, &open()?),
        Some(Command::Prune { sites, dry_run }) => prune(&needs(sites)?, &open()?, *dry_run),
        Some(Command::Verify { remove }) => verify(&open()?, *remove),
    }
}

fn summary(cache: &Cache) -> Outcome {
    let (blobs, parts) = (cache.blobs()?, cache.parts()?);
    let sum = |sizes: &BTreeMap<Digest, u64>| sizes.values().fold(0, |sum: u64, size| sum.saturating_add(*size));
    let unfinished = match parts.len() {
        0 => String::new(),
        count => format!("; {count} unfinished, {} bytes", sum(&parts)),
    };
    say(format_args!("{}: {}, {} bytes{unfinished}", cache.root().display(), count(blobs.len(), "blob"), sum(&blobs)))
}

fn list(needs: &BTreeMap<Digest, Need>, cache: &Cache) -> Outcome {
    cache.blobs()?.into_iter().try_for_each(|(digest, size)| {
        let name = needs.get(&digest).map_or(String::new(), |need| format!(" {}", need.name));
        say(format_args!("sha256:{digest} {size} bytes{name}"))
    })
}

/// A part that somebody is writing stays, whatever it is of.
fn prune(needs: &BTreeMap<Digest, Need>, cache: &Cache, dry_run: bool) -> Outcome {
    let (blobs, parts) = (cache.blobs()?, cache.parts()?);
    let needed: BTreeSet<Digest> = needs.keys().cloned().collect();
    let surplus = cache::surplus(&blobs, &parts, &needed);
    let (mut gone, mut bytes) = ((0, 0), 0);
    for (digest, size) in &surplus.blobs {
        if !dry_run {
            cache.store().discard(digest)?;
        }
        say(format_args!("sha256:{digest} {size} bytes"))?;
        gone.0 += 1;
        bytes += size;
    }
    for (digest, size) in &surplus.parts {
        if dry_run || cache.store().sweep(digest)? {
            say(format_args!("sha256:{digest}.part {size} bytes"))?;
            gone.1 += 1;
            bytes += size;
        }
    }
    let word = if dry_run { "would remove" } else { "removed" };
    let unfinished = if gone.1 == 0 { String::new() } else { format!(" and {} unfinished", gone.1) };
    say(format_args!("{word} {} of {}{unfinished}, {}", gone.0, count(blobs.len(), "blob"), Amount(bytes)))
}

fn verify(cache: &Cache, remove: bool) -> Outcome {
    let blobs = cache.blobs()?;
    let damaged = cache::verify(cache.store(), &blobs, &Show::on_stderr());
    for damaged in &damaged {
        if remove {
            cache.store().discard(&damaged.digest)?;
        }
        let then = if remove { "; removed" } else { "" };
        say(format_args!("{} is damaged: {}{then}", cache.store().blob(&damaged.digest).display(), damaged.words))?;
    }
    say(format_args!("verified {}, {} damaged", count(blobs.len(), "blob"), damaged.len()))?;
    if damaged.is_empty() || remove {
        return Ok(());
    }
    Err(Failed::Fault(anyhow!(
        "the cache has damaged blobs\n\
         hint: `anymetal cache verify --remove` removes them, and `anymetal fetch SITE` fetches them again"
    )))
}

/// What these sites need, by digest; one name for each.
fn needs(sites: &[PathBuf]) -> Result<BTreeMap<Digest, Need>, Failed> {
    let mut all = BTreeMap::new();
    for path in sites {
        let site = super::site(path)?;
        for need in cache::needs(&site).map_err(Failed::Input)? {
            all.entry(need.sha256.clone()).or_insert(need);
        }
    }
    Ok(all)
}

fn count(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
