//! Side effects: the only rooms that touch files, programs and clocks.

pub mod inits;
pub mod rehearsal;
pub mod write;
pub mod read;
