//! What another plan changes for a node, in an operator's words: a line for each change, what matters most first.
//! May not touch a file, and may not show bytes: who wants those has `diff`.

mod components;
mod host;
mod network;
mod pair;
mod settings;
mod touched;

use crate::form::Carried;

/// Every change from `old` to `new`; none when a node would do the very same.
pub fn changes(old: &Carried, new: &Carried) -> Vec<String> {
    let (was, is) = (&old.plan, &new.plan);
    let known: Vec<_> = [
        settings::site(was, is),
        components::components(was, is),
        components::packages(old, new),
        components::inits(old, new),
        host::host(old, new),
        network::network(was, is),
        settings::settings(was, is),
        touched::touched(old, new),
        settings::course(was, is),
    ]
    .into_iter()
    .flatten()
    .collect();
    if known.is_empty() && was != is {
        return vec!["something that has no word of its own: an address, or the order of things".to_owned()];
    }
    known
}

#[cfg(test)]
mod tests;
