//! `anymetal-init version`: which release this is, and what it can do.
//! May not touch anything.

use std::process::ExitCode;

use super::{Trouble, Version, print};
use crate::abilities;

pub(crate) fn run(typed: Version) -> Result<ExitCode, Trouble> {
    if typed.json {
        let abilities = serde_json::to_string(&abilities::own()).expect("abilities have only text for keys");
        print(&format!("{abilities}\n"))?;
    } else {
        print(concat!("anymetal-init ", env!("CARGO_PKG_VERSION"), "\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
