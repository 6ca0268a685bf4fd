//! `anymetal check SITE`: validate it and its secrets, when they are there, and say in one line what the site is.
//! May not write a file.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anymetal_contract::Plan;
use anymetal_contract::plan::Arch;

use super::{Failed, Outcome};
use crate::plan::Missing;
use crate::site::Site;
use crate::site::diagnostic::Severity;
use crate::userdata::{self, Cargo};
use crate::{component, plan, release, secrets};

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site's file
    site: PathBuf,
}

/// Reads the site, says what is wrong with it, and otherwise what it is.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    let (plan, missing) = plan::preview(&site).map_err(Failed::Input)?;
    let wanted: BTreeSet<String> = plan.wanted_secrets().into_iter().map(str::to_owned).collect();
    if let Some(found) = secrets::check(&site, &wanted) {
        super::tell(&site.secrets.file, &found);
        if found.iter().any(|found| found.severity == Severity::Mistake) {
            return Err(Failed::Told);
        }
    }
    rehearsed(&site, &plan)?;
    to_do(&site, &missing).into_iter().for_each(super::talk);
    super::say(summary(&site))
}

/// Makes the user-data as `build` would, with what stands for all that comes from elsewhere: what `build` refuses is refused here.
fn rehearsed(site: &Site, plan: &Plan) -> Outcome {
    let inits = site.architectures.iter().map(|arch| (*arch, release::pinned(b""))).collect();
    let release = release::draft(site, &plan::canonical(plan), inits).map_err(Failed::Input)?;
    let text = plan::canonical(&release);
    let signature = (!site.signers.is_empty()).then_some("");
    let mut site = site.clone();
    if site.origins.is_empty() {
        // what to do about it is said elsewhere
        site.origins.push("https://origin.example".to_owned());
    }
    let cargo = Cargo { release: &release, text: &text, signature, plan, inline: None, secrets: None, machine: None };
    let make = |size| userdata::make(&site, cargo, size);
    match make(None) {
        Ok(_) => Ok(()),
        Err(large) if make(Some(usize::MAX)).is_ok() => {
            super::talk(format_args!("warning: {large}"));
            Ok(())
        }
        Err(error) => Err(Failed::Input(error)),
    }
}

/// What is no mistake, but to be done before anything is built.
fn to_do(site: &Site, missing: &[Missing]) -> Vec<String> {
    let origins = site.origins.is_empty().then(|| {
        "to do: name a URL under `origins`, from which nodes fetch anymetal-init and what `anymetal build` writes to sha256/"
            .to_owned()
    });
    let archives = (!missing.is_empty()).then(|| {
        let count = missing.len();
        let archives = if count == 1 { "1 archive".to_owned() } else { format!("{count} archives") };
        format!("to do: run `anymetal lock`: nobody has asked for the sha256 of {archives} yet")
    });
    origins.into_iter().chain(archives).collect()
}

/// `site demo: debian-12 on equinix-metal, aarch64+x86_64, 147.75.195.143/32, 147-75-195-143.sslip.io, …`
fn summary(site: &Site) -> String {
    let Site { name, platform, os, architectures, domain, anycast4, anycast6, components, .. } = site;
    let architectures: Vec<_> = architectures.iter().copied().map(Arch::id).collect();
    let prefixes: Vec<_> =
        anycast4.iter().map(ToString::to_string).chain(anycast6.iter().map(ToString::to_string)).collect();
    let components: Vec<_> = components
        .iter()
        .map(|(name, choice)| {
            let lowest = component::named(name).is_some_and(component::Component::is_host_package);
            format!("{name} {}{}", if lowest { "≥ " } else { "" }, choice.version)
        })
        .collect();
    format!(
        "site {name}: {os} on {platform}, {}, {}, {domain}, {}",
        architectures.join("+"),
        prefixes.join(" "),
        components.join(", ")
    )
}
