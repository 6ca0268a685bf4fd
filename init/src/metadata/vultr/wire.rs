//! The document of Vultr's `/v1.json`, in Vultr's words: only the fields we use, all optional, others ignored.
//! May not judge: `convert` does.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The whole answer.
#[derive(Deserialize)]
pub(super) struct VultrMetadata {
    /// An error answer has one of these two in place of all the rest.
    pub(super) error: Option<Value>,
    pub(super) errors: Option<Value>,
    #[serde(rename = "instance-v2-id", default)]
    pub(super) instance_v2_id: Word,
    /// The id of older documents.
    #[serde(default)]
    pub(super) instanceid: Word,
    #[serde(default)]
    pub(super) hostname: Word,
    #[serde(default)]
    pub(super) region: Object<VultrRegion>,
    pub(super) interfaces: Option<Vec<VultrInterface>>,
    #[serde(default)]
    pub(super) bgp: Object<VultrBgp>,
}

#[derive(Deserialize)]
pub(super) struct VultrRegion {
    #[serde(default)]
    pub(super) regioncode: Word,
}

/// `interfaces[]`: a network card and what it is on.
#[derive(Deserialize)]
pub(super) struct VultrInterface {
    /// `public` or `private`.
    #[serde(rename = "network-type", default)]
    pub(super) network_type: Word,
    #[serde(default)]
    pub(super) ipv4: Object<VultrIpv4>,
    #[serde(default)]
    pub(super) ipv6: Object<VultrIpv6>,
}

#[derive(Deserialize)]
pub(super) struct VultrIpv4 {
    #[serde(default)]
    pub(super) address: Word,
    #[serde(default)]
    pub(super) netmask: Word,
    /// Empty on private networks.
    #[serde(default)]
    pub(super) gateway: Word,
    pub(super) additional: Option<Vec<VultrAdditional>>,
}

/// A further IPv4 address of a card.
#[derive(Deserialize)]
pub(super) struct VultrAdditional {
    #[serde(default)]
    pub(super) address: Word,
    #[serde(default)]
    pub(super) netmask: Word,
}

/// No gateway: routers announce themselves.
#[derive(Deserialize)]
pub(super) struct VultrIpv6 {
    #[serde(default)]
    pub(super) address: Word,
    #[serde(default)]
    pub(super) prefix: Word,
}

/// Both families are always there; their fields are empty while BGP is off.
#[derive(Deserialize)]
pub(super) struct VultrBgp {
    #[serde(default)]
    pub(super) ipv4: Object<VultrSession>,
    #[serde(default)]
    pub(super) ipv6: Object<VultrSession>,
}

#[derive(Deserialize)]
pub(super) struct VultrSession {
    #[serde(rename = "my-address", default)]
    pub(super) my_address: Word,
    #[serde(rename = "my-asn", default)]
    pub(super) my_asn: Word,
    #[serde(rename = "peer-address", default)]
    pub(super) peer_address: Word,
    #[serde(rename = "peer-asn", default)]
    pub(super) peer_asn: Word,
}

/// A text, or a number taken for one: the platform writes every number between quotes, and need not for ever. Empty means not told.
#[derive(Debug, Default, Clone)]
pub(super) struct Word(pub(super) Option<String>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Null => None,
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            _ => return Err(D::Error::custom("expected a text or a number")),
        }))
    }
}

/// An object. One without members is written as an empty list now and then, as PHP does.
pub(super) struct Object<T>(pub(super) Option<T>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Null => None,
            Value::Array(list) if list.is_empty() => None,
            other => Some(serde_json::from_value(other).map_err(D::Error::custom)?),
        }))
    }
}
