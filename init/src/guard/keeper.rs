//! The guard's loop: wishes, rounds of proofs, the machine's own part kept as it is to be, BIRD held to the stance, the watchdog told that
//! all this goes on.
//! May not decide: `course` does. May not wait for a disk: what is told goes through a thread of its own.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anymetal_contract::place;

use super::board::Board;
use super::certificate::Warnings;
use super::chain::{self, Client, Proven};
use super::course::{Change, Seen, Stance, State, Wishes, step};
use super::document::Document;
use super::repair::Repair;
use super::tell::Teller;
use crate::bird::{Control, Protocol, actual, established};
use crate::sys::addresses::Losses;
use crate::sys::{clock, exposition, fs, supervisor};
use crate::world::World;

/// How often wishes are looked for and the watchdog is told: five times in what the unit's watchdog allows.
const TICK: Duration = Duration::from_millis(400);
/// How long BIRD may take over one command. It answers from memory within a millisecond; what several take is still within the watchdog's limit.
const BIRD: Duration = Duration::from_millis(400);
/// What a round may take over the time of its proofs before it is given up: the thread that asks hangs.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Keeper {
    document: Arc<Document>,
    maintenance: PathBuf,
    drain: PathBuf,
    status: PathBuf,
    teller: Arc<Teller>,
    board: Arc<Mutex<Board>>,
    /// The status document as it was written last, and whether it may be another now.
    written: String,
    changed: bool,
    state: State,
    began: Instant,
    round: Round,
    /// Asks the prober for a round of this number, hurried or not, and hears of its end: an answer to one that was given up is told from the next.
    ask: SyncSender<(u64, bool)>,
    news: Receiver<News>,
    rounds: u64,
    warnings: Warnings,
    repair: Repair,
}

/// What other threads have for the loop.
enum News {
    /// The rest of the round of this number.
    Round(u64, Vec<Proven>),
    /// An address or a route of this machine was taken away.
    Loss,
}

/// Where the round is.
enum Round {
    /// The next one begins then.
    Due(Instant),
    /// It has begun, and its first links held.
    Asked { since: Instant, first: Vec<Proven> },
}

impl Keeper {
    /// A guard that begins in this state.
    pub(super) fn new(world: &World, document: Document, teller: Teller, state: State) -> anyhow::Result<Self> {
        let (document, teller) = (Arc::new(document), Arc::new(teller));
        let board = Board::new(Arc::clone(&document), std::process::id(), state.stance, clock::wall());
        let (ask, asked) = mpsc::sync_channel(1);
        // Room for a round and a loss.
        let (report, news) = mpsc::sync_channel(2);
        watch_losses(report.clone(), Arc::clone(&teller));
        prober(Arc::clone(&document), asked, report)?;
        Ok(Self {
            maintenance: world.at(place::MAINTENANCE),
            drain: world.at(place::DRAIN),
            status: world.at(place::GUARD_STATUS),
            teller,
            board: Arc::new(Mutex::new(board)),
            written: String::new(),
            changed: true,
            state,
            began: clock::monotonic(),
            round: Round::Due(clock::monotonic()),
            ask,
            news,
            rounds: 0,
            warnings: Warnings::default(),
            repair: Repair::default(),
            document,
        })
    }

    /// Keeps watch, for ever.
    pub(super) fn keep(mut self) -> anyhow::Result<Infallible> {
        let _the_first_round_says = self.own_addresses();
        self.hold();
        self.serve_metrics();
        supervisor::ready();
        loop {
            self.heed();
            let pause = match &self.round {
                Round::Due(when) => when.saturating_duration_since(clock::monotonic()).min(TICK),
                Round::Asked { .. } => TICK,
            };
            match self.news.recv_timeout(pause) {
                Ok(News::Round(number, rest)) => self.end_round(number, rest),
                // What cannot be put back is a proof that fails, in the next round.
                Ok(News::Loss) => drop(self.own_addresses()),
                Err(RecvTimeoutError::Timeout) => self.go_on(),
                // It panicked, and has said so. A guard that cannot ask must not announce.
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the thread that asks the proofs is gone"),
            }
            self.show();
            supervisor::alive();
        }
    }

