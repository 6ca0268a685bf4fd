//! The builder of anymetal: from one site to everything its nodes boot from.

// what is printed is made harmless first: `sys::terminal` does
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod boot;
pub mod bundle;
pub mod cache;
pub mod cli;
pub mod component;
pub mod diff;
pub mod form;
pub mod init_binary;
pub mod lock;
pub mod plan;
pub mod provenance;
pub mod release;
#[cfg(test)]
mod sample;
pub mod sbom;
pub mod secrets;
pub mod sign;
pub mod site;
pub mod sources;
pub mod sys;
pub mod template;
pub mod userdata;
pub mod verify;
