//! Which platforms there are: one room for each, and no other room knows a platform by name.
//! May not touch the network: `fetch` does, and what a document means is decided from its text alone.

use anymetal_contract::Reason;
use anymetal_contract::plan::Anycast;

use anymetal_supply::failure::Failure;

mod answer;
mod border;
mod clock;
mod equinix_metal;
mod fetch;
mod file;
mod findings;
mod foreign;
mod kept;
mod machine;
#[cfg(test)]
mod mutations;
mod node;
mod resolvers;
mod sessions;
mod vultr;

pub(crate) use border::private_subnets;
pub(crate) use fetch::work;
pub(crate) use machine::{Accepted, Family, Machine, Management, Neighbour, Way, is_link_local};

/// The families that are to be announced and have no neighbour to announce them to.
pub(crate) fn unspoken(anycast: &Anycast, machine: &Machine) -> Vec<Family> {
    let asked = |family| match family {
        Family::V4 => !anycast.v4.is_empty(),
        Family::V6 => !anycast.v6.is_empty(),
    };
    let spoken = |family| machine.neighbours.iter().any(|neighbour| neighbour.family == family);
    Family::ALL.into_iter().filter(|family| asked(*family) && !spoken(*family)).collect()
}

/// A platform: where its metadata is, and how it is read.
struct Platform {
    name: &'static str,
    whence: Whence,
    read: fn(&str) -> Result<Machine, Failure>,
    /// What its document is called, and where it comes from.
    document: &'static str,
    /// Keys that show that a document is its own, each alone; as in `foreign`.
    marks: &'static [&'static str],
    /// What the operator does about a BGP session that is not there, as the end of a sentence.
    remedy: &'static str,
}

/// Where a platform's description of a machine is.
enum Whence {
    Service(Service),
    /// With the machine itself.
    File,
}

/// A service on the network that describes the machine that asks.
struct Service {
    /// Base URLs, in the order they are tried.
    bases: &'static [&'static str],
    /// The same without TLS, tried last and only when the site says so.
    plain_bases: &'static [&'static str],
    /// The document's path below a base.
    path: &'static str,
    /// What every question carries.
    headers: &'static [(&'static str, &'static str)],
    /// What an answer without success says, as a sentence after "it answers ".
    excuse: fn(status: u16, body: &str) -> String,
}

const PLATFORMS: &[Platform] = &[equinix_metal::PLATFORM, vultr::PLATFORM, file::PLATFORM];

/// The names of all platforms whose metadata can be read.
pub(crate) fn platforms() -> Vec<&'static str> {
    PLATFORMS.iter().map(|platform| platform.name).collect()
}

impl Platform {
    /// Reads a document of this platform as somebody saved it or a service answered it. Fails when it is another document, and with everything that is
    /// wrong with it at once.
    fn machine(&self, bytes: &[u8]) -> Result<Machine, Failure> {
        let text = answer::text(bytes)?;
        foreign::refuse(self, &text)?;
        (self.read)(&text)
    }
}

/// Reads a metadata document of that platform. Everything wrong with it is named in one failure.
pub(crate) fn read(platform: &str, bytes: impl AsRef<[u8]>) -> Result<Machine, Failure> {
    named(platform)?.machine(bytes.as_ref())
}

fn named(name: &str) -> Result<&'static Platform, Failure> {
    PLATFORMS.iter().find(|platform| platform.name == name).ok_or_else(|| {
        let known = platforms().join(", ");
        Failure::new(
            Reason::PlanBeyondInit,
            format!("reading the metadata of platform {name:?}: this init knows only {known}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_platform_is_beyond_this_init() {
        let failure = read("moonbase", "{}").unwrap_err();
        assert_eq!(failure.reason, Reason::PlanBeyondInit);
        assert_eq!(
            failure.chain(),
            r#"reading the metadata of platform "moonbase": this init knows only equinix-metal, vultr, file"#
        );
    }
}
