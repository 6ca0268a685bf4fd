//! Where an allocation's ports go on the one node there is, or why it has no place.
//! May not look at the machine: it is given addresses and what is taken.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::address::Address;

/// Why there is no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The node cannot run it at all, with Nomad's word for why.
    Filtered(String),
    /// The node could, but something is used up.
    Exhausted(String),
}

/// A port given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub label: String,
    pub network: String,
    pub ip: String,
    pub value: u16,
    pub to: i64,
    pub reserved: bool,
}

/// What a node offers.
pub struct Node<'a> {
    pub addresses: &'a [Address],
    pub drivers: &'a [&'a str],
    pub range: (u16, u16),
    /// Whether Consul is there.
    pub consul: bool,
    /// Address and port, of allocations that are there to stay.
    pub taken: &'a BTreeSet<(String, u16)>,
    /// Disk that no allocation has been promised, in MB.
    pub disk: u64,
}

/// What a group wants of the disk, in MB.
pub fn disk(group: &Value) -> u64 {
    group["EphemeralDisk"]["SizeMB"].as_u64().unwrap_or(300)
}

/// Places a group.
pub fn place(group: &Value, node: &Node) -> Result<Vec<Given>, Refusal> {
    let tasks = group["Tasks"].as_array().into_iter().flatten();
    if tasks.map(|task| task["Driver"].as_str().unwrap_or_default()).any(|driver| !node.drivers.contains(&driver)) {
        return Err(Refusal::Filtered("missing drivers".into()));
    }
    if !node.consul && in_consul(group) {
        return Err(Refusal::Filtered("${attr.consul.version} semver >= 1.7.0".into()));
    }
    let mut asked = Vec::new();
    for network in group["Networks"].as_array().into_iter().flatten() {
        for (key, reserved) in [("ReservedPorts", true), ("DynamicPorts", false)] {
            asked.extend(network[key].as_array().into_iter().flatten().map(|port| (port, reserved)));
        }
    }
    let text = |port: &Value, key: &str| port[key].as_str().unwrap_or_default().to_owned();
    let network = |port: &Value| Some(text(port, "HostNetwork")).filter(|n| !n.is_empty()).unwrap_or("default".into());
    for (port, _) in &asked {
        let wanted = network(port);
        let known = |address: &Address| address.networks.contains(&wanted);
        if wanted != "default" && !node.addresses.iter().any(known) {
            let label = text(port, "Label");
            return Err(Refusal::Filtered(format!("missing host network \"{wanted}\" for port \"{label}\"")));
        }
    }
    let mut given: Vec<Given> = Vec::new();
    for (port, reserved) in asked {
        let (wanted, label) = (network(port), text(port, "Label"));
        let address = node.addresses.iter().find(|address| address.networks.contains(&wanted));
        let ip = address
            .map(|address| address.ip.to_string())
            .ok_or_else(|| Refusal::Exhausted(format!("network: no addresses available for {wanted} network")))?;
        let free = |value: u16| {
            !node.taken.contains(&(ip.clone(), value)) && !given.iter().any(|port| port.ip == ip && port.value == value)
        };
        let value = if reserved {
            let value = port["Value"].as_u64().and_then(|value| u16::try_from(value).ok()).unwrap_or(0);
            if !free(value) {
                return Err(Refusal::Exhausted(format!("network: reserved port collision {label}={value}")));
            }
            value
        } else {
            let (from, to) = node.range;
            let start = fastrand::u16(from..=to);
            (start..=to)
                .chain(from..start)
                .find(|value| free(*value))
                .ok_or_else(|| Refusal::Exhausted("network: dynamic port selection failed".into()))?
        };
        let to = match port["To"].as_i64().unwrap_or(0) {
            -1 => i64::from(value),
            to => to,
        };
        given.push(Given { label, network: wanted, ip, value, to, reserved });
    }
    if disk(group) > node.disk {
        return Err(Refusal::Exhausted("disk".into()));
    }
    Ok(given)
}

/// Whether a group has services that are to stand in Consul.
fn in_consul(group: &Value) -> bool {
    let tasks = group["Tasks"].as_array().into_iter().flatten();
    let services = tasks.chain([group]).flat_map(|of| of["Services"].as_array().into_iter().flatten());
    services.into_iter().any(|service| service["Provider"] == "consul")
}

