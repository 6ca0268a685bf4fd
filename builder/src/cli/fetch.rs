//! `anymetal fetch SITE`: every blob of a site into the cache, and on stdout what each is and where it came from.
//! May not fetch or judge: `cache` does.

use std::path::PathBuf;

use anyhow::anyhow;
use anymetal_supply::amount::Amount;
use anymetal_supply::transfer::Got;

use super::{Failed, Outcome, say, talk};
use crate::cache::{self, Cache, Had, How, Show, Sought};
use crate::plan;
use crate::sys::{carried, outside};

/// What `fetch --help` says besides.
const PLACES: &str = "A blob is looked for in the folders of --from, by its digest or by its name at
upstream's; then at the site's origins; then at upstream's. Whatever is cut off
is gone on with, by the next run too. Each archive is opened as a node will.

On stdout a line for each blob, and then how many there are:
  <name> sha256:<digest> <bytes> bytes from <place>|cache
  fetched 3 of 5 blobs, 120.3 MB; 5 in <cache>";

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = PLACES)]
pub struct Args {
    /// The site's file
    site: PathBuf,
    /// A folder with files that you carried in; may be repeated
    #[arg(long, value_name = "DIR")]
    from: Vec<PathBuf>,
    /// Keep blobs there, not in your own cache
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Transfers at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Ask again so often while nothing comes
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
    /// Read what is in the cache too
    #[arg(long)]
    verify: bool,
}

/// Fetches what is not there.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    args.from.iter().try_for_each(|folder| carried::folder(folder)).map_err(Failed::Input)?;
    let needs = cache::needs(&site).map_err(Failed::Input)?;
    let sought = cache::sought(&site, needs, &args.from);
    let cache = Cache::open(args.cache.as_deref())?;
    let how = How { jobs: args.jobs.into(), retries: args.retries, verify: args.verify };
    let outside = outside::outside(&site.ca, |words| talk(words));
    let had = cache::fetch(&cache, &sought, &outside, how, &Show::on_stderr())?;
    tell(&cache, &sought, &had)?;
    super::openable(cache.root(), &plan::draft(&site).map_err(Failed::Input)?)
}

/// What is there is data, what is not is talk.
fn tell(cache: &Cache, sought: &[Sought], had: &[Had]) -> Outcome {
    let (mut fetched, mut amount, mut missed) = (0, 0, 0);
    for (Sought { need, .. }, had) in sought.iter().zip(had) {
        let (bytes, from) = match had {
            Ok(Got::Same) => (cache.store().size(&need.sha256).unwrap_or_default(), "cache"),
            Ok(Got::Fetched { bytes, base }) => {
                fetched += 1;
                amount += bytes;
                (*bytes, base.as_str())
            }
            Err(said) => {
                missed += 1;
                talk(format_args!("anymetal: {said}"));
                continue;
            }
        };
        say(format_args!("{} sha256:{} {bytes} bytes from {from}", need.name, need.sha256))?;
    }
    let (all, there) = (sought.len(), sought.len() - missed);
    let noun = if all == 1 { "blob" } else { "blobs" };
    say(format_args!("fetched {fetched} of {all} {noun}, {}; {there} in {}", Amount(amount), cache.root().display()))?;
    if missed == 0 {
        return Ok(());
    }
    Err(Failed::Fault(anyhow!(
        "{missed} of {all} {noun} could not be had\n\
         hint: what has come is kept, and the next run goes on from there; `--from DIR` takes files that you carry in"
    )))
}
