//! `anymetal build SITE -o OUT`: the forms of a site's plan, and on stdout what they are.
//! May not make one: `made` does, and the rooms it asks.

mod bundled;
mod machines;
mod made;
mod papers;
mod signed;

use std::path::PathBuf;

use super::{Failed, Outcome, say};
use crate::plan;
use crate::sys::cache;
use crate::sys::write::{self, Entry};
pub(super) use made::{CUSTOMDATA, Made, Released, Wanted};

/// The file of the form `bundle`.
pub(super) const BUNDLE: &str = "bundle.tar";

/// What `build --help` says of the output.
const OUTPUT: &str = "In OUT: user-data, release.json, plan.json, and sha256/<digest> for both, for
each anymetal-init and for each list of packages that the site's lock has; with
`bundle` also bundle.tar, which has all of these and every archive by its
digest, the archives taken from the cache that `anymetal fetch` fills.
Unpacked, it is an origin.
Serve OUT/sha256, and nothing else of OUT, as <origin>/sha256 of one of the
site's `origins`. The site's secrets are where its `secrets.deliver` says: in
user-data, customdata.json or anymetal-secrets.json, which is then mode 0600.

The release pins the plan and all else that nodes run, under the site's
`serial`. With `signers` in the site it has to be signed: with --sign, or in
OUT/release.json.minisig already, by minisign over what `--form plan` writes.

On stdout, in this order, each on a line of its own:
  plan sha256:<digest>
  release sha256:<digest> serial <n>
  user-data <bytes> bytes
  user-data.<hostname> <bytes> bytes    of each --machine
  init <architecture> sha256:<digest>
  bundle <bytes> bytes, <n> blobs
  <file> sha256:<digest>    of sbom.cdx.json, provenance.intoto.json";

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = OUTPUT)]
pub struct Args {
    /// The site's file
    site: PathBuf,
    /// The folder to write; made when it is not there
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// What to write, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "user-data")]
    form: Vec<Form>,
    /// A static anymetal-init; once per architecture
    #[arg(long, value_name = "FILE")]
    init: Vec<PathBuf>,
    /// Allow a user-data of so many bytes; 16384 are safe everywhere
    #[arg(long, value_name = "BYTES")]
    max_size: Option<usize>,
    /// Machines' own documents: each gets OUT/user-data.<hostname>
    #[arg(long, value_name = "FILE", num_args = 1..)]
    machine: Vec<PathBuf>,
    /// Put plan and release into the user-data, for nodes without an origin
    #[arg(long)]
    inline_plan: bool,
    /// Where archives for the bundle are, as sha256/<digest>
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Sign the release with this secret key
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// The variable of the environment that has the key's password
    #[arg(long, value_name = "NAME", requires = "sign")]
    password_env: Option<String>,
}

/// A form in which a release travels, or what is said about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// A cloud-config
    UserData,
    /// One tar with all that the nodes need
    Bundle,
    /// Plan and release alone, to be looked at or signed elsewhere
    Plan,
    /// What the nodes will run, with versions, digests and licences: CycloneDX
    Sbom,
    /// What went in and what came out, by digest: in-toto, SLSA
    Provenance,
}

impl Form {
    /// The word on the command line.
    fn word(self) -> String {
        clap::ValueEnum::to_possible_value(&self).expect("no form is hidden").get_name().to_owned()
    }

    /// Whether nodes take a release from it.
    fn is_carrier(self) -> bool {
        matches!(self, Self::UserData | Self::Bundle)
    }
}

/// Reads the site, makes everything, then writes it, all or nothing.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    write::accepts(&args.output).map_err(Failed::Input)?;
    let drafted = plan::draft(&site).map_err(Failed::Input)?;
    let cache = args.cache.clone().map_or_else(cache::root, Ok)?;
    super::openable(&cache, &drafted)?;
    // What brings no machine up brings no secrets either.
    let secrets = if args.form.contains(&Form::UserData) { super::secrets(&site, &drafted)? } else { None };
    let released = Released::of(&site, &drafted, &args.init).map_err(Failed::Input)?;
    let signature = signed::signature(&site, &released.text, &released.release, args)?;
    let machines = machines::read(&site, &args.machine).map_err(Failed::Input)?;
    let wanted = Wanted { inline: args.inline_plan, max_size: args.max_size, machines: &machines };
    let wanted = args.form.contains(&Form::UserData).then_some(wanted);
    let made = Made::of(&site, &drafted, released, secrets.as_deref(), wanted, signature).map_err(Failed::Input)?;
    let bundled = args.form.contains(&Form::Bundle).then(|| bundled::bundle(&made, &drafted, args)).transpose()?;
    made.write(&args.output)?;
    say(format_args!("plan sha256:{}", plan::digest(&made.plan)))?;
    say(format_args!("release sha256:{} serial {}", plan::digest(&made.text), made.release.serial))?;
    if let Some(user_data) = &made.user_data {
        say(format_args!("user-data {} bytes", user_data.len()))?;
    }
    made.machines.iter().try_for_each(|(name, text)| say(format_args!("{name} {} bytes", text.len())))?;
    made.inits.iter().try_for_each(|init| say(format_args!("init {} sha256:{}", init.arch, init.sha256)))?;
    if let Some(bundled) = &bundled {
        say(format_args!("bundle {} bytes, {} blobs", bundled.size, bundled.blobs))?;
    }
    bundled.map_or(Ok(()), |bundled| bundled.put(&args.output))?;
    let papers = papers::papers(&made, &site, &drafted, args)?;
    let entries: Vec<_> = papers.iter().map(|(name, bytes)| Entry::open(*name, bytes)).collect();
    write::files(&args.output, &entries)?;
    papers.iter().try_for_each(|(name, bytes)| say(format_args!("{name} sha256:{}", plan::digest(bytes))))
}
