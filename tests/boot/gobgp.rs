//! A machine's neighbour that is somebody else's program: GoBGP, outside, on the machine's public network.
//! May not listen anywhere but there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use anymetal::boot::neighbour::{ASN, CUSTOMER};
use anymetal_lab::outside::Outside;
use anymetal_lab::wait;

/// One neighbour: a process of its own, as GoBGP tells those it speaks with apart by their address alone. It goes when this is dropped.
pub struct GoBgp<'a> {
    outside: &'a Outside,
    machine: IpAddr,
    /// Where it answers questions, on the loopback outside.
    api: u16,
    child: Child,
    _folder: tempfile::TempDir,
}

impl<'a> GoBgp<'a> {
    /// Listens at `address`, which is added outside, for the machine, several hops away and with this password. `number` tells it from others.
    pub fn start(outside: &'a Outside, number: u16, address: &str, machine: &str, password: Option<&str>) -> Self {
        let (machine, address): (IpAddr, IpAddr) = (machine.parse().unwrap(), address.parse().unwrap());
        let (family, length) = if address.is_ipv6() { ("ipv6-unicast", 128) } else { ("ipv4-unicast", 32) };
        outside.address(&format!("{address}/{length}")).unwrap();
        let password = password.map(|password| format!("auth-password = \"{password}\"")).unwrap_or_default();
        let configuration = format!(
            "[global.config]\nas = {ASN}\nrouter-id = \"169.254.255.{number}\"\nlocal-address-list = [\"{address}\"]\n\
             [[neighbors]]\n[neighbors.config]\nneighbor-address = \"{machine}\"\npeer-as = {CUSTOMER}\n{password}\n\
             [neighbors.transport.config]\npassive-mode = true\nlocal-address = \"{address}\"\n\
             [neighbors.ebgp-multihop.config]\nenabled = true\nmultihop-ttl = 5\n\
             [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"{family}\"\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gobgpd.toml");
        std::fs::write(&file, configuration).unwrap();
        let api = 50_050 + number;
        let child = outside
            .command("gobgpd")
            .arg("-f")
            .arg(&file)
            .args(["--api-hosts", &format!("127.0.0.1:{api}"), "--pprof-disable", "-l", "warn"])
            .stdout(Stdio::null())
            .spawn()
            .expect("gobgpd, of the package of that name, is installed");
        Self { outside, machine, api, child, _folder: folder }
    }

    /// Waits until the session with the machine is established.
    pub fn wait_established(&self, limit: Duration) {
        let mut state = String::new();
        let established = wait::until(limit, || {
            // Until it runs it answers nothing.
            let said = self.ask(&["neighbor", &self.machine.to_string()]).unwrap_or_else(|why| why);
            let line = said.lines().find(|line| line.trim_start().starts_with("BGP state"));
            line.unwrap_or(&said).clone_into(&mut state);
            state.contains("ESTABLISHED")
        });
        assert!(established, "no session with {}: {state}", self.machine);
    }

    /// The prefixes the machine announces here, each with its communities as GoBGP words them.
    pub fn routes(&self) -> BTreeMap<String, Vec<u32>> {
        let family = if self.machine.is_ipv6() { "ipv6" } else { "ipv4" };
        let said = self.ask(&["global", "rib", "-a", family, "-j"]).unwrap();
        let table: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
        let prefixes = table.as_object().into_iter().flatten();
        prefixes.map(|(prefix, paths)| (prefix.clone(), communities(&paths[0]))).collect()
    }

    /// Waits until the machine announces exactly these prefixes.
    pub fn wait_for_routes(&self, wanted: &[&str], limit: Duration) {
        let exactly = || self.routes().keys().map(String::as_str).eq(wanted.iter().copied());
        assert!(wait::until(limit, exactly), "the neighbour has {:?} and not {wanted:?}", self.routes());
    }

    fn ask(&self, words: &[&str]) -> Result<String, String> {
        let port = self.api.to_string();
        let asked = self.outside.command("gobgp").args(["-p", &port]).args(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if asked.status.success() { Ok(text(&asked.stdout)) } else { Err(text(&asked.stderr) + &text(&asked.stdout)) }
    }
}

impl Drop for GoBgp<'_> {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Of a path: those of its attribute of type 8 (RFC 1997).
fn communities(path: &serde_json::Value) -> Vec<u32> {
    let attributes = path["attrs"].as_array().into_iter().flatten();
    let communities = attributes.filter(|attribute| attribute["type"] == 8);
    communities
        .flat_map(|attribute| attribute["communities"].as_array().into_iter().flatten())
        .filter_map(|community| community.as_u64().and_then(|number| u32::try_from(number).ok()))
        .collect()
}

/// The neighbour and what it hears, with BIRD in the place of a machine.
#[test]
fn gobgp_outside_has_a_session_with_md5_several_hops_away_and_what_is_announced() {
    if let Err(why) = Outside::possible() {
        return eprintln!("skipped: {why}");
    }
    let outside = Outside::new(&["2001:db8:70:17::2/64", "2001:db8:70:17::b/64"]).unwrap();
    let neighbour = GoBgp::start(&outside, 1, "fc00::e", "2001:db8:70:17::b", Some("secret"));
    let folder = tempfile::tempdir().unwrap();
    let configuration = "router id 192.0.2.1; protocol device { }
        protocol static anycast6 { ipv6; route 2001:db8:a::7/128 blackhole; }
        filter outward { bgp_community.add((65535, 0)); accept; }
        protocol bgp edge { local 2001:db8:70:17::b port 1790 as 65000; neighbor fc00::e as 65530; multihop 5; password \"secret\";
          connect delay time 1; ipv6 { import none; export filter outward; }; }\n";
    std::fs::write(folder.path().join("bird.conf"), configuration).unwrap();
    let mut bird = outside.command("/usr/sbin/bird");
    let mut bird = bird.args(["-f", "-c", "bird.conf", "-s", "bird.ctl"]).current_dir(folder.path()).spawn().unwrap();
    neighbour.wait_established(Duration::from_mins(1));
    wait::until(Duration::from_secs(20), || !neighbour.routes().is_empty());
    assert_eq!(neighbour.routes(), BTreeMap::from([("2001:db8:a::7/128".to_owned(), vec![0xffff_0000])]));
    bird.kill().unwrap();
    bird.wait().unwrap();
}
