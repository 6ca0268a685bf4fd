//! What has to be installed for some packages to be installed, and in which order.
//! May not know what a version or a relation is: it sees who answers whose need.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};

use super::pool::{Need, Node, Place};

/// Packages and what they need, by their place.
pub type Nodes = BTreeMap<Place, Node>;

/// The packages to install over what is given, the roots among them. Every need is answered: by what is given where it can be, else by whom
/// somebody else needs anyway, else by the first that can be installed.
pub fn solve(given: &Nodes, reached: &Nodes, roots: &BTreeSet<Place>) -> Result<BTreeSet<Place>> {
    let broken = broken(given, reached);
    let roots: BTreeSet<Place> = roots.iter().copied().filter(|root| !given.contains_key(root)).collect();
    let why: Vec<String> =
        roots.iter().filter(|root| broken.contains_key(root)).map(|root| why(*root, reached, &broken)).collect();
    ensure!(why.is_empty(), "{}", why.join("\n"));
    let mut chosen = roots;
    // Who is the only one to answer a need comes before any choice, so that a choice sees all who are there anyway.
    while let Some(next) =
        only_answer(given, reached, &broken, &chosen).or_else(|| first_answer(given, reached, &broken, &chosen))
    {
        chosen.insert(next);
    }
    apart(given, reached, &chosen)?;
    Ok(chosen)
}

/// Who cannot be installed, and for which of its needs: one that nobody answers, or only others who are broken.
fn broken<'a>(given: &Nodes, reached: &'a Nodes) -> BTreeMap<Place, &'a Need> {
    let mut broken = BTreeMap::new();
    loop {
        let before = broken.len();
        for (place, node) in reached.iter().filter(|(_, node)| !node.needs.is_empty()) {
            let answered = |need: &&Need| need.by.iter().any(|by| given.contains_key(by) || !broken.contains_key(by));
            if broken.contains_key(place) {
                continue;
            }
            if let Some(need) = node.needs.iter().find(|need| !answered(need)) {
                broken.insert(*place, need);
            }
        }
        if broken.len() == before {
            return broken;
        }
    }
}

/// The chain from a package to a need that nobody answers. It ends, as whoever is broken was found so after those it needs.
fn why(root: Place, reached: &Nodes, broken: &BTreeMap<Place, &Need>) -> String {
    let mut chain = Vec::new();
    let (mut place, mut need) = (root, broken[&root]);
    loop {
        chain.push(format!("{} needs {}", reached[&place].title, need.text));
        let Some(by) = need.by.first() else { break };
        (place, need) = (*by, broken[by]);
    }
    let end = match need.instead.as_slice() {
        [] => ", which the archive does not have".to_owned(),
        instead => format!(", and the archive has {}", instead.join(", ")),
    };
    chain.join("; ") + &end
}

/// Needs of those chosen that neither what is given nor they themselves answer, each with those who can.
fn unanswered<'a>(
    given: &'a Nodes,
    reached: &'a Nodes,
    broken: &'a BTreeMap<Place, &Need>,
    chosen: &'a BTreeSet<Place>,
) -> impl Iterator<Item = Vec<Place>> + 'a {
    let answered = |by: &Place| given.contains_key(by) || chosen.contains(by);
    let needs = chosen.iter().flat_map(|place| &reached[place].needs);
    needs
        .filter(move |need| !need.by.iter().any(answered))
        .map(|need| need.by.iter().copied().filter(|by| !broken.contains_key(by)).collect())
}

fn only_answer(
    given: &Nodes,
    reached: &Nodes,
    broken: &BTreeMap<Place, &Need>,
    chosen: &BTreeSet<Place>,
) -> Option<Place> {
    unanswered(given, reached, broken, chosen).find(|by| by.len() == 1).map(|by| by[0])
}

/// The first that clashes with nobody who is there; when all do, the first, and the clash is told.
fn first_answer(
    given: &Nodes,
    reached: &Nodes,
    broken: &BTreeMap<Place, &Need>,
    chosen: &BTreeSet<Place>,
) -> Option<Place> {
    let by = unanswered(given, reached, broken, chosen).next()?;
    let free = |place: &Place| {
        let here = |other: &Place| given.contains_key(other) || chosen.contains(other);
        let there = given.iter().chain(chosen.iter().map(|place| (place, &reached[place])));
        !reached[place].against.iter().any(|(other, _)| here(other))
            && !there.into_iter().any(|(_, node)| node.against.iter().any(|(other, _)| other == place))
    };
    by.iter().copied().find(free).or_else(|| by.first().copied())
}

/// Whether all of them can be there at once.
fn apart(given: &Nodes, reached: &Nodes, chosen: &BTreeSet<Place>) -> Result<()> {
    let title = |place: &Place| reached.get(place).or_else(|| given.get(place)).map(|node| node.title.as_str());
    let here = |place: &Place| given.contains_key(place) || chosen.contains(place);
    let new = chosen.iter().map(|place| (place, &reached[place]));
    for (place, node) in given.iter().chain(new) {
        for (other, word) in node.against.iter().filter(|(other, _)| here(other)) {
            let both_given = given.contains_key(place) && given.contains_key(other);
            if let (false, Some(other)) = (both_given, title(other)) {
                bail!("{} cannot be installed together with {other}: it says `{word}`", node.title);
            }
        }
    }
    Ok(())
}

/// Those chosen, whoever is needed before whoever needs it; in a circle, whoever must be unpacked first before the others; else by name.
///
/// Whoever needs another reaches all that the other reaches, and itself: so it reaches more, but in a circle, where all reach the same.
pub fn ordered(given: &Nodes, reached: &Nodes, chosen: &BTreeSet<Place>) -> Result<Vec<Place>> {
    let edges = |first_only: bool| -> BTreeMap<Place, BTreeSet<Place>> {
        let answers = |need: &Need| {
            let is_given = need.by.iter().any(|by| given.contains_key(by));
            need.by.iter().copied().find(|by| !is_given && chosen.contains(by))
        };
        let of = |place: Place| {
            reached[&place].needs.iter().filter(|need| need.first || !first_only).filter_map(answers).collect()
        };
        chosen.iter().map(|place| (*place, of(*place))).collect()
    };
    let (all, first) = (closed(&edges(false)), closed(&edges(true)));
    if let Some((place, _)) = first.iter().find(|(place, behind)| behind.contains(place)) {
        bail!("{} cannot be unpacked before it is unpacked itself, in a circle of Pre-Depends", reached[place].title);
    }
    let mut order: Vec<Place> = chosen.iter().copied().collect();
    order.sort_by_cached_key(|place| {
        let behind = &all[place];
        let circle = behind.iter().copied().filter(|other| all[other].contains(place)).min().unwrap_or(*place);
        let size = behind.len() + usize::from(!behind.contains(place));
        (size, circle.min(*place), first[place].len(), *place)
    });
    Ok(order)
}

/// Whom each reaches by one step or more.
fn closed(edges: &BTreeMap<Place, BTreeSet<Place>>) -> BTreeMap<Place, BTreeSet<Place>> {
    let reach = |from: &Place| {
        let mut behind = BTreeSet::new();
        let mut open: Vec<Place> = edges[from].iter().copied().collect();
        while let Some(place) = open.pop() {
            if behind.insert(place) {
                open.extend(&edges[&place]);
            }
        }
        behind
    };
    edges.keys().map(|from| (*from, reach(from))).collect()
}
