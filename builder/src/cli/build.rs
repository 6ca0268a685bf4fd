//! `anymetal build SITE -o OUT`: the artefacts of a site, and on stdout what they are.
//! May not make one: `plan` and `userdata` do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use anymetal_contract::bundle as contract;
use anymetal_contract::plan::Delivery;
use anymetal_contract::{Digest, Plan, place};

use super::{Failed, Outcome, say, sign as signing, talk};
use crate::init_binary::{self, Init};
use crate::provenance::{self, Resource};
use crate::sign::{self, Signed};
use crate::site::Site;
use crate::sys::write::{self, Entry};
use crate::sys::{parts, private, read};
use crate::userdata::Cargo;
use crate::{plan, sbom, site, userdata};

/// The file of what goes into the platform's own document about each machine.
pub(super) const CUSTOMDATA: &str = "customdata.json";

/// What `build --help` says of the output.
const OUTPUT: &str = "In OUT: user-data, plan.json, and sha256/<digest> for each anymetal-init.
Serve OUT/sha256, and nothing else of OUT, as <origin>/sha256 of one of the
site's `origins`. The site's secrets are where its `secrets.deliver` says: in
user-data, customdata.json or anymetal-secrets.json, which is then mode 0600.

With `signers` in the site the plan has to be signed: with --sign, or in
OUT/plan.json.minisig already, by minisign over what `--form plan` writes.

On stdout, in this order, each on a line of its own:
  plan sha256:<digest>
  user-data <bytes> bytes
  init <architecture> sha256:<digest>
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
    /// Sign the plan with this secret key
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// The variable of the environment that has the key's password
    #[arg(long, value_name = "NAME", requires = "sign")]
    password_env: Option<String>,
}

/// A form in which a plan travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// A cloud-config
    UserData,
    /// The plan alone, to be looked at or signed elsewhere
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

    /// Whether nodes take a plan from it.
    fn is_carrier(self) -> bool {
        matches!(self, Self::UserData)
    }
}

/// All that is written, before anything is.
pub(super) struct Made {
    plan: Vec<u8>,
    /// By one of the site's signers, when it has any.
    signature: Option<String>,
    /// When it is wanted.
    user_data: Option<String>,
    /// Whether the user-data carries the secrets.
    secret: bool,
    /// What the operator puts into the platform's own document about each machine, JSON; when the secrets travel so.
    customdata: Option<Vec<u8>>,
    /// What goes onto a volume as [`place::MEDIUM_SECRETS`]; when the secrets travel so.
    medium: Option<Vec<u8>>,
    inits: Vec<Init>,
    warnings: Vec<String>,
}

/// Reads the site, makes everything, then writes it, all or nothing.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    write::accepts(&args.output).map_err(Failed::Input)?;
    let drafted = plan::draft(&site).map_err(Failed::Input)?;
    let secrets = super::secrets(&site, &drafted)?;
    let signature = signature(&site, &plan::canonical(&drafted), args)?;
    let signed = signature.filter(|_| args.form.iter().any(|form| form.is_carrier()) || args.sign.is_some());
    let made = Made::of(&site, &drafted, secrets.as_deref(), &args.init, &args.form, signed, args.max_size)
        .map_err(Failed::Input)?;
    made.write(&args.output)?;
    say(format_args!("plan sha256:{}", plan::digest(&made.plan)))?;
    if let Some(user_data) = &made.user_data {
        say(format_args!("user-data {} bytes", user_data.len()))?;
    }
    made.inits.iter().try_for_each(|init| say(format_args!("init {} sha256:{}", init.arch, init.sha256)))?;
    let papers = made.papers(&site, &drafted, args)?;
    let entries: Vec<_> = papers.iter().map(|(name, bytes)| Entry::open(*name, bytes)).collect();
    write::files(&args.output, &entries)?;
    papers.iter().try_for_each(|(name, bytes)| say(format_args!("{name} sha256:{}", plan::digest(bytes))))
}

/// The plan's signature: made now, or the one that lies in OUT. An error when the site names signers and none of them signed what nodes take.
fn signature(site: &Site, plan: &[u8], args: &Args) -> Result<Option<String>, Failed> {
    let signers = &site.signers;
    if let Some(path) = &args.sign {
        let key = signing::open(path, args.password_env.as_deref())?;
        if !signers.is_empty() && !signers.contains(key.public()) {
            return Err(Failed::Input(anyhow!(
                "the key in {} is none of the site's `signers`\nhint: add {} to them, or sign with one that is",
                path.display(),
                key.public().text()
            )));
        }
        return Ok(Some(sign::sign(plan, &key)));
    }
    let path = args.output.join(sign::FILE);
    let there = private::is_there(&path).then(|| signing::text(&path, sign::LARGEST));
    let found = there.map(|text| text.and_then(|text| sign::adopted(&text))).transpose();
    let carried = args.form.iter().any(|form| form.is_carrier());
    if signers.is_empty() || !carried {
        // nobody has to sign: what is there stays with the plan it names
        let named = format!("sha256:{}", plan::digest(plan));
        return Ok(found.ok().flatten().filter(|text| text.contains(&named)));
    }
    let judged = found.and_then(|found| {
        let text = found.context("it is not there")?;
        sign::verify(plan, &text, signers).map(|_| text)
    });
    judged.map(Some).map_err(|error| {
        let hint = "sign while building with `--sign FILE`, or sign what `anymetal build --form plan` writes, then build again";
        let error = error.context(format!("looking for a signature of this plan in {}", path.display()));
        Failed::Input(anyhow!("the site names `signers`, and none of them signed the plan: {error:#}\nhint: {hint}"))
    })
}

