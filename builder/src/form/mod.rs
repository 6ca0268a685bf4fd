//! Every form in which a plan travels, or something a plan pins: told apart by what it is, opened, and asked for what it carries.
//! May not judge whether it is whole: `verify` does. Never shows a secret: of a user-data only our own files are looked at.

mod folder;
mod userdata;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use anymetal_contract::packages::{self, Packages};
use anymetal_contract::plan::{self as contract, Arch};
use anymetal_contract::{Digest, Plan, Release, release as manifest, terminal};
use anymetal_supply::bundle::Bundle;
use anymetal_supply::json;
use serde::de::DeserializeOwned;

use crate::lock::{self, Lock, document};
use crate::release::{self, Host};
use crate::sys::bundle;
use crate::sys::read;
use crate::{plan, sign, site};

pub use folder::Folder;

/// The largest document that is read, in bytes; a plan of a whole site has 20 KiB, a user-data at most some hundred.
const LARGEST: u64 = 4 << 20;

/// One form, opened.
#[derive(Debug)]
pub struct Form {
    /// What was named, for messages.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
}

/// What a form is.
#[derive(Debug)]
pub enum Kind {
    /// A bundle.
    Bundle(Box<Bundle>, Carried),
    /// A user-data.
    UserData(Carried),
    /// A canonical plan.
    Plan(Carried),
    /// A release, beside its plan.
    Release(Carried),
    /// What `anymetal build` wrote.
    Folder(Box<Folder>),
    /// A site, from which a plan is made.
    Site(Carried),
    /// A lock of this site.
    Lock(String),
    /// A list of packages.
    List(Digest),
    /// A file named by a digest.
    Blob(Digest),
}

/// A plan, and what comes with it.
#[derive(Debug, Clone)]
pub struct Carried {
    /// The canonical bytes.
    pub text: Vec<u8>,
    /// What they say.
    pub plan: Plan,
    /// The release that pins it, its canonical bytes first, when the form has one.
    pub release: Option<(Vec<u8>, Release)>,
    /// The inits it is carried out by, when the form pins them.
    pub inits: Option<BTreeMap<Arch, Digest>>,
    /// What a node gets besides, when the form says so.
    pub host: Option<Host>,
    /// The digest of the secrets in it.
    pub secrets: Option<Digest>,
    /// Where it is not what its release makes.
    pub wrong: Option<String>,
    /// Its lists of packages, when the form has them.
    pub lists: Option<BTreeMap<Arch, Packages>>,
    /// The text of the release's signature, when the form has one; of a file, what lies beside it.
    pub signature: Option<String>,
}

impl Form {
    /// Opens whatever is there. The error says what is wrong with it, its path first.
    pub fn open(path: &Path) -> Result<Self> {
        let kind = kind(path).map_err(|error| error.context(terminal::one_line(&path.display().to_string())))?;
        Ok(Self { path: path.to_owned(), kind })
    }

    /// The plan it carries.
    pub fn carried(&self) -> Option<&Carried> {
        match &self.kind {
            Kind::Bundle(_, carried)
            | Kind::UserData(carried)
            | Kind::Plan(carried)
            | Kind::Release(carried)
            | Kind::Site(carried) => Some(carried),
            Kind::Folder(folder) => Some(&folder.carried),
            Kind::Lock(_) | Kind::List(_) | Kind::Blob(_) => None,
        }
    }
}

impl Carried {
    /// The plan in these bytes, which have to be canonical.
    fn read(text: Vec<u8>) -> Result<Self> {
        let plan: Plan = document(&text, contract::KIND, contract::VERSION, "plan")?;
        Ok(Self::bare(text, plan))
    }

    /// A plan and nothing beside it.
    pub(crate) fn bare(text: Vec<u8>, plan: Plan) -> Self {
        let (release, inits, host, secrets, wrong) = (None, None, None, None, None);
        Self { text, plan, release, inits, host, secrets, wrong, lists: None, signature: None }
    }

