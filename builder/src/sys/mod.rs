//! Side effects: the only rooms that touch files, programs and clocks.

pub mod inits;
pub mod read;
pub mod rehearsal;
pub mod write;
pub mod blobs;
pub mod cache;
pub mod clock;
pub mod interrupt;
pub mod listen;
pub mod machine;
pub mod parts;
pub mod tools;
