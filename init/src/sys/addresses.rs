//! Addresses and prefixes on the loopback, by netlink: what makes an anycast address this machine's own.
//! May not touch another interface.

use std::net::IpAddr;

use anyhow::Context as _;
use ipnet::IpNet;
use nix::errno::Errno;
use nix::libc::{
    AF_INET, AF_INET6, IFA_ADDRESS, IFA_CACHEINFO, IFA_LOCAL, RT_SCOPE_HOST, RT_SCOPE_UNIVERSE, RT_TABLE_LOCAL,
    RTA_DST, RTA_OIF, RTM_DELADDR, RTM_DELROUTE, RTM_GETROUTE, RTM_NEWADDR, RTM_NEWROUTE, RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE, RTN_LOCAL, RTPROT_BOOT,
};

use super::netlink::{Kernel, Reports, Request};

/// The interface.
const LOOPBACK: &str = "lo";
/// A lifetime without end (`INFINITY_LIFE_TIME` in the kernel's net/addrconf.h).
const FOR_EVER: u32 = u32::MAX;
/// What does not exist yet is made (`NLM_F_CREATE`); what does is [`Errno::EEXIST`] (`NLM_F_EXCL`).
const NEW: u16 = 0x400 | 0x200;
/// No search for another machine with the address (`IFA_F_NODAD`): that others have it too is its purpose.
const NO_DAD: u8 = 2;

/// The loopback, by one socket to the kernel.
pub(crate) struct Loopback {
    kernel: Kernel,
    index: u32,
}

impl Loopback {
    /// Opens it.
    pub(crate) fn open() -> anyhow::Result<Self> {
        let index = nix::net::if_::if_nametoindex(LOOPBACK);
        let index = index.with_context(|| format!("looking for the interface {LOOPBACK}"))?;
        Ok(Self { kernel: Kernel::open()?, index })
    }

    /// Makes each of these an address of the loopback, as a host's (/32, /128); gives those that were not before.
    pub(crate) fn ensure(&mut self, wanted: &[IpAddr]) -> anyhow::Result<Vec<IpAddr>> {
        self.change(wanted, "adding", Errno::EEXIST, |address, index| host(RTM_NEWADDR, NEW, address, index))
    }

    /// Takes these addresses from the loopback; gives those that were there.
    pub(crate) fn remove(&mut self, unwanted: &[IpAddr]) -> anyhow::Result<Vec<IpAddr>> {
        self.change(unwanted, "removing", Errno::EADDRNOTAVAIL, |address, index| host(RTM_DELADDR, 0, address, index))
    }

    /// Makes the whole prefix this machine's own (`ip route add local PREFIX dev lo`); says whether it was not before.
    pub(crate) fn route(&mut self, prefix: IpNet) -> anyhow::Result<bool> {
        let done = self.kernel.ask(local(RTM_NEWROUTE, NEW, prefix, self.index));
        unless(Errno::EEXIST, done).with_context(|| format!("adding the local route of {prefix} to {LOOPBACK}"))
    }

    /// Takes back what [`Self::route`] has added; says whether it was there.
    pub(crate) fn unroute(&mut self, prefix: IpNet) -> anyhow::Result<bool> {
        let done = self.kernel.ask(local(RTM_DELROUTE, 0, prefix, self.index));
        unless(Errno::ESRCH, done).with_context(|| format!("removing the local route of {prefix} from {LOOPBACK}"))
    }

