//! One round of asking: places in their order, the next one beside one that gives too little, the fastest alone once that is known.
//! May not keep the artefact, nor say what a round without it means: `transfer` and `origin` do.

#![expect(clippy::disallowed_methods, reason = "what a place gives is judged by the clock that runs while it gives")]

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anymetal_contract::Reason;

use crate::failure::{Because as _, Failure};
use crate::lane::{Ended, Lane, News, Question};
use crate::origin::{Candidate, Missed, Said, judge, shown};
use crate::part::Part;
use crate::transfer::{Clients, Got, MOST, Pace, Wanted, Watch};

/// How often one place is asked in a round when its answers break off without having brought much.
const TRIES: u32 = 3;
/// What an answer that broke off must have brought for the next one not to count as a try.
const WORTHWHILE: u64 = 1 << 20;
/// What a place has to give at least, in bytes per second, however much time there is: below it the next one is asked beside it.
const MODEST: u64 = 16 * 1024;
/// Requests at a time. Places that take a question and give nothing must not add up.
const LANES: usize = 3;
/// How long the file is taken to be while nobody says it: what most archives of the field are below.
const LIKELY: u64 = 64 << 20;

/// Asks until the part is whole and right, every place has said why it is not, or the time is over.
pub(crate) fn run(
    clients: &Clients,
    wanted: &Wanted,
    pace: Pace,
    watch: &dyn Watch,
    part: &mut Part,
) -> Result<Got, Missed> {
    let (sender, news) = mpsc::channel();
    let all: Vec<&Candidate> = wanted.candidates.iter().chain(&wanted.reserve).collect();
    let places = all.iter().map(|_| Place::default()).collect();
    let (open, reserve) = ((0..wanted.candidates.len()).collect(), (wanted.candidates.len()..all.len()).collect());
    let (spoken, expected) = (part.length(), wanted.size);
    let mut race = Race {
        clients,
        wanted,
        all,
        pace,
        watch,
        part,
        places,
        open,
        reserve,
        lanes: Vec::new(),
        owner: None,
        spoken,
        expected,
        made: 0,
        sender,
    };
    race.go(&news)
}

/// What is known of one place.
#[derive(Debug, Default)]
struct Place {
    /// Its certificate was refused once.
    unchecked: bool,
    /// Answers that broke off without having brought much.
    poor: u32,
    /// It has had a try from the first byte on, alone.
    restarted: bool,
    /// What it said last instead of giving the file.
    said: Option<Said>,
}

/// A request under way.
struct Running {
    id: u64,
    place: usize,
    lane: Lane,
    /// The byte of the file that comes next, once a body has begun.
    at: Option<u64>,
    began: Instant,
    /// Bytes since it began, and since it was last judged.
    came: u64,
    lately: u64,
    judged: Instant,
}

/// What the round does next.
enum Next {
    Got(usize),
    GoOn,
}

struct Race<'a> {
    clients: &'a Clients,
    wanted: &'a Wanted<'a>,
    /// Candidates, and then the reserve.
    all: Vec<&'a Candidate>,
    pace: Pace,
    watch: &'a dyn Watch,
    part: &'a mut Part,
    places: Vec<Place>,
    /// Places that are not asked just now and may be, in order.
    open: VecDeque<usize>,
    /// Places that may be asked once another gives too little.
    reserve: VecDeque<usize>,
    lanes: Vec<Running>,
    /// The place that all bytes of the part have come from; `None` when there are several, or an earlier run was it.
    owner: Option<usize>,
    /// Bytes that were told as progress.
    spoken: u64,
    /// How long the file is, as far as anybody has said.
    expected: Option<u64>,
    /// Requests made so far.
    made: u64,
    sender: Sender<(u64, News)>,
}

