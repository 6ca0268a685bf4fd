//! All that a build writes, before anything is.
//! May not decide what is in it: `plan` and `userdata` do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal_contract::bundle::PLAN;
use anymetal_contract::packages::Packages;
use anymetal_contract::plan::{Arch, Delivery};
use anymetal_contract::release::{FILE, SIGNATURE};
use anymetal_contract::{Digest, Plan, Release, place};

use super::machines::Machine;
use crate::cli::talk;
use crate::init_binary::{self, Init};
use crate::lock::list;
use crate::site::Site;
use crate::sys::parts;
use crate::sys::write::{self, Entry};
use crate::userdata::Cargo;
use crate::{plan, release, userdata};

/// The file of what goes into the platform's own document about each machine.
pub(in crate::cli) const CUSTOMDATA: &str = "customdata.json";

/// What is signed, and what it is made of.
pub(in crate::cli) struct Released {
    inits: BTreeMap<Arch, Init>,
    pub(super) plan: Vec<u8>,
    pub(in crate::cli) release: Release,
    /// The release, canonical.
    pub(in crate::cli) text: Vec<u8>,
}

impl Released {
    /// Makes the release of a site's plan, for inits that can carry it out.
    pub(in crate::cli) fn of(site: &Site, drafted: &Plan, inits: &[PathBuf]) -> anyhow::Result<Self> {
        let inits = init_binary::find(&site.architectures, inits)?;
        for init in inits.values() {
            let signed = if site.signers.is_empty() { Ok(()) } else { plan::fit_signed(&init.abilities) };
            let fits = plan::fit(drafted, &init.abilities).and(plan::fit_release(&init.abilities)).and(signed);
            fits.map_err(|error| error.context(init.path.display().to_string()))?;
        }
        let plan = plan::canonical(drafted);
        let pinned = inits.iter().map(|(arch, init)| (*arch, release::pinned(&init.bytes))).collect();
        let release = release::draft(site, &plan, pinned)?;
        Ok(Self { inits, plan, text: plan::canonical(&release), release })
    }
}

/// How a user-data is to be made.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct Wanted<'m> {
    /// Whether plan and release travel in it.
    pub(in crate::cli) inline: bool,
    /// How many bytes the author allows.
    pub(in crate::cli) max_size: Option<usize>,
    /// Machines that get one of their own, with their document in it.
    pub(in crate::cli) machines: &'m [Machine],
}

/// All that is written, before anything is.
pub(in crate::cli) struct Made {
    pub(super) plan: Vec<u8>,
    pub(super) release: Release,
    /// The release, canonical.
    pub(super) text: Vec<u8>,
    /// By one of the site's signers, when it has any.
    pub(super) signature: Option<String>,
    /// When it is wanted.
    pub(super) user_data: Option<String>,
    /// By file, those that carry a machine's own document too.
    pub(super) machines: Vec<(String, String)>,
    /// Whether the user-data carries the secrets.
    secret: bool,
    /// What the operator puts into the platform's own document about each machine, JSON; when the secrets travel so.
    customdata: Option<Vec<u8>>,
    /// What goes onto a volume as [`place::MEDIUM_SECRETS`]; when the secrets travel so.
    medium: Option<Vec<u8>>,
    pub(super) inits: Vec<Init>,
    /// The lists of packages that the plan pins.
    pub(super) lists: BTreeMap<Arch, Packages>,
    /// The same, as the blobs they are.
    pub(super) listed: Vec<(Digest, Vec<u8>)>,
    warnings: Vec<String>,
}

