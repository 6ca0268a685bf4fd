//! The simulated platform: Equinix Metal's metadata, user-data, EC2 tree and reporting endpoints, an artefact origin and a webhook.
//! May not open a socket or read a clock: `sys::listen` does, and says when something was asked.

pub mod device;
mod ec2;
pub mod fault;
mod lab;
mod log;
mod origin;
pub mod states;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anymetal_contract::Event;
use serde_json::{Value, json};

pub use fault::Fault;
pub use lab::Ran;
pub use log::{Log, Question};

use crate::sys::blobs;
use crate::sys::listen::{Answer, Asked, Body, Listener};
use lab::Lab;
use origin::{Blobs, Manners};
use states::Call;

/// What a site calls this platform; machines of another would ask it for what it does not have.
pub const NAME: &str = "equinix-metal";
/// Below this, the agent of a machine of the lab asks for scripts to run, and sends what they said.
pub const LAB: &str = "/lab";

/// What the platform is to do.
#[derive(Debug, Clone)]
pub struct Config {
    /// The host part of its own URLs as its machines see them: the gateway of the test machine, or loopback.
    pub host: String,
    /// The user-data of the device.
    pub user_data: Option<Vec<u8>>,
    /// The customer's own part of the metadata, a JSON object.
    pub customdata: Value,
    /// Folders with blobs at `sha256/<hex>`.
    pub origins: Vec<PathBuf>,
    /// The BGP sessions of the device.
    pub sessions: device::Sessions,
    /// How long after metadata was first asked for they are there.
    pub bgp_after: Duration,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// Whether a suite may have scripts run inside the machine: what is below [`LAB`], which no platform has.
    pub lab: bool,
}

impl Config {
    /// A platform on loopback without user-data, blobs and faults, whose BGP sessions are there at once.
    pub fn on_loopback() -> Self {
        Self {
            host: "127.0.0.1".into(),
            user_data: None,
            customdata: json!({}),
            origins: Vec::new(),
            sessions: device::Sessions::Multihop,
            bgp_after: Duration::ZERO,
            faults: Vec::new(),
            lab: false,
        }
    }
}

/// Hears every event a node posts, at most once each in the order of arrival.
pub type Listen = Box<dyn Fn(Event) + Send + Sync>;

/// A platform that runs until it is dropped.
pub struct Platform {
    world: Arc<World>,
    listener: Listener,
}

struct World {
    config: Config,
    blobs: Blobs,
    listen: Listen,
    log: Mutex<Log>,
    lab: Lab,
}

impl Platform {
    /// Starts one on a free port of loopback.
    pub fn start(config: Config, listen: Listen) -> anyhow::Result<Self> {
        let blobs = blobs::list(&config.origins)?;
        let world = Arc::new(World { config, blobs, listen, log: Mutex::default(), lab: Lab::default() });
        let listener = Listener::start({
            let world = Arc::clone(&world);
            move |asked| world.answer(asked)
        })?;
        world.log().base = format!("http://{}:{}", world.config.host, listener.port());
        Ok(Self { world, listener })
    }

    /// Where it answers, as its machines see it: `http://<host>:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.world.config.host, self.listener.port())
    }

    /// Has a script run inside the machine, as root and with sh, and waits for what it came to: for `limit` and a while, once the machine
    /// is so far as to ask for one, for which it gets `boots`. A script that is not over then is killed.
    pub fn ask(&self, script: &str, limit: Duration, boots: Duration) -> anyhow::Result<Ran> {
        self.world.lab.ask(script, limit, boots)
    }

    /// The machine was switched off and is switched on again: what it runs is lost.
    pub fn power_cut(&self) {
        self.world.lab.power_cut();
    }

    /// The machine is gone: nothing is run any more, and whoever waits is told.
    pub fn leave(&self) {
        self.world.lab.close();
    }

    /// Everything that has happened so far.
    pub fn log(&self) -> Log {
        self.world.log().clone()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.leave(); // nobody may be left waiting in a question
    }
}

