//! `nomad agent`: opens what Nomad opens, becomes a leader, and keeps the parts going until a signal.
//! May not decide anything else: the parts do.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::config::{self, Config};
use super::consul::Sync;
use super::health::Watch;
use super::runner::Runners;
use super::world::World;
use super::{routes, scheduler, ways};
use crate::http;

/// How long Nomad takes to elect the only server there is: at a first start, and with data (2.0.5: 1.45 to 2.34 s from a restart).
const ELECTION: Duration = Duration::from_millis(1200);
const ELECTION_AGAIN: Duration = Duration::from_millis(1800);

/// `agent -config=FILE`.
pub fn main(flags: &[&str]) -> ExitCode {
    match run(flags) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("==> {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &[&str]) -> Result<ExitCode, String> {
    let mut paths = Vec::new();
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let flag = flag.trim_start_matches('-');
        match flag.split_once('=') {
            Some(("config", path)) => paths.push(PathBuf::from(path)),
            None if flag == "config" => paths.extend(flags.next().map(PathBuf::from)),
            _ => return Err(format!("the double knows no flag but -config, not {flag}")),
        }
    }
    let [path] = paths.as_slice() else { return Err("the double wants exactly one -config=FILE".into()) };
    let config = read(path)?;
    config.validate()?;
    let advertised: Vec<String> =
        ["http", "rpc", "serf"].iter().map(|of| config.advertised(of)).collect::<Result<_, _>>()?;
    let host = std::env::vars().collect();
    let world = Arc::new(World::open(config, host)?);
    let signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM]);
    let mut signals = signals.map_err(|error| format!("listening for signals: {error}"))?;
    let listeners = open(&world.config)?;
    println!("==> {}", crate::banner("nomad-double", "Nomad"));
    println!("==> Loaded configuration from {}", path.display());
    println!("==> Starting Nomad agent...");
    println!("       Advertise Addrs: HTTP: {}; RPC: {}; Serf: {}", advertised[0], advertised[1], advertised[2]);
    println!("               Version: {} (double)", super::VERSION);
    println!("==> Nomad agent started! Log data will stream in below:\n");
    start(&world, listeners);
    if let Some(signal) = signals.forever().next() {
        let name = if signal == signal_hook::consts::SIGINT { "interrupt" } else { "terminated" };
        println!("==> Caught signal: {name}");
    }
    // Tasks stay: the next agent finds them.
    Ok(ExitCode::FAILURE)
}

fn read(path: &Path) -> Result<Config, String> {
    let file = if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        match files.as_slice() {
            [one] => one.clone(),
            _ => return Err(format!("the double wants exactly one .json in {}", path.display())),
        }
    } else {
        path.to_owned()
    };
    config::read(&file).map_err(|error| error.trim().trim_start_matches("1 error occurred:\n\t* ").to_owned())
}

/// Everything Nomad has open.
struct Listeners {
    http: TcpListener,
    /// Where only a port scan comes.
    rpc: Vec<TcpListener>,
    serf: Vec<UdpSocket>,
}

fn open(config: &Config) -> Result<Listeners, String> {
    let address = |of: &str| SocketAddr::new(config.address(of), config.port(of));
    let tcp = |of: &str| {
        http::listen(address(of)).map_err(|error| {
            let at = address(of);
            match of {
                "http" => format!("Error starting agent: failed to start HTTP listener: listen tcp {at}: {error}"),
                _ => format!("Error starting agent: setting up server node: listen tcp {at}: {error}"),
            }
        })
    };
    let mut listeners = Listeners { http: tcp("http")?, rpc: Vec::new(), serf: Vec::new() };
    if config.server {
        listeners.rpc = vec![tcp("rpc")?, tcp("serf")?];
        let at = address("serf");
        listeners.serf =
            vec![UdpSocket::bind(at).map_err(|error| format!("Error starting agent: listen udp {at}: {error}"))?];
    }
    Ok(listeners)
}

/// Whether an operator's recovery file names the servers of the cluster. As the real one does, it is thrown away where there is no data yet, which
/// `peers.info` tells. The double knows no others: with such a file it never has a majority.
fn others_wanted(data: &Path) -> bool {
    let raft = data.join("server/raft");
    if raft.join("peers.info").exists() {
        return raft.join("peers.json").exists();
    }
    let _a_double_needs_neither = std::fs::create_dir_all(&raft)
        .and_then(|()| std::fs::write(raft.join("peers.info"), "about peers.json: a double's\n"));
    let _may_not_be_there = std::fs::remove_file(raft.join("peers.json"));
    false
}

fn start(world: &Arc<World>, listeners: Listeners) {
    for listener in listeners.rpc {
        // Somebody who connects is let in and let go; RPC is not spoken here.
        std::thread::spawn(move || listener.incoming().for_each(drop));
    }
    for socket in listeners.serf {
        std::thread::spawn(move || while socket.recv(&mut [0; 2048]).is_ok() {});
    }
    let (served, tls) = (Arc::clone(world), world.config.tls.clone());
    std::thread::spawn(move || {
        let answer: Arc<http::Answer> = Arc::new(move |request: &http::Request| routes::answer(&served, request));
        let served = if tls.http {
            http::serve_tls(listeners.http, (&tls.certificate, &tls.key), &answer)
        } else {
            http::serve(listeners.http, &answer)
        };
        if let Err(error) = served {
            eprintln!("==> serving HTTP: {error}");
        }
    });
    let led = Arc::clone(world);
    let others = others_wanted(&world.config.data_dir);
    std::thread::spawn(move || {
        std::thread::sleep(if led.first { ELECTION } else { ELECTION_AGAIN });
        // With more servers expected than there are, there is never a leader.
        if led.config.server && led.config.bootstrap_expect == 1 && !others {
            led.leader.store(true, Ordering::SeqCst);
            led.log("INFO", "nomad: cluster leadership acquired");
            led.wake();
        }
    });
    if !world.is_registered() {
        let late = Arc::clone(world);
        std::thread::spawn(move || {
            late.log("ERROR", ways::UNSIGNED);
            std::thread::sleep(ways::AGAIN);
            late.registered.store(true, Ordering::SeqCst);
            late.log("INFO", "client: node registration complete");
            late.wake();
        });
    }
    let worked = Arc::clone(world);
    std::thread::spawn(move || {
        let (runners, mut watch) = (Arc::new(Runners::default()), Watch::default());
        let mut seen = 0;
        loop {
            scheduler::tick(&worked);
            if worked.config.client {
                runners.tick(&worked);
            }
            watch.tick(&worked);
            worked.wait(Duration::from_millis(200), |state| state.index > seen);
            seen = worked.read(|state| state.index);
        }
    });
    let synced = Arc::clone(world);
    std::thread::spawn(move || {
        let mut sync = Sync::default();
        loop {
            let begun = Instant::now();
            sync.tick(&synced);
            std::thread::sleep(Duration::from_millis(500).saturating_sub(begun.elapsed()));
        }
    });
}
