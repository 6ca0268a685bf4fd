//! Side effects: the only rooms that touch files, programs, clocks and the network.

pub mod archive;
pub mod blobs;
pub mod cache;
pub mod clock;
pub mod converse;
pub mod inits;
pub mod interrupt;
pub mod listen;
pub mod machine;
pub mod parts;
pub mod private;
pub mod random;
pub mod read;
pub mod rehearsal;
pub mod tools;
pub mod upstreams;
pub mod write;
