//! `anymetal lock SITE`: resolve every version of a site to digests, and write them beside it.
//! May not resolve anything: `lock` does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use anymetal_contract::plan::Arch;
use anymetal_contract::text;

use super::{Failed, Outcome, say, talk};
use crate::lock::debian::Fetch;
use crate::lock::document::{Closure, LARGEST};
use crate::lock::resolve::{self, Wish};
use crate::lock::trouble::{self, Trouble};
use crate::lock::upstream::{Files, words};
use crate::lock::{Lock, fit, packages};
use crate::site::diagnostic::{either, nearest};
use crate::site::url::{self, Use};
use crate::site::{self, Site};
use crate::sources;
use crate::sys::archive::{Folders, Mirrors};
use crate::sys::clock;
use crate::sys::outside;
use crate::sys::read::{self, Refused};
use crate::sys::upstreams::{Folder, Network};
use crate::sys::write::{self, Entry};

/// What `lock --help` says of the output.
const OUTPUT: &str = "The lock of site.yaml is site.lock, beside it; keep both in git. What it has
and still fits is kept, and nobody is asked for it; --check asks nobody at all.

DIR of --from has upstreams' files by their own names, and Debian's archive in
its folders debian and debian-security. NAME of --mirror is one of the names
that a site's `sources` has: hashicorp, github, bindle, debian, debian-security.

An archive that only upstream's own checksums vouch for, signed by nobody and
unknown to this release, is refused until the site pins it, or --accept-first.
An index of packages that does not say until when it is to be believed is
refused when it is older than half a year.

On stdout a line for each archive, and at the end
  lock <path> written|unchanged";

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = OUTPUT)]
pub struct Args {
    /// The site's file
    site: PathBuf,
    /// Ask again for a component, `packages` or `all`
    #[arg(long, value_name = "NAME")]
    update: Vec<String>,
    /// Take a component's archives though they were replaced
    #[arg(long, value_name = "NAME")]
    accept: Vec<String>,
    /// Take a component's archives by upstream's unsigned word; `all`
    #[arg(long, value_name = "NAME")]
    accept_first: Vec<String>,
    /// Take an old index of packages that has no end
    #[arg(long)]
    allow_old: bool,
    /// Only say whether the lock fits the site
    #[arg(long, conflicts_with_all = ["update", "accept", "accept_first", "allow_old", "from", "mirror"])]
    check: bool,
    /// Take upstreams' files from a folder and ask nobody
    #[arg(long, value_name = "DIR", conflicts_with = "mirror")]
    from: Option<PathBuf>,
    /// Ask below this URL instead of upstream
    #[arg(long, value_name = "NAME=URL")]
    mirror: Vec<String>,
}

/// Reads the site and the lock it has, asks for what is missing, and writes it when anything changed.
pub fn run(args: &Args) -> Outcome {
    let site = super::told(&args.site, site::unlocked(&args.site))?;
    let path = Lock::path(&args.site);
    let there = There::read(&path)?;
    if args.check {
        return check(&site, &path, there.lock);
    }
    let previous =
        there.lock.map_err(|why| talk(format_args!("{}: {why:#}; all is resolved anew", path.display()))).ok();
    let previous = previous.flatten();
    let wish = wish(&site, args).map_err(Failed::Input)?;
    let world = World::of(&site, args).map_err(Failed::Input)?;
    let now = clock::now();
    let resolved = resolve::archives(&site, previous.as_ref(), &wish, world.files.as_ref(), now)
        .map_err(|troubles| failed(&troubles))?;
    resolved.notes.iter().for_each(talk);
    let packages = packages::closures(&site, previous.as_ref(), &wish, world.archive.as_ref(), now);
    let lock = resolve::lock(&site, resolved.components, packages.map_err(|trouble| failed(&[trouble]))?);
    let new = lock.text();
    // as it is on the disk, its lines may end otherwise
    let changed = previous.as_ref() != Some(&lock);
    if changed {
        put(&path, new.as_bytes())?;
    }
    lines(&lock).into_iter().try_for_each(say)?;
    say(format_args!("lock {} {}", path.display(), if changed { "written" } else { "unchanged" }))
}

/// The lock that is there already.
struct There {
    /// Returns its text; none when there is none. Fails when it cannot be used.
    lock: Result<Option<Lock>>,
}

impl There {
    fn read(path: &Path) -> Result<Self, Failed> {
        let bytes = match read::bounded(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(Refused::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { lock: Ok(None) });
            }
            Err(Refused::TooLarge { .. }) => {
                return Ok(Self { lock: Err(anyhow!("it is larger than {LARGEST} bytes")) });
            }
            Err(Refused::Folder) => {
                return Err(Failed::Input(anyhow!("{} is a folder\nhint: remove it", path.display())));
            }
            Err(Refused::Odd(what)) => {
                let path = path.display();
                return Err(Failed::Input(anyhow!("{path} is {what}, not a regular file\nhint: remove it")));
            }
            Err(Refused::Io(error)) => {
                let error = anyhow::Error::new(error).context(format!("reading {}", path.display()));
                return Err(Failed::Fault(error));
            }
        };
        // an editor or a shell spoiled what may still be all there: nobody is asked in its place
        if let Err(why) = text::decode(&bytes) {
            let hint = "hint: save it as UTF-8, or take it from git; without it, all is resolved anew";
            return Err(Failed::Input(anyhow!("{} is {why}\n{hint}", path.display())));
        }
        Ok(Self { lock: Lock::read(&bytes).map(Some) })
    }
}

