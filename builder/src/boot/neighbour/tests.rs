//! The neighbour as a node meets it: bytes that BIRD sent, and BIRD itself on loopback.
//! May not use a port that needs root, nor run anything but BIRD.

#![expect(clippy::disallowed_methods, reason = "runs bird and writes its configuration")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::*;

/// How long BIRD may take: it waits five seconds before it connects again.
const LIMIT: Duration = Duration::from_secs(40);

/// BIRD with a session to the neighbour, and routes that can be switched on. It goes when this is dropped.
struct Bird {
    folder: tempfile::TempDir,
    child: Child,
}

impl Bird {
    fn start(neighbour: &Neighbour, asn: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap().port();
        let configuration = format!(
            "router id 192.0.2.1;
             protocol device {{ }}
             protocol static anycast4 {{ disabled; ipv4 {{ preference 201; }}; route 198.51.100.7/32 blackhole; }}
             protocol static anycast4_drain {{ disabled; ipv4 {{ preference 203; }}; route 198.51.100.7/32 blackhole; }}
             protocol static anycast6 {{ disabled; ipv6; route 2001:db8:a::7/128 blackhole; }}
             filter outward {{ if proto = \"anycast4_drain\" then bgp_community.add((65535, 0)); bgp_community.add((54825, 222)); accept; }}
             protocol bgp edge {{
               local 127.0.0.2 port {own} as {asn};
               neighbor 127.0.0.1 port {} as {ASN};
               multihop; hold time 30; error wait time 1, 2; connect delay time 1; connect retry time 1;
               ipv4 {{ import none; export filter outward; }};
               ipv6 {{ import none; export filter outward; next hop address 2001:db8::1; }};
             }}\n",
            neighbour.port()
        );
        std::fs::write(folder.path().join("bird.conf"), configuration).unwrap();
        let child = Self::run(folder.path());
        Self { folder, child }
    }

    fn run(folder: &Path) -> Child {
        Command::new("/usr/sbin/bird")
            .args(["-f", "-c", "bird.conf", "-s", "bird.ctl"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .spawn()
            .expect("bird, of the package bird2, is installed")
    }

    fn ask(&self, words: &[&str]) {
        let socket = self.folder.path().join("bird.ctl");
        let asked = Command::new("/usr/sbin/birdc").arg("-s").arg(socket).args(words).output().unwrap();
        assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn neighbour() -> (Neighbour, Receiver<News>) {
    let (sender, news) = channel();
    let sender = Mutex::new(sender);
    let listen = move |news: News| _ = sender.lock().unwrap().send(news);
    (Neighbour::start(Box::new(listen)).unwrap(), news)
}

fn next(news: &Receiver<News>) -> String {
    news.recv_timeout(LIMIT).expect("the neighbour has no news").to_string()
}

#[test]
fn bird_establishes_a_session_and_the_neighbour_has_what_it_announces() {
    let (neighbour, news) = neighbour();
    let mut bird = Bird::start(&neighbour, CUSTOMER);
    assert_eq!(next(&news), "neighbour: established");
    assert_eq!(neighbour.known(), Known { established: true, ..Known::default() });
    bird.ask(&["enable", "anycast4"]);
    assert_eq!(next(&news), "neighbour: has 198.51.100.7/32 with 54825:222");
    bird.ask(&["enable", "anycast6"]);
    assert_eq!(next(&news), "neighbour: has 2001:db8:a::7/128 with 54825:222");
    // The one that is preferred takes the other's place without a withdrawal.
    bird.ask(&["enable", "anycast4_drain"]);
    assert_eq!(next(&news), "neighbour: has 198.51.100.7/32 with 54825:222 65535:0");
    assert_eq!(neighbour.known().listed(), "198.51.100.7/32 with 54825:222 65535:0, 2001:db8:a::7/128 with 54825:222");
    bird.ask(&["disable", "anycast4"]);
    bird.ask(&["disable", "anycast4_drain"]);
    assert_eq!(next(&news), "neighbour: no longer has 198.51.100.7/32");
    bird.ask(&["disable", "anycast6"]);
    assert_eq!(next(&news), "neighbour: no longer has 2001:db8:a::7/128");

    // Killed, it takes its routes with it; and it comes back.
    bird.ask(&["enable", "anycast4"]);
    assert_eq!(next(&news), "neighbour: has 198.51.100.7/32 with 54825:222");
    bird.kill();
    assert!(next(&news).starts_with("neighbour: session over: "));
    assert_eq!(neighbour.known(), Known::default());
    bird.child = Bird::run(bird.folder.path());
    assert_eq!(next(&news), "neighbour: established");
    bird.ask(&["down"]);
    assert_eq!(next(&news), "neighbour: session over: the node ended it: Cease(AdministrativeShutdown)");
}

#[test]
fn bird_of_another_number_is_refused() {
    let (neighbour, news) = neighbour();
    let _bird = Bird::start(&neighbour, 65001);
    assert_eq!(next(&news), "neighbour: session over: it comes from AS65001 and not from AS65000");
    assert!(!neighbour.known().established);
}