    /// Does what is due by the clock.
    fn go_on(&mut self) {
        let now = clock::monotonic();
        match &self.round {
            Round::Due(when) if *when <= now => self.begin_round(),
            Round::Asked { since, first } if since.elapsed() > self.patience() => {
                let late =
                    Proven::new("guard", since.elapsed(), Some("the round of proofs does not come to an end".into()));
                let proofs = first.iter().cloned().chain([late]).collect();
                self.judge(*since, proofs);
            }
            Round::Due(_) | Round::Asked { .. } => {}
        }
    }

    fn patience(&self) -> Duration {
        let links = u32::try_from(self.document.links.len()).unwrap_or(u32::MAX);
        // Consul and Nomad are asked twice each.
        Duration::from_secs(u64::from(self.document.rules.timeout)).saturating_mul(links.saturating_add(2)) + GRACE
    }

    fn begin_round(&mut self) {
        let since = clock::monotonic();
        let asked = self.control().and_then(|mut control| control.protocols());
        let neighbour = chain::neighbour(&self.document, &asked, since.elapsed());
        let protocols: &[Protocol] = asked.as_deref().unwrap_or_default();
        let held = asked.as_ref().map(|protocols| actual(protocols).to_string()).unwrap_or_default();
        self.board().bird(held, |name| !established(protocols, &[name]).is_empty());
        if !self.state.stance.is_announced() {
            self.hold();
        }
        let mut first: Vec<Proven> = self.firewall().into_iter().chain([self.own_addresses(), neighbour]).collect();
        chain::cut(&mut first);
        if first.iter().any(|link| link.why.is_some()) {
            return self.judge(since, first);
        }
        // The prober takes one at a time, and has answered the one before; only a hanging one has not, and then this round is given up too.
        self.rounds += 1;
        let _taken = self.ask.try_send((self.rounds, self.state.is_falling()));
        self.round = Round::Asked { since, first };
    }

    fn end_round(&mut self, number: u64, rest: Vec<Proven>) {
        let Round::Asked { since, first } = &self.round else { return };
        if number != self.rounds {
            return;
        }
        let proofs = first.iter().cloned().chain(rest).collect();
        self.judge(*since, proofs);
    }

    /// What follows from a round that began then. The next is due by that, however long this one took: whoever hangs is asked again at once.
    fn judge(&mut self, since: Instant, proofs: Vec<Proven>) {
        let seen = chain::seen(&proofs);
        let serves = !matches!(seen, Seen::Bad(_));
        match &seen {
            Seen::Away(failed) if self.state.stance.is_announced() => {
                let grace = self.document.rules.grace;
                let why = format!("{} is away, which may last for {grace} s: {}", failed.proof, failed.why);
                self.teller.trouble("away", why);
            }
            Seen::Good => self.teller.fine("away"),
            _ => {}
        }
        let now = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        for certificate in proofs.iter().filter_map(|proven| proven.certificate.as_ref()) {
            if let Some(words) = self.warnings.seen(certificate, now.try_into().unwrap_or(i64::MAX)) {
                self.teller.warn(words);
            }
        }
        self.board().round(proofs);
        self.changed = true;
        self.take(&seen);
        // BIRD may have been started anew meanwhile, withdrawn as it is written.
        if serves && self.state.stance.is_announced() {
            self.hold();
        }
        self.round = Round::Due(since + self.state.pause(&self.document.rules));
    }

    fn heed(&mut self) {
        let wishes = Wishes { drain: fs::is_there(&self.drain), maintenance: fs::is_there(&self.maintenance) };
        self.take(&Seen::Wishes(wishes));
    }

    /// Takes in what was seen. A change goes to BIRD first, and is told then.
    fn take(&mut self, seen: &Seen) {
        let (state, change) = step(&self.state, &self.document.rules, seen, self.began.elapsed());
        self.state = state;
        if let Some(change) = change {
            self.make_hold(Some(&change));
            self.changed = true;
            self.teller.changed(self.state.stance, &change);
        }
    }

    /// Makes BIRD hold what the stance says.
    fn hold(&self) {
        self.make_hold(None);
    }

