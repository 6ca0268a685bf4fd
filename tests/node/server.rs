//! A node without a machine and its platform: powered on, watched, cut off.
//! May not expect anything: the suites do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anymetal::boot::lan;
use anymetal::boot::neighbour::{Change, Neighbour, News};
use anymetal::boot::platform::device::Sessions;
use anymetal::boot::platform::{Config, Fault, Platform};
use anymetal_contract::{Event, place};
use anymetal_lab::node::Node;
use anymetal_lab::{authority, cloud_init};

use serde_json::Value;

use crate::site::Site;

/// What the simulated platform says the machine has.
const ADDRESSES: [&str; 3] = ["10.70.17.11/29", "203.0.113.11/29", "2001:db8:70:17:5054:ff:fe70:1712/64"];
/// No boot here takes longer; a limit against hanging, not a measure.
const LIMIT: Duration = Duration::from_secs(150);

/// A node with its platform, as cloud-init left it.
pub struct Server {
    pub node: Node,
    pub platform: Platform,
    /// Who takes the node's BGP session, at the other end of its cable.
    pub neighbour: Neighbour,
    /// What has ever been announced to it.
    announced: Arc<Mutex<BTreeSet<String>>>,
    /// All that it was told, and when.
    news: Arc<Mutex<Vec<(Instant, News)>>>,
    events: Receiver<Event>,
}

impl Server {
    pub fn new(site: &Site, faults: &[Fault]) -> Self {
        Self::with_customdata(site, site.customdata.clone(), faults)
    }

    /// The same with something else in the platform's document about it.
    pub fn with_customdata(site: &Site, customdata: Value, faults: &[Fault]) -> Self {
        let (edge, length) = (lan::NEIGHBOUR, lan::PRIVATE_NETWORK.2);
        let node = Node::new(&ADDRESSES, &[&format!("{edge}/{length}")], "").unwrap();
        let at = SocketAddr::new(edge.parse().unwrap(), 179);
        let announced = Arc::new(Mutex::new(BTreeSet::new()));
        let heard = Arc::clone(&announced);
        let all = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&all);
        let listen = Box::new(move |news| {
            if let News::Route(Change::Announced(prefix, _)) = &news {
                heard.lock().expect("no panic holds it").insert(prefix.to_string());
            }
            told.lock().expect("no panic holds it").push((Instant::now(), news));
        });
        let neighbour = node.beside().inside(|| Neighbour::start_at(at, listen)).unwrap();
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let config = Config {
            user_data: Some(site.user_data.clone().into_bytes()),
            origins: site.origins.clone(),
            faults: faults.to_vec(),
            customdata,
            sessions: Sessions::Outside,
            bgp_after: Duration::from_secs(1),
            ..Config::on_loopback()
        };
        let listen = Box::new(move |event| _ = sender.lock().expect("no panic holds it").send(event));
        let platform = node.inside(|| Platform::start(config, listen)).unwrap();
        let url = platform.url();
        node.cmdline(&format!(
            "{}={url} {}={url} {}={url}/report",
            place::ARG_METADATA,
            place::ARG_ORIGIN,
            place::ARG_REPORT
        ))
        .unwrap();
        node.write("/etc/hostname", lan::HOSTNAME).unwrap();
        for file in cloud_init::written(&site.user_data).unwrap() {
            node.write(&file.path, &file.content).unwrap();
            fs::set_permissions(node.disk(&file.path), fs::Permissions::from_mode(file.mode)).unwrap();
        }
        Self { node, platform, neighbour, announced, news: all, events }
    }

    /// Powers on: what anymetal.service does, and then the machine stays up.
    pub fn power_on(&self) -> Power {
        // The first process waits for whoever is left to it, as every other does.
        let service =
            format!("{} && {} run; echo \"exit code $?\"; while sleep 0.2; do :; done", place::FETCH, place::INIT);
        let mut child = self.node.start(&["sh", "-c", &format!("exec 2>&1; {service}")]).unwrap();
        let output = child.stdout.take().expect("the output is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Power { child, lines }
    }

    /// The first event of which this holds.
    pub fn event(&self, what: &str, holds: impl Fn(&Event) -> bool) -> Event {
        let until = Instant::now() + LIMIT;
        loop {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) if holds(&event) => return event,
                Ok(_) => {}
                Err(why) => panic!("no event {what} came: {why}\n{}", self.node.console()),
            }
        }
    }

    /// Every prefix that has ever been announced to the neighbour.
    pub fn announced(&self) -> Vec<String> {
        self.announced.lock().expect("no panic holds it").iter().cloned().collect()
    }

    /// All that the neighbour was told so far, and when.
    pub fn news(&self) -> Vec<(Instant, News)> {
        self.news.lock().expect("no panic holds it").clone()
    }

    /// How often it was told of a withdrawal, or lost the session, since then.
    pub fn withdrawals(&self, mark: usize) -> usize {
        self.news()[mark..].iter().filter(|(_, news)| is_withdrawal(news)).count()
    }

    /// When it was first told of one since then.
    pub fn withdrawn_at(&self, mark: usize) -> Option<Instant> {
        self.news()[mark..].iter().find(|(_, news)| is_withdrawal(news)).map(|(at, _)| *at)
    }

    /// When it was last told of a prefix since then.
    pub fn announced_at(&self, mark: usize) -> Option<Instant> {
        let is = |news: &News| matches!(news, News::Route(Change::Announced(..)));
        self.news()[mark..].iter().rfind(|(_, news)| is(news)).map(|(at, _)| *at)
    }

    /// Every file the boot leaves that a second way to it must leave too, with mode and content.
    pub fn state(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut state = BTreeMap::new();
        for place in [place::OPT, "/etc", place::STORE] {
            collect(&self.node.disk(place), &mut state, &self.node.disk("/"));
        }
        // Where the platform answers differs from one simulation to the next, and stands in the firewall and in what the guard reports to; with it
        // differs the firewall's generation, which is the digest of the rest.
        let firewall = state.get("etc/anymetal/firewall/anymetal.nft").map(|(_, content)| content.clone());
        let firewall = String::from_utf8(firewall.unwrap_or_default()).unwrap();
        let generation =
            firewall.split("\"generation ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("none").to_owned();
        let port = self.platform.url().rsplit(':').next().unwrap_or_default().to_owned();
        for (path, port, name) in [
            ("etc/anymetal/firewall/anymetal.nft", format!("{{ {port} }}"), "{ PORT }"),
            ("etc/anymetal/guard.json", format!(":{port}/"), ":PORT/"),
        ] {
            if let Some((_, content)) = state.get_mut(path) {
                let text = String::from_utf8_lossy(content).replace(&port, name);
                *content = text.replace(&generation, "GENERATION").into_bytes();
            }
        }
        state
    }
}