/// Whether the lock is what it would be if it were made now; what differs goes to stderr.
fn check(site: &Site, path: &Path, lock: Result<Option<Lock>>) -> Outcome {
    let differences = match lock {
        Ok(Some(lock)) => fit::differences(site, &lock).into_iter().map(|difference| difference.what).collect(),
        Ok(None) => vec!["it is not there".to_owned()],
        Err(why) => vec![format!("{why:#}")],
    };
    if differences.is_empty() {
        return say(format_args!("lock {} unchanged", path.display()));
    }
    for what in differences {
        talk(format_args!("{}: {what}", path.display()));
    }
    Err(Failed::Input(anyhow!("{} is not up to date\nhint: run `anymetal lock`", path.display())))
}

/// What is asked for again, by names that the site has.
fn wish(site: &Site, args: &Args) -> Result<Wish> {
    let names: BTreeSet<&str> = fit::archived(site).map(|(known, ..)| known.name.as_str()).collect();
    let known = |typed: &String| {
        if names.contains(typed.as_str()) {
            return Ok(());
        }
        let hint = nearest(typed, names.iter().copied()).map_or_else(
            || format!("there are {}", either(names.iter().copied())),
            |near| format!("did you mean `{near}`?"),
        );
        bail!("the site has no archives of {typed:?}\nhint: {hint}")
    };
    let mut wish = Wish::default();
    for typed in args.update.iter().chain(&args.accept) {
        let all = typed == "all";
        if (all || typed == "packages") && args.update.contains(typed) {
            wish.packages = true;
            wish.update.extend(names.iter().filter(|_| all).map(ToString::to_string));
            continue;
        }
        known(typed)?;
        wish.update.insert(typed.clone());
    }
    wish.accept.extend(args.accept.iter().cloned());
    for typed in &args.accept_first {
        if typed == "all" {
            wish.first.extend(names.iter().map(ToString::to_string));
            continue;
        }
        known(typed)?;
        wish.first.insert(typed.clone());
    }
    wish.allow_old = args.allow_old;
    Ok(wish)
}

/// Who is asked.
struct World {
    files: Box<dyn Files>,
    archive: Box<dyn Fetch>,
}

impl World {
    fn of(site: &Site, args: &Args) -> Result<Self> {
        let upstream = |name: &str| sources::all()[name].url.clone();
        if let Some(folder) = &args.from {
            ensure!(
                folder.is_dir(),
                "{} is not a folder\nhint: name one that holds upstreams' files",
                folder.display()
            );
            let folders = packages::UPSTREAMS.map(|name| (upstream(name), vec![folder.join(name)]));
            return Ok(Self { files: Box::new(Folder(folder.clone())), archive: Box::new(Folders(folders.to_vec())) });
        }
        let mut bases = sources::bases(site);
        for typed in &args.mirror {
            let (name, url) = typed.split_once('=').with_context(|| format!("{typed:?} is not like NAME=URL"))?;
            let names = || either(sources::all().keys().map(String::as_str));
            ensure!(sources::all().contains_key(name), "{name:?} is no upstream\nhint: there are {}", names());
            let url = url::url(url, Use::Base)
                .map_err(|complaint| anyhow!("{}\nhint: {}", complaint.what, complaint.hint))?;
            bases.insert(name.to_owned(), url);
        }
        let mirrors =
            packages::UPSTREAMS.iter().filter_map(|name| Some((upstream(name), vec![bases.get(*name)?.clone()])));
        let outside = outside::outside(&site.ca, tell);
        let archive = Mirrors::new(mirrors.collect(), &outside, tell);
        Ok(Self { archive: Box::new(archive), files: Box::new(Network::new(bases, &outside, tell)) })
    }
}

/// Says a sentence on stderr.
fn tell(words: &str) {
    talk(words);
}

/// All troubles, one after the other; one that somebody has to decide makes it his.
fn failed(troubles: &[Trouble]) -> Failed {
    let decides = troubles.iter().any(|trouble| matches!(trouble, Trouble::Wrong(_) | Trouble::Unsigned(_)));
    let error = anyhow!("{}", trouble::told(troubles));
    if decides { Failed::Input(error) } else { Failed::Fault(error) }
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
    write::files(folder, &[Entry::open(name, bytes)])
}

/// What is locked, a line for each.
fn lines(lock: &Lock) -> Vec<String> {
    let archives = lock.components.iter().flat_map(|(name, locked)| {
        locked.artefacts.iter().map(move |(arch, archive)| {
            let witnesses: Vec<_> = archive.witnesses.iter().map(words).collect();
            format!("{name} {} {arch} sha256:{} {}", locked.version, archive.sha256, witnesses.join(", "))
        })
    });
    let packages = lock.packages.iter().map(|(arch, closure)| packages_line(*arch, closure));
    archives.chain(packages).collect()
}

fn packages_line(arch: Arch, closure: &Closure) -> String {
    let keys: BTreeSet<_> = closure.suites.values().map(|suite| suite.signed.as_str()).collect();
    let keys: Vec<_> = keys.into_iter().collect();
    format!("packages {arch} {} signed by {}", closure.packages.len(), keys.join(", "))
}
