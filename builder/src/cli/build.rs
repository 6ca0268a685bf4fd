//! `anymetal build SITE -o OUT`: the artefacts of a site, and on stdout what they are.
//! May not make one: `plan` and `userdata` do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anymetal_contract::plan::Delivery;
use anymetal_contract::{Digest, Plan, place};

use super::{Failed, Outcome, say, talk};
use crate::init_binary::{self, Init};
use crate::lock::list;
use crate::site::Site;
use crate::sys::parts;
use crate::sys::write::{self, Entry};
use crate::userdata::Cargo;
use crate::{plan, userdata};

/// The file of what goes into the platform's own document about each machine.
pub(super) const CUSTOMDATA: &str = "customdata.json";

/// What `build --help` says of the output.
const OUTPUT: &str = "In OUT: user-data, plan.json, and sha256/<digest> for each anymetal-init and
for each list of packages that the site's lock has.
Serve OUT/sha256, and nothing else of OUT, as <origin>/sha256 of one of the
site's `origins`. The site's secrets are where its `secrets.deliver` says: in
user-data, customdata.json or anymetal-secrets.json, which is then mode 0600.

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
    /// Whether the user-data carries the secrets.
    secret: bool,
    /// What the operator puts into the platform's own document about each machine, JSON; when the secrets travel so.
    customdata: Option<Vec<u8>>,
    /// What goes onto a volume as [`place::MEDIUM_SECRETS`]; when the secrets travel so.
    medium: Option<Vec<u8>>,
    inits: Vec<Init>,
    /// The lists of packages that the plan pins, by their digests.
    lists: Vec<(Digest, Vec<u8>)>,
    warnings: Vec<String>,
}

/// Reads the site, makes everything, then writes it, all or nothing.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    write::accepts(&args.output).map_err(Failed::Input)?;
    let drafted = plan::draft(&site).map_err(Failed::Input)?;
    let secrets = super::secrets(&site, &drafted)?;
    let made = Made::of(&site, &drafted, secrets.as_deref(), &args.init, args.max_size).map_err(Failed::Input)?;
    made.write(&args.output)?;
    say(format_args!("plan sha256:{}", plan::digest(&made.plan)))?;
    say(format_args!("user-data {} bytes", made.user_data.len()))?;
    made.inits.iter().try_for_each(|init| say(format_args!("init {} sha256:{}", init.arch, init.sha256)))
}

impl Made {
    /// The plan, for every init it is to run under, the user-data that carries it, and the secrets on their way.
    pub(super) fn of(
        site: &Site,
        drafted: &Plan,
        secrets: Option<&[u8]>,
        inits: &[PathBuf],
        max_size: Option<usize>,
    ) -> anyhow::Result<Self> {
        let inits = init_binary::find(&site.architectures, inits)?;
        for init in inits.values() {
            plan::fit(drafted, &init.abilities).map_err(|error| error.context(init.path.display().to_string()))?;
        }
        let plan = plan::canonical(drafted);
        let pins: BTreeMap<_, Digest> = inits.iter().map(|(arch, init)| (*arch, init.sha256.clone())).collect();
        let by = |way: Delivery| secrets.filter(|_| drafted.secrets == Some(way));
        let inside = by(Delivery::UserData);
        let made = userdata::make(site, Cargo { plan: &plan, secrets: inside, inits: &pins }, max_size)?;
        Ok(Self {
            secret: inside.is_some(),
            customdata: by(Delivery::Customdata).map(customdata),
            medium: by(Delivery::Medium).map(<[u8]>::to_vec),
            plan,
            user_data: made.text,
            inits: inits.into_values().collect(),
            lists: lists(site),
            warnings: made.warnings,
        })
    }

    /// Says what is worth a warning, and writes everything into the folder.
    pub(super) fn write(&self, out: &Path) -> anyhow::Result<()> {
        self.warnings.iter().for_each(|warning| talk(format_args!("warning: {warning}")));
        write::files(out, &self.files())?;
        // What an earlier build wrote for another way of delivery would be secrets that nobody watches.
        let carriers = [(CUSTOMDATA, &self.customdata), (place::MEDIUM_SECRETS, &self.medium)];
        let stale = carriers.into_iter().filter(|(_, bytes)| bytes.is_none());
        stale.map(|(name, _)| out.join(name)).try_for_each(|path| parts::clear(&path))
    }

    /// By the path below OUT; what refers to others is last.
    fn files(&self) -> Vec<Entry<'_>> {
        let inits = self.inits.iter().map(|init| Entry::open(place::blob(&init.sha256), &init.bytes));
        let lists = self.lists.iter().map(|(digest, bytes)| Entry::open(place::blob(digest), bytes));
        let secrets = [(CUSTOMDATA, &self.customdata), (place::MEDIUM_SECRETS, &self.medium)];
        let secrets = secrets.into_iter().filter_map(|(name, bytes)| Some(Entry::private(name, bytes.as_deref()?)));
        let user_data = if self.secret { Entry::private } else { Entry::open };
        let last = [Entry::open("plan.json", &self.plan), user_data("user-data", self.user_data.as_bytes())];
        inits.chain(lists).chain(secrets).chain(last).collect()
    }
}

/// The bytes of each list of packages that the site's lock has.
fn lists(site: &Site) -> Vec<(Digest, Vec<u8>)> {
    let bytes = site.lock.iter().flat_map(list::lists).map(|(_, list)| list::bytes(&list));
    bytes.map(|bytes| (plan::digest(&bytes), bytes)).collect()
}

/// The secrets as a member of the platform's own document. Both are canonical JSON.
fn customdata(secrets: &[u8]) -> Vec<u8> {
    [b"{\"", anymetal_contract::secrets::CUSTOMDATA.as_bytes(), b"\":", secrets, b"}"].concat()
}
