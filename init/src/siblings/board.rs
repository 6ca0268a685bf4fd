//! Who has, fetches or wants which blob, as far as is known, and whose turn it is to fetch one from outside.
//! May not ask anybody or read a clock: it is told, and `now` is a value.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anymetal_contract::Digest;
use sha2::Digest as _;

use super::packet::{State, raw};

/// How long after a blob is first asked for siblings may answer before somebody fetches it: three questions and their answers, of which some may be
/// lost or late on a machine that is busy booting.
const WINDOW: Duration = Duration::from_millis(800);
/// What was said longer ago counts no more: a dozen questions went without an answer.
const FRESH: Duration = Duration::from_secs(3);
/// A sibling whose transfer did not move for so long is not waited for.
const STALLED: Duration = Duration::from_secs(10);
/// What siblings may cost in all, over all blobs, whoever promises what and whether he keeps it: time in which nothing else could be done, and time
/// in which one was asked in vain. Then nobody listens to them any more.
const PATIENCE: Duration = Duration::from_mins(2);
/// Two looks at what could be done, no further apart, are one stretch of waiting.
const STRETCH: Duration = Duration::from_millis(500);
/// Siblings that may fail with one blob; then it comes from outside.
const IN_VAIN: u8 = 3;
/// Siblings whose words about one blob are kept.
const MOST: usize = 64;
/// Trouble after which a sibling is not asked any more. Wrong bytes are that at once.
const STRIKES: u8 = 4;
/// Trouble in so short a time is one: several blobs may be asked of a sibling whose boot has just ended, and whose unit only begins to give.
const APART: Duration = Duration::from_secs(1);

/// What to do about a blob now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// These siblings have it.
    From(Vec<Ipv4Addr>),
    /// Nobody has it, and it is this node's to fetch.
    Outside,
    /// Somebody else's, or it is not known yet.
    Wait,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Board {
    me: Ipv4Addr,
    mine: BTreeMap<Digest, Mine>,
    /// How often each was trouble, and when it last counted.
    strikes: BTreeMap<Ipv4Addr, (u8, Instant)>,
    /// What siblings have cost so far.
    spent: Duration,
    /// When it was last waited.
    idle: Option<Instant>,
}

/// A blob this node wants.
#[derive(Debug)]
struct Mine {
    since: Instant,
    state: State,
    /// How often siblings were asked for it in vain, and when that last counted.
    vain: Option<(u8, Instant)>,
    heard: BTreeMap<Ipv4Addr, Heard>,
}

/// What a sibling said last.
#[derive(Debug)]
struct Heard {
    state: State,
    at: Instant,
    /// When it said something new.
    moved: Instant,
}

impl Board {
    pub(super) fn new(me: Ipv4Addr) -> Self {
        Self { me, mine: BTreeMap::new(), strikes: BTreeMap::new(), spent: Duration::ZERO, idle: None }
    }

    /// A blob is wanted from now on. Says whether that is new.
    pub(super) fn want(&mut self, now: Instant, digest: &Digest) -> bool {
        let new = !self.mine.contains_key(digest);
        if new {
            let mine = Mine { since: now, state: State::Wanted, vain: None, heard: BTreeMap::new() };
            self.mine.insert(digest.clone(), mine);
        }
        new
    }

    /// It is coming from outside, or is not any more.
    pub(super) fn set(&mut self, digest: &Digest, state: State) {
        if let Some(mine) = self.mine.get_mut(digest) {
            mine.state = state;
        }
    }

