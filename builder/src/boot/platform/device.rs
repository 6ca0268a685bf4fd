//! The one device of the simulated platform, and its metadata document as Equinix Metal words it.
//! May not know who asks or when: the platform says whether the BGP session exists and what became of the device.

use serde_json::{Value, json};

use crate::boot::lan;
use crate::boot::neighbour::{ASN, CUSTOMER};

/// The device's id, which is also the instance id cloud-init knows it by.
pub const ID: &str = "5d2a7c1e-70aa-4f1b-9c52-0b6e8d3f1a77";
/// The metro.
pub const METRO: &str = "da";
/// The building.
pub const FACILITY: &str = "da11";
/// The kind of machine.
pub const PLAN: &str = "c3.small.x86";
/// The name of the storage target every device has.
pub const IQN: &str = "iqn.2026-11.net.packet:device.5d2a7c1e";
/// The password of the IPv4 sessions: as public as any on this platform, where every process of the machine may read it.
pub const MD5_PASSWORD: &str = "boot-test-md5";

/// What became of the device, in the platform's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Until somebody phones home.
    Provisioning,
    /// Phoned home.
    Active,
    /// Phoned home with a failure.
    Failed,
}

impl State {
    /// The platform's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Failed => "failed",
        }
    }
}

/// The BGP sessions of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// Both families, as newer sites have them: two multihop peers each, the IPv6 ones written out in full.
    Multihop,
    /// As old sites have them, the one IPv4 peer on the link, at [`lan::NEIGHBOUR`], and without a password: user-mode networking ends TCP in
    /// between, and MD5 with it. It has no way in for IPv6, so those peers are as above, and nobody answers.
    OnLink {
        /// Whether there is an IPv6 session too.
        ipv6: bool,
    },
    /// The IPv4 peer is on the link and without a password, the IPv6 ones are several hops away, beyond the public port, and have one: for
    /// a port that is open, where somebody real answers.
    Outside,
}

/// The metadata document. `base` is where the platform answers, as the machine sees it; the three URLs are added from it at answering
/// time, as the production server does. `customdata` is the customer's own, any JSON object. Without sessions the key `bgp_neighbors` is
/// absent, not empty.
pub fn document(base: &str, state: State, customdata: &Value, sessions: Option<Sessions>) -> Value {
    let mut document = json!({
        "id": ID,
        "hostname": lan::HOSTNAME,
        "iqn": IQN,
        "operating_system": {
            "slug": "debian_12", "distro": "debian", "version": "12",
            "license_activation": {"state": "unlicensed"}, "image_tag": null
        },
        "plan": PLAN,
        "class": PLAN,
        "reserved": false,
        "facility": FACILITY,
        "metro": METRO,
        "private_subnets": ["10.0.0.0/8"],
        "tags": ["anymetal"],
        "ssh_keys": [],
        "customdata": customdata,
        "specs": {
            "cpus": [{"count": 1, "type": "emulated"}], "memory": {"total": "2GB"},
            "drives": [{"count": 1, "size": "4GB", "type": "SSD", "category": "boot"}],
            "nics": [{"count": 2, "type": "1Gbps"}], "features": {"raid": false, "txt": false, "uefi": false}
        },
        "switch_short_id": "0d9f2c44",
        "state": state.word(),
        "storage": {},
        "volumes": [],
        "spot": {},
        "network": {
            "bonding": {"mode": 4, "link_aggregation": "bonded", "mac": lan::PRIVATE_MAC},
            "interfaces": [
                {"name": "eth0", "mac": lan::PRIVATE_MAC, "bond": "bond0"},
                {"name": "eth1", "mac": lan::PUBLIC_MAC, "bond": "bond0"}
            ],
            "addresses": addresses(),
            "metal_gateways": []
        },
        "api_url": base,
        "phone_home_url": format!("{base}/phone-home"),
        "user_state_url": format!("{base}/events")
    });
    if let Some(sessions) = sessions {
        document["bgp_neighbors"] = neighbours(sessions);
    }
    document
}

