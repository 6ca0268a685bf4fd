//! Side effects: the only rooms that touch files, programs, clocks and the network.

pub(crate) mod clock_step;
pub(crate) mod http;
