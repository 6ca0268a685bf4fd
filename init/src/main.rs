//! The first boot of an anymetal node: the command map, and nothing else.

mod acquire;
mod facts;
mod failure;
#[cfg(test)]
mod goldens;
mod install;
mod metadata;
mod phase;
mod render;
mod secret;
mod sys;
mod world;

fn main() {}
