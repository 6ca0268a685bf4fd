//! Equinix Metal (once Packet): where its metadata is, and what its answers mean.
//! May not touch the network, and nothing outside this room may know these words.

use super::{Machine, Platform, Service, Whence, answer};
use anymetal_supply::failure::Failure;

mod convert;
mod neighbours;
mod wire;

pub(super) const PLATFORM: Platform = Platform {
    name: "equinix-metal",
    whence: Whence::Service(Service {
        // The current name and the old one. Without TLS, and only when the site says so: the old name, which answers plain HTTP too, and its
        // address, for a machine without DNS. It is the order of OSIE, the platform's own installer.
        bases: &["https://metadata.platformequinix.com", "https://metadata.packet.net"],
        plain_bases: &["http://metadata.packet.net", "http://147.75.207.1"],
        path: "/metadata",
        headers: &[],
        excuse,
    }),
    read,
    document: "Equinix Metal's metadata, as the machine itself gets it from https://metadata.platformequinix.com/metadata",
    marks: &["network.addresses[]", "phone_home_url", "user_state_url"],
    remedy: "enable BGP on the project and create the session for this device",
};

fn read(text: &str) -> Result<Machine, Failure> {
    let document: wire::EquinixMetadata = answer::document(text)?;
    answer::refusal([document.error.as_ref(), document.errors.as_ref()])?;
    convert::machine(document)
}

/// 404 for a machine it does not know yet.
fn excuse(status: u16, body: &str) -> String {
    let said = answer::excuse(status, body);
    if status == 404 && said.contains("resource not found") {
        format!("{said}: the service does not know this machine yet")
    } else {
        said
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
