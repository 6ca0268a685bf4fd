//! `anymetal check SITE`: validate it and its secrets, when they are there, and say in one line what the site is.
//! May not write a file.

use std::path::PathBuf;

use anymetal_contract::plan::Arch;

use super::{Failed, Outcome};
use crate::site::Site;
use crate::site::diagnostic::Severity;
use crate::{component, plan, secrets};

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site's file
    site: PathBuf,
}

/// Reads the site, says what is wrong with it, and otherwise what it is.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    let wanted = plan::wanted_secrets(&site).map_err(Failed::Input)?;
    if let Some(found) = secrets::check(&site, &wanted) {
        super::tell(&site.secrets.file, &found);
        if found.iter().any(|found| found.severity == Severity::Mistake) {
            return Err(Failed::Told);
        }
    }
    super::say(summary(&site))
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