impl Made {
    /// The plan, for every init it is to run under, the user-data that carries it, and the secrets on their way.
    pub(super) fn of(
        site: &Site,
        drafted: &Plan,
        secrets: Option<&[u8]>,
        inits: &[PathBuf],
        form: &[Form],
        signature: Option<String>,
        max_size: Option<usize>,
    ) -> anyhow::Result<Self> {
        let inits = init_binary::find(&site.architectures, inits)?;
        for init in inits.values() {
            let signed = if site.signers.is_empty() { Ok(()) } else { plan::fit_signed(&init.abilities) };
            let fits = plan::fit(drafted, &init.abilities).and(signed);
            fits.map_err(|error| error.context(init.path.display().to_string()))?;
        }
        let plan = plan::canonical(drafted);
        let pins: BTreeMap<_, Digest> = inits.iter().map(|(arch, init)| (*arch, init.sha256.clone())).collect();
        let by = |way: Delivery| secrets.filter(|_| drafted.secrets == Some(way));
        let inside = by(Delivery::UserData);
        let signers = &site.signers;
        let signed = signature.as_ref().filter(|_| !signers.is_empty());
        let signed = signed.map(|signature| Signed { signers, signature });
        let packed = || userdata::make(site, Cargo { plan: &plan, secrets: inside, signed, inits: &pins }, max_size);
        let made = form.contains(&Form::UserData).then(packed).transpose()?;
        let (user_data, warnings) = made.map_or((None, Vec::new()), |made| (Some(made.text), made.warnings));
        Ok(Self {
            secret: inside.is_some(),
            customdata: by(Delivery::Customdata).map(customdata),
            medium: by(Delivery::Medium).map(<[u8]>::to_vec),
            plan,
            signature,
            user_data,
            inits: inits.into_values().collect(),
            warnings,
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
        let secrets = [(CUSTOMDATA, &self.customdata), (place::MEDIUM_SECRETS, &self.medium)];
        let secrets = secrets.into_iter().filter_map(|(name, bytes)| Some(Entry::private(name, bytes.as_deref()?)));
        let user_data = if self.secret { Entry::private } else { Entry::open };
        let user_data = self.user_data.as_ref().map(|text| user_data("user-data", text.as_bytes()));
        let signature = self.signature.as_ref().map(|text| Entry::open(contract::SIGNATURE, text.as_bytes()));
        let plan = [Entry::open(contract::PLAN, &self.plan)];
        inits.chain(secrets).chain(plan).chain(signature).chain(user_data).collect()
    }

    /// What is said about all the rest: the bill of materials and the provenance, when they are wanted, by their names in OUT.
    fn papers(&self, site: &Site, drafted: &Plan, args: &Args) -> Result<Vec<(&'static str, Vec<u8>)>, Failed> {
        let lists = BTreeMap::new();
        let mut papers = Vec::new();
        if args.form.contains(&Form::Sbom) {
            papers.push((sbom::FILE, sbom::document(drafted, &lists, &self.inits)?.into_bytes()));
        }
        if args.form.contains(&Form::Provenance) {
            let (own, read) = inputs(site, &args.site)?;
            let written: Vec<_> =
                self.subjects().chain(papers.iter().map(|(name, bytes)| resource(name, bytes))).collect();
            let build = provenance::Build {
                site: &own,
                forms: args.form.iter().map(|form| form.word()).collect(),
                read: &read,
                needs: &plan::needs(drafted, &lists),
                written: &written,
            };
            papers.push((provenance::FILE, provenance::document(&build)));
        }
        Ok(papers)
    }

    /// What was written and is no secret.
    fn subjects(&self) -> impl Iterator<Item = Resource> {
        let init =
            |init: &Init| Resource { name: place::blob(&init.sha256), sha256: init.sha256.clone(), urls: Vec::new() };
        let signature = self.signature.as_ref().map(|text| resource(contract::SIGNATURE, text.as_bytes()));
        let user_data = self.user_data.as_ref().map(|text| resource("user-data", text.as_bytes()));
        self.inits.iter().map(init).chain([resource(contract::PLAN, &self.plan)]).chain(signature).chain(user_data)
    }
}

fn resource(name: &str, bytes: &[u8]) -> Resource {
    Resource { name: name.to_owned(), sha256: plan::digest(bytes), urls: Vec::new() }
}

/// The site's own file, and every other that was read for it but for the secrets, each by the name the site gives it.
fn inputs(site: &Site, path: &Path) -> anyhow::Result<(Resource, Vec<Resource>)> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = |name: &str, path: &Path| {
        let bytes = read::bounded(path, site::LARGEST)
            .map_err(|refused| anyhow!("reading {} again: {refused:?}", path.display()))?;
        Ok(resource(name, &bytes))
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let own = read(&name, path)?;
    let inline = |place: usize| format!("cloud_config[{place}]");
    let files = site.cloud_config.iter().enumerate().filter(|(place, part)| part.origin != inline(*place));
    let files = files.map(|(_, part)| read(&part.origin, &folder.join(&part.origin)));
    Ok((own, files.collect::<anyhow::Result<Vec<_>>>()?))
}

/// The secrets as a member of the platform's own document. Both are canonical JSON.
fn customdata(secrets: &[u8]) -> Vec<u8> {
    [b"{\"", anymetal_contract::secrets::CUSTOMDATA.as_bytes(), b"\":", secrets, b"}"].concat()
}
