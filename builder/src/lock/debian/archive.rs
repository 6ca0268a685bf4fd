//! An archive of Debian packages, as data in `images/`: its suites, and what every machine has of it anyway.
//! May not fetch anything, and may not know a mirror: addresses here are upstream's own.

use anyhow::{Result, bail, ensure};
use serde::Deserialize;

/// The archives that are built in, by the name sites use for the operating system.
const ARCHIVES: &[(&str, &str)] = &[("debian-12", include_str!("../../../../images/debian-12/archive.yaml"))];

/// Where an operating system's packages come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    version: u32,
    /// The component whose packages are taken, of every suite: `main`.
    pub component: String,
    /// The suites. Of a package that several have, the newest version counts.
    pub suites: Vec<Source>,
    /// What is not installed, as it is there.
    pub base: Base,
}

/// One suite of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// What its index must call itself: `bookworm`.
    pub name: String,
    /// The folder that has `dists` and `pool`, without a slash at its end: upstream's own address.
    pub url: String,
    /// The `Date` of the newest index that was known when this was written: one as new is never too old.
    #[serde(default)]
    pub known: Option<String>,
}

/// Which packages every machine has; with them, it has what they need.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Those that say `Essential: yes`.
    pub essential: bool,
    /// Those of these priorities.
    pub priorities: Vec<String>,
}

impl Archive {
    /// The archive of an operating system, by the name sites use.
    pub fn named(os: &str) -> Result<Self> {
        let Some((_, text)) = ARCHIVES.iter().find(|(known, _)| *known == os) else {
            let known: Vec<&str> = ARCHIVES.iter().map(|(name, _)| *name).collect();
            bail!("no archive of packages is known for {os:?}; there is one for {}", known.join(", "));
        };
        Self::read(text).map_err(|error| error.context(format!("reading the description of {os}'s archive")))
    }

    /// One that is not built in.
    pub fn new(component: &str, suites: Vec<Source>, base: Base) -> Self {
        Self { version: 1, component: component.to_owned(), suites, base }
    }

    fn read(text: &str) -> Result<Self> {
        let archive: Self = serde_yaml::from_str(text)?;
        ensure!(archive.version == 1, "version {} is not 1", archive.version);
        Ok(archive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_of_debian_12_has_upstreams_addresses() {
        let archive = Archive::named("debian-12").unwrap();
        let suites: Vec<(&str, &str)> = archive.suites.iter().map(|s| (s.name.as_str(), s.url.as_str())).collect();
        assert_eq!(
            suites,
            [
                ("bookworm", "http://deb.debian.org/debian"),
                ("bookworm-updates", "http://deb.debian.org/debian"),
                ("bookworm-security", "http://security.debian.org/debian-security"),
            ]
        );
        assert!(archive.base.essential);
    }

    #[test]
    fn an_unknown_system_is_told_which_are_known() {
        let error = Archive::named("debian-9").unwrap_err().to_string();
        assert_eq!(error, r#"no archive of packages is known for "debian-9"; there is one for debian-12"#);
    }
}
