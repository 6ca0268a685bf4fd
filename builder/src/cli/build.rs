//! `anymetal build SITE -o OUT`: the artefacts of a site, and on stdout what they are.
//! May not make one: `plan` and `userdata` do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anymetal_contract::{Digest, place};

use super::{Failed, Outcome, say, talk};
use crate::init_binary::{self, Init};
use crate::site::Site;
use crate::sys::write;
use crate::{plan, userdata};

/// What `build --help` says of the output.
const OUTPUT: &str = "In OUT: user-data, plan.json, and sha256/<digest> for each anymetal-init.
OUT is what an origin serves: put it behind one of the site's `origins`.

On stdout, in this order, each on a line of its own:
  plan sha256:<digest>
  user-data <bytes> bytes
  init <architecture> sha256:<digest>";

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
}

/// A form in which a plan travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A cloud-config
    UserData,
}

/// All that is written, before anything is.
pub(super) struct Made {
    plan: Vec<u8>,
    user_data: String,
    inits: Vec<Init>,
    warnings: Vec<String>,
}

/// Reads the site, makes everything, then writes it, all or nothing.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    write::accepts(&args.output).map_err(Failed::Input)?;
    let made = Made::of(&site, &args.init, args.max_size).map_err(Failed::Input)?;
    made.write(&args.output)?;
    say(format_args!("plan sha256:{}", plan::digest(&made.plan)))?;
    say(format_args!("user-data {} bytes", made.user_data.len()))?;
    made.inits.iter().try_for_each(|init| say(format_args!("init {} sha256:{}", init.arch, init.sha256)))
}

impl Made {
    /// The plan, for every init it is to run under, and the user-data that carries it.
    pub(super) fn of(site: &Site, inits: &[PathBuf], max_size: Option<usize>) -> anyhow::Result<Self> {
        let drafted = plan::draft(site)?;
        let inits = init_binary::find(&site.architectures, inits)?;
        for init in inits.values() {
            plan::fit(&drafted, &init.abilities).map_err(|error| error.context(init.path.display().to_string()))?;
        }
        let plan = plan::canonical(&drafted);
        let pins: BTreeMap<_, Digest> = inits.iter().map(|(arch, init)| (*arch, init.sha256.clone())).collect();
        let made = userdata::make(site, &plan, &pins, max_size)?;
        Ok(Self { plan, user_data: made.text, inits: inits.into_values().collect(), warnings: made.warnings })
    }

    /// Says what is worth a warning, and writes everything into the folder.
    pub(super) fn write(&self, out: &Path) -> anyhow::Result<()> {
        self.warnings.iter().for_each(|warning| talk(format_args!("warning: {warning}")));
        write::files(out, &self.files())
    }

    /// By the path below OUT; what refers to others is last.
    fn files(&self) -> Vec<(PathBuf, &[u8])> {
        let inits = self.inits.iter().map(|init| (PathBuf::from(place::blob(&init.sha256)), init.bytes.as_slice()));
        let plan = (PathBuf::from("plan.json"), self.plan.as_slice());
        inits.chain([plan, (PathBuf::from("user-data"), self.user_data.as_bytes())]).collect()
    }
}
