//! What the builder and the first-boot binary promise each other: documents, names, codes and places.
//! Touches nothing: no I/O, no clock, no dependency but serde.
//!
//! Inputs are closed (an unknown field is an error), outputs are open (a reader of events tolerates what it does not know).

pub mod abilities;
pub mod bundle;
pub mod digest;
pub mod event;
pub mod facts;
pub mod packages;
pub mod phase;
pub mod pins;
pub mod place;
pub mod plan;
pub mod reason;
pub mod release;
pub mod secrets;
pub mod terminal;
pub mod text;

pub use abilities::Abilities;
pub use digest::Digest;
pub use event::{Event, Outcome, Unit};
pub use phase::Phase;
pub use pins::Pins;
pub use plan::Plan;
pub use reason::Reason;
pub use release::Release;
pub use secrets::Secrets;