    /// The same under this release, which has to pin the plan.
    fn under(mut self, text: Vec<u8>) -> Result<Self> {
        let release = release::read(&text)?;
        let (pinned, plan) = (&release.plan.sha256, self.digest());
        ensure!(*pinned == plan, "its release pins another plan: sha256 {pinned}, not {plan}");
        ensure!(
            release.site == self.plan.site,
            "its release is of the site {:?}, its plan of {:?}",
            release.site,
            self.plan.site
        );
        self.inits = Some(release.init_digests());
        self.host = Some(Host::of(&release));
        self.release = Some((text, release));
        Ok(self)
    }

    /// The digest of the release.
    pub fn release_digest(&self) -> Option<Digest> {
        self.release.as_ref().map(|(text, _)| plan::digest(text))
    }

    /// The plan digest.
    pub fn digest(&self) -> Digest {
        plan::digest(&self.text)
    }
}

fn kind(path: &Path) -> Result<Kind> {
    if path.is_dir() {
        return Ok(Kind::Folder(Box::new(Folder::open(path)?)));
    }
    let named = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut file = bundle::open(path)?;
    if let Ok(digest) = named.parse() {
        return Ok(Kind::Blob(digest));
    }
    let mut first = Vec::new();
    (&mut file).take(512).read_to_end(&mut first).context("reading its beginning")?;
    let tar = first.get(257..262).is_some_and(|magic| magic == b"ustar");
    if tar || first.starts_with(anymetal_contract::bundle::INDEX.as_bytes()) || of(path, "tar") {
        let bundle = Bundle::open(file)?;
        let carried = of_bundle(&bundle)?;
        return Ok(Kind::Bundle(Box::new(bundle), carried));
    }
    if of(path, "yaml") || of(path, "yml") {
        return Ok(Kind::Site(of_site(path)?));
    }
    let bytes = bounded(path)?;
    if bytes.starts_with(b"#cloud-config") || named == "user-data" {
        return Ok(Kind::UserData(userdata::read(path, &bytes)?));
    }
    match kind_of(&bytes).as_deref() {
        Some(document::KIND) => of_lock(&bytes),
        _ if of(path, "lock") => of_lock(&bytes),
        Some(contract::KIND) => of_plan(path, bytes),
        _ if named == anymetal_contract::bundle::PLAN => of_plan(path, bytes),
        Some(manifest::KIND) => of_release(path, bytes),
        _ if named == manifest::FILE => of_release(path, bytes),
        Some(packages::KIND) => list(&bytes).map(|_| Kind::List(plan::digest(&bytes))),
        _ => bail!(
            "it is none of our forms\nhint: a bundle, a user-data, a plan, a folder of `anymetal build`, a site, a lock or a blob is"
        ),
    }
}

