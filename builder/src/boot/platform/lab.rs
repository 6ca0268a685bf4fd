//! Scripts for the machine: a suite asks, the agent in the machine takes, runs and answers, one after the other.
//! May not know what a script does, nor open a socket: the platform hands questions in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// How long a question for the next script is held when there is none.
const HOLD: Duration = Duration::from_mins(1);
/// How long after a script's own limit its answer is waited for: the agent kills it 5 s later and sends its words five times at most.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a script came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; 124 when its time was over.
    pub status: i32,
    /// What it said, both streams; the last of it when that was more than a million bytes.
    pub output: String,
}

/// Where scripts wait, and their answers.
#[derive(Debug, Default)]
pub(super) struct Lab {
    bench: Mutex<Bench>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Bench {
    /// How many have asked to run a script so far.
    asked: u64,
    scripts: BTreeMap<u64, Script>,
    waiting: VecDeque<u64>,
    /// How often the agent has asked for the next one: there is one agent, so only its last question is worth an answer.
    questions: u64,
    closed: bool,
}

#[derive(Debug)]
enum Script {
    Waiting(String),
    Taken,
    Lost,
    Ran(Ran),
}

impl Lab {
    fn bench(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().expect("no thread of the lab panics with the lock")
    }

    /// Has the machine run a script, once it asks for one, which it does within `boots` or never.
    pub(super) fn ask(&self, script: &str, limit: Duration, boots: Duration) -> anyhow::Result<Ran> {
        let mut bench = self.bench();
        let number = bench.asked;
        bench.asked += 1;
        // A first line for the agent: it is a comment to sh.
        bench.scripts.insert(number, Script::Waiting(format!("#lab {number} {}\n{script}\n", limit.as_secs())));
        bench.waiting.push_back(number);
        self.changed.notify_all();
        let open = |bench: &Bench| !bench.closed;
        let waiting = |bench: &Bench| matches!(bench.scripts.get(&number), Some(Script::Waiting(_)));
        let taken = |bench: &Bench| matches!(bench.scripts.get(&number), Some(Script::Taken));
        for (patience, still) in [(boots, &waiting as &dyn Fn(&Bench) -> bool), (limit + PATIENCE, &taken)] {
            bench = self
                .changed
                .wait_timeout_while(bench, patience, |bench| open(bench) && still(bench))
                .expect("no thread of the lab panics with the lock")
                .0;
        }
        bench.waiting.retain(|other| *other != number);
        match bench.scripts.remove(&number) {
            Some(Script::Ran(ran)) => Ok(ran),
            _ if bench.closed => anyhow::bail!("running a script inside the machine: the machine is gone"),
            Some(Script::Waiting(_)) => {
                anyhow::bail!("running a script inside the machine: its agent asked for none in {} s", boots.as_secs())
            }
            _ => anyhow::bail!("running a script inside the machine: it was taken and nothing came back"),
        }
    }

    /// The next script for the agent, or nothing after a while.
    pub(super) fn next(&self) -> Option<String> {
        let mut bench = self.bench();
        bench.questions += 1;
        let question = bench.questions;
        // An agent that asks again runs nothing: what it took before went down with the machine.
        for script in bench.scripts.values_mut().filter(|script| matches!(script, Script::Taken)) {
            *script = Script::Lost;
        }
        self.changed.notify_all();
        let idle = |bench: &mut Bench| bench.waiting.is_empty() && bench.questions == question && !bench.closed;
        bench =
            self.changed.wait_timeout_while(bench, HOLD, idle).expect("no thread of the lab panics with the lock").0;
        if bench.questions != question || bench.closed {
            return None;
        }
        let number = bench.waiting.pop_front()?;
        let Some(Script::Waiting(text)) = bench.scripts.insert(number, Script::Taken) else {
            unreachable!("what is in the queue waits");
        };
        self.changed.notify_all();
        Some(text)
    }

    /// The agent's answer, to `<number>/<exit code>`. Whether anybody waits for it.
    pub(super) fn ran(&self, path: &str, output: &[u8]) -> bool {
        let Some((number, status)) = path.split_once('/').and_then(|(n, s)| Some((n.parse().ok()?, s.parse().ok()?)))
        else {
            return false;
        };
        let mut bench = self.bench();
        let Some(script @ Script::Taken) = bench.scripts.get_mut(&number) else { return false };
        *script = Script::Ran(Ran { status, output: String::from_utf8_lossy(output).into_owned() });
        self.changed.notify_all();
        true
    }

    /// The machine was switched off: whoever asks on its behalf from before is nobody, and what it runs is lost.
    pub(super) fn power_cut(&self) {
        let mut bench = self.bench();
        bench.questions += 1;
        for script in bench.scripts.values_mut().filter(|script| matches!(script, Script::Taken)) {
            *script = Script::Lost;
        }
        self.changed.notify_all();
    }

    /// The machine is gone for good.
    pub(super) fn close(&self) {
        self.bench().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_script_reaches_the_agent_and_its_answer_whoever_asked() {
        let lab = Lab::default();
        std::thread::scope(|scope| {
            let agent = scope.spawn(|| {
                let script = lab.next().unwrap();
                assert_eq!(script, "#lab 0 7\nhostname\n");
                assert!(!lab.ran("1/0", b"for nobody") && !lab.ran("0", b"") && !lab.ran("0/x", b""));
                assert!(lab.ran("0/3", b"boot-1\n"));
                assert!(!lab.ran("0/3", b"again"), "an answer that is sent twice is taken once");
            });
            let ran = lab.ask("hostname", Duration::from_secs(7), LONG).unwrap();
            assert_eq!(ran, Ran { status: 3, output: "boot-1\n".into() });
            agent.join().unwrap();
        });
    }

    #[test]
    fn a_machine_without_an_agent_is_told_from_one_that_is_gone() {
        let lab = Lab::default();
        let error = lab.ask("true", SECOND, Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("asked for none in 0 s"), "{error}");
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| lab.ask("true", SECOND, LONG).unwrap_err().to_string());
            assert_eq!(lab.next().unwrap(), "#lab 1 1\ntrue\n", "what was given up is not run");
            lab.close();
            assert!(asking.join().unwrap().contains("gone"));
        });
        assert_eq!(lab.next(), None);
    }

    #[test]
    fn what_runs_when_the_power_is_cut_is_lost_and_what_waits_is_run_afterwards() {
        let lab = Lab::default();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| lab.ask("sleep 9", SECOND, LONG));
            assert!(lab.next().unwrap().contains("sleep 9"));
            let before = scope.spawn(|| lab.next());
            // The agent asks again without an answer: it was started anew.
            assert!(first.join().unwrap().unwrap_err().to_string().contains("nothing came back"));
            lab.power_cut();
            assert_eq!(before.join().unwrap(), None, "a question of the machine before takes no script");
            let second = scope.spawn(|| lab.ask("hostname", SECOND, LONG));
            assert!(lab.next().unwrap().contains("hostname"));
            assert!(lab.ran("1/0", b""));
            assert_eq!(second.join().unwrap().unwrap().status, 0);
        });
    }
}
