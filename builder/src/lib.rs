//! The builder of anymetal: from one site to everything its nodes boot from.

pub mod boot;
pub mod cli;
pub mod component;
pub mod init_binary;
pub mod lock;
pub mod plan;
#[cfg(test)]
mod sample;
pub mod secrets;
pub mod site;
pub mod sources;
pub mod sys;
pub mod template;
pub mod userdata;