impl Made {
    /// The release and all that it pins, the user-data that starts from it when it is `wanted`, and the secrets on their way.
    pub(in crate::cli) fn of(
        site: &Site,
        drafted: &Plan,
        released: Released,
        secrets: Option<&[u8]>,
        wanted: Option<Wanted<'_>>,
        signature: Option<String>,
    ) -> anyhow::Result<Self> {
        let Released { inits, plan, release, text } = released;
        let by = |way: Delivery| secrets.filter(|_| drafted.secrets == Some(way));
        let inside = by(Delivery::UserData);
        let user_data_of = |Wanted { inline, max_size, .. }, machine| {
            let cargo = Cargo {
                release: &release,
                text: &text,
                signature: signature.as_deref(),
                plan: drafted,
                inline: inline.then_some(&*plan),
                secrets: inside,
                machine,
            };
            userdata::make(site, cargo, max_size)
        };
        let made = wanted.map(|wanted| user_data_of(wanted, None)).transpose()?;
        let (user_data, warnings) = made.map_or((None, Vec::new()), |made| (Some(made.text), made.warnings));
        let mut machines = Vec::new();
        if let Some(wanted) = wanted {
            for Machine { name, document } in wanted.machines {
                let made = user_data_of(wanted, Some(&**document)).with_context(|| format!("the machine {name}"))?;
                machines.push((format!("user-data.{name}"), made.text));
            }
        }
        let lists = list::lists(site);
        let listed = lists.values().map(list::bytes).map(|bytes| (plan::digest(&bytes), bytes)).collect();
        Ok(Self {
            secret: inside.is_some(),
            customdata: by(Delivery::Customdata).map(customdata),
            medium: by(Delivery::Medium).map(<[u8]>::to_vec),
            plan,
            release,
            text,
            signature,
            user_data,
            machines,
            inits: inits.into_values().collect(),
            lists,
            listed,
            warnings,
        })
    }

    /// Says what is worth a warning, and writes everything into the folder.
    pub(in crate::cli) fn write(&self, out: &Path) -> anyhow::Result<()> {
        self.warnings.iter().for_each(|warning| talk(format_args!("warning: {warning}")));
        write::files(out, &self.files())?;
        if self.user_data.is_none() {
            return Ok(());
        }
        // What an earlier build wrote for another way of delivery would be secrets that nobody watches.
        let carriers = [(CUSTOMDATA, &self.customdata), (place::MEDIUM_SECRETS, &self.medium)];
        let stale = carriers.into_iter().filter(|(_, bytes)| bytes.is_none());
        stale.map(|(name, _)| out.join(name)).try_for_each(|path| parts::clear(&path))
    }

    /// By the path below OUT; what refers to others is last.
    fn files(&self) -> Vec<Entry<'_>> {
        let inits = self.inits.iter().map(|init| Entry::open(place::blob(&init.sha256), &init.bytes));
        let lists = self.listed.iter().map(|(digest, bytes)| Entry::open(place::blob(digest), bytes));
        let secrets = [(CUSTOMDATA, &self.customdata), (place::MEDIUM_SECRETS, &self.medium)];
        let secrets = secrets.into_iter().filter_map(|(name, bytes)| Some(Entry::private(name, bytes.as_deref()?)));
        let user_data = if self.secret { Entry::private } else { Entry::open };
        let user_data = self.user_data.as_ref().map(|text| user_data("user-data", text.as_bytes()));
        let signature = self.signature.as_ref().map(|text| Entry::open(SIGNATURE, text.as_bytes()));
        let documents = [(FILE, &self.text), (PLAN, &self.plan)];
        let blobs = documents.map(|(_, bytes)| Entry::open(place::blob(&plan::digest(bytes)), bytes));
        let documents = documents.map(|(name, bytes)| Entry::open(name, bytes));
        // there may be a password of a BGP session in it
        let machines = self.machines.iter().map(|(name, text)| Entry::private(name, text.as_bytes()));
        let documents = documents.into_iter().chain(signature).chain(user_data).chain(machines);
        inits.chain(lists).chain(blobs).chain(secrets).chain(documents).collect()
    }
}

/// The secrets as a member of the platform's own document. Both are canonical JSON.
fn customdata(secrets: &[u8]) -> Vec<u8> {
    [b"{\"", anymetal_contract::secrets::CUSTOMDATA.as_bytes(), b"\":", secrets, b"}"].concat()
}
