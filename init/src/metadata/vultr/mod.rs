//! Vultr: where its metadata is, and what its answers mean.
//! May not touch the network, and nothing outside this room may know these words.

use super::node::Node;
use super::{Machine, Platform, Service, Whence, answer};
use anymetal_supply::failure::Failure;

mod convert;
mod field;

pub(super) const PLATFORM: Platform = Platform {
    name: "vultr",
    whence: Whence::Service(Service {
        // Link-local, so nobody beyond the host answers it; the platform has no other.
        bases: &["http://169.254.169.254"],
        plain_bases: &[],
        path: "/v1.json",
        // No secret: the service only wants to see that nobody was tricked into asking.
        headers: &[("Metadata-Token", "vultr")],
        excuse: answer::excuse,
    }),
    read,
    document: "Vultr's metadata, as the machine itself gets it from http://169.254.169.254/v1.json",
    marks: &["instance-v2-id", "interfaces[]"],
    remedy: "have BGP set up for the account, then enable it for this server on its own page of the panel",
};

fn read(text: &str) -> Result<Machine, Failure> {
    let document: Node = answer::document(text)?;
    if let Node::Text(words) = document.get("error") {
        return Err(answer::refused(words));
    }
    convert::machine(&document)
}

#[cfg(test)]
mod tests;
