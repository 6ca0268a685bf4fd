//! Where the guard stands, and what changes that: (state, observation, now) → (state, change). The whole of the decision.
//! May not look at anything: no clock, no socket, no file.

use std::time::Duration;

use anymetal_contract::plan::Guard;

use crate::bird::Holding;

/// Where the guard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stance {
    /// Not announced: not yet proven, or proven wrong.
    Withdrawn,
    /// Announced.
    Announced,
    /// Announced with the lower preference, because what fails here fails at every node.
    Last,
    /// Announced with the request to go elsewhere, since then.
    Draining(Duration),
    /// Not announced, by the operator's wish.
    Drained,
    /// Not announced, as long as the operator's file is there.
    Maintenance,
}

impl Stance {
    /// What BIRD is to hold.
    pub(crate) const fn holding(self) -> Holding {
        match self {
            Self::Announced => Holding::Normal,
            Self::Last => Holding::Last,
            Self::Draining(_) => Holding::Drain,
            Self::Withdrawn | Self::Drained | Self::Maintenance => Holding::Nothing,
        }
    }

    /// Whether the prefixes are announced, in whatever way.
    pub(crate) fn is_announced(self) -> bool {
        self.holding() != Holding::Nothing
    }

    /// All words of [`Self::word`].
    pub(crate) const WORDS: [&str; 6] = ["withdrawn", "announced", "last", "draining", "drained", "maintenance"];

    /// The word in documents and metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::Announced => "announced",
            Self::Last => "last",
            Self::Draining(_) => "draining",
            Self::Drained => "drained",
            Self::Maintenance => "maintenance",
        }
    }
}

/// The state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) stance: Stance,
    /// Rounds in a row that were good, and that were bad.
    pub(crate) good: u32,
    pub(crate) bad: u32,
    /// Since when something has been away that may be, while it was announced.
    pub(crate) away_since: Option<Duration>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Every proof held.
    Good,
    /// This proof did not.
    Bad(Failed),
    /// This one did not because its program is away, and every other held: users of applications are served.
    Away(Failed),
    /// What the operator wishes now, and that time has passed.
    Wishes(Wishes),
}

/// A proof that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) proof: String,
    /// In one sentence.
    pub(crate) why: String,
    /// It fails at every other node of the quorum too, so it is no fault of this one.
    pub(crate) everywhere: bool,
}

/// What the operator wishes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) drain: bool,
    pub(crate) maintenance: bool,
}

/// The stance has become another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: Stance,
    /// The proof that decided, when one did.
    pub(crate) proof: Option<String>,
    /// In one sentence.
    pub(crate) why: String,
}

impl State {
    /// Every guard starts withdrawn.
    pub(crate) const START: Self = Self { stance: Stance::Withdrawn, good: 0, bad: 0, away_since: None };

    /// What another guard had proven until a moment ago is taken over, announced as it is.
    pub(crate) const TAKEN_OVER: Self = Self { stance: Stance::Announced, ..Self::START };

    /// Whether something speaks against what is announced.
    pub(crate) fn is_falling(&self) -> bool {
        self.stance.is_announced() && self.bad > 0
    }

    /// How long from the beginning of one round of proofs to the next.
    pub(crate) fn pause(&self, rules: &Guard) -> Duration {
        let changing = match self.stance {
            Stance::Withdrawn => self.good > 0,
            Stance::Announced | Stance::Draining(_) => self.bad > 0 || self.away_since.is_some(),
            Stance::Last => self.good > 0 || self.bad > 0 || self.away_since.is_some(),
            Stance::Drained | Stance::Maintenance => false,
        };
        Duration::from_secs(u64::from(if changing { rules.fast_interval } else { rules.interval }))
    }
}

/// The state after what was seen at `now`, and the change, when there is one.
pub(crate) fn step(state: &State, rules: &Guard, seen: &Seen, now: Duration) -> (State, Option<Change>) {
    match seen {
        Seen::Good => good(state, rules),
        Seen::Bad(failed) => bad(state, rules, failed),
        Seen::Away(failed) => away(state, rules, failed, now),
        Seen::Wishes(wishes) => wished(state, rules, *wishes, now),
    }
}

