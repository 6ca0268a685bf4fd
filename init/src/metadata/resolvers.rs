//! The name servers that the machine's programs ask: resolv.conf(5).
//! May not ask one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use crate::sys::fs;

/// Where they stand. With systemd-resolved it names that service's own address on the loopback.
pub(super) const FILE: &str = "/etc/resolv.conf";

/// Reads the file. A machine without one, or with one that cannot be read, has no name servers.
pub(super) fn read(file: &Path) -> BTreeSet<IpAddr> {
    fs::read_text(file).map(|text| named(&text)).unwrap_or_default()
}

/// The addresses in it. What is not a literal address is passed over, as the C library does; so is the interface of a link-local one.
fn named(text: &str) -> BTreeSet<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then_some(())?;
        words.next()?.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_server_is_read_and_nothing_else() {
        let text = "# nameserver 192.0.2.1\nsearch example.org\nnameserver 127.0.0.53\n nameserver\tfe80::1%eth0\n\
                    nameserver ns.example.org\nnameservers 192.0.2.2\noptions edns0 trust-ad\nnameserver 10.0.0.2 # ours\n";
        let wanted: BTreeSet<IpAddr> = ["127.0.0.53", "fe80::1", "10.0.0.2"].map(|one| one.parse().unwrap()).into();
        assert_eq!(named(text), wanted);
        assert_eq!(read(Path::new("/nonexistent/resolv.conf")), BTreeSet::new());
    }
}
