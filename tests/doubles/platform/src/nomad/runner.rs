//! Allocations at work: a thread for each task, from its start to its end, with what happens written down.
//! May not place anything or judge health: `scheduler` and `health` do.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::events::{self, Happens};
use super::restart::{Ended, Next, Tracker};
use super::state::{ended, text};
use super::task::{self, Cannot, Exit, Running};
use super::world::World;
use crate::clock;

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// The allocations that have a thread.
#[derive(Default)]
pub struct Runners(Mutex<BTreeSet<String>>);

impl Runners {
    /// Starts what is to run and does not.
    pub fn tick(self: &Arc<Self>, world: &Arc<World>) {
        let wanted: Vec<String> = world.read(|state| {
            let due = |alloc: &&Value| text(alloc, "DesiredStatus") == "run" && !ended(alloc);
            state.allocs.values().filter(due).map(|alloc| text(alloc, "ID").to_owned()).collect()
        });
        for alloc in wanted {
            if self.lock().insert(alloc.clone()) {
                let (world, all) = (Arc::clone(world), Arc::clone(self));
                std::thread::spawn(move || {
                    run(&world, &alloc);
                    all.lock().remove(&alloc);
                    world.wake();
                });
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs an allocation to its end.
fn run(world: &Arc<World>, id: &str) {
    let Some(alloc) = world.read(|state| state.allocs.get(id).cloned()) else { return };
    let group = group(&alloc);
    let tasks: Vec<Value> = group["Tasks"].as_array().cloned().unwrap_or_default();
    for task in &tasks {
        if alloc["TaskStates"][text(task, "Name")].is_null() {
            happens(world, id, text(task, "Name"), &Happens::Received, |_| ());
        }
    }
    // What it takes the place of must be over: they may have the same port.
    let before = text(&alloc, "PreviousAllocation").to_owned();
    while !before.is_empty() {
        let over =
            |state: &super::state::State| state.allocs.get(&before).is_none_or(ended) || stopped(state.allocs.get(id));
        if world.wait(Duration::from_secs(1), over) {
            break;
        }
    }
    let failed = Arc::new(Mutex::new(None));
    let threads: Vec<_> = tasks
        .into_iter()
        .map(|task| {
            let (world, alloc, failed) = (Arc::clone(world), alloc.clone(), Arc::clone(&failed));
            std::thread::spawn(move || Work { world: &world, alloc: &alloc, task: &task, failed: &failed }.run())
        })
        .collect();
    for thread in threads {
        // A thread that panicked has said so.
        let _ = thread.join();
    }
}

/// The group an allocation is of, in the job it was made from.
pub fn group(alloc: &Value) -> Value {
    let groups = alloc["Job"]["TaskGroups"].as_array().into_iter().flatten();
    groups.into_iter().find(|group| group["Name"] == alloc["TaskGroup"]).cloned().unwrap_or(Value::Null)
}

fn stopped(alloc: Option<&Value>) -> bool {
    alloc.is_none_or(|alloc| text(alloc, "DesiredStatus") != "run")
}

/// Writes down that something happened to a task, and what its allocation is from then on.
pub fn happens(world: &World, alloc: &str, task: &str, what: &Happens, change: impl FnOnce(&mut Value)) {
    world.change(|state| {
        state.alloc(alloc, |document| {
            if document["TaskStates"].is_null() {
                document["TaskStates"] = json!({});
            }
            let one = &mut document["TaskStates"][task];
            if one.is_null() {
                *one = events::pending();
            }
            events::add(one, events::event(what, clock::now()));
            change(one);
            let tasks = document["TaskStates"].as_object().cloned().unwrap_or_default();
            let (status, words) = events::client_status(&tasks);
            document["ClientStatus"] = status.into();
            document["ClientDescription"] = words.into();
        });
    });
}

/// One task at work.
struct Work<'a> {
    world: &'a World,
    alloc: &'a Value,
    task: &'a Value,
    /// The name of a task of this allocation that failed.
    failed: &'a Mutex<Option<String>>,
}

/// Why a process is no more.
enum Over {
    Exit(Exit),
    Killed,
}

impl Work<'_> {
    fn id(&self) -> &str {
        text(self.alloc, "ID")
    }

    fn name(&self) -> &str {
        text(self.task, "Name")
    }

    fn key(&self) -> String {
        format!("{}/{}", self.id(), self.name())
    }

    fn happens(&self, what: &Happens, change: impl FnOnce(&mut Value)) {
        happens(self.world, self.id(), self.name(), what, change);
    }

    fn stopping(&self) -> bool {
        self.world.read(|state| stopped(state.allocs.get(self.id()))) || self.sibling().is_some()
    }

    /// Another task that failed, for which this one must go.
    fn sibling(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed.filter(|name| name != self.name())
    }

    fn run(&self) {
        let job_type = text(&self.alloc["Job"], "Type");
        let mut tracker = Tracker::new(&self.task["RestartPolicy"], job_type, clock::now());
        let earlier = self.world.read(|state| state.processes.get(&self.key()).copied());
        let mut running = earlier.and_then(task::adopt);
        if running.is_none() {
            if self.stopping() {
                return self.dead(&Happens::Killing { timeout: self.timeout() }, false);
            }
            if let Err(Cannot::Hook(error) | Cannot::Driver(error)) = task::prepare(self.world, self.alloc, self.task) {
                self.happens(&Happens::HookFailed(error), |_| ());
                return self.fail(&Happens::NotRestarting { reason: "Error was unrecoverable".into(), fails: true });
            }
            // A task of before a reboot is started anew where it was.
            self.happens(if earlier.is_some() { &Happens::RestoreFailed } else { &Happens::Setup }, |_| ());
        }
        loop {
            let started = match running.take() {
                Some(running) => Ok(running),
                None => task::start(self.world, self.alloc, self.task).inspect(|running| self.started(running)),
            };
            let ended = match started {
                Err(Cannot::Hook(error) | Cannot::Driver(error)) => {
                    self.happens(&Happens::DriverFailure(error), |_| ());
                    Ended::Unstartable
                }
                Ok(process) => match self.wait(process) {
                    Over::Killed => return self.dead(&Happens::Killed, false),
                    Over::Exit(exit) => {
                        self.happens(&Happens::Terminated { code: exit.code, signal: exit.signal }, |_| ());
                        if exit.code == 0 { Ended::Well } else { Ended::Badly }
                    }
                },
            };
            match tracker.next(ended, clock::now(), fastrand::f64()) {
                Next::Done(_) => return self.finish(false),
                Next::Fail(reason) => return self.fail(&Happens::NotRestarting { reason, fails: true }),
                Next::Again { reason, delay } => {
                    self.happens(&Happens::Restarting { reason, delay }, |state| {
                        state["State"] = "pending".into();
                        state["Restarts"] = (state["Restarts"].as_i64().unwrap_or(0) + 1).into();
                        state["LastRestart"] = clock::text(clock::now()).into();
                    });
                    if self.pause(delay) {
                        return self.dead(&Happens::Killing { timeout: self.timeout() }, false);
                    }
                }
            }
        }
    }

    fn started(&self, running: &Running) {
        if let Some(process) = running.process() {
            self.world.change(|state| state.processes.insert(self.key(), process));
        }
        self.happens(&Happens::Started, |state| {
            state["State"] = "running".into();
            state["StartedAt"] = clock::text(clock::now()).into();
        });
    }

    /// Waits for the end of a process, or ends it when it is to stop.
    fn wait(&self, mut process: Running) -> Over {
        loop {
            if let Some(exit) = process.ended() {
                return Over::Exit(exit);
            }
            if self.stopping() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        if let Some(sibling) = self.sibling() {
            self.happens(&Happens::SiblingFailed(sibling), |_| ());
        }
        let timeout = self.timeout();
        self.happens(&Happens::Killing { timeout }, |_| ());
        process.signal(self.signal(), false);
        let end = Instant::now() + Duration::from_nanos(u64::try_from(timeout).unwrap_or(0));
        let exit = loop {
            if let Some(exit) = process.ended() {
                break exit;
            }
            if Instant::now() > end {
                process.signal(Signal::SIGKILL, true);
            }
            std::thread::sleep(LOOK);
        };
        // What it started goes with it.
        process.signal(Signal::SIGKILL, true);
        self.happens(&Happens::Terminated { code: exit.code, signal: exit.signal }, |_| ());
        Over::Killed
    }

    /// Waits before a restart; says whether the task was stopped meanwhile.
    fn pause(&self, delay: i64) -> bool {
        let end = Instant::now() + Duration::from_nanos(u64::try_from(delay).unwrap_or(0));
        while Instant::now() < end {
            if self.stopping() {
                return true;
            }
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
        self.stopping()
    }

    fn timeout(&self) -> i64 {
        self.task["KillTimeout"].as_i64().unwrap_or(5_000_000_000)
    }

    fn signal(&self) -> Signal {
        text(self.task, "KillSignal").parse().unwrap_or(Signal::SIGINT)
    }

    fn fail(&self, why: &Happens) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| self.name().to_owned());
        self.dead(why, true);
    }

    fn dead(&self, why: &Happens, failed: bool) {
        self.world.change(|state| state.processes.remove(&self.key()));
        self.happens(why, |state| finish(state, failed));
    }

    fn finish(&self, failed: bool) {
        self.world.change(|state| {
            state.processes.remove(&self.key());
            state.alloc(self.id(), |alloc| {
                finish(&mut alloc["TaskStates"][self.name()], failed);
                let tasks = alloc["TaskStates"].as_object().cloned().unwrap_or_default();
                let (status, words) = events::client_status(&tasks);
                alloc["ClientStatus"] = status.into();
                alloc["ClientDescription"] = words.into();
            });
        });
    }
}

fn finish(state: &mut Value, failed: bool) {
    state["State"] = "dead".into();
    state["Failed"] = failed.into();
    state["FinishedAt"] = clock::text(clock::now()).into();
}
