//! What BIRD is to announce: which of the anycast protocols of bird.conf are enabled, and the order in which that is changed.
//! May not talk to BIRD.

use std::fmt;

use anyhow::{bail, ensure};

use super::table::Protocol;

/// Disables every anycast protocol there may be, whatever is known of BIRD.
pub(crate) const WITHDRAW: &str = "disable \"anycast*\"";

/// What the anycast protocols of bird.conf are called, but for the way.
const FAMILIES: [&str; 2] = ["anycast4", "anycast6"];

/// The ways to announce, the later before the earlier while both are enabled (preferences 201, 202, 203 in bird.conf).
const WAYS: [Holding; 3] = [Holding::Normal, Holding::Last, Holding::Drain];

/// One state of the announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holding {
    /// Withdrawn.
    Nothing,
    /// Announced as it is.
    Normal,
    /// Announced with the site's community for a lower preference: better than nobody.
    Last,
    /// Announced with the request to go elsewhere (`GRACEFUL_SHUTDOWN`, RFC 8326).
    Drain,
}

impl Holding {
    /// How the name of its protocols ends.
    fn ending(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Normal => Some(""),
            Self::Last => Some("_last"),
            Self::Drain => Some("_drain"),
        }
    }
}

impl fmt::Display for Holding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Normal => "normal",
            Self::Last => "last",
            Self::Drain => "drain",
        })
    }
}

/// What BIRD does announce, as its table of protocols has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// The same in every family there is. `Nothing` also when there is no anycast protocol at all.
    All(Holding),
    /// IPv4 one way and IPv6 another.
    Mixed { v4: Holding, v6: Holding },
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(holding) => write!(f, "{holding}"),
            Self::Mixed { .. } => f.write_str("mixed"),
        }
    }
}

/// What is announced now. Of several enabled ways the later one counts, as in BIRD.
pub(crate) fn actual(protocols: &[Protocol]) -> Held {
    let mut found = FAMILIES.map(|family| {
        let there = WAYS.iter().any(|way| find(protocols, family, *way).is_some());
        let enabled = |way: &Holding| find(protocols, family, *way).is_some_and(is_enabled);
        there.then(|| WAYS.into_iter().rfind(enabled).unwrap_or(Holding::Nothing))
    });
    found.sort_by_key(Option::is_none);
    match found {
        [Some(one), Some(other)] if one != other => Held::Mixed { v4: one, v6: other },
        [Some(one), _] => Held::All(one),
        [None, _] => Held::All(Holding::Nothing),
    }
}

/// The commands that lead to `wanted`, none when it is so already. What is wanted is enabled before the rest is disabled, so a neighbour
/// sees one update and never a withdrawal in between.
pub(crate) fn commands(wanted: Holding, protocols: &[Protocol]) -> anyhow::Result<Vec<String>> {
    let mut enables = Vec::new();
    let mut disables = Vec::new();
    for family in FAMILIES {
        let ways: Vec<_> = WAYS.into_iter().filter_map(|way| Some((way, find(protocols, family, way)?))).collect();
        if let Some(ending) = wanted.ending()
            && !ways.is_empty()
        {
            let is_there = ways.iter().any(|(way, _)| *way == wanted);
            ensure!(is_there, "bird has no protocol {family}{ending}: its configuration knows no way \"{wanted}\"");
        }
        for (way, protocol) in ways {
            // One that is being flushed may be either enabled or disabled; a command too many is harmless.
            if way == wanted && !protocol.up {
                enables.push(format!("enable {}", protocol.name));
            } else if way != wanted && is_enabled(protocol) {
                disables.push(format!("disable {}", protocol.name));
            }
        }
    }
    let none = !FAMILIES.iter().any(|family| WAYS.iter().any(|way| find(protocols, family, *way).is_some()));
    if none && wanted != Holding::Nothing {
        bail!("bird has no anycast protocol: its configuration is not the one of this node, or the site has no prefix");
    }
    enables.append(&mut disables);
    Ok(enables)
}

/// Those that `wanted` needs and that are not up, by name.
pub(crate) fn lacking(wanted: Holding, protocols: &[Protocol]) -> Vec<&str> {
    let needed = FAMILIES.iter().filter_map(|family| find(protocols, family, wanted));
    needed.filter(|protocol| !protocol.up).map(|protocol| protocol.name.as_str()).collect()
}

