//! What neighbours hear of a node: the rendered bird.conf under a real BIRD, real neighbours, and every message between them.
//! May not look into BIRD or a neighbour: what goes over the cable, and what each says of itself, is all there is. Needs root.
#![expect(clippy::disallowed_methods, reason = "a suite plays the world around the program")]
#![expect(clippy::unwrap_used, reason = "a suite stops where something is not as it should be")]

mod guard;
mod render;
mod sessions;
mod two;
mod watched;
mod world;