    /// The same after this change. The board takes in both at once: nobody reads of a stance that BIRD does not hold yet.
    fn make_hold(&self, change: Option<&Change>) {
        let wanted = self.state.stance.holding();
        let held = self.control().and_then(|mut control| control.hold(wanted));
        {
            let mut board = self.board();
            if held.is_ok() {
                board.holds(wanted.to_string());
            }
            if let Some(change) = change {
                board.change(self.state.stance, change, clock::wall());
            }
        }
        match held {
            Ok(done) => {
                self.teller.fine("BIRD");
                if !done.is_empty() {
                    self.teller.note(format!("BIRD: {}", done.join(", ")));
                }
            }
            // It is also the first proof that fails, and is counted there.
            Err(error) => self.teller.trouble("BIRD", format!("{error:#}")),
        }
    }

    /// Makes the prefixes this machine's own. Returns whether they are.
    fn own_addresses(&self) -> Proven {
        let (proven, done) = chain::addresses(&self.document.prefixes);
        match &proven.why {
            None => self.teller.fine("addresses"),
            Some(why) => self.teller.trouble("addresses", why.clone()),
        }
        if !done.is_empty() {
            self.board().restored(done.len());
        }
        for what in done {
            self.teller.note(what);
        }
        proven
    }

    /// Looks whether the firewall is in force. Where it is not it is put in force again beside the loop, unless the operator wants this node
    /// left alone; the round is a bad one all the same.
    fn firewall(&self) -> Option<Proven> {
        let mut proven = chain::firewall(&self.document)?;
        if let (Some(why), Some(firewall)) = (&mut proven.why, &self.document.firewall) {
            if self.state.stance == Stance::Maintenance {
                why.push_str("; it is left so while the maintenance file is there");
            } else if let Some(in_vain) = self.repair.begin(firewall.file.clone(), &self.teller) {
                why.push_str("; putting it in force again: ");
                why.push_str(&in_vain);
            }
        }
        Some(proven)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// A guard without metrics is still a guard.
    fn serve_metrics(&self) {
        let board = Arc::clone(&self.board);
        if let Err(error) = exposition::serve(self.document.rules.metrics, move || lock(&board).metrics()) {
            self.teller.trouble("metrics", format!("{error:#}; the guard goes on without metrics"));
        }
    }

    fn control(&self) -> anyhow::Result<Control> {
        Control::open(&self.document.bird, BIRD)
    }

    fn show(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let status = self.board().status();
        let mut text = serde_json::to_string(&status).expect("a status has only text for keys");
        text.push('\n');
        if text == self.written {
            return;
        }
        match fs::replace_lightly(&self.status, text.as_bytes(), 0o644) {
            Ok(()) => {
                self.teller.fine("status");
                self.written = text;
            }
            // Tried again with the next round.
            Err(error) => self.teller.trouble("status", format!("{error:#}")),
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that asks the proofs: none of them can hold up the loop.
fn prober(document: Arc<Document>, asked: Receiver<(u64, bool)>, report: SyncSender<News>) -> anyhow::Result<()> {
    let work = move || {
        let client = Client::of(&document, false);
        // Only for as long as it is needed.
        let mut in_a_hurry = None;
        while let Ok((number, hurried)) = asked.recv() {
            let client = if hurried {
                in_a_hurry.get_or_insert_with(|| Client::of(&document, true))
            } else {
                in_a_hurry = None;
                &client
            };
            if report.send(News::Round(number, chain::links(&document, client))).is_err() {
                return;
            }
        }
    };
    super::thread("proofs", work)
}

/// The thread that waits for addresses to be taken away, so that they are back at once. Without it they are back with the next round.
fn watch_losses(report: SyncSender<News>, teller: Arc<Teller>) {
    let again = Arc::clone(&teller);
    let work = move || {
        let watched = Losses::watch().and_then(|losses| {
            loop {
                losses.wait()?;
                // One that waits to be heard already speaks of this too.
                if let Err(TrySendError::Disconnected(_)) = report.try_send(News::Loss) {
                    return Ok(());
                }
            }
        });
        if let Err(error) = watched {
            teller.trouble("losses", format!("{error:#}; addresses are looked at in every round"));
        }
    };
    if let Err(error) = super::thread("losses", work) {
        again.trouble("losses", format!("{error:#}; addresses are looked at in every round"));
    }
}
