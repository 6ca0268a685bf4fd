//! The system user of a component, and its home: made once, put right at every run.
//! May not make users itself: systemd-sysusers does, as it does for packages.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::Reason;

use crate::sys::{fs, owner, process};
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// Where homes are.
const HOMES: &str = "/var/lib";
/// How long systemd-sysusers may take; it changes two small files.
const LIMIT: Duration = Duration::from_mins(1);

/// Makes sure that the user and its home are there. Says whether anything had to be done. Below a root that is no node nobody is made.
pub(super) fn ensure(world: &World, user: &str) -> Result<bool, Failure> {
    if !world.is_node() {
        return Ok(false);
    }
    make(user).and_then(|made| Ok(home(world, user)? || made)).because(Reason::HostFault)
}

fn make(user: &str) -> anyhow::Result<bool> {
    if owner::named(&format!("{user}:{user}")).is_ok() {
        return Ok(false);
    }
    // sysusers.d(5): no id is asked for, and no shell is what a `u` line gives.
    let line = format!("u {user} - \"anymetal {user}\" {HOMES}/{user}");
    let said = process::run("systemd-sysusers", &["--inline", &line], LIMIT)?;
    anyhow::ensure!(said.success, "making the user {user}: systemd-sysusers: {}", said.last_lines(5).join("; "));
    Ok(true)
}

fn home(world: &World, user: &str) -> anyhow::Result<bool> {
    let owner = owner::named(&format!("{user}:{user}"))?;
    let home = world.at(Path::new(HOMES).join(user));
    fs::own_folder(&home, owner, 0o700).with_context(|| format!("making the home of {user}"))
}