impl World {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no thread of the platform panics with the lock")
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let answer = self.route(asked);
        tracing::debug!("the platform was asked {} {}: {}", asked.method, asked.path, answer.status);
        self.log().questions.push(Question {
            at: asked.at,
            method: asked.method.clone(),
            path: asked.path.clone(),
            body: asked.body.clone(),
            status: answer.status,
        });
        answer
    }

    fn route(&self, asked: &Asked) -> Answer {
        let reading = matches!(asked.method.as_str(), "GET" | "HEAD");
        let ec2 = asked.path.strip_prefix('/').and_then(|path| path.strip_prefix(ec2::DATE));
        match (asked.path.as_str(), ec2) {
            ("/events", _) => self.user_state(asked),
            ("/phone-home", _) => self.phone_home(asked),
            ("/report", _) if asked.method == "POST" => self.report(asked),
            (path, _) if self.config.lab && path.starts_with(LAB) => self.lab(asked, &path[LAB.len()..]),
            _ if !reading => not_routed(),
            ("/metadata" | "/api/v1/metadata", _) => self.metadata(asked),
            ("/userdata" | "/api/v1/userdata", _) | (_, Some("/user-data" | "/user-data/")) => self.user_data(),
            ("/healthz", _) => Answer::document(200, "text/plain", "ok\n"),
            (_, Some("" | "/")) => Answer::document(200, "text/plain", "meta-data/\nuser-data"),
            (_, Some(path)) => path
                .strip_prefix("/meta-data")
                .and_then(ec2::meta_data)
                .map_or_else(not_routed, |text| Answer::document(200, "text/plain; charset=utf-8", text)),
            (path, None) => match path.strip_prefix("/sha256/") {
                Some(name) => origin::answer(&self.blobs, self.manners(name), name, asked.header("range")),
                None => not_routed(),
            },
        }
    }

    fn lab(&self, asked: &Asked, path: &str) -> Answer {
        match (asked.method.as_str(), path.strip_prefix("/ran/")) {
            ("GET", None) if path == "/next" => match self.lab.next() {
                Some(script) => Answer::document(200, "text/plain; charset=utf-8", script),
                None => Answer::document(204, "text/plain", ""),
            },
            ("POST", Some(path)) if self.lab.ran(path, &asked.body) => Answer::document(200, "text/plain", ""),
            _ => not_routed(),
        }
    }

    fn manners(&self, blob: &str) -> Manners {
        let faults = &self.config.faults;
        Manners {
            corrupt: faults
                .iter()
                .any(|fault| matches!(fault, Fault::Corrupt(beginning) if blob.starts_with(beginning))),
            rate: faults.iter().find_map(|fault| match fault {
                Fault::Slow(rate) => Some(*rate),
                _ => None,
            }),
        }
    }

    fn metadata(&self, asked: &Asked) -> Answer {
        let (since, base, state) = {
            let mut log = self.log();
            let first = *log.first_metadata.get_or_insert(asked.at);
            (asked.at.saturating_sub(first), log.base.clone(), log.state())
        };
        let faults = &self.config.faults;
        if faults.iter().any(|fault| matches!(fault, Fault::Metadata500(length) if since < *length)) {
            return error_document(500, &json!({"errors": ["internal server error"]}));
        }
        // The service answered "Not Acceptable" to clients that name media types but not this one.
        let accepts = asked.header("accept").unwrap_or("*/*");
        if !["*/*", "application/*", "application/json"].iter().any(|media| accepts.contains(media)) {
            return error_document(406, &json!({"message": "not acceptable"}));
        }
        let created = since >= self.config.bgp_after && !faults.contains(&Fault::NoBgp);
        let sessions = created.then_some(self.config.sessions);
        let mut text = device::document(&base, state, &self.config.customdata, sessions).to_string();
        if faults.contains(&Fault::MetadataTruncated) {
            text.truncate(text.len() / 2);
        }
        Answer::document(200, "application/json; charset=utf-8", text)
    }

    fn user_data(&self) -> Answer {
        match &self.config.user_data {
            Some(bytes) => Answer::document(200, "text/plain; charset=utf-8", bytes.clone()),
            None => error_document(404, &json!({"message": "resource not found"})),
        }
    }

    fn user_state(&self, asked: &Asked) -> Answer {
        match states::user_state(&asked.body) {
            Ok(state) => {
                let mut log = self.log();
                log.violations
                    .extend(state.violations().into_iter().map(|violation| format!("user state: {violation}")));
                log.user_states.push(state);
                Answer::document(200, "text/plain", "")
            }
            Err(why) => self.refuse(format!("user state refused: {why}")),
        }
    }

    fn phone_home(&self, asked: &Asked) -> Answer {
        match states::phone_home(asked.header("content-type"), &asked.body) {
            Ok(call) => {
                if call == Call::Noise {
                    self.log().violations.push("phone home: nothing that can be read".to_owned());
                }
                self.log().calls.push(call);
                Answer::document(200, "text/plain", "")
            }
            Err(why) => self.refuse(format!("phone home refused: {why}")),
        }
    }

    fn report(&self, asked: &Asked) -> Answer {
        match serde_json::from_slice::<Event>(&asked.body) {
            Ok(event) => {
                // Under the lock, so that events are heard in the order they are kept.
                let mut log = self.log();
                if log.keep(event.clone()) {
                    (self.listen)(event);
                }
                Answer::document(200, "text/plain", "")
            }
            Err(error) => self.refuse(format!("event refused: {error}")),
        }
    }

    fn refuse(&self, why: String) -> Answer {
        self.log().violations.push(why.clone());
        Answer::document(400, "text/plain", why)
    }
}

fn not_routed() -> Answer {
    error_document(404, &json!({"message": "invalid request - route not found"}))
}

fn error_document(status: u16, document: &Value) -> Answer {
    Answer {
        status,
        headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
        body: Body::Bytes(document.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests;
