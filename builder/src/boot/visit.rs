//! A visit to a machine that boots: a suite looks at it from inside, and knows when it has come to its end.
//! May not end the boot: the machine stays on until the visitor has left.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::Verdict;
use super::neighbour::{Known, Neighbour};
use super::platform::{Log, Platform, Ran};

/// How much longer than the boot's own deadline its verdict is waited for: the console is listened to a moment longer.
const MARGIN: Duration = Duration::from_mins(1);

/// What a visitor may ask.
pub struct Visit<'a> {
    platform: &'a Platform,
    neighbour: &'a Neighbour,
    deadline: Duration,
    end: Mutex<End>,
    told: Condvar,
}

/// How the boot ended.
#[derive(Clone, Default)]
enum End {
    /// It has not.
    #[default]
    Open,
    With(Verdict),
    /// Without a verdict.
    BrokenOff,
}

impl<'a> Visit<'a> {
    pub(super) fn new(platform: &'a Platform, neighbour: &'a Neighbour, deadline: Duration) -> Self {
        Self { platform, neighbour, deadline, end: Mutex::default(), told: Condvar::new() }
    }

    /// Runs a script inside the machine, as root, with sh, and waits for its end; a script that takes longer than `limit` is killed. To be
    /// had from a few seconds after systemd runs, whatever the first boot is at, and as long as the machine is on. What the script leaves
    /// in the background stays, and has to have its output elsewhere.
    pub fn run(&self, script: &str, limit: Duration) -> anyhow::Result<Ran> {
        self.platform.ask(script, limit, self.deadline)
    }

    /// Waits until it is clear how the boot ended. The machine is still on.
    pub fn verdict(&self) -> anyhow::Result<Verdict> {
        let end = self.end.lock().expect("no thread panics with the lock");
        let (end, _) = self
            .told
            .wait_timeout_while(end, self.deadline + MARGIN, |end| matches!(end, End::Open))
            .expect("no thread panics with the lock");
        match &*end {
            End::With(verdict) => Ok(verdict.clone()),
            End::Open | End::BrokenOff => anyhow::bail!("waiting for the end of the boot: it broke off"),
        }
    }

    /// What has happened on the platform so far.
    pub fn log(&self) -> Log {
        self.platform.log()
    }

    /// What the neighbour on the private network knows by now.
    pub fn known(&self) -> Known {
        self.neighbour.known()
    }

    pub(super) fn tell(&self, verdict: Option<&Verdict>) {
        // A machine that is off, or whose boot somebody wants to end, runs nothing any more.
        if matches!(verdict, None | Some(Verdict::Ended(_) | Verdict::Panic | Verdict::Interrupted)) {
            self.platform.leave();
        }
        let end = verdict.cloned().map_or(End::BrokenOff, End::With);
        *self.end.lock().expect("no thread panics with the lock") = end;
        self.told.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::platform::Config;

    #[test]
    fn a_visitor_hears_the_verdict_and_that_a_machine_is_off() {
        let platform = Platform::start(Config { lab: true, ..Config::on_loopback() }, Box::new(|_| {})).unwrap();
        let neighbour = Neighbour::start(Box::new(|_| {})).unwrap();
        let visit = Visit::new(&platform, &neighbour, Duration::from_secs(30));
        std::thread::scope(|scope| {
            let visitor = scope.spawn(|| {
                let verdict = visit.verdict().unwrap();
                (verdict, visit.run("true", Duration::from_secs(1)).unwrap_err().to_string())
            });
            visit.tell(Some(&Verdict::Ended(String::new())));
            let (verdict, error) = visitor.join().unwrap();
            assert_eq!(verdict, Verdict::Ended(String::new()));
            assert!(error.contains("the machine is gone"), "{error}");
        });
        visit.tell(None);
        assert!(visit.verdict().unwrap_err().to_string().contains("broke off"));
    }
}