fn is_withdrawal(news: &News) -> bool {
    matches!(news, News::Route(Change::Withdrawn(_)) | News::Over(_))
}

fn collect(folder: &Path, state: &mut BTreeMap<String, (u32, Vec<u8>)>, top: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let mode = entry.metadata().unwrap().permissions().mode();
        if kind.is_dir() {
            collect(&path, state, top);
        } else if kind.is_symlink() {
            state.insert(name, (mode, fs::read_link(&path).unwrap().to_string_lossy().into_owned().into_bytes()));
        } else if kind.is_file() {
            state.insert(name, (mode, fs::read(&path).unwrap()));
        }
    }
}

/// A node that is on.
pub struct Power {
    child: Child,
    lines: Receiver<String>,
}

impl Power {
    /// Everything said until `run` ended, and its exit code.
    pub fn ended(&self) -> (i32, String) {
        let (until, mut said) = (Instant::now() + LIMIT, String::new());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("the boot did not end; it said\n{said}"));
            if let Some(code) = line.strip_prefix("exit code ") {
                return (code.parse().unwrap(), said);
            }
            said += &line;
            said.push('\n');
        }
    }

    /// The first line with these words.
    pub fn line(&self, words: &str) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            match line {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(why) => panic!("nobody said {words}: {why}"),
            }
        }
    }

    /// The host's number of the node's first process.
    pub fn inner(&self) -> u32 {
        let outer = self.child.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
        children.split_whitespace().next().expect("unshare has a child").parse().unwrap()
    }

    /// A program that will run on the node, beside what runs there.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let target = self.inner().to_string();
        command.args(["--target", &target, "--mount", "--uts", "--net", "--pid", "--root", "--wd=/", "--", program]);
        command
    }

    /// What `run` keeps for programs. The file is in the node's memory, below its first process's root.
    pub fn status(&self) -> Value {
        let path = format!("/proc/{}/root{}", self.inner(), place::STATUS);
        serde_json::from_str(&fs::read_to_string(&path).unwrap_or_else(|e| panic!("reading {path}: {e}"))).unwrap()
    }

    pub fn cut(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Whether this suite can run; says so when it cannot.
pub fn possible() -> bool {
    Node::possible().map_err(|why| eprintln!("skipped: {why}")).is_ok()
}

/// What is answered on the node's loopback, by TLS with the CA that the node has.
pub fn ask(node: &Node, port: u16, path: &str) -> String {
    node.inside(|| {
        let ca = fs::read_to_string(node.disk(place::CA)).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut stream = authority::shake(stream, &ca, None, "127.0.0.1").unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        // Whoever closes without a word of TLS has said all the same.
        let _ends = stream.read_to_string(&mut answer);
        answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim().to_owned()
    })
}
