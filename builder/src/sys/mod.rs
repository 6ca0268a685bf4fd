//! Side effects: the only rooms that touch files, programs, clocks and the network.

pub mod archive;
pub mod blobs;
pub mod bundle;
pub mod cache;
pub mod carried;
pub mod clock;
pub mod converse;
pub mod inits;
pub mod interrupt;
pub mod judges;
pub mod listen;
pub mod machine;
pub mod outside;
pub mod parts;
pub mod password;
pub mod private;
pub mod random;
pub mod read;
pub mod rehearsal;
pub mod stage;
pub mod terminal;
pub mod tools;
pub mod upstreams;
pub mod write;
