use super::*;

const RULES: fn() -> Guard =
    || Guard { rise: 3, fall: 2, drain: 30, interval: 5, fast_interval: 1, ..Guard::default() };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn bad(everywhere: bool) -> Seen {
    Seen::Bad(Failed { proof: "hippo".into(), why: "it answers 503".into(), everywhere })
}

fn away() -> Seen {
    Seen::Away(Failed { proof: "nomad".into(), why: "it has no leader yet".into(), everywhere: false })
}

fn wishes(drain: bool, maintenance: bool) -> Seen {
    Seen::Wishes(Wishes { drain, maintenance })
}

fn standing(stance: Stance) -> State {
    State { stance, ..State::START }
}

/// Steps through, one second each, and gives back the words of all stances that were taken.
fn course(from: Stance, seen: &[Seen]) -> Vec<String> {
    let mut state = standing(from);
    let mut stances = vec![state.stance.word().to_owned()];
    for (second, seen) in seen.iter().enumerate() {
        let (next, change) = step(&state, &RULES(), seen, at(second as u64));
        assert_eq!(
            change.is_some(),
            next.stance.word() != state.stance.word(),
            "a change untold, or one told without: {change:?}"
        );
        if change.is_some() {
            stances.push(next.stance.word().to_owned());
        }
        state = next;
    }
    stances
}

#[test]
fn rounds_and_wishes_lead_from_stance_to_stance() {
    use Stance::{Announced, Drained, Draining, Last, Maintenance, Withdrawn};
    let (good, bad_here, bad_everywhere) = (|| Seen::Good, || bad(false), || bad(true));
    for (from, seen, stances) in [
        (Withdrawn, vec![good(), good()], "withdrawn"),
        (Withdrawn, vec![good(), good(), good()], "withdrawn announced"),
        (Withdrawn, vec![good(), good(), bad_here(), good(), good()], "withdrawn"),
        (Withdrawn, vec![bad_here(), bad_here(), bad_here()], "withdrawn"),
        (Withdrawn, vec![bad_everywhere(), bad_everywhere(), bad_everywhere()], "withdrawn"),
        (Announced, vec![bad_here(), good(), bad_here(), good()], "announced"),
        (Announced, vec![bad_here(), bad_here()], "announced withdrawn"),
        (Announced, vec![bad_here(), bad_here(), good(), good(), good()], "announced withdrawn announced"),
        (Announced, vec![bad_everywhere(), bad_everywhere()], "announced last"),
        (Announced, vec![bad_everywhere(), bad_here()], "announced withdrawn"),
        (Announced, vec![bad_here(), bad_everywhere()], "announced last"),
        (Last, vec![bad_everywhere(), bad_everywhere(), bad_everywhere()], "last"),
        (Last, vec![bad_here(), bad_everywhere(), bad_here()], "last"),
        (Last, vec![bad_here(), bad_here()], "last withdrawn"),
        (Last, vec![good(), good(), good()], "last announced"),
        (Announced, vec![wishes(true, false), good(), wishes(true, false)], "announced draining"),
        (Last, vec![wishes(true, false)], "last draining"),
        (Announced, vec![wishes(true, false), bad_here(), bad_here()], "announced draining drained"),
        (Announced, vec![wishes(true, false), bad_everywhere(), bad_everywhere()], "announced draining drained"),
        (Announced, vec![wishes(true, false), good(), wishes(false, false)], "announced draining announced"),
        (Announced, vec![wishes(true, false), bad_here(), wishes(false, false)], "announced draining withdrawn"),
        (Drained, vec![good(), good(), good(), good(), wishes(true, false)], "drained"),
        (Drained, vec![good(), good(), wishes(false, false), good(), good()], "drained withdrawn"),
        (Drained, vec![wishes(false, false), good(), good(), good()], "drained withdrawn announced"),
        (Withdrawn, vec![wishes(true, false)], "withdrawn drained"),
        (Announced, vec![wishes(false, true), good(), good(), good()], "announced maintenance"),
        (Draining(at(0)), vec![wishes(true, true)], "draining maintenance"),
        (Maintenance, vec![wishes(true, true), wishes(true, false)], "maintenance drained"),
        (Maintenance, vec![wishes(false, false), good(), good(), good()], "maintenance withdrawn announced"),
        (Announced, vec![wishes(false, false)], "announced"),
    ] {
        assert_eq!(course(from, &seen).join(" "), stances, "from {from:?} by {seen:?}");
    }
}

#[test]
fn a_drain_lasts_as_long_as_the_site_says_and_one_of_nothing_withdraws_at_once() {
    let draining = standing(Stance::Draining(at(100)));
    for (now, stance) in [(129, "draining"), (130, "drained"), (500, "drained")] {
        assert_eq!(step(&draining, &RULES(), &wishes(true, false), at(now)).0.stance.word(), stance, "at {now} s");
    }
    let none = Guard { drain: 0, ..RULES() };
    let (state, _) = step(&standing(Stance::Announced), &none, &wishes(true, false), at(1));
    assert_eq!(state.stance, Stance::Drained);
}

