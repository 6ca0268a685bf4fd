//! The document of Equinix Metal's `/metadata`, in Equinix Metal's words: only the fields we use, all optional, others ignored.
//! May not judge: `convert` does. No `Debug` here, so that the password has no way out.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The whole answer.
#[derive(Deserialize)]
pub(super) struct EquinixMetadata {
    /// An error answer has one of these two in place of all the rest.
    pub(super) error: Option<Value>,
    pub(super) errors: Option<Value>,
    pub(super) id: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) metro: Option<String>,
    pub(super) facility: Option<String>,
    /// Prefixes as text.
    pub(super) private_subnets: Option<Vec<String>>,
    pub(super) network: Option<EquinixNetwork>,
    /// Not there, rather than empty, until a BGP session was created for the device.
    pub(super) bgp_neighbors: Option<Vec<EquinixBgpNeighbor>>,
    /// Added by the server when it answers, if it is set up so.
    pub(super) user_state_url: Option<String>,
    pub(super) phone_home_url: Option<String>,
    /// Whatever the operator put there; ours is below a key of its own.
    pub(super) customdata: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct EquinixNetwork {
    pub(super) addresses: Option<Vec<EquinixAddress>>,
}

/// `network.addresses[]`.
#[derive(Deserialize)]
pub(super) struct EquinixAddress {
    pub(super) address_family: Option<u8>,
    pub(super) public: Option<bool>,
    pub(super) management: Option<bool>,
    pub(super) enabled: Option<bool>,
    /// The prefix length.
    pub(super) cidr: Option<u8>,
    pub(super) address: Option<String>,
    pub(super) gateway: Option<String>,
}

/// `bgp_neighbors[]`: one per session of the device, with one or two peers.
#[derive(Deserialize)]
pub(super) struct EquinixBgpNeighbor {
    pub(super) address_family: Option<u8>,
    pub(super) customer_as: Option<u32>,
    pub(super) customer_ip: Option<String>,
    pub(super) md5_enabled: Option<bool>,
    #[serde(default)]
    pub(super) md5_password: EquinixPassword,
    pub(super) multihop: Option<bool>,
    pub(super) peer_as: Option<u32>,
    pub(super) peer_ips: Option<Vec<String>>,
    /// `[{route, exact}]`. Only for a warning, so whatever stands here must not make the document unreadable.
    pub(super) routes_in: Option<Value>,
}

/// `md5_password`. Takes every JSON value, because serde's own "invalid type" message would quote it.
#[derive(Default)]
pub(super) enum EquinixPassword {
    #[default]
    Absent,
    Text(String),
    /// A number, a list: something a password is not.
    NotText,
}

impl<'de> Deserialize<'de> for EquinixPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Self::Absent,
            Value::String(text) => Self::Text(text),
            _ => Self::NotText,
        })
    }
}