fn addresses() -> Value {
    let (network6, length6) = lan::PUBLIC6_NETWORK;
    let entry = |id: &str,
                 family: u8,
                 public: bool,
                 (network, mask, length): (&str, &str, u8),
                 address: &str,
                 gateway: &str| {
        json!({
            "id": id, "address_family": family, "netmask": mask, "created_at": "2026-11-22T10:00:00Z",
            "public": public, "cidr": length, "management": true, "enabled": true,
            "network": network, "address": address, "gateway": gateway,
            "parent_block": {"network": network, "netmask": mask, "cidr": length, "href": format!("/ips/{id}")}
        })
    };
    json!([
        entry("a1", 4, true, lan::PUBLIC_NETWORK, lan::PUBLIC, lan::PUBLIC_GATEWAY),
        entry("a2", 6, true, (network6, "ffff:ffff:ffff:ffff::", length6), lan::PUBLIC6, lan::PUBLIC6_GATEWAY),
        entry("a3", 4, false, lan::PRIVATE_NETWORK, lan::PRIVATE, lan::PRIVATE_GATEWAY),
    ])
}

fn neighbours(sessions: Sessions) -> Value {
    // The project of the test has whatever prefixes its site announces.
    let session = |family: u8, customer: &str, password: Option<&str>, multihop: bool, peers: &[&str]| {
        let accepts = json!({"route": if family == 4 { "0.0.0.0/0" } else { "::/0" }, "exact": false});
        json!({
            "address_family": family, "customer_as": CUSTOMER, "customer_ip": customer, "md5_enabled": password.is_some(),
            "md5_password": password, "multihop": multihop, "peer_as": ASN, "peer_ips": peers, "routes_in": [accepts], "routes_out": []
        })
    };
    let on_link = || session(4, lan::PRIVATE, None, false, &[lan::NEIGHBOUR]);
    let far = |password| session(6, lan::PUBLIC6, password, true, &lan::NEIGHBOURS6);
    match sessions {
        Sessions::Multihop => {
            json!([session(4, lan::PRIVATE, Some(MD5_PASSWORD), true, &["169.254.255.1", "169.254.255.2"]), far(None)])
        }
        Sessions::OnLink { ipv6: false } => json!([on_link()]),
        Sessions::OnLink { ipv6: true } => json!([on_link(), far(None)]),
        Sessions::Outside => json!([on_link(), far(Some(MD5_PASSWORD))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_sessions_the_key_is_absent_and_with_them_each_has_the_ten_fields() {
        let before = document("http://p", State::Provisioning, &json!({}), None);
        assert!(before.get("bgp_neighbors").is_none());
        let of = |sessions| {
            let document = document("http://p", State::Active, &json!({}), Some(sessions));
            document["bgp_neighbors"].as_array().unwrap().clone()
        };
        let (on_link, without) = (of(Sessions::OnLink { ipv6: true }), of(Sessions::OnLink { ipv6: false }));
        assert_eq!((on_link.len(), without.len(), &on_link[0]), (2, 1, &without[0]));
        assert_eq!(on_link[0]["peer_ips"], json!([lan::NEIGHBOUR]));
        assert_eq!(of(Sessions::Outside)[1]["md5_password"], MD5_PASSWORD);
        for session in of(Sessions::Multihop).iter().chain(&on_link).chain(&of(Sessions::Outside)) {
            let mut fields: Vec<&str> = session.as_object().unwrap().keys().map(String::as_str).collect();
            fields.sort_unstable();
            let known = "address_family customer_as customer_ip md5_enabled md5_password multihop peer_as peer_ips routes_in routes_out";
            assert_eq!(fields.join(" "), known);
        }
    }

    #[test]
    fn the_urls_are_made_from_where_the_platform_answers() {
        let document = document("http://10.70.17.10:4711", State::Provisioning, &json!({}), None);
        assert_eq!(document["user_state_url"], "http://10.70.17.10:4711/events");
        assert_eq!(document["phone_home_url"], "http://10.70.17.10:4711/phone-home");
    }

    #[test]
    fn customdata_is_shown_as_it_is() {
        let customdata = json!({"anymetal": {"kind": "anymetal.secrets"}});
        let document = document("http://p", State::Provisioning, &customdata, None);
        assert_eq!(document["customdata"], customdata);
    }

    #[test]
    fn the_addresses_are_the_ones_the_machine_gets() {
        let document = document("http://p", State::Provisioning, &json!({}), None);
        let addresses = document["network"]["addresses"].as_array().unwrap();
        let told: Vec<_> = addresses
            .iter()
            .map(|entry| (entry["address"].as_str().unwrap(), entry["public"].as_bool().unwrap()))
            .collect();
        assert_eq!(told, [(lan::PUBLIC, true), (lan::PUBLIC6, true), (lan::PRIVATE, false)]);
    }
}
