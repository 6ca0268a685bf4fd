//! `file`: a machine that no platform describes, in a rack or started from a seed; its document lies on the machine or on a volume.
//! May not touch the machine: `look` finds the document, and what it means is decided from its text alone.
//!
//! The document, JSON, closed: a key that is not named here is an error. `null` is as good as nothing.
//!
//! ```json
//! {
//!   "kind": "anymetal.machine",
//!   "version": 1,
//!   "hostname": "edge-1",
//!   "id": "rack7-u12",
//!   "metro": "ams",
//!   "facility": "ams1",
//!   "addresses": {
//!     "private4": {"address": "10.7.0.5/24", "gateway": "10.7.0.1"},
//!     "public4": {"address": "203.0.113.5/26", "gateway": "203.0.113.1"},
//!     "public6": {"address": "2001:db8:7::5/64", "gateway": "fe80::1"}
//!   },
//!   "private_subnets": ["10.7.0.0/16"],
//!   "neighbours": [
//!     {"address": "10.7.0.1", "asn": 64512, "local_asn": 64513, "password": "…"},
//!     {"address": "10.9.0.1", "asn": 64512, "local_asn": 64513, "source": "10.7.0.5", "multihop": 3, "gateway": "10.7.0.2"}
//!   ]
//! }
//! ```
//!
//! | key | when it is left out |
//! |---|---|
//! | `id`, `metro`, `facility` | not known; `id` stands in for a `hostname` that is left out |
//! | `addresses.…` | the machine has none of that kind; templates that need it say so |
//! | `addresses.….gateway` | the link has none |
//! | `private_subnets` | the link of `private4` |
//! | `neighbours[].source` | the machine's address on whose link the neighbour is; for a link-local neighbour the interface's own |
//! | `neighbours[].interface` | not needed, but for a link-local neighbour (`fe80::1%eth0` says the same) |
//! | `neighbours[].multihop` | 1, for a neighbour on the link of `source`; must be given for any other |
//! | `neighbours[].gateway` | none for a neighbour on the link; the gateway of `source`'s link for any other |
//! | `neighbours[].password` | none, unless the site says that it is among the secrets |
//!
//! A gateway that is on none of the machine's links, as `fe80::1` is, can be reached by an interface only, which the document does not
//! know: such a neighbour goes by the machine's own default route.

use anymetal_contract::text::{first_lookalike, place};

use super::node::Node;
use super::{Machine, Platform, Whence};
use anymetal_supply::failure::Failure;

mod convert;
mod fields;
pub(super) mod look;
mod neighbours;

pub(super) const PLATFORM: Platform = Platform {
    name: "file",
    whence: Whence::File,
    read,
    document: "the machine's own document, which begins with `\"kind\": \"anymetal.machine\"`",
    marks: &["kind"],
    remedy: "add a neighbour of that family to the document",
};

fn read(text: &str) -> Result<Machine, Failure> {
    let machine = convert::machine(&super::answer::document::<Node>(text)?);
    // what looks like a blank or a quote may be all that is wrong, so it is said first
    machine.map_err(|failure| match first_lookalike(text) {
        None => failure,
        Some((offset, found)) => {
            let (at, hint) = (place(text, offset), found.hint);
            let error = failure.error.context(format!("the character {found} stands at {at}: {hint}"));
            Failure { error, ..failure }
        }
    })
}

#[cfg(test)]
mod tests;