#[test]
fn the_change_names_the_proof_that_decided() {
    let falling = State { bad: 1, ..standing(Stance::Announced) };
    let (_, change) = step(&falling, &RULES(), &bad(false), at(9));
    let why = "hippo has failed twice: it answers 503".to_owned();
    assert_eq!(change, Some(Change { from: Stance::Announced, proof: Some("hippo".into()), why }));
    let (_, change) = step(&falling, &RULES(), &bad(true), at(9));
    assert_eq!(change.unwrap().why, "hippo has failed twice, here as at every other node: it answers 503");
    let rising = State { good: 2, ..State::START };
    let (_, change) = step(&rising, &RULES(), &Seen::Good, at(9));
    assert_eq!(change.unwrap().why, "every proof has held 3 times in a row");
}

#[test]
fn what_is_away_is_waited_for_while_the_rest_serves_and_no_longer_than_the_grace() {
    let rules = Guard { grace: 10, ..RULES() };
    // (second, what is seen), and the stances with the seconds they began.
    let course = |from: Stance, rules: &Guard, seen: &[(u64, Seen)]| {
        let mut state = standing(from);
        let mut stances = Vec::new();
        for (second, seen) in seen {
            let (next, change) = step(&state, rules, seen, at(*second));
            stances.extend(change.map(|change| format!("{second} {}: {}", next.stance.word(), change.why)));
            state = next;
        }
        stances.join("; ")
    };
    let each = |seconds: std::ops::Range<u64>| seconds.map(|second| (second, away())).collect::<Vec<_>>();
    assert_eq!(course(Stance::Announced, &rules, &each(0..10)), "");
    let over = "10 withdrawn: nomad has been away for 10 s: it has no leader yet";
    assert_eq!(course(Stance::Announced, &rules, &each(0..11)), over);
    assert_eq!(course(Stance::Last, &rules, &each(0..11)), over);
    assert_eq!(course(Stance::Draining(at(0)), &rules, &each(0..11)), over.replace("withdrawn", "drained"));
    // Its time begins anew once it was there.
    let again = [each(0..10), vec![(10, Seen::Good)], each(11..21)].concat();
    assert_eq!(course(Stance::Announced, &rules, &again), "");
    // What serves users is judged as ever meanwhile.
    let worse = [each(0..3), vec![(3, bad(false)), (4, bad(false))]].concat();
    assert_eq!(course(Stance::Announced, &rules, &worse), "4 withdrawn: hippo has failed twice: it answers 503");
    // Nobody comes back without it, and with no grace it is a bad round.
    let back = [vec![(0, Seen::Good), (1, Seen::Good), (2, away())], vec![(3, Seen::Good), (4, Seen::Good)]].concat();
    assert_eq!(course(Stance::Withdrawn, &rules, &back), "");
    let none = Guard { grace: 0, ..RULES() };
    assert_eq!(
        course(Stance::Announced, &none, &each(0..2)),
        "1 withdrawn: nomad has failed twice: it has no leader yet"
    );
    let pause = State { away_since: Some(at(1)), ..standing(Stance::Announced) }.pause(&rules);
    assert_eq!(pause, at(1), "it is not looked at closer");
}

#[test]
fn rounds_come_fast_while_they_speak_against_what_is_announced_or_for_what_is_not() {
    for (stance, good, bad, pause) in [
        (Stance::Withdrawn, 0, 0, 5),
        (Stance::Withdrawn, 0, 9, 5),
        (Stance::Withdrawn, 1, 0, 1),
        (Stance::Announced, 9, 0, 5),
        (Stance::Announced, 0, 1, 1),
        (Stance::Last, 0, 0, 5),
        (Stance::Last, 1, 0, 1),
        (Stance::Last, 0, 1, 1),
        (Stance::Draining(at(0)), 0, 1, 1),
        (Stance::Drained, 1, 0, 5),
        (Stance::Maintenance, 0, 1, 5),
    ] {
        assert_eq!(
            State { stance, good, bad, away_since: None }.pause(&RULES()),
            at(pause),
            "{stance:?}, {good} good, {bad} bad"
        );
    }
}

#[test]
fn nothing_but_proofs_ever_announces() {
    // Whatever is seen, in whatever order: announced is reached from withdrawn or last by `rise` good rounds in a row, or from draining.
    let mut random = fastrand::Rng::with_seed(7);
    let (mut state, mut row) = (State::START, 0);
    for second in 0..200_000 {
        let seen = match random.u8(0..9) {
            0..=3 => Seen::Good,
            4 => bad(false),
            5 => bad(true),
            6 => away(),
            _ => wishes(random.bool(), random.u8(0..8) == 0),
        };
        row = match seen {
            Seen::Good => row + 1,
            Seen::Bad(_) | Seen::Away(_) => 0,
            Seen::Wishes(_) => row,
        };
        let (next, change) = step(&state, &RULES(), &seen, at(second));
        if next.stance == Stance::Announced && state.stance != Stance::Announced {
            assert!(
                row >= 3 || matches!(state.stance, Stance::Draining(_)),
                "announced from {state:?} after {row} good rounds"
            );
        }
        if next.stance == Stance::Last && state.stance != Stance::Last {
            assert_eq!(state.stance, Stance::Announced);
        }
        let operator = matches!(next.stance, Stance::Maintenance);
        assert!(!operator || next.stance.holding() == Holding::Nothing);
        assert_eq!(change.is_some(), next.stance != state.stance);
        state = next;
    }
}