/// The resources of an allocation, as its document has them.
pub fn resources(group: &Value, ports: &[Given]) -> Value {
    let flat: Vec<Value> = ports
        .iter()
        .map(|port| json!({"Label": port.label, "Value": port.value, "To": port.to, "HostIP": port.ip}))
        .collect();
    let list = |reserved: bool| {
        let of = ports.iter().filter(|port| port.reserved == reserved);
        let list: Vec<Value> = of
            .map(|port| json!({"Label": port.label, "Value": port.value, "To": port.to, "HostNetwork": port.network}))
            .collect();
        if list.is_empty() { Value::Null } else { list.into() }
    };
    let networks = match ports.first() {
        None => Value::Null,
        Some(first) => json!([{"Mode": "", "Device": "", "CIDR": "", "IP": first.ip, "DNS": null, "MBits": 0,
            "ReservedPorts": list(true), "DynamicPorts": list(false)}]),
    };
    let tasks: serde_json::Map<String, Value> = group["Tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| {
            let of = &task["Resources"];
            let one = json!({"Cpu": {"CpuShares": of["CPU"], "ReservedCores": null}, "Devices": null, "Networks": null,
                "Memory": {"MemoryMB": of["MemoryMB"], "MemoryMaxMB": of["MemoryMaxMB"]}});
            (task["Name"].as_str().unwrap_or_default().to_owned(), one)
        })
        .collect();
    let lifecycles: serde_json::Map<String, Value> = tasks.keys().map(|name| (name.clone(), Value::Null)).collect();
    json!({"Tasks": tasks, "TaskLifecycles": lifecycles,
        "Shared": {"DiskMB": disk(group), "Networks": networks, "Ports": if flat.is_empty() { Value::Null } else { flat.into() }}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ip: &str, network: &str) -> Address {
        Address { interface: "bond0".into(), ip: ip.parse().unwrap(), networks: vec![network.into()] }
    }

    fn placed(ports: &Value, taken: &[(&str, u16)]) -> Result<Vec<Given>, Refusal> {
        let group = json!({"Networks": [ports], "Tasks": [{"Driver": "raw_exec"}]});
        let addresses =
            [address("147.75.1.1", "public"), address("10.0.0.2", "default"), address("10.0.0.3", "default")];
        let taken = taken.iter().map(|(ip, port)| ((*ip).to_owned(), *port)).collect();
        place(
            &group,
            &Node {
                addresses: &addresses,
                drivers: &["raw_exec"],
                range: (20_000, 20_001),
                consul: true,
                taken: &taken,
                disk: 300,
            },
        )
    }

    #[test]
    fn ports_go_to_the_first_address_of_the_network_they_name() {
        let ports = json!({"ReservedPorts": [{"Label": "web", "Value": 80, "HostNetwork": "public"}],
            "DynamicPorts": [{"Label": "http", "To": -1}, {"Label": "other"}]});
        let given = placed(&ports, &[]).unwrap();
        assert_eq!((given[0].ip.as_str(), given[0].value), ("147.75.1.1", 80));
        assert_eq!(given[1].ip, "10.0.0.2");
        assert_ne!(given[1].value, given[2].value);
        assert_eq!(given[1].to, i64::from(given[1].value));
    }

    #[test]
    fn why_there_is_no_place_is_said_in_nomads_words() {
        let of = |ports: Value, taken: &[(&str, u16)]| placed(&ports, taken).unwrap_err();
        let strange = of(json!({"DynamicPorts": [{"Label": "http", "HostNetwork": "nonet"}]}), &[]);
        assert_eq!(strange, Refusal::Filtered("missing host network \"nonet\" for port \"http\"".into()));
        let taken = of(json!({"ReservedPorts": [{"Label": "http", "Value": 8099}]}), &[("10.0.0.2", 8099)]);
        assert_eq!(taken, Refusal::Exhausted("network: reserved port collision http=8099".into()));
        let full = of(json!({"DynamicPorts": [{"Label": "http"}]}), &[("10.0.0.2", 20_000), ("10.0.0.2", 20_001)]);
        assert_eq!(full, Refusal::Exhausted("network: dynamic port selection failed".into()));
        let nobody = BTreeSet::new();
        let node =
            Node { addresses: &[], drivers: &["raw_exec"], range: (1, 2), consul: false, taken: &nobody, disk: 300 };
        for (group, refusal) in [
            (
                json!({"Tasks": [{"Driver": "raw_exec"}], "Services": [{"Provider": "consul"}]}),
                Refusal::Filtered("${attr.consul.version} semver >= 1.7.0".into()),
            ),
            (
                json!({"Tasks": [{"Driver": "raw_exec"}], "EphemeralDisk": {"SizeMB": 301}}),
                Refusal::Exhausted("disk".into()),
            ),
            (json!({"Tasks": [{"Driver": "docker"}]}), Refusal::Filtered("missing drivers".into())),
        ] {
            assert_eq!(place(&group, &node).unwrap_err(), refusal);
        }
    }
}
