//! The network of the test machine: its addresses, which the platform's metadata repeats, and what its two ports are connected to.
//! May not open anything: QEMU makes the network or gets it, this room only names it.
//!
//! Shaped as on Equinix Metal as far as user-mode networking allows: a private management address whose gateway leads to the platform,
//! and public addresses on another port. A /31 has no room for QEMU's own addresses, so the prefixes are shorter than the platform's.
//! The BGP neighbour is on the private network, as in the platform's old sites; QEMU forwards its port, so its TCP ends in QEMU.
//! QEMU hands the private address out; the public ones are written in the image (`05-public.network`), as the port may be connected to
//! something that hands out nothing.

use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What the public port is connected to.
#[derive(Debug, Clone, Default)]
pub enum PublicPort {
    /// A network of QEMU's own that is closed: nothing leaves through documentation addresses (RFC 5737, RFC 3849).
    #[default]
    Closed,
    /// A tap device, open: whoever is on its other side is on the machine's public network, at [`PUBLIC_GATEWAY`] or anywhere beside.
    Tap(Arc<OwnedFd>),
}

/// The machine's name, as the platform gives it.
pub const HOSTNAME: &str = "boot-1";
/// The first port: private management network.
pub const PRIVATE_MAC: &str = "52:54:00:70:17:11";
/// The machine's private address.
pub const PRIVATE: &str = "10.70.17.11";
/// The private gateway: the host that runs QEMU, whose loopback services answer there.
pub const PRIVATE_GATEWAY: &str = "10.70.17.10";
/// The BGP neighbour on the private network. QEMU takes no port of its own gateway for this.
pub const NEIGHBOUR: &str = "10.70.17.12";
/// The IPv6 neighbours, written out in full as the platform does; the way to them is by [`PUBLIC6_GATEWAY`].
pub const NEIGHBOURS6: [&str; 2] =
    ["fc00:0000:0000:0000:0000:0000:0000:000e", "fc00:0000:0000:0000:0000:0000:0000:000f"];
/// The network of [`PRIVATE`], its mask and its length.
pub const PRIVATE_NETWORK: (&str, &str, u8) = ("10.70.17.8", "255.255.255.248", 29);
/// The second port: public addresses.
pub const PUBLIC_MAC: &str = "52:54:00:70:17:12";
/// The machine's public IPv4 address.
pub const PUBLIC: &str = "203.0.113.11";
/// The gateway of [`PUBLIC`]; on a closed port it leads nowhere.
pub const PUBLIC_GATEWAY: &str = "203.0.113.10";
/// The network of [`PUBLIC`], its mask and its length.
pub const PUBLIC_NETWORK: (&str, &str, u8) = ("203.0.113.8", "255.255.255.248", 29);
/// The machine's public IPv6 address: the prefix and what RFC 4291 appendix A makes of [`PUBLIC_MAC`].
pub const PUBLIC6: &str = "2001:db8:70:17:5054:ff:fe70:1712";
/// The gateway of [`PUBLIC6`]; on a closed port it leads nowhere.
pub const PUBLIC6_GATEWAY: &str = "2001:db8:70:17::2";
/// The network of [`PUBLIC6`] and its length.
pub const PUBLIC6_NETWORK: (&str, u8) = ("2001:db8:70:17::", 64);

/// QEMU's arguments for both ports. A tap is QEMU's stdin. On loopback port `neighbour` is who answers at [`NEIGHBOUR`].
pub fn qemu_arguments(public: &PublicPort, neighbour: u16) -> Vec<String> {
    // The name servers only need an address of their own; the private one forwards to the host's resolver.
    let private = format!(
        "user,id=private,ipv4=on,ipv6=off,net={}/{},host={PRIVATE_GATEWAY},dns=10.70.17.9,dhcpstart={PRIVATE},\
         guestfwd=tcp:{NEIGHBOUR}:179-cmd:{}",
        PRIVATE_NETWORK.0,
        PRIVATE_NETWORK.2,
        relay(neighbour)
    );
    let public = match public {
        PublicPort::Closed => format!(
            "user,id=public,restrict=on,ipv4=on,net={}/{},host={PUBLIC_GATEWAY},dns=203.0.113.9,dhcpstart={PUBLIC},\
             ipv6=on,ipv6-net={}/{},ipv6-host={PUBLIC6_GATEWAY},ipv6-dns=2001:db8:70:17::3",
            PUBLIC_NETWORK.0, PUBLIC_NETWORK.2, PUBLIC6_NETWORK.0, PUBLIC6_NETWORK.1
        ),
        PublicPort::Tap(_) => "tap,id=public,fd=0".to_owned(),
    };
    // Without a boot ROM: the kernel is given, nothing is ever booted from the network.
    let card = |network: &str, mac: &str| format!("virtio-net-pci,netdev={network},mac={mac},romfile=");
    [
        "-netdev",
        &private,
        "-device",
        &card("private", PRIVATE_MAC),
        "-netdev",
        &public,
        "-device",
        &card("public", PUBLIC_MAC),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What QEMU runs for each connection to the neighbour, with the machine at its stdin and stdout: it ends with either side. QEMU could
/// connect by itself, but only once, when it starts; a session that is broken would never come back. Without a comma, which QEMU splits at.
fn relay(port: u16) -> String {
    format!(
        "bash -c 'exec 2>/dev/null 3<>/dev/tcp/127.0.0.1/{port} 4<&0 || exit; cat <&3 & cat <&4 >&3 & wait -n; kill $(jobs -p)'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use ipnet::{Ipv4Net, Ipv6Net};

    #[test]
    fn every_address_lies_in_its_network() {
        for ((network, mask, length), addresses) in [
            (PRIVATE_NETWORK, vec![PRIVATE, PRIVATE_GATEWAY, NEIGHBOUR]),
            (PUBLIC_NETWORK, vec![PUBLIC, PUBLIC_GATEWAY]),
        ] {
            let net: Ipv4Net = format!("{network}/{length}").parse().unwrap();
            assert_eq!((net.trunc(), net.netmask().to_string()), (net, mask.to_owned()));
            for address in addresses {
                assert!(net.contains(&address.parse::<Ipv4Addr>().unwrap()), "{address} is not in {net}");
            }
        }
        let net: Ipv6Net = format!("{}/{}", PUBLIC6_NETWORK.0, PUBLIC6_NETWORK.1).parse().unwrap();
        assert!(net.contains(&PUBLIC6.parse::<Ipv6Addr>().unwrap()));
    }

    #[test]
    fn the_ipv6_address_is_what_a_machine_makes_of_its_mac() {
        let mac: Vec<u8> = PUBLIC_MAC.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let address = PUBLIC6.parse::<Ipv6Addr>().unwrap().octets();
        assert_eq!(address[8..], [mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]]);
    }

    #[test]
    fn the_image_gives_the_public_port_the_addresses_the_platform_speaks_of() {
        let recipe = crate::boot::recipe::named("debian-12").unwrap();
        let port = recipe.files.iter().find(|file| file.content.contains(PUBLIC_MAC)).unwrap();
        for line in [
            format!("MACAddress={PUBLIC_MAC}"),
            format!("Address={PUBLIC}/{}", PUBLIC_NETWORK.2),
            format!("Address={PUBLIC6}/{}", PUBLIC6_NETWORK.1),
            format!("Gateway={PUBLIC_GATEWAY}"),
            format!("Gateway={PUBLIC6_GATEWAY}"),
        ] {
            assert!(port.content.lines().any(|other| other == line), "{line} is not in {}", port.path);
        }
    }
}
