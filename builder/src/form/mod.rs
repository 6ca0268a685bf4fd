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
use anymetal_contract::{Digest, Plan, terminal};
use anymetal_supply::bundle::Bundle;
use serde::de::DeserializeOwned;

use crate::lock::{self, Lock, document};
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
    /// The inits it is carried out by, when the form pins them.
    pub inits: Option<BTreeMap<Arch, Digest>>,
    /// Its lists of packages, when the form has them.
    pub lists: Option<BTreeMap<Arch, Packages>>,
    /// The text of its signature, when the form has one; of a plan's file, what lies beside it.
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
            Kind::Bundle(_, carried) | Kind::UserData(carried) | Kind::Plan(carried) | Kind::Site(carried) => {
                Some(carried)
            }
            Kind::Folder(folder) => Some(&folder.carried),
            Kind::Lock(_) | Kind::List(_) | Kind::Blob(_) => None,
        }
    }
}

impl Carried {
    /// The plan in these bytes, which have to be canonical.
    fn read(text: Vec<u8>) -> Result<Self> {
        let plan: Plan = document(&text, contract::KIND, contract::VERSION, "plan")?;
        Ok(Self { text, plan, inits: None, lists: None, signature: None })
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
        return Ok(Kind::UserData(userdata::read(&bytes)?));
    }
    match kind_of(&bytes).as_deref() {
        Some(document::KIND) => of_lock(bytes),
        _ if of(path, "lock") => of_lock(bytes),
        Some(contract::KIND) => of_plan(path, bytes),
        _ if named == anymetal_contract::bundle::PLAN => of_plan(path, bytes),
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
    serde_json::from_slice::<Of>(bytes).ok().map(|of| of.kind)
}

/// A document of ours, which has to be canonical JSON.
fn document<D: DeserializeOwned + serde::Serialize>(bytes: &[u8], kind: &str, version: u32, what: &str) -> Result<D> {
    #[derive(serde::Deserialize)]
    struct Form {
        kind: String,
        version: u32,
    }
    let form: Form =
        serde_json::from_slice(bytes).map_err(quoting).with_context(|| format!("the {what} is no document of ours"))?;
    ensure!(form.kind == kind, "the {what} is of kind {:?}, not {kind:?}", form.kind);
    ensure!(
        form.version == version,
        "the {what} has version {}, and this anymetal reads version {version}",
        form.version
    );
    let document: D =
        serde_json::from_slice(bytes).map_err(quoting).with_context(|| format!("the {what} does not have its form"))?;
    ensure!(plan::canonical(&document) == bytes, "the {what} is not as anymetal writes it: canonical JSON");
    Ok(document)
}

/// A reader's words on one line: they quote what it read.
fn quoting(error: serde_json::Error) -> anyhow::Error {
    anyhow!("{}", terminal::one_line(&error.to_string()))
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

/// A plan, and the signature beside it.
fn of_plan(path: &Path, bytes: Vec<u8>) -> Result<Kind> {
    let mut carried = Carried::read(bytes)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".minisig");
    carried.signature = match read::bounded(Path::new(&beside), sign::LARGEST) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(refused) if refused.is_absent() => None,
        Err(_) => bail!("its signature, {}, cannot be read", Path::new(&beside).display()),
    };
    Ok(Kind::Plan(carried))
}

fn of_lock(bytes: Vec<u8>) -> Result<Kind> {
    let text = String::from_utf8(bytes).context("it is no UTF-8")?;
    Ok(Kind::Lock(Lock::read(&text)?.site))
}

fn of_site(path: &Path) -> Result<Carried> {
    let (site, _) = site::read(path)
        .map_err(|found| anyhow!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
    let plan = plan::draft(&site)?;
    let lists = lock::list::lists(&site);
    Ok(Carried { text: plan::canonical(&plan), plan, inits: None, lists: Some(lists), signature: None })
}

fn of_bundle(bundle: &Bundle) -> Result<Carried> {
    let mut carried = Carried::read(bundle.plan().to_vec())?;
    let mut lists = BTreeMap::new();
    for (arch, listed) in &carried.plan.packages {
        let section = bundle.blob(&listed.sha256);
        let section = section.with_context(|| format!("sha256/{} (packages {arch}) is missing", listed.sha256))?;
        ensure!(section.left() <= LARGEST, "sha256/{} (packages {arch}) has more than {LARGEST} bytes", listed.sha256);
        let mut bytes = Vec::new();
        section.take(LARGEST).read_to_end(&mut bytes).context("reading a list of packages")?;
        lists.insert(*arch, pinned(&bytes, *arch, &listed.sha256)?);
    }
    carried.inits = Some(bundle.index().inits.clone());
    carried.signature = bundle.signature().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    carried.lists = Some(lists);
    Ok(carried)
}