impl Race<'_> {
    fn go(&mut self, news: &Receiver<(u64, News)>) -> Result<Got, Missed> {
        loop {
            if self.lanes.is_empty() {
                let Some(place) = self.open.pop_front() else { break };
                self.ask(place);
            }
            let next = match news.recv_timeout(self.patience()) {
                Ok((id, news)) => self.hear(id, news).map_err(Missed::Never)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Next::GoOn,
            };
            match next {
                Next::Got(place) => {
                    let base = self.all[place].base.clone();
                    return Ok(Got::Fetched { bytes: self.part.length(), base });
                }
                Next::GoOn => {}
            }
            if self.pace.until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            self.judge();
        }
        Err(self.sum_up())
    }

    /// What every place has said, those included that were still at it.
    fn sum_up(&mut self) -> Missed {
        for running in std::mem::take(&mut self.lanes) {
            self.gave_up(&running);
        }
        let said = self.all.iter().zip(&self.places);
        let said: Vec<_> = said.filter_map(|(asked, place)| Some((*asked, place.said.clone()?))).collect();
        judge(&self.wanted.title, self.wanted.sha256, &said)
    }

    /// Until the next judgement, or until the time is over.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        let next = self.lanes.iter().map(|running| running.judged + self.pace.beside).max();
        let ends = next.into_iter().chain(self.pace.until);
        let least = ends.map(|end| end.saturating_duration_since(now)).min().unwrap_or(self.pace.beside);
        least.max(Duration::from_millis(1))
    }

    /// Begins a request to a place, from the byte on that the part lacks.
    fn ask(&mut self, place: usize) {
        let candidate = self.all[place];
        let question = Question {
            url: candidate.url.clone(),
            base: candidate.base.clone(),
            checked: self.clients.checked.clone(),
            ignoring: self.clients.ignoring.clone(),
            unchecked: self.places[place].unchecked,
            from: self.part.length(),
            pinned: self.wanted.size,
            most: self.wanted.size.unwrap_or(MOST),
            silence: self.clients.limits.silence,
        };
        self.made += 1;
        let (id, sender, now) = (self.made, self.sender.clone(), Instant::now());
        match Lane::start(question, move |news| sender.send((id, news)).is_ok()) {
            Ok(lane) => {
                self.lanes.push(Running { id, place, lane, at: None, began: now, came: 0, lately: 0, judged: now });
            }
            Err(error) => self.miss(place, Said::Broke(format!("could not be asked ({error})"))),
        }
    }

    fn hear(&mut self, id: u64, news: News) -> Result<Next, Failure> {
        // A lane that was dropped may have told something before it ended.
        let Some(number) = self.lanes.iter().position(|running| running.id == id) else { return Ok(Next::GoOn) };
        let place = self.lanes[number].place;
        match news {
            News::Unchecked(words) => {
                self.places[place].unchecked = true;
                self.watch.word(self.wanted.name, &words);
            }
            News::Begins { at, expected } => {
                self.lanes[number].at = Some(at);
                self.expected = self.expected.or(expected);
            }
            News::Bytes(buffer, length) => self.take(number, buffer, length)?,
            News::Ended(ended) => {
                let running = self.lanes.remove(number);
                return self.end(&running, ended);
            }
        }
        Ok(Next::GoOn)
    }

    /// The bytes that the part does not have yet into the part.
    fn take(&mut self, number: usize, buffer: Vec<u8>, length: usize) -> Result<(), Failure> {
        let running = &mut self.lanes[number];
        let at = running.at.unwrap_or_default();
        let end = at + length as u64;
        running.at = Some(end);
        running.came += length as u64;
        running.lately += length as u64;
        let had = self.part.length();
        if end > had {
            let known = usize::try_from(had.saturating_sub(at)).unwrap_or(length).min(length);
            if had == 0 {
                self.owner = Some(running.place);
            } else if self.owner != Some(running.place) {
                self.owner = None;
            }
            self.part.push(&buffer[known..length]).because(Reason::HostFault)?;
        }
        running.lane.give_back(buffer);
        let there = self.part.length();
        if there - self.spoken.min(there) >= self.watch.step() {
            self.tell(there);
        }
        Ok(())
    }

    fn tell(&mut self, there: u64) {
        self.spoken = there;
        self.watch.progress(self.wanted.name, there, self.expected);
    }

    /// A request has ended by itself.
    fn end(&mut self, running: &Running, ended: Ended) -> Result<Next, Failure> {
        let place = running.place;
        match ended {
            Ended::Whole { is_page } => {
                // Of several, one that is behind has only said again what is there.
                if running.at.unwrap_or_default() < self.part.length() {
                    return Ok(Next::GoOn);
                }
                let there = self.part.length();
                if there > self.spoken {
                    self.tell(there);
                }
                let digest = self.part.digest();
                if digest == *self.wanted.sha256 {
                    return Ok(Next::Got(place));
                }
                self.doubt(place, if is_page { Said::Page } else { Said::OtherBytes(digest) })?;
            }
            Ended::Odd(said) if self.lanes.is_empty() => self.doubt(place, said)?,
            Ended::Odd(said) | Ended::Said(said) => self.miss(place, said),
            Ended::Cut { words, silent } => {
                self.places[place].poor += u32::from(running.came < WORTHWHILE);
                if silent || self.places[place].poor >= TRIES {
                    self.miss(place, Said::Broke(words));
                } else {
                    self.ask(place);
                }
            }
        }
        Ok(Next::GoOn)
    }

    /// Something of the part is wrong. Whether the first bytes or the last nobody can tell unless all have come from one place: then that place is
    /// it; else it gets one fair try from the start, alone.
    fn doubt(&mut self, place: usize, said: Said) -> Result<(), Failure> {
        let its_own = self.part.length() == 0 || self.owner == Some(place);
        self.part.clear().because(Reason::HostFault)?;
        (self.owner, self.spoken) = (None, 0);
        // Whoever else is at it goes on from a byte that is not there any more.
        for other in std::mem::take(&mut self.lanes) {
            self.open.push_front(other.place);
        }
        if its_own || std::mem::replace(&mut self.places[place].restarted, true) {
            self.miss(place, said);
        } else {
            self.ask(place);
        }
        Ok(())
    }

    /// A place has nothing for us; the next is asked, unless another is at it.
    fn miss(&mut self, place: usize, said: Said) {
        let candidate = self.all[place];
        self.watch.missed(candidate, &said);
        let next = if self.lanes.is_empty() { self.open.pop_front() } else { None };
        if let Some(next) = next {
            let next_base = &self.all[next].base;
            self.watch.word(self.wanted.name, &format!("{} {said}; asking {next_base}", shown(&candidate.url)));
        }
        self.places[place].said = Some(said);
        if let Some(next) = next {
            self.ask(next);
        }
    }

    /// Looks whether what comes is enough, once per [`Pace::beside`].
    fn judge(&mut self) {
        let now = Instant::now();
        let due = |running: &Running| now.duration_since(running.judged) >= self.pace.beside;
        if self.lanes.is_empty() || !self.lanes.iter().all(due) {
            return;
        }
        let best = (0..self.lanes.len()).max_by_key(|number| self.lanes[*number].lately).unwrap_or_default();
        // The fastest goes on alone: two that both give would cost twice.
        if self.lanes[best].lately > 0 {
            let kept = self.lanes.swap_remove(best);
            for slow in std::mem::replace(&mut self.lanes, vec![kept]) {
                self.gave_up(&slow);
                // It is better than nothing, should the other one end.
                self.open.push_back(slow.place);
            }
        }
        let lately: u64 = self.lanes.iter().map(|running| running.lately).sum();
        let since = self.lanes.iter().map(|running| now.duration_since(running.judged)).max().unwrap_or_default();
        for running in &mut self.lanes {
            (running.lately, running.judged) = (0, now);
        }
        let enough = u128::from(lately) * 1000 >= u128::from(self.needed(now)) * since.as_millis();
        if enough {
            return;
        }
        let is_fresh = |place: &usize| self.places[*place].said.is_none();
        if !self.open.front().is_some_and(is_fresh) {
            // Before those that were too slow.
            while let Some(place) = self.reserve.pop_back() {
                self.open.push_front(place);
            }
        }
        if self.open.front().is_some_and(|place| self.places[*place].said.is_none())
            && let Some(place) = self.open.pop_front()
        {
            self.say_slow(place, lately, since);
            if self.lanes.len() == LANES {
                let oldest = self.lanes.remove(0);
                self.gave_up(&oldest);
            }
            self.ask(place);
        }
    }

    fn say_slow(&self, next: usize, lately: u64, since: Duration) {
        let slow = self.lanes.first().map(|running| self.all[running.place]);
        let slow = slow.map(|candidate| shown(&candidate.url)).unwrap_or_default();
        let said = Said::Slow { came: lately, within: since };
        let base = &self.all[next].base;
        self.watch.word(self.wanted.name, &format!("{slow} {said}; asking {base} beside it"));
    }

    /// Bytes per second that a place has to give for the file to come in time, when each place that may still be asked gets its share of that.
    fn needed(&self, now: Instant) -> u64 {
        let Some(due) = self.pace.due else { return MODEST };
        let left = self.expected.unwrap_or(LIKELY).saturating_sub(self.part.length());
        let fresh = self.open.iter().filter(|place| self.places[**place].said.is_none()).count();
        let share = due.saturating_duration_since(now) / u32::try_from(fresh + 1).unwrap_or(u32::MAX);
        let needed = u128::from(left) * 1000 / share.as_millis().max(1);
        u64::try_from(needed).unwrap_or(u64::MAX).max(MODEST)
    }

    /// A request that is not waited for any longer: what came of it in its time.
    fn gave_up(&mut self, running: &Running) {
        let said = Said::Slow { came: running.came, within: running.began.elapsed() };
        self.watch.missed(self.all[running.place], &said);
        self.places[running.place].said = Some(said);
    }
}
