//! Who may not speak to the cluster of a node, and what whoever holds one of its ports gets: nothing. Consul is real; Nomad is a double unless
//! `COMPONENTS` names a folder with a real one, and a double speaks no RPC, so of it only what is sent in the clear is tried.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anymetal_lab::authority::{Authority, Identity, shake};
use anymetal_lab::thief::Thief;

use crate::server::{Server, ask, possible};
use crate::site::Site;

/// How long an answer may take. Who is let in is answered within milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);
/// The node's address on its private network.
const PRIVATE: &str = "10.70.17.11";

/// A server of the cluster, as it is spoken to.
struct Raft {
    port: u16,
    gossip: u16,
    /// The bytes that say what comes next: Raft in the clear, TLS.
    in_clear: u8,
    tls: u8,
    /// The name that a server's certificate has.
    name: &'static str,
}

/// hashicorp/consul, agent/pool/conn.go.
const CONSUL: Raft = Raft { port: 8300, gossip: 8301, in_clear: 1, tls: 3, name: "server.dc1.consul" };
/// hashicorp/nomad, helper/pool/pool.go.
const NOMAD: Raft = Raft { port: 4647, gossip: 4648, in_clear: 2, tls: 4, name: "server.global.nomad" };

impl Raft {
    /// `AppendEntries` (0) of hashicorp/raft's network transport, of a server that says it leads this term, with nothing to append.
    fn append(&self, term: u32) -> Vec<u8> {
        let mut message = vec![self.in_clear, 0, 0x87];
        let mut key = |name: &str, value: &[u8]| {
            message.push(0xa0 | u8::try_from(name.len()).unwrap());
            message.extend(name.as_bytes());
            message.extend(value);
        };
        key("ProtocolVersion", &[3]);
        key("Term", &[&[0xce], term.to_be_bytes().as_slice()].concat());
        key("Leader", b"\xa3out");
        key("PrevLogEntry", &[0]);
        key("PrevLogTerm", &[0]);
        key("Entries", &[0xc0]);
        key("LeaderCommitIndex", &[0]);
        message
    }
}

/// What a process of this user, without a capability, gets for these bytes at this port of the loopback. Nobody is kept from it by the firewall,
/// root is not.
fn asks(server: &Server, user: &str, port: u16, message: &[u8]) -> Vec<u8> {
    const SCRIPT: &str = r#"
import socket, sys
answer = b""
try:
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 3) as peer:
        peer.sendall(bytes.fromhex(sys.argv[2]))
        answer = peer.recv(65536)
except (TimeoutError, ConnectionError):
    pass
print(answer.hex())
"#;
    let hex = message.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let ran = server.node.inside(|| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", user, "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]);
        command.args(["/usr/bin/python3", "-c", SCRIPT, &port.to_string(), &hex]).output().unwrap()
    });
    assert!(ran.status.success(), "port {port}: {}", String::from_utf8_lossy(&ran.stderr));
    let hex = String::from_utf8(ran.stdout).unwrap();
    let digits = hex.trim().as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// What is answered by TLS to a message, with this certificate or none; or why it did not come so far.
fn by_tls(
    server: &Server,
    to: &Raft,
    ca: &str,
    identity: Option<&Identity>,
    message: &[u8],
) -> Result<Vec<u8>, String> {
    server.node.inside(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", to.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[to.tls]).unwrap();
        let mut stream = shake(stream, ca, identity, to.name).map_err(|error| error.to_string())?;
        stream.write_all(message).map_err(|error| error.to_string())?;
        let mut answer = vec![0; 65536];
        let length = stream.read(&mut answer).unwrap_or(0);
        answer.truncate(length);
        Ok(answer)
    })
}

/// Ports of the cluster are not there for the private network.
fn is_shut_from_outside(server: &Server) {
    for port in [CONSUL.port, CONSUL.gossip, NOMAD.port, NOMAD.gossip, 8302, 8500, 8501, 4646] {
        let at: SocketAddr = format!("{PRIVATE}:{port}").parse().unwrap();
        let reached = server.node.beside().inside(|| TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok());
        assert!(!reached, "{at} takes connections from the private network");
    }
}

