//! `anymetal boot`: what is typed, and what it means.
//! May not build or boot: `build` and `boot::run` do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use anymetal_contract::plan::Delivery as SecretsBy;
use anymetal_contract::{Phase, Plan, place};
use clap::{Args as ClapArgs, ValueEnum};
use ipnet::IpNet;
use serde_json::Value;

use super::build::{CUSTOMDATA, Made, Released, Wanted};
use super::{Failed, Outcome};
use crate::boot::platform::{self, Fault, device, fault};
use crate::boot::show::Show;
use crate::boot::{self, Boot, Cut, Delivery, Ended, report, seed};
use crate::sign::{self, Key};
use crate::site::Site;
use crate::sys::{cache, interrupt, parts, private, random, terminal};
use crate::{plan, secrets};

/// What was typed.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = fault::HELP)]
pub struct Args {
    /// The site to build and boot
    pub site: PathBuf,
    /// Do not build: boot what `anymetal build` wrote
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Sign with this key, when building [default: a key of this boot's own]
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    pub sign: Option<PathBuf>,
    /// The variable of the environment that has the key's password
    #[arg(long, value_name = "NAME", requires = "sign")]
    pub password_env: Option<String>,
    /// The init binary to pin, when building
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    pub init: Vec<PathBuf>,
    /// Serve these artefacts too: DIR/sha256/<hex>
    #[arg(long, value_name = "DIR")]
    pub artefacts: Vec<PathBuf>,
    /// User-data comes by ec2 or nocloud
    #[arg(long, value_name = "WAY", value_enum, default_value = "ec2", hide_possible_values = true)]
    pub delivery: Way,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub deadline: u64,
    /// BGP sessions appear so late
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub bgp_after: u64,
    /// Make something go wrong: see below
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<Fault>,
    /// Cut the power once, then switch on again
    #[arg(long, value_name = "PHASE[+S]")]
    pub cut_at: Vec<Cut>,
    /// Write a JUnit document
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the console there, not into the cache
    #[arg(long, value_name = "FILE")]
    pub serial_log: Option<PathBuf>,
    /// Keep the machine's disk, beside the serial log
    #[arg(long)]
    pub keep: bool,
    /// Go on with this disk, and keep it
    #[arg(long, value_name = "FILE", conflicts_with = "keep")]
    pub disk: Option<PathBuf>,
    /// Make the disk from this package mirror
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
}

/// How user-data reaches the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// The platform's EC2 tree, as Equinix Metal's images take it
    Ec2,
    /// A seed volume, as cloud-init's nocloud source takes it
    Nocloud,
}

/// Boots what `build` makes of the site, or made before, and watches it to the end.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    simulated(&site.platform).map_err(Failed::Input)?;
    let scratch = parts::scratch()?;
    let out = args.out.as_deref().unwrap_or(scratch.path());
    if args.out.is_none() {
        built(site.clone(), args)?.write(out)?;
    }
    let serial_log = match &args.serial_log {
        Some(path) => path.clone(),
        None => cache::root()?.join("boot").join(&site.name).join("serial.log"),
    };
    let kept = args.keep.then(|| serial_log.with_file_name("disk.qcow2"));
    if let Some(kept) = &kept {
        parts::clear(kept)?; // of an earlier boot; `--disk` is for going on with one
    }
    let plan = plan_of(out)?;
    let (customdata, medium) = carried(out, &plan)?;
    let boot = Boot {
        customdata,
        medium,
        origins: [out.to_owned()].into_iter().chain(args.artefacts.iter().cloned()).collect(),
        delivery: match args.delivery {
            Way::Ec2 => Delivery::Ec2,
            Way::Nocloud => Delivery::NoCloud,
        },
        deadline: Duration::from_secs(args.deadline),
        sessions: device::Sessions::OnLink { ipv6: !plan.anycast.v6.is_empty() },
        announces: announces(&plan)?,
        bgp_after: Duration::from_secs(args.bgp_after),
        faults: args.fault.clone(),
        cuts: args.cut_at.clone(),
        disk: args.disk.clone().or(kept),
        mirror: args.mirror.clone(),
        ..Boot::new(parts::read(&out.join("user-data"))?, &site.os, serial_log.clone())
    };
    let mut show = Show::on_stderr();
    let ended = boot::run(&boot, &mut show, &|hear| interrupt::on_interrupt(hear))?;
    if let Some(path) = &args.junit {
        parts::write(path, report::junit(&site.name, &ended)?.as_bytes())?;
    }
    for violation in &ended.log.violations {
        show.say(&format!("warning: the platform's rules were broken: {violation}"));
    }
    if let Some(disk) = &boot.disk {
        show.say(&format!("the machine's disk is kept: {}", disk.display()));
    }
    tell(&ended, &show, &serial_log)
}

/// Whether machines of that platform find here what they ask for.
fn simulated(platform: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        platform == platform::NAME,
        "booting a site of {platform}: only {} is simulated\n\
         hint: boot a copy of the site with `platform: {0}`: where the machine's addresses come from is all that differs; \
         `anymetal rehearse` shows what a node of {platform} gets",
        platform::NAME
    );
    Ok(())
}

