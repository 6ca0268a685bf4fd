//! Upstream's archives, opened: the members that are asked for, and why an archive is refused. Both programs open them by this, so that the desk finds what a
//! node would.
//! May not write anything: who asks brings a sink.

#[cfg(test)]
mod hostile;
mod limits;
mod streams;
mod tarball;
mod unpack;
mod zipped;

pub use limits::{RECORD, is_folder, place_of};
pub use unpack::{Sink, unpack, unreadable};