/// Every way in that is none. `real` says that the server speaks RPC.
fn is_shut_inside(server: &Server, to: &Raft, secret: &str, real: bool) {
    // pushPullMsg of hashicorp/memberlist: {"Nodes": 0, "UserStateLen": 0, "Join": true}
    let join = b"\x06\x83\xa5Nodes\x00\xacUserStateLen\x00\xa4Join\xc3";
    let name = anymetal::boot::lan::HOSTNAME;
    for user in ["65534", "0"] {
        let raw = asks(server, user, to.port, &to.append(1000));
        assert_eq!(raw, [0; 0], "port {} answers user {user} Raft in the clear", to.port);
        let said = asks(server, user, to.gossip, join);
        assert!(!String::from_utf8_lossy(&said).contains(name), "port {} tells its members to user {user}", to.gossip);
    }
    if !real {
        return;
    }
    let (own, other) = (Authority::of("platform", secret.to_owned()), Authority::new());
    let ca = own.certificate.as_str();
    let tried = |identity: Option<&Identity>, term| by_tls(server, to, ca, identity, &to.append(term));
    for (who, identity) in [("nobody", None), ("another CA's", Some(other.issue(&[to.name])))] {
        let got = tried(identity.as_ref(), 1000);
        assert!(
            got.as_ref().is_err() || got.as_ref().is_ok_and(Vec::is_empty),
            "{}: {who} was answered {got:?}",
            to.name
        );
    }
    // It is the certificate that decides: with a server's own there is an answer, here that the term is over.
    let own_kind = tried(Some(&own.issue(&[to.name])), 0).unwrap();
    assert!(!own_kind.is_empty(), "{} does not answer its own kind: this test would pass with any message", to.name);
    let misnamed = tried(Some(&own.issue(&["nobody.example"])), 0).unwrap_or_default();
    // hashicorp/consul looks at the name of who speaks Raft from 1.8.15 on (CVE-2021-37219).
    eprintln!("{}: a certificate of the CA with another name is answered {} bytes", to.name, misnamed.len());
    assert!(misnamed.is_empty() || to.port == CONSUL.port, "{}: any name will do", to.name);
}

#[test]
fn nobody_without_a_certificate_speaks_to_the_cluster_of_the_platform() {
    if !possible() {
        return;
    }
    let site = Site::platform("");
    let server = Server::new(&site, &[]);
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 0, "{said}\n{}", site.which());
    let real = site.which().lines().any(|line| line.starts_with("nomad") && !line.contains("double"));
    eprintln!("nomad is {}", if real { "real" } else { "a double: no RPC is tried with it" });
    let leader = ask(&server.node, 4646, "/v1/status/leader");
    is_shut_from_outside(&server);
    let secret = &site.secrets()["cluster_ca"];
    is_shut_inside(&server, &CONSUL, secret, true);
    is_shut_inside(&server, &NOMAD, secret, real);
    assert_eq!(ask(&server.node, 4646, "/v1/status/leader"), leader, "Nomad has another leader after it");
    assert_eq!(ask(&server.node, 8501, "/v1/status/leader"), "\"127.0.0.1:8300\"");
}

/// Boots while somebody else holds a port of the cluster; gives what he got, and what was said.
fn robbed(site: &Site, thief: impl FnOnce() -> std::io::Result<Thief> + Send) -> (Vec<u8>, String) {
    let server = Server::new(site, &[]);
    let thief = server.node.inside(thief).unwrap();
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 3, "{said}");
    assert_eq!(server.neighbour.known().listed(), "", "it announces with a thief inside");
    let stolen = thief.stolen();
    // It was the thread of another network that bound it.
    server.node.inside(|| drop(thief));
    (stolen, said)
}

#[test]
fn a_thief_at_a_port_of_the_platforms_cluster_gets_no_token_and_is_told() {
    if !possible() {
        return;
    }
    let short = "deadlines: {services: 30}";
    let other = Authority::new();
    let (demo, platform) = (Site::with(short), Site::platform(short));
    let tls = other.server();
    for (site, at, tls) in [
        (&demo, "127.0.0.1:8501", None),
        (&demo, "127.0.0.1:8501", Some(&tls)),
        (&platform, "127.0.0.1:4646", Some(&tls)),
    ] {
        let (stolen, said) = robbed(site, || match tls {
            None => Thief::plain(at),
            Some(tls) => Thief::tls(at, tls.clone()),
        });
        let got = String::from_utf8_lossy(&stolen).to_lowercase();
        for (name, secret) in site.secrets() {
            assert!(!got.contains(&secret.to_lowercase()), "{at}: the thief has {name}");
        }
        assert!(!got.contains("token") && !got.contains("bootstrap"), "{at}: {got}");
        assert!(said.contains(at) && said.contains("held by a process of user 0"), "{at}: {said}");
        assert!(said.contains("hint: "), "{said}");
    }
}