/// What `build` would make of the site. Without a file of secrets, it gets some that nobody knows: the machine is thrown away.
fn built(site: Site, args: &Args) -> Result<Made, Failed> {
    let (site, key) = signing(site, args)?;
    let site = &site;
    let drafted = plan::draft(site).map_err(Failed::Input)?;
    let wanted: BTreeSet<String> = drafted.wanted_secrets().into_iter().map(str::to_owned).collect();
    let secrets = if wanted.is_empty() || private::is_there(&site.secrets.file) {
        super::secrets(site, &drafted)?
    } else {
        super::talk(format_args!("no {}: this boot has secrets of its own", site.secrets.file.display()));
        Some(plan::canonical(&secrets::made_up(site, &wanted, &mut random::fill)?))
    };
    let released = Released::of(site, &drafted, &args.init).map_err(Failed::Input)?;
    let signature = key.map(|key| sign::sign(&released.text, &released.release, &key));
    let wanted = Wanted { inline: false, max_size: None, machines: &[] };
    Made::of(site, &drafted, released, secrets.as_deref(), Some(wanted), signature).map_err(Failed::Input)
}

/// The site with the key that signs it: the one that was named, or one that is made for this boot and takes the place of the site's signers.
fn signing(mut site: Site, args: &Args) -> Result<(Site, Option<Key>), Failed> {
    if let Some(path) = &args.sign {
        let key = super::sign::open(path, args.password_env.as_deref())?;
        if !site.signers.is_empty() && !site.signers.contains(key.public()) {
            return Err(Failed::Input(anyhow!("the key in {} is none of the site's `signers`", path.display())));
        }
        return Ok((site, Some(key)));
    }
    if site.signers.is_empty() {
        return Ok((site, None));
    }
    super::talk(
        "the site names `signers`: this boot is signed with a key of its own in their place; --sign FILE takes theirs",
    );
    let made = sign::made(None)?;
    let key = Key::read(&made.secret, || Err(anyhow!("the key has no password")))?;
    site.signers = vec![made.key];
    Ok((site, Some(key)))
}

/// The plan of what `build` wrote.
fn plan_of(out: &Path) -> anyhow::Result<Plan> {
    let path = out.join("plan.json");
    serde_json::from_slice(&parts::read(&path)?).with_context(|| format!("reading {}", path.display()))
}

/// What the neighbour has to have been told. It is spoken to by IPv4 alone, so it hears of the other family's prefixes nothing.
fn announces(plan: &Plan) -> anyhow::Result<Option<BTreeSet<IpNet>>> {
    if !plan.phases.contains(&Phase::Announce) {
        return Ok(None);
    }
    let read =
        |prefix: &String| prefix.parse().with_context(|| format!("reading the plan: {prefix:?} is not a prefix"));
    plan.anycast.v4.iter().map(read).collect::<anyhow::Result<_>>().map(Some)
}

/// The secrets of what `build` wrote, when they do not travel in the user-data: the platform's custom data, and files of a medium.
fn carried(out: &Path, plan: &Plan) -> anyhow::Result<(Value, Vec<seed::File>)> {
    let (custom, beside) = (out.join(CUSTOMDATA), place::MEDIUM_SECRETS);
    let none = || Value::Object(serde_json::Map::new());
    Ok(match plan.secrets {
        None | Some(SecretsBy::UserData) => (none(), Vec::new()),
        Some(SecretsBy::Customdata) => {
            // the parser's own words may repeat a secret
            let wrong = |_| anyhow!("reading {}: it is not what `anymetal build` wrote", custom.display());
            (serde_json::from_slice(&parts::read(&custom)?).map_err(wrong)?, Vec::new())
        }
        Some(SecretsBy::Medium) => (none(), vec![(beside.to_owned(), parts::read(&out.join(beside))?)]),
    })
}

/// A node that is up is data; one that is not is talk, with what explains it.
fn tell(ended: &Ended, show: &Show, serial_log: &Path) -> Outcome {
    if ended.is_up() {
        let _closed_stdout = terminal::table(&ended.summary());
        return Ok(());
    }
    let last: Vec<&str> = ended.console.last().collect();
    if !last.is_empty() {
        show.say(&format!("the last lines of the serial console ({}):\n  {}", serial_log.display(), last.join("\n  ")));
    }
    show.say(&format!("error: {}", ended.summary().trim_end()));
    if let Some(hint) = ended.verdict.hint() {
        show.say(&format!("hint: {hint}"));
    }
    Err(Failed::FaultTold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_of_a_platform_that_is_not_simulated_is_not_booted() {
        assert!(simulated("equinix-metal").is_ok());
        let said = simulated("vultr").unwrap_err().to_string();
        assert!(said.starts_with("booting a site of vultr: only equinix-metal is simulated\nhint: "), "{said}");
    }
}