    /// It is here, or is not wanted any more.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.mine.remove(digest);
    }

    /// What this node wants, for a question.
    pub(super) fn wanted(&self) -> Vec<(Digest, State)> {
        self.mine.iter().map(|(digest, mine)| (digest.clone(), mine.state)).collect()
    }

    /// How a blob stands here, when it is wanted.
    pub(super) fn state(&self, digest: &Digest) -> Option<State> {
        self.mine.get(digest).map(|mine| mine.state)
    }

    /// A sibling says this of a blob. Only of what is wanted here is anything kept.
    pub(super) fn hear(&mut self, now: Instant, sibling: Ipv4Addr, digest: &Digest, state: State) {
        let Some(mine) = self.mine.get_mut(digest) else { return };
        if sibling == self.me || (mine.heard.len() >= MOST && !mine.heard.contains_key(&sibling)) {
            return;
        }
        let heard = mine.heard.entry(sibling).or_insert(Heard { state, at: now, moved: now });
        if heard.state != state {
            heard.moved = now;
        }
        (heard.state, heard.at) = (state, now);
    }

    /// A sibling gave no blob when it was asked: wrong bytes, or none. Says whether it is asked again.
    pub(super) fn strike(&mut self, now: Instant, sibling: Ipv4Addr, lied: bool, digest: &Digest) -> bool {
        let known = self.strikes.get(&sibling).copied();
        let strikes = match known {
            _ if lied => (STRIKES, now),
            None => (1, now),
            Some((strikes, since)) if now.saturating_duration_since(since) < APART => (strikes, since),
            Some((strikes, _)) => (strikes.saturating_add(1), now),
        };
        self.strikes.insert(sibling, strikes);
        let again = strikes.0 < STRIKES;
        // It has to say anew that it has the blob.
        if let Some(mine) = self.mine.get_mut(digest) {
            mine.heard.remove(&sibling);
            mine.vain = match mine.vain {
                Some((times, since)) if now.saturating_duration_since(since) < APART => Some((times, since)),
                known => Some((known.map_or(0, |(times, _)| times).saturating_add(1), now)),
            };
        }
        again
    }

    /// Asking siblings took so long, in vain.
    pub(super) fn lost(&mut self, time: Duration) {
        self.spent = self.spent.saturating_add(time);
    }

    /// There is nothing to do but to wait for siblings. Called again and again while that is so, by anybody.
    pub(super) fn waits(&mut self, now: Instant) {
        let before = self.idle.replace(now).map_or(Duration::ZERO, |idle| now.saturating_duration_since(idle));
        if before < STRETCH {
            self.lost(before);
        }
    }

    /// Whether siblings have had all the time they may take.
    pub(super) fn is_worn_out(&self) -> bool {
        self.spent >= PATIENCE
    }

    /// Whose turn it is.
    pub(super) fn turn(&self, now: Instant, digest: &Digest) -> Turn {
        let Some(mine) = self.mine.get(digest).filter(|mine| mine.vain.is_none_or(|(times, _)| times < IN_VAIN)) else {
            return Turn::Outside;
        };
        if self.is_worn_out() {
            return Turn::Outside;
        }
        let trusted = |sibling: &Ipv4Addr| self.strikes.get(sibling).is_none_or(|(strikes, _)| *strikes < STRIKES);
        let fresh = |heard: &Heard| now.saturating_duration_since(heard.at) < FRESH;
        let heard = || mine.heard.iter().filter(|(sibling, heard)| trusted(sibling) && fresh(heard));
        let mut have: Vec<Ipv4Addr> =
            heard().filter(|(_, heard)| heard.state == State::Here).map(|(sibling, _)| *sibling).collect();
        if !have.is_empty() {
            // Each node in an order of its own, so that not all ask the same one.
            have.sort_by_key(|sibling| rank(digest, [*sibling, self.me].as_slice()));
            return Turn::From(have);
        }
        let waited = now.saturating_duration_since(mine.since);
        if waited < WINDOW {
            return Turn::Wait;
        }
        let before_us = heard().any(|(sibling, heard)| match heard.state {
            State::Coming(_) => now.saturating_duration_since(heard.moved) < STALLED,
            State::Wanted => rank(digest, &[*sibling]) < rank(digest, &[self.me]),
            State::Here => false,
        });
        if before_us && waited < PATIENCE { Turn::Wait } else { Turn::Outside }
    }
}