fn good(state: &State, rules: &Guard) -> (State, Option<Change>) {
    let counted = State { good: state.good.saturating_add(1), bad: 0, away_since: None, ..state.clone() };
    if !matches!(state.stance, Stance::Withdrawn | Stance::Last) || counted.good < rules.rise {
        return (counted, None);
    }
    let why = format!("every proof has held {}", times(rules.rise));
    become_of(&counted, Stance::Announced, None, why)
}

fn bad(state: &State, rules: &Guard, failed: &Failed) -> (State, Option<Change>) {
    let Failed { proof, why, everywhere } = failed;
    if state.stance == Stance::Last && *everywhere {
        return (State { good: 0, bad: 0, away_since: None, ..state.clone() }, None);
    }
    let counted = State { good: 0, bad: state.bad.saturating_add(1), ..state.clone() };
    if !state.stance.is_announced() || counted.bad < rules.fall {
        return (counted, None);
    }
    let to = match state.stance {
        Stance::Announced if *everywhere => Stance::Last,
        stance => fallen(stance),
    };
    let note = if *everywhere { ", here as at every other node" } else { "" };
    let why = format!("{proof} has failed {}{note}: {why}", times(rules.fall));
    become_of(&counted, to, Some(proof.clone()), why)
}

/// A program that may be away for the site's grace is no bad round until then, and where nothing is announced it is.
fn away(state: &State, rules: &Guard, failed: &Failed, now: Duration) -> (State, Option<Change>) {
    if !state.stance.is_announced() || rules.grace == 0 {
        return bad(state, rules, failed);
    }
    let since = state.away_since.unwrap_or(now);
    let counted = State { good: 0, bad: 0, away_since: Some(since), ..state.clone() };
    if now.saturating_sub(since) < Duration::from_secs(u64::from(rules.grace)) {
        return (counted, None);
    }
    let Failed { proof, why, .. } = failed;
    let why = format!("{proof} has been away for {} s: {why}", rules.grace);
    become_of(&counted, fallen(state.stance), Some(proof.clone()), why)
}

/// The stance after one that was announced, when this node does not serve.
const fn fallen(stance: Stance) -> Stance {
    if matches!(stance, Stance::Draining(_)) { Stance::Drained } else { Stance::Withdrawn }
}

fn wished(state: &State, rules: &Guard, wishes: Wishes, now: Duration) -> (State, Option<Change>) {
    let drain = Duration::from_secs(u64::from(rules.drain));
    let (to, why) = match (state.stance, wishes) {
        (Stance::Maintenance, Wishes { maintenance: true, .. }) => return (state.clone(), None),
        (_, Wishes { maintenance: true, .. }) => (Stance::Maintenance, "the maintenance file is there".to_owned()),
        (Stance::Maintenance, Wishes { drain: true, .. }) => (Stance::Drained, "drained by the operator".to_owned()),
        (Stance::Maintenance, _) => (Stance::Withdrawn, "the maintenance file is gone; to be proven again".to_owned()),
        (Stance::Announced | Stance::Last, Wishes { drain: true, .. }) if !drain.is_zero() => {
            let seconds = rules.drain;
            (
                Stance::Draining(now),
                format!("drained by the operator: the network is asked to go elsewhere for {seconds} s"),
            )
        }
        (Stance::Draining(since), Wishes { drain: true, .. }) => {
            if now.saturating_sub(since) < drain {
                return (state.clone(), None);
            }
            (Stance::Drained, "drained by the operator".to_owned())
        }
        (Stance::Drained, Wishes { drain: true, .. }) => return (state.clone(), None),
        (_, Wishes { drain: true, .. }) => (Stance::Drained, "drained by the operator".to_owned()),
        // The proofs have gone on, so what they say is known.
        (Stance::Draining(_), _) if state.bad == 0 => (Stance::Announced, "undrained by the operator".to_owned()),
        (Stance::Draining(_) | Stance::Drained, _) => {
            (Stance::Withdrawn, "undrained by the operator; to be proven again".to_owned())
        }
        (Stance::Withdrawn | Stance::Announced | Stance::Last, _) => return (state.clone(), None),
    };
    become_of(state, to, None, why)
}

/// Counting begins anew with every stance, so that nobody comes back on the strength of rounds from before.
fn become_of(state: &State, to: Stance, proof: Option<String>, why: String) -> (State, Option<Change>) {
    (State { stance: to, ..State::START }, Some(Change { from: state.stance, proof, why }))
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times in a row"),
    }
}

#[cfg(test)]
mod tests;
