//! What the network sees of a node: prefixes, sessions, open ports.
//! May not say which files change for it: `touched` does.

use anymetal_contract::plan::{Bgp, Metadata, Plan};

use super::pair::{lists, perhaps, sets};

/// Prefixes, sessions and ports, in this order.
pub(super) fn network(old: &Plan, new: &Plan) -> Vec<String> {
    let prefixes = |plan: &Plan| [plan.anycast.v4.clone(), plan.anycast.v6.clone()].concat();
    let mut words = sets(
        &prefixes(old),
        &prefixes(new),
        |prefix| format!("prefix {prefix} added: announced from now on"),
        |prefix| format!("prefix {prefix} withdrawn"),
    );
    words.extend(bgp(&old.bgp, &new.bgp));
    words.extend(metadata(&old.metadata, &new.metadata));
    let (was, is) = (&old.settings.firewall, &new.settings.firewall);
    for (protocol, was, is) in [("tcp", &was.tcp, &is.tcp), ("udp", &was.udp, &is.udp)] {
        let opened = |port: &u16| format!("port {port}/{protocol} opened to everybody");
        words.extend(sets(was, is, opened, |port| format!("port {port}/{protocol} closed")));
    }
    let ssh = |settings: &anymetal_contract::plan::Firewall| [settings.ssh4.clone(), settings.ssh6.clone()].concat();
    let allowed = |prefix: &String| format!("ssh from {prefix} allowed");
    words.extend(sets(&ssh(was), &ssh(is), allowed, |prefix| format!("ssh from {prefix} no longer allowed")));
    words
}

fn bgp(old: &Bgp, new: &Bgp) -> Vec<String> {
    const PLATFORM: &str = "(the platform's)";
    let mut words = Vec::new();
    words.extend(perhaps("bgp: own AS", old.local_asn.as_ref(), new.local_asn.as_ref(), PLATFORM));
    words.extend(perhaps("bgp: neighbours' AS", old.peer_asn.as_ref(), new.peer_asn.as_ref(), PLATFORM));
    words.extend(perhaps("bgp: hops", old.multihop.as_ref(), new.multihop.as_ref(), PLATFORM));
    let password = |bgp: &Bgp| bgp.password.map(|_| "(a secret of the site)");
    words.extend(perhaps("bgp: password", password(old).as_ref(), password(new).as_ref(), PLATFORM));
    words.extend(lists("bgp: community", &old.communities, &new.communities));
    words
}

fn metadata(old: &Metadata, new: &Metadata) -> Vec<String> {
    let mut words = Vec::new();
    match (old.plain_http, new.plain_http) {
        (false, true) => words.push("metadata: asked for without TLS too".to_owned()),
        (true, false) => words.push("metadata: asked for with TLS only".to_owned()),
        _ => {}
    }
    words.extend(lists("metadata: private subnet", &old.private_subnets, &new.private_subnets));
    words.extend(lists("metadata: report host", &old.report_hosts, &new.report_hosts));
    words
}
