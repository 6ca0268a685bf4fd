//! `anymetal sign OUT --key FILE`: the signature of a release, beside it. `anymetal sign --new-key FILE`: a key to do it with.
//! May not print a secret key or its password; stdout has what was signed, and the public key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use anymetal_contract::release::FILE;

use super::{Failed, Outcome, say, talk};
use crate::sign::{self, Key};
use crate::sys::read;
use crate::sys::write::{self, Entry};
use crate::sys::{password, private};
use crate::{plan, site};

/// What `sign --help` says besides.
const KEYS: &str = "Keys and signatures have minisign's form: `minisign -Vm release.json -p KEY.pub`
checks one, `minisign -Sm release.json` makes one that `anymetal build` takes.
What is signed is the release: it pins the plan and all else that runs.
--new-key writes FILE, mode 0600, and FILE.pub; with --password-env the key is
behind that password. A key's password is never an argument.

On stdout, each on a line of its own:
  release sha256:<digest> serial <n>    of what was signed
  key <public key>    of who signed; it belongs under the site's `signers`";

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, after_help = KEYS)]
pub struct Args {
    /// What `anymetal build` wrote, or its release.json
    #[arg(value_name = "OUT", required_unless_present = "new_key", requires = "key")]
    release: Option<PathBuf>,
    /// The secret key
    #[arg(long, value_name = "FILE", requires = "release")]
    key: Option<PathBuf>,
    /// Make a secret key there; never over another file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["release", "key"])]
    new_key: Option<PathBuf>,
    /// The variable of the environment that has the key's password
    #[arg(long, value_name = "NAME")]
    password_env: Option<String>,
}

/// Runs what was typed.
pub fn run(args: &Args) -> Outcome {
    match args {
        Args { new_key: Some(path), password_env, .. } => new(path, password_env.as_deref()),
        Args { release: Some(release), key: Some(key), password_env, .. } => {
            sign_at(release, &open(key, password_env.as_deref())?)
        }
        Args { .. } => unreachable!("clap asks for OUT and --key where there is no --new-key"),
    }
}

/// The secret key in that file; its password from the variable, or asked.
pub(super) fn open(path: &Path, variable: Option<&str>) -> Result<Key, Failed> {
    let shown = path.display();
    let reading = || format!("reading the key {shown}");
    if private::mode(path).is_some_and(|mode| mode & 0o077 != 0) {
        talk(format_args!("warning: {shown} is not its owner's alone; hint: `chmod 600 {shown}`"));
    }
    let text = text(path, sign::LARGEST).with_context(reading).map_err(Failed::Input)?;
    let ask = || match variable {
        Some(name) => password::variable(name),
        None => password::asked(&format!("password of {shown}: ")),
    };
    Key::read(&text, ask).with_context(reading).map_err(Failed::Input)
}

/// The text of a small file of the author's.
pub(super) fn text(path: &Path, most: u64) -> anyhow::Result<String> {
    let bytes = read::bounded(path, most).map_err(|refused| refused.told(most))?;
    anymetal_contract::text::decode(&bytes).map(str::to_owned).map_err(|why| anyhow!("it is {why}"))
}

/// Makes a key. Neither of its files replaces another.
fn new(path: &Path, variable: Option<&str>) -> Outcome {
    let password = variable.map(password::variable).transpose().map_err(Failed::Input)?;
    let mut name = path.file_name().context("the key's file has no name").map_err(Failed::Input)?.to_owned();
    name.push(".pub");
    let public = path.with_file_name(&name);
    let there = |path: &Path| {
        Failed::Input(anyhow!("{} is there already, and is left as it is\nhint: name another file", path.display()))
    };
    if let Some(path) = [path, &public].into_iter().find(|path| private::is_there(path)) {
        return Err(there(path));
    }
    let made = sign::made(password)?;
    if !private::create(path, made.secret.as_bytes())? {
        return Err(there(path));
    }
    write::files(folder(path), &[Entry::open(name, made.public.as_bytes())])?;
    talk(format_args!("{} is the secret key: keep it where no node and no web server is", path.display()));
    say(format_args!("key {}", made.key.text()))
}

/// Signs a release. A signature that is there already and right stays untouched.
fn sign_at(release: &Path, key: &Key) -> Outcome {
    let path = if write::accepts(release).unwrap_or_default() { release.join(FILE) } else { release.to_owned() };
    let reading = || format!("reading the release {}", path.display());
    let text = text(&path, site::LARGEST).with_context(reading).map_err(Failed::Input)?;
    let release = sign::judge(text.as_bytes()).with_context(reading).map_err(Failed::Input)?;
    let mut name = path.file_name().context("the release's file has no name").map_err(Failed::Input)?.to_owned();
    name.push(".minisig");
    write::files(folder(&path), &[Entry::open(name, sign::sign(text.as_bytes(), &release, key).as_bytes())])?;
    say(format_args!("release sha256:{} serial {}", plan::digest(text.as_bytes()), release.serial))?;
    say(format_args!("key {}", key.public().text()))
}

/// Where a file lies.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