    /// Whether the kernel takes what is sent to this address for this machine's own, so that it cannot leave it.
    pub(crate) fn is_own(&mut self, address: IpAddr) -> anyhow::Result<bool> {
        let lengths = [family(address), IpNet::from(address).max_prefix_len(), 0, 0];
        let fixed = [&lengths[..], &[0; 8]].concat();
        let request = Request::question(RTM_GETROUTE, &fixed).attribute(RTA_DST, &octets(address));
        match self.kernel.answer(request) {
            // The kind of the route is the eighth byte of `struct rtmsg`.
            Ok(route) => Ok(route.get(7) == Some(&RTN_LOCAL)),
            Err(error) if matches!(error.downcast_ref(), Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH)) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("asking where {address} leads to")),
        }
    }

    fn change(
        &mut self,
        addresses: &[IpAddr],
        verb: &str,
        already: Errno,
        request: impl Fn(IpAddr, u32) -> Request,
    ) -> anyhow::Result<Vec<IpAddr>> {
        let mut changed = Vec::new();
        for address in addresses {
            let done = unless(already, self.kernel.ask(request(*address, self.index)));
            if done.with_context(|| format!("{verb} the address {address} on {LOOPBACK}"))? {
                changed.push(*address);
            }
        }
        Ok(changed)
    }
}

/// Waits for addresses and routes of this machine to be taken away, by whomever.
pub(crate) struct Losses(Reports);

impl Losses {
    /// From now on.
    pub(crate) fn watch() -> anyhow::Result<Self> {
        let groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
        Reports::of(u32::try_from(groups).expect("groups are bits below the sign")).map(Self)
    }

    /// Returns when an address, or a route to this machine itself, has been taken away since the last call.
    pub(crate) fn wait(&self) -> anyhow::Result<()> {
        self.0.wait(|kind, rest| match kind {
            RTM_DELADDR => true,
            RTM_DELROUTE => rest.get(7) == Some(&RTN_LOCAL),
            _ => false,
        })
    }
}

/// Whether it was done; not when the kernel says this of it, which means that it was so already.
fn unless(already: Errno, result: anyhow::Result<()>) -> anyhow::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.downcast_ref() == Some(&already) => Ok(false),
        Err(error) => Err(error),
    }
}

fn host(kind: u16, flags: u16, address: IpAddr, loopback: u32) -> Request {
    let of_address = if address.is_ipv6() { NO_DAD } else { 0 };
    let length = IpNet::from(address).max_prefix_len();
    // `struct ifaddrmsg`: family, length of the prefix, flags, scope, interface.
    let mut fixed = vec![family(address), length, of_address, RT_SCOPE_UNIVERSE];
    fixed.extend_from_slice(&loopback.to_ne_bytes());
    // IPv4 calls the address of an interface without a peer "local"; IPv6 takes either.
    let octets = octets(address);
    let request = Request::new(kind, flags, &fixed).attribute(IFA_LOCAL, &octets).attribute(IFA_ADDRESS, &octets);
    if address.is_ipv4() {
        return request;
    }
    // Deprecated from the start, so this machine's own connections never come from an address that others have too.
    // `struct ifa_cacheinfo`: preferred and valid lifetime in seconds, and two times that the kernel fills in.
    let lifetimes = [0, FOR_EVER, 0, 0].map(u32::to_ne_bytes).concat();
    request.attribute(IFA_CACHEINFO, &lifetimes)
}

