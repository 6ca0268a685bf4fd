//! Things of two plans side by side, and the words for what became of one.
//! May not know what the things are.

use std::collections::BTreeMap;
use std::fmt::Display;

/// One thing under its name, in the old plan and in the new one.
pub(super) type Pair<'t, T> = (&'t str, Option<&'t T>, Option<&'t T>);

/// All things of two lists by their name: those of the new one in its order, then those that are gone.
pub(super) fn pairs<'t, T>(old: &'t [T], new: &'t [T], name: impl Fn(&T) -> &str + Copy) -> Vec<Pair<'t, T>> {
    let find = |list: &'t [T], wanted: &str| list.iter().find(|thing| name(thing) == wanted);
    let there = new.iter().map(|thing| (name(thing), find(old, name(thing)), Some(thing)));
    let gone = old.iter().filter(|thing| find(new, name(thing)).is_none());
    there.chain(gone.map(|thing| (name(thing), Some(thing), None))).collect()
}

/// The same for maps, sorted by key.
pub(super) fn keyed<'t, K: Ord, V>(
    old: &'t BTreeMap<K, V>,
    new: &'t BTreeMap<K, V>,
) -> Vec<(&'t K, Option<&'t V>, Option<&'t V>)> {
    let keys: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter().map(|key| (key, old.get(key), new.get(key))).collect()
}

/// `label old → new`, when they differ.
pub(super) fn arrow<T: Display + PartialEq>(label: &str, old: &T, new: &T) -> Option<String> {
    (old != new).then(|| format!("{label} {old} → {new}"))
}

/// The same of what may not be there, which is called `none`.
pub(super) fn perhaps<T: Display + PartialEq>(
    label: &str,
    old: Option<&T>,
    new: Option<&T>,
    none: &str,
) -> Option<String> {
    let text = |value: Option<&T>| value.map_or_else(|| none.to_owned(), ToString::to_string);
    (old != new).then(|| format!("{label} {} → {}", text(old), text(new)))
}

/// A line for everything in only one of two lists, with a verb for each.
pub(super) fn sets<T: PartialEq>(
    old: &[T],
    new: &[T],
    came: impl Fn(&T) -> String,
    went: impl Fn(&T) -> String,
) -> Vec<String> {
    let more = new.iter().filter(|thing| !old.contains(thing)).map(came);
    let gone = old.iter().filter(|thing| !new.contains(thing)).map(went);
    more.chain(gone).collect()
}

/// The same, and a line of its own when the same things stand in another order.
pub(super) fn lists<T: PartialEq + Display>(label: &str, old: &[T], new: &[T]) -> Vec<String> {
    let words = sets(old, new, |thing| format!("{label} {thing} added"), |thing| format!("{label} {thing} removed"));
    if words.is_empty() && old != new {
        let order: Vec<_> = new.iter().map(ToString::to_string).collect();
        return vec![format!("{label}s in another order: {}", order.join(", "))];
    }
    words
}
