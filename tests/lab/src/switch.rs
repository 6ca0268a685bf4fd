//! A switch with machines on it: a network for each, all on one link, which nothing else is on.
//! May not touch any other network. Needs root.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::namespace::{Namespace, host};

/// What a machine's end of its cable is called.
const PORT: &str = "lan0";

/// The switch and what is plugged into it; they go when it is dropped.
pub struct Switch {
    machines: Vec<Namespace>,
    _bridge: Namespace,
}

impl Switch {
    /// Whether this process may make one. When it may not, the sentence says why.
    pub fn possible() -> Result<(), String> {
        if nix::unistd::geteuid().is_root() { Ok(()) } else { Err("a switch needs root for its namespaces".into()) }
    }

    /// A machine for each of these addresses (`10.70.17.11/24`).
    pub fn new(addresses: &[&str]) -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("amsw{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let bridge = Namespace::new(name.clone())?;
        bridge.ip(&["link", "add", "bridge0", "type", "bridge", "forward_delay", "0"])?;
        bridge.ip(&["link", "set", "bridge0", "up"])?;
        let mut machines = Vec::new();
        for (number, address) in addresses.iter().enumerate() {
            let (machine, port) = (Namespace::new(format!("{name}m{number}"))?, format!("port{number}"));
            host(
                &[
                    &["ip", "-n", machine.name(), "link", "add", PORT, "type", "veth"][..],
                    &["peer", "name", &port, "netns", bridge.name()],
                ]
                .concat(),
            )?;
            bridge.ip(&["link", "set", &port, "master", "bridge0", "up"])?;
            machine.ip(&["address", "add", address, "broadcast", "+", "dev", PORT])?;
            machine.ip(&["link", "set", PORT, "up"])?;
            machines.push(machine);
        }
        Ok(Self { machines, _bridge: bridge })
    }

    /// The network of one machine, by its place among the addresses.
    pub fn machine(&self, place: usize) -> &Namespace {
        &self.machines[place]
    }
}
