//! The agent's one state, shared by everything that runs: read, changed, kept on disk, waited for.
//! May not decide: those who change it do.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address::{self, Address};
use super::config::Config;
use super::environment::Names;
use super::state::State;
use super::ways::Ways;

/// The drivers of the node; `raw_exec` only when it is enabled.
const DRIVERS: &[&str] = &["exec", "raw_exec"];

/// Everything that runs shares one.
pub struct World {
    pub config: Config,
    pub name: String,
    /// The node's id, which never changes: what holds the state's lock may ask for names.
    pub node: String,
    pub host: Names,
    state: Mutex<State>,
    changed: Condvar,
    /// Consul's word on checks: by their ids.
    pub checks: Mutex<BTreeMap<String, String>>,
    pub leader: AtomicBool,
    /// Whether this node is registered: until then nobody knows it, and nothing is placed on it.
    pub registered: AtomicBool,
    /// Whether there was no data before.
    pub first: bool,
    pub ways: Ways,
    /// Free where allocations live when the agent started, in MB: so much may be promised.
    pub disk: u64,
    /// Whether Consul has answered; without it services have no place.
    pub consul: AtomicBool,
}

impl World {
    /// With what an earlier run left in the data folder.
    pub fn open(config: Config, host: Names) -> Result<Self, String> {
        let path = file(&config);
        let first = !path.exists();
        let ways = Ways::read(&config.data_dir)?;
        let state = match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| format!("reading {}: {error}", path.display()))?
            }
            Err(_) => State::new(),
        };
        let free = std::fs::create_dir_all(&config.data_dir)
            .and_then(|()| Ok(nix::sys::statvfs::statvfs(&config.data_dir)?))
            .map_err(|error| format!("looking at the disk of {}: {error}", config.data_dir.display()))?;
        let disk = (free.blocks_available() * free.fragment_size()) >> 20;
        let name = config.name.clone().unwrap_or_else(host_name);
        let world = Self {
            config,
            name,
            node: state.node.clone(),
            host,
            state: Mutex::new(state),
            changed: Condvar::new(),
            checks: Mutex::default(),
            leader: AtomicBool::new(false),
            registered: AtomicBool::new(!(first && ways.registration_race)),
            first,
            ways,
            disk,
            consul: AtomicBool::new(false),
        };
        world.change(|_| ());
        Ok(world)
    }

    /// Reads.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock())
    }

    /// Changes, keeps, and wakes whoever waits.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state);
        if let Err(error) = keep(&file(&self.config), &state) {
            self.log("ERROR", &format!("keeping the state: {error}"));
        }
        self.changed.notify_all();
        result
    }

    /// Waits until something is so, or the time is over; says whether it is.
    pub fn wait(&self, limit: Duration, mut so: impl FnMut(&State) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.lock();
        loop {
            if so(&state) {
                return true;
            }
            let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                return false;
            };
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Wakes whoever waits, though no document changed.
    pub fn wake(&self) {
        self.changed.notify_all();
    }

    /// Whether there is a leader.
    pub fn has_leader(&self) -> bool {
        self.leader.load(Ordering::SeqCst)
    }

    /// Whether this node is registered.
    pub fn is_registered(&self) -> bool {
        self.registered.load(Ordering::SeqCst)
    }

    /// The drivers a task may use here.
    pub fn drivers(&self) -> Vec<&'static str> {
        let raw = self.config.raw_exec;
        DRIVERS.iter().copied().filter(|driver| *driver != "raw_exec" || raw).collect()
    }

    /// The machine's addresses as they are now.
    pub fn addresses(&self) -> Vec<Address> {
        address::of_machine(&self.config)
    }

    /// What `${node.…}`, `${attr.…}` and `${meta.…}` stand for.
    pub fn names(&self) -> Names {
        let mut names: Names = [
            ("node.unique.id", self.node.clone()),
            ("node.unique.name", self.name.clone()),
            ("node.datacenter", self.config.datacenter.clone()),
            ("node.region", self.config.region.clone()),
            ("node.class", String::new()),
            ("attr.kernel.name", "linux".into()),
            ("attr.cpu.arch", if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }.into()),
            ("attr.nomad.version", super::VERSION.into()),
            ("attr.unique.hostname", host_name()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        let address = self.addresses().into_iter().find(|address| address.networks.iter().any(|n| n == "default"));
        if let Some(address) = address {
            names.insert("attr.unique.network.ip-address".into(), address.ip.to_string());
        }
        names.extend(self.config.meta.iter().map(|(name, value)| (format!("meta.{name}"), value.clone())));
        names
    }

    /// Says something in the agent's log.
    #[expect(clippy::unused_self, reason = "one place for what an agent says")]
    pub fn log(&self, level: &str, text: &str) {
        println!("    {} [{level}] {text}", crate::clock::text(crate::clock::now()));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file(config: &Config) -> PathBuf {
    config.data_dir.join("server/double.json")
}

/// Writes beside, makes it last, renames: the power may go at any moment.
fn keep(path: &Path, state: &State) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