/// A blob's own order of nodes: the first of those that want it fetches it.
fn rank(digest: &Digest, nodes: &[Ipv4Addr]) -> [u8; 32] {
    let mut hash = sha2::Sha256::new();
    hash.update(raw(digest));
    for node in nodes {
        hash.update(node.octets());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    const A: Ipv4Addr = Ipv4Addr::new(10, 70, 17, 11);
    const B: Ipv4Addr = Ipv4Addr::new(10, 70, 17, 12);
    const C: Ipv4Addr = Ipv4Addr::new(10, 70, 17, 13);

    fn blob(seed: u8) -> Digest {
        Digest::of([seed; 32])
    }

    /// A board that wants the blob since `now`, and that much later.
    fn board(now: Instant, digest: &Digest) -> Board {
        let mut board = Board::new(A);
        assert!(board.want(now, digest) && !board.want(now, digest));
        board
    }

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A blob whose fetcher is A when B wants it too, and one whose fetcher is B.
    fn ours_and_theirs() -> (Digest, Digest) {
        let ours = |seed: &u8| rank(&blob(*seed), &[A]) < rank(&blob(*seed), &[B]);
        let find = |whose: bool| blob((0..=255).find(|seed| ours(seed) == whose).unwrap());
        (find(true), find(false))
    }

    #[test]
    fn with_nobody_there_the_window_is_all_that_is_waited() {
        let (now, one) = (clock::monotonic(), blob(1));
        let board = board(now, &one);
        assert_eq!(board.turn(now + ms(799), &one), Turn::Wait);
        assert_eq!(board.turn(now + ms(800), &one), Turn::Outside);
    }

    #[test]
    fn who_has_it_is_asked_at_once_and_only_while_that_is_fresh() {
        let (now, one) = (clock::monotonic(), blob(1));
        let mut board = board(now, &one);
        board.hear(now, B, &one, State::Here);
        board.hear(now, A, &one, State::Here);
        assert_eq!(board.turn(now, &one), Turn::From(vec![B]), "this node itself is no sibling");
        assert_eq!(board.turn(now + FRESH, &one), Turn::Outside);
    }

    #[test]
    fn of_two_that_want_it_one_fetches_and_the_other_waits_and_takes_over_when_that_falls_silent() {
        let (ours, theirs) = ours_and_theirs();
        let now = clock::monotonic();
        let mut mine = board(now, &ours);
        mine.hear(now + ms(500), B, &ours, State::Wanted);
        assert_eq!(mine.turn(now + ms(900), &ours), Turn::Outside);
        let mut other = board(now, &theirs);
        other.hear(now + ms(500), B, &theirs, State::Wanted);
        assert_eq!(other.turn(now + ms(900), &theirs), Turn::Wait);
        other.hear(now + ms(1000), B, &theirs, State::Coming(0));
        assert_eq!(other.turn(now + ms(3999), &theirs), Turn::Wait);
        assert_eq!(other.turn(now + ms(4000), &theirs), Turn::Outside);
    }

    #[test]
    fn who_fetches_already_goes_on_whoever_would_have_been_first() {
        let (ours, _) = ours_and_theirs();
        let now = clock::monotonic();
        let mut board = board(now, &ours);
        board.hear(now + ms(500), B, &ours, State::Coming(5));
        assert_eq!(board.turn(now + ms(900), &ours), Turn::Wait);
    }

    #[test]
    fn a_transfer_that_does_not_move_and_one_that_moves_for_ever_are_not_waited_for() {
        let (now, one) = (clock::monotonic(), blob(1));
        let (mut stalled, mut endless) = (board(now, &one), board(now, &one));
        for second in 0..=120 {
            let at = now + Duration::from_secs(second);
            stalled.hear(at, B, &one, State::Coming(5));
            endless.hear(at, B, &one, State::Coming(second));
            assert_eq!(stalled.turn(at, &one) == Turn::Outside, second >= 10, "after {second} s");
            assert_eq!(endless.turn(at, &one) == Turn::Outside, second >= 120, "after {second} s");
        }
    }

    /// As many addresses as there are, each saying that it has everything: what they cost is bounded for each blob and over all.
    #[test]
    fn thirty_that_give_nothing_cost_three_tries_for_a_blob_and_two_minutes_in_all() {
        let now = clock::monotonic();
        let mut board = Board::new(A);
        let mut spent = Duration::ZERO;
        for seed in 0..=255 {
            board.want(now, &blob(seed));
            let mut tries = 0;
            for last in 11..41 {
                board.hear(now, Ipv4Addr::new(10, 70, 17, last), &blob(seed), State::Here);
            }
            while let Turn::From(them) = board.turn(now, &blob(seed)) {
                // Far enough apart to count each time, and each takes ten seconds to give nothing.
                let at = now + spent;
                board.strike(at, them[0], false, &blob(seed));
                board.lost(ms(10_000));
                spent += ms(10_000);
                tries += 1;
            }
            assert!(tries <= IN_VAIN, "{tries} tries for one blob");
            assert_eq!(board.turn(now, &blob(seed)), Turn::Outside);
        }
        assert_eq!(spent, PATIENCE);
    }

    #[test]
    fn waiting_in_vain_is_counted_once_whoever_waits_and_not_while_there_is_work() {
        let (now, one) = (clock::monotonic(), blob(1));
        let mut board = board(now, &one);
        // Four workers look every 100 ms, for a minute; then they work for an hour; then they wait again.
        for (from, until) in [(0, 60_000), (3_660_000, 3_720_100)] {
            for at in (from..until).step_by(100) {
                for _ in 0..4 {
                    board.waits(now + ms(at));
                }
            }
        }
        assert!(board.spent >= ms(119_000) && board.spent <= PATIENCE, "{:?}", board.spent);
        board.lost(PATIENCE);
        board.hear(now, B, &one, State::Here);
        assert_eq!(board.turn(now, &one), Turn::Outside, "nobody listens to them any more");
    }

    #[test]
    fn who_lies_is_not_asked_again_and_who_fails_for_seconds_is_not() {
        let (now, one) = (clock::monotonic(), blob(1));
        let mut board = board(now, &one);
        let has = |board: &mut Board, sibling, digest: &Digest| board.hear(now, sibling, digest, State::Here);
        has(&mut board, B, &one);
        assert!(!board.strike(now, B, true, &one));
        has(&mut board, B, &one);
        assert_eq!(board.turn(now, &one), Turn::Wait, "a liar counts");
        for (seed, (after, again)) in
            (2..).zip([(0, true), (400, true), (999, true), (1000, true), (2000, true), (3000, false)])
        {
            let another = blob(seed);
            board.want(now, &another);
            has(&mut board, C, &another);
            assert_eq!(board.turn(now, &another), Turn::From(vec![C]), "after {after} ms");
            assert_eq!(board.strike(now + ms(after), C, false, &another), again, "after {after} ms");
        }
        has(&mut board, C, &one);
        assert_eq!(board.turn(now, &one), Turn::Wait);
    }

    #[test]
    fn strangers_blobs_and_too_many_siblings_take_no_memory() {
        let (now, one) = (clock::monotonic(), blob(1));
        let mut board = board(now, &one);
        for last in 0..=255 {
            let sibling = Ipv4Addr::new(10, 70, 18, last);
            board.hear(now, sibling, &one, State::Wanted);
            board.hear(now, sibling, &blob(2), State::Here);
        }
        assert_eq!((board.mine[&one].heard.len(), board.mine.len()), (MOST, 1));
    }

    /// Any number of nodes that hear each other: each blob has one that fetches it.
    #[test]
    fn of_ten_that_want_it_one_fetches() {
        let nodes: Vec<Ipv4Addr> = (1..=10).map(|last| Ipv4Addr::new(10, 70, 17, last)).collect();
        let now = clock::monotonic();
        for seed in 0..50 {
            let fetch = nodes.iter().filter(|me| {
                let mut board = Board::new(**me);
                board.want(now, &blob(seed));
                for other in &nodes {
                    board.hear(now + ms(500), *other, &blob(seed), State::Wanted);
                }
                board.turn(now + ms(900), &blob(seed)) == Turn::Outside
            });
            assert_eq!(fetch.count(), 1, "blob {seed}");
        }
    }
}
