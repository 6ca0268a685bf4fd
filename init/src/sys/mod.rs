//! Side effects: the only rooms that touch files, programs, clocks and the network.

pub(crate) mod addresses;
mod clients;
pub(crate) mod clock;
pub(crate) mod clock_step;
pub(crate) mod console;
pub(crate) mod exposition;
pub(crate) mod fs;
pub(crate) mod giving;
pub(crate) mod holder;
pub(crate) mod link;
pub(crate) mod lock;
pub(crate) mod medium;
mod netlink;
pub(crate) mod nftables;
pub(crate) mod owner;
pub(crate) mod process;
pub(crate) mod stream;
pub(crate) mod supervisor;
pub(crate) mod sweep;
pub(crate) mod tree;