fn find<'a>(protocols: &'a [Protocol], family: &str, way: Holding) -> Option<&'a Protocol> {
    let ending = way.ending()?;
    protocols.iter().find(|protocol| protocol.name.strip_prefix(family) == Some(ending))
}

fn is_enabled(protocol: &Protocol) -> bool {
    protocol.state != "down"
}

#[cfg(test)]
mod tests {
    use super::Holding::{Drain, Last, Normal, Nothing};
    use super::*;

    const STATES: [Holding; 4] = [Nothing, Normal, Last, Drain];

    /// A table of these protocols; one with a mark before its name is not down: `+` up, `~` flush.
    fn table(names: &str) -> Vec<Protocol> {
        let one = |name: &str| {
            let state = match name.as_bytes()[0] {
                b'+' => "up",
                b'~' => "flush",
                _ => "down",
            };
            let name = name.trim_start_matches(['+', '~']).to_owned();
            Protocol { name, kind: "Static".into(), up: state == "up", state: state.into(), info: String::new() }
        };
        names.split_whitespace().map(one).collect()
    }

    /// The protocols of these families, those of `held` up.
    fn holding(families: &[&str], held: Holding) -> Vec<Protocol> {
        let names = families.iter().flat_map(|family| {
            WAYS.map(|way| format!("{}{family}{}", if way == held { "+" } else { "" }, way.ending().unwrap()))
        });
        table(&names.collect::<Vec<_>>().join(" "))
    }

    fn told(wanted: Holding, protocols: &[Protocol]) -> String {
        commands(wanted, protocols).map_or_else(|error| error.to_string(), |commands| commands.join("; "))
    }

    #[test]
    fn every_way_to_every_other_enables_first_and_disables_then() {
        for families in [&FAMILIES[..], &["anycast4"], &["anycast6"]] {
            for from in STATES {
                for to in STATES {
                    let table = holding(families, from);
                    let all = |verb: &str, way: Holding| {
                        let ending = way.ending().filter(|_| from != to)?;
                        Some(families.iter().map(|family| format!("{verb} {family}{ending}")).collect::<Vec<_>>())
                    };
                    let expected: Vec<_> =
                        [all("enable", to), all("disable", from)].into_iter().flatten().flatten().collect();
                    assert_eq!(commands(to, &table).unwrap(), expected, "{families:?} from {from} to {to}");
                    assert_eq!(actual(&table), Held::All(from), "{families:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_half_done_is_completed() {
        for (wanted, names, expected) in [
            (Normal, "+anycast4 anycast4_drain anycast6 +anycast6_drain", "enable anycast6; disable anycast6_drain"),
            (Normal, "+anycast4 +anycast4_last +anycast4_drain", "disable anycast4_last; disable anycast4_drain"),
            (Nothing, "+anycast4 +anycast4_drain anycast6", "disable anycast4; disable anycast4_drain"),
            (Normal, "~anycast4 anycast4_drain", "enable anycast4"),
            (Nothing, "~anycast4 anycast4_drain", "disable anycast4"),
            (Nothing, "+neighbours4 +edge", ""),
            (Drain, "anycast4 anycast4_drain +anycast40 +anycast4_last_one", "enable anycast4_drain"),
        ] {
            assert_eq!(told(wanted, &table(names)), expected, "{wanted} of {names}");
        }
    }

    #[test]
    fn a_way_that_bird_does_not_know_is_an_error_before_anything_is_done() {
        let told_last = told(Last, &table("+anycast4 anycast4_drain +anycast6 anycast6_last"));
        assert_eq!(told_last, "bird has no protocol anycast4_last: its configuration knows no way \"last\"");
        let told_of_none = told(Normal, &table("+device1"));
        assert!(told_of_none.starts_with("bird has no anycast protocol: "), "{told_of_none}");
    }

    #[test]
    fn the_later_of_two_enabled_ways_counts_and_families_that_differ_are_told_as_such() {
        for (names, expected) in [
            ("+anycast4 +anycast4_drain anycast6 +anycast6_drain", Held::All(Drain)),
            ("+anycast4 anycast6", Held::Mixed { v4: Normal, v6: Nothing }),
            ("anycast4 +anycast6_last +anycast6", Held::Mixed { v4: Nothing, v6: Last }),
            ("+anycast6", Held::All(Normal)),
            ("+device1", Held::All(Nothing)),
        ] {
            assert_eq!(actual(&table(names)), expected, "{names}");
        }
        assert_eq!(lacking(Drain, &table("anycast4 +anycast4_drain ~anycast6_drain")), ["anycast6_drain"]);
    }
}
