//! Ways of the real Nomad that it has sometimes, and this double when it is told: by `ways.json` in its data folder, there before its first start.
//! May not be anything that the real one was not seen to do.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// How long the real one waits before it asks again: 15 to 30 s (client/client.go, `registerRetryIntv`).
pub const AGAIN: Duration = Duration::from_secs(20);
/// What it says meanwhile, from 1.11 on.
pub const UNSIGNED: &str = "client: error registering: error=\"rpc error: failed to sign node identity claims: keyring has not been initialized yet\"";

/// What it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ways {
    /// At its first start the client asks before the server has keys, and is not registered for [`AGAIN`].
    pub registration_race: bool,
    /// Another node bootstraps the ACL, with the secret that is asked for, a moment before, and the answer says so with this status.
    pub bootstrap_race: Option<u16>,
}

impl Ways {
    /// Those of an agent with this data folder.
    pub fn read(data: &Path) -> Result<Self, String> {
        let path = data.join("ways.json");
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| format!("reading {}: {error}", path.display())),
            Err(_) => Ok(Self::default()),
        }
    }
}
