//! The neighbours of a machine as a document names them one after the other: each address once, and not without end.
//! May not know how a platform writes them.

use std::fmt::Display;

use super::findings::Findings;
use super::machine::Neighbour;

/// So many neighbours a machine may have; real ones have one to four. Beyond it is no machine, and comparing each with each would take
/// for ever.
pub(super) const MOST: usize = 64;

/// The neighbours so far.
#[derive(Default)]
pub(super) struct Sessions {
    neighbours: Vec<Neighbour>,
    beyond: bool,
}

impl Sessions {
    /// Takes one up; one that is there already must say the same.
    pub(super) fn add(&mut self, at: impl Display, neighbour: Neighbour, findings: &mut Findings) {
        // A link-local address may be another machine's on every link.
        let same = |other: &&Neighbour| (other.address, &other.interface) == (neighbour.address, &neighbour.interface);
        match self.neighbours.iter().find(same) {
            Some(same) if *same == neighbour => {
                findings.warn(at, format_args!("names {} a second time", neighbour.address));
            }
            Some(_) => {
                findings.problem(at, format_args!("contradicts an earlier session with {}", neighbour.address));
            }
            None if self.neighbours.len() < MOST => self.neighbours.push(neighbour),
            None if self.beyond => {}
            None => {
                self.beyond = true;
                findings.problem(at, format_args!("is one too many: a machine has at most {MOST} neighbours"));
            }
        }
    }

    /// All of them, in their order.
    pub(super) fn all(self) -> Vec<Neighbour> {
        self.neighbours
    }
}
