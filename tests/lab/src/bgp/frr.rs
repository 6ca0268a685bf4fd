//! FRR's bgpd as a neighbour, without zebra, so without a hand on any kernel's routes: its configuration, and what it says to vtysh.
//! May not use the host's FRR: configuration, sockets and log lie in the folder.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::{Route, Session, ask_json, below};
use crate::topology::{EDGE_ASN, NODE_ASN, Topology};

pub(super) const CONFIG: &str = "bgpd.conf";

pub(super) fn command(topology: &Topology, folder: &Path, session: &Session) -> Command {
    let mut command = topology.edge.command("/usr/lib/frr/bgpd");
    // Neither zebra nor another user; no telnet port.
    command.args(["--no_zebra", "--skip_runas", "--vty_port", "0", "--config_file"]).arg(below(folder, CONFIG));
    command.arg("--pid_file").arg(below(folder, "pid")).arg("--vty_socket").arg(folder);
    for family in [4, 6] {
        command.args(["--listenon", session.address(family)]);
    }
    command
}

pub(super) fn config(session: &Session, folder: &Path) -> String {
    let mut text = format!(
        "log file {}\nrouter bgp {EDGE_ASN}\n bgp router-id {}\n no bgp ebgp-requires-policy\n no bgp network import-check\n \
         no bgp default ipv4-unicast\n",
        below(folder, "log").display(),
        session.address(4)
    );
    for family in [4, 6] {
        let node = session.node(family);
        _ = write!(
            text,
            " neighbor {node} remote-as {NODE_ASN}\n neighbor {node} ebgp-multihop 5\n neighbor {node} update-source {}\n \
             neighbor {node} timers connect 1\n",
            session.address(family)
        );
        if let Some(password) = &session.password {
            _ = writeln!(text, " neighbor {node} password {password}");
        }
    }
    for family in [4, 6] {
        _ = write!(text, " address-family ipv{family} unicast\n  neighbor {} activate\n", session.node(family));
        for prefix in session.announced(family) {
            _ = writeln!(text, "  network {prefix}");
        }
        text += " exit-address-family\n";
    }
    text
}

fn vtysh(folder: &Path, words: &str) -> anyhow::Result<Value> {
    // Its own configuration is looked for in the folder too, where there is none.
    ask_json(
        Command::new("vtysh")
            .arg("--vty_socket")
            .arg(folder)
            .arg("--config_dir")
            .arg(folder)
            .args(["-d", "bgpd", "-c", words]),
    )
}

pub(super) fn established(folder: &Path, node: &str) -> anyhow::Result<bool> {
    let said = vtysh(folder, &format!("show bgp neighbors {node} json"))?;
    let state = said[node]["bgpState"].as_str().context("bgpd does not say the state of the session")?;
    Ok(state == "Established")
}

pub(super) fn routes(folder: &Path, family: u8, node: &str) -> anyhow::Result<Vec<Route>> {
    if !established(folder, node)? {
        return Ok(Vec::new());
    }
    let said = vtysh(folder, &format!("show bgp ipv{family} unicast neighbors {node} routes json"))?;
    let prefixes = said["routes"].as_object().map(|routes| routes.keys().cloned().collect::<Vec<_>>());
    let mut routes = Vec::new();
    for prefix in prefixes.unwrap_or_default() {
        // The list has no communities. A route may go between the two questions.
        let said = vtysh(folder, &format!("show bgp ipv{family} unicast {prefix} json"))?;
        let paths = said["paths"].as_array().cloned().unwrap_or_default();
        routes.extend(paths.iter().filter(|path| path["peer"]["peerId"] == node).map(|path| read(&prefix, path)));
    }
    Ok(routes)
}

fn read(prefix: &str, path: &Value) -> Route {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let as_path = text(&path["aspath"]["string"]);
    Route {
        prefix: prefix.to_owned(),
        next_hop: text(&path["nexthops"][0]["ip"]),
        as_path: as_path.split(' ').filter_map(|asn| asn.parse().ok()).collect(),
        // Those that are well known have names.
        communities: list(&path["community"]["list"])
            .iter()
            .map(|word| if word == "gracefulShutdown" { "65535:0".to_owned() } else { text(word) })
            .collect(),
    }
}