fn local(kind: u16, flags: u16, prefix: IpNet, loopback: u32) -> Request {
    let network = prefix.network();
    // `struct rtmsg`: family, lengths of destination and source, type of service, table, protocol, scope, kind, flags.
    let lengths = [family(network), prefix.prefix_len(), 0, 0];
    let place = [RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL];
    let fixed = [&lengths[..], &place, &[0; 4]].concat();
    let request = Request::new(kind, flags, &fixed).attribute(RTA_DST, &octets(network));
    request.attribute(RTA_OIF, &loopback.to_ne_bytes())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn family(address: IpAddr) -> u8 {
    u8::try_from(if address.is_ipv4() { AF_INET } else { AF_INET6 }).expect("both families are below 256")
}

#[cfg(test)]
mod tests {
    use anymetal_lab::namespace::Namespace;

    use super::*;

    /// What `ip -j` says of this in the namespace.
    fn ip(namespace: &Namespace, arguments: &[&str]) -> serde_json::Value {
        let output = namespace.command("ip").arg("-j").args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn hosts(namespace: &Namespace) -> Vec<String> {
        let said = ip(namespace, &["addr", "show", "dev", "lo"]);
        let infos = said[0]["addr_info"].as_array().unwrap().iter().filter(|info| info["scope"] == "global");
        infos
            .map(|info| {
                let kept = info["preferred_life_time"].as_u64().unwrap() == 0;
                format!(
                    "{}/{}{}",
                    info["local"].as_str().unwrap(),
                    info["prefixlen"],
                    if kept { " deprecated" } else { "" }
                )
            })
            .collect()
    }

    #[test]
    fn addresses_and_prefixes_come_to_the_loopback_once_and_go_again() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: a network namespace needs root");
            return;
        }
        let namespace = Namespace::new(format!("amaddr-{}", std::process::id())).unwrap();
        let wanted: [IpAddr; 2] = ["198.51.100.7".parse().unwrap(), "2001:db8:7::7".parse().unwrap()];
        let add = |wanted: &[IpAddr]| namespace.inside(|| Loopback::open().unwrap().ensure(wanted)).unwrap();
        assert_eq!(add(&wanted[..1]), wanted[..1]);
        assert_eq!(add(&wanted), wanted[1..], "the one that was there is not new");
        assert_eq!(add(&wanted), [] as [IpAddr; 0], "the second time nothing is new");
        assert_eq!(hosts(&namespace), ["198.51.100.7/32", "2001:db8:7::7/128 deprecated"]);
        assert_eq!(namespace.inside(|| Loopback::open().unwrap().remove(&wanted)).unwrap(), wanted);
        assert_eq!(
            namespace.inside(|| Loopback::open().unwrap().remove(&wanted)).unwrap(),
            [] as [IpAddr; 0],
            "nothing is left to remove"
        );
        assert_eq!(hosts(&namespace), [] as [&str; 0]);
        for (prefix, within) in [("198.51.100.0/28", "198.51.100.9"), ("2001:db8:7::/64", "2001:db8:7::9")] {
            let prefix: IpNet = prefix.parse().unwrap();
            let within: IpAddr = within.parse().unwrap();
            let found =
                || ip(&namespace, &["route", "get", &within.to_string()])[0]["type"].as_str().map(str::to_owned);
            assert!(
                !namespace.inside(|| Loopback::open().unwrap().is_own(within)).unwrap(),
                "{within} is not this machine's yet"
            );
            assert!(namespace.inside(|| Loopback::open().unwrap().route(prefix)).unwrap(), "{prefix} is new");
            assert!(
                namespace.inside(|| Loopback::open().unwrap().is_own(within)).unwrap(),
                "{within} is this machine's"
            );
            assert!(!namespace.inside(|| Loopback::open().unwrap().route(prefix)).unwrap(), "{prefix} is not new");
            assert_eq!(found().as_deref(), Some("local"), "{within} is this machine's");
            assert!(namespace.inside(|| Loopback::open().unwrap().unroute(prefix)).unwrap(), "{prefix} was there");
            assert!(!namespace.inside(|| Loopback::open().unwrap().unroute(prefix)).unwrap(), "{prefix} is gone");
        }
    }

    #[test]
    fn what_is_taken_away_is_reported_and_what_comes_is_not() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: a network namespace needs root");
            return;
        }
        let namespace = Namespace::new(format!("amlost-{}", std::process::id())).unwrap();
        for (address, lost) in [("198.51.100.7", "address del 198.51.100.7/32"), ("2001:db8:7::7", "address flush")] {
            let losses = namespace.inside(Losses::watch).unwrap();
            namespace.inside(|| Loopback::open().unwrap().ensure(&[address.parse().unwrap()])).unwrap();
            let (teller, reports) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                scope.spawn(|| teller.send(losses.wait().map_err(|error| format!("{error:#}"))));
                reports.try_recv().expect_err("an address that came was taken for one that went");
                let words: Vec<&str> = lost.split(' ').chain(["dev", "lo"]).collect();
                namespace.ip(&words).unwrap();
                reports.recv_timeout(std::time::Duration::from_secs(20)).expect("a report").unwrap();
            });
        }
    }
}
