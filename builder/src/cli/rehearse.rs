//! `anymetal rehearse SITE --metadata FILE -o DIR`: the files a node with that metadata would get, made by the init that is shipped.
//! May not render anything itself. What it writes holds the site's secrets where a node's own files do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use anymetal_contract::Plan;
use anymetal_contract::plan::Arch;

use super::{Failed, Outcome, talk, tell};
use crate::secrets::Trouble;
use crate::site::Site;
use crate::sys::judges::{self, Verdict};
use crate::sys::read::{self, Refused};
use crate::sys::rehearsal::{self, Given};
use crate::sys::tools::Tool;
use crate::{init_binary, plan};

/// The last part of `rehearse --help`.
const NEEDS: &str = "Needs neither a lock nor secrets nor a network: what is not known yet is shown as
<secret NAME>, and said. Where bird and nft are installed they are asked whether
they take what is for them.";

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = NEEDS)]
pub struct Args {
    /// The site's file
    site: PathBuf,
    /// A saved answer of the metadata service, or the machine's own document
    #[arg(long, value_name = "FILE")]
    metadata: PathBuf,
    /// The folder that stands for the node's root
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The static anymetal-init of this machine's architecture
    #[arg(long, value_name = "FILE")]
    init: Vec<PathBuf>,
}

/// Makes the plan and has init render it. What init says goes through, and so does how it ends.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    let own = Arch::own().context("finding an anymetal-init for this machine: there is none for its architecture")?;
    let mut inits = init_binary::find(&BTreeSet::from([own]), &args.init).map_err(Failed::Input)?;
    let init = inits.remove(&own).expect("find gives every architecture it is asked for, or an error");
    // Rendering is the same everywhere, so this machine's init shows another architecture's node too.
    let other = site.architectures.first().copied().filter(|_| !site.architectures.contains(&own));
    let (plan, missing) = plan::rehearsal(&site, other.unwrap_or(own)).map_err(Failed::Input)?;
    plan::fit(&plan, &init.abilities).map_err(|error| Failed::Input(error.context(init.path.display().to_string())))?;
    let secrets = secrets(&site, &plan);
    if let Err(refused @ Refused::Odd(_)) = read::open(&args.metadata) {
        let error = refused.told(u64::MAX).context(format!("reading {}", args.metadata.display()));
        return Err(Failed::Input(error));
    }
    let document = plan::canonical(&plan);
    let given = Given { plan: &document, secrets: secrets.as_deref(), metadata: &args.metadata, arch: other };
    match rehearsal::render(&init.path, &given, &args.output)? {
        0 => {}
        1 => return Err(Failed::Told),
        code => return Err(Failed::Fault(anyhow!("{} render ended with code {code}", init.path.display()))),
    }
    match missing.len() {
        0 => {}
        1 => talk("not known yet: the sha256 of 1 archive, which no file shows; `anymetal lock` asks for it"),
        many => talk(format_args!(
            "not known yet: the sha256 of {many} archives, which no file shows; `anymetal lock` asks for them"
        )),
    }
    judged(&plan, &args.output)
}

/// The nodes' document of secrets as far as there is one. What is wrong with the file is said, and ends nothing here.
fn secrets(site: &Site, plan: &Plan) -> Option<Vec<u8>> {
    let wanted: BTreeSet<String> = plan.wanted_secrets().into_iter().map(str::to_owned).collect();
    if wanted.is_empty() {
        return None;
    }
    let path = &site.secrets.file;
    match crate::secrets::document(site, &wanted) {
        Ok((document, found)) => {
            tell(path, &found);
            return Some(plan::canonical(&document));
        }
        Err(Trouble::Found(found)) => {
            tell(path, &found);
            talk(format_args!("none of the secrets in {} is shown, since not all can be read", path.display()));
        }
        // init says what stands in their place
        Err(Trouble::Absent(_)) => {}
    }
    None
}

/// Asks the programs that will read the files on a node. A file that one of them refuses is a fault of ours: what the readers accept, they accept.
fn judged(plan: &Plan, root: &Path) -> Outcome {
    type Judge = fn(&Path) -> anyhow::Result<Verdict>;
    let judges: [(&str, Tool, Judge); 2] =
        [("bird/bird.conf", judges::BIRD, judges::bird), ("nftables/anymetal.nft", judges::NFT, judges::nft)];
    let mut refused = Vec::new();
    for (name, Tool { program, package }, judge) in judges {
        let Some(file) = plan.files.iter().find(|file| file.name == name) else { continue };
        let path = root.join(file.path.trim_start_matches('/'));
        if read::open(&path).is_err() {
            continue;
        }
        let shown = path.display();
        match judge(&path)? {
            Verdict::Accepted => talk(format_args!("checked: {program} takes {shown}")),
            Verdict::Refused(said) => refused.push(format!("{program} refuses {shown}: {said}")),
            Verdict::NotInstalled => {
                talk(format_args!(
                    "not checked: {shown}, since {program} is not installed here; hint: apt-get install {package}"
                ));
            }
            Verdict::NotAsked(why) => {
                talk(format_args!(
                    "not checked: {shown}, since {program} needs a network namespace to look at it, and here: {why}"
                ));
            }
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let hint = "hint: no node would come up with it; please report this, with the site and the metadata";
    Err(Failed::Fault(anyhow!("{}\n{hint}", refused.join("\n"))))
}