/// Whether the path has this extension.
fn of(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// The whole of a document.
fn bounded(path: &Path) -> Result<Vec<u8>> {
    read::bounded(path, LARGEST).map_err(|refused| refused.told(LARGEST).context("reading it"))
}

/// The word by which a JSON document says what it is.
fn kind_of(bytes: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Of {
        kind: String,
    }
    json::read::<Of>(bytes).ok().map(|of| of.kind)
}

/// A document of ours, which has to be canonical JSON.
fn document<D: DeserializeOwned + serde::Serialize>(bytes: &[u8], kind: &str, version: u32, what: &str) -> Result<D> {
    #[derive(serde::Deserialize)]
    struct Form {
        kind: String,
        version: u32,
    }
    let form: Form = json::exact(bytes).with_context(|| format!("the {what} is no document of ours"))?;
    ensure!(form.kind == kind, "the {what} is of kind {:?}, not {kind:?}", form.kind);
    ensure!(
        form.version == version,
        "the {what} has version {}, and this anymetal reads version {version}",
        form.version
    );
    let document: D = json::exact(bytes).with_context(|| format!("the {what} does not have its form"))?;
    ensure!(plan::canonical(&document) == bytes, "the {what} is not as anymetal writes it: canonical JSON");
    Ok(document)
}

fn list(bytes: &[u8]) -> Result<Packages> {
    document(bytes, packages::KIND, packages::VERSION, "list of packages")
}

/// The list that a plan pins, in these bytes.
fn pinned(bytes: &[u8], arch: Arch, sha256: &Digest) -> Result<Packages> {
    let found = plan::digest(bytes);
    ensure!(found == *sha256, "sha256/{sha256} (packages {arch}) has other bytes: sha256 {found}");
    list(bytes).with_context(|| format!("sha256/{sha256} (packages {arch})"))
}

/// A plan, under the release beside it when that pins it.
fn of_plan(path: &Path, bytes: Vec<u8>) -> Result<Kind> {
    let carried = Carried::read(bytes)?;
    let beside = path.with_file_name(manifest::FILE);
    let Ok(text) = bounded(&beside) else { return Ok(Kind::Plan(carried)) };
    match release::read(&text) {
        Ok(release) if release.plan.sha256 == carried.digest() => {
            let signature = signature(&beside)?;
            Ok(Kind::Plan(Carried { signature, ..carried.under(text)? }))
        }
        _ => Ok(Kind::Plan(carried)),
    }
}

/// A release, the plan beside it, and its signature.
fn of_release(path: &Path, bytes: Vec<u8>) -> Result<Kind> {
    let release = release::read(&bytes)?;
    let (name, sha256) = (anymetal_contract::bundle::PLAN, &release.plan.sha256);
    let places = [path.with_file_name(name), path.with_file_name("sha256").join(sha256.as_str())];
    let plan = places.iter().filter_map(|path| bounded(path).ok()).find(|bytes| plan::digest(bytes) == *sha256);
    let plan = plan.with_context(|| {
        format!("the plan that it pins, sha256 {sha256}, is not beside it\nhint: put {name} of the same build into its folder")
    })?;
    Ok(Kind::Release(Carried { signature: signature(path)?, ..Carried::read(plan)?.under(bytes)? }))
}

/// The text of the signature beside a file.
fn signature(path: &Path) -> Result<Option<String>> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".minisig");
    match read::bounded(Path::new(&beside), sign::LARGEST) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(refused) if refused.is_absent() => Ok(None),
        Err(_) => bail!("its signature, {}, cannot be read", Path::new(&beside).display()),
    }
}

fn of_lock(bytes: &[u8]) -> Result<Kind> {
    Ok(Kind::Lock(Lock::read(bytes)?.site))
}

fn of_site(path: &Path) -> Result<Carried> {
    let (site, _) = site::read(path)
        .map_err(|found| anyhow!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let plan = plan::draft(&site)?;
    let lists = lock::list::lists(&site);
    let host = Some(Host::of_site(&site)?);
    Ok(Carried { lists: Some(lists), host, ..Carried::bare(plan::canonical(&plan), plan) })
}

fn of_bundle(bundle: &Bundle) -> Result<Carried> {
    let blob = |sha256: &Digest, name: &str| {
        let section = bundle.blob(sha256).with_context(|| format!("sha256/{sha256} ({name}) is missing"))?;
        ensure!(section.left() <= LARGEST, "sha256/{sha256} ({name}) has more than {LARGEST} bytes");
        let mut bytes = Vec::new();
        section.take(LARGEST).read_to_end(&mut bytes).with_context(|| format!("reading sha256/{sha256} ({name})"))?;
        let found = plan::digest(&bytes);
        ensure!(found == *sha256, "sha256/{sha256} ({name}) has other bytes: sha256 {found}");
        Ok(bytes)
    };
    let plan = blob(&bundle.release().plan.sha256, "the plan")?;
    let mut carried = Carried::read(plan)?.under(bundle.release_text().to_vec())?;
    let mut lists = BTreeMap::new();
    for (arch, listed) in &carried.plan.packages {
        lists.insert(*arch, pinned(&blob(&listed.sha256, &format!("packages {arch}"))?, *arch, &listed.sha256)?);
    }
    carried.signature = bundle.signature().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    carried.lists = Some(lists);
    Ok(carried)
}
