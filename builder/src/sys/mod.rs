//! Side effects: the only rooms that touch files, programs and clocks.

pub mod inits;
pub mod read;
pub mod rehearsal;
pub mod write;
