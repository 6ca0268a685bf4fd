//! Where a boot happens: root, overrides, and what earlier phases have made for later ones.
//! May not do anything: it is what phases are given.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use anymetal_contract::plan::Arch;
use anymetal_contract::{Digest, Plan};

use crate::facts::Facts;
use crate::metadata::Machine;

/// The world a phase works on.
pub(crate) struct World {
    /// Every path of the node lies below this; `/` on a node.
    root: PathBuf,
    pub(crate) arch: Arch,
    pub(crate) overrides: Overrides,
    /// Made by `plan`.
    pub(crate) plan: OnceLock<Planned>,
    /// Made by `metadata`.
    pub(crate) machine: OnceLock<Machine>,
    /// Made by `facts`.
    pub(crate) facts: OnceLock<Facts>,
    /// Names of components (by `install`) and files (by `files`) that this run changed; `services` restarts what they concern.
    pub(crate) changed: Mutex<BTreeSet<String>>,
}

/// What the kernel command line points elsewhere, for tests; see `anymetal_contract::place`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    pub(crate) metadata: Option<String>,
    pub(crate) origin: Option<String>,
    pub(crate) report: Option<String>,
}

/// A plan and the sha256 of its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) digest: Digest,
}

impl World {
    pub(crate) fn new(root: impl Into<PathBuf>, arch: Arch, overrides: Overrides) -> Self {
        Self {
            root: root.into(),
            arch,
            overrides,
            plan: OnceLock::new(),
            machine: OnceLock::new(),
            facts: OnceLock::new(),
            changed: Mutex::default(),
        }
    }

    /// Where a path of the node is: below the root.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The plan. The table starts no phase that calls this before `plan` is done.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan.get().expect("every phase that reads the plan needs `plan`").plan
    }

    /// The machine. The table starts no phase that calls this before `metadata` is done.
    pub(crate) fn machine(&self) -> &Machine {
        self.machine.get().expect("every phase that reads the machine needs `metadata`")
    }

    /// The facts. The table starts no phase that calls this before `facts` is done.
    pub(crate) fn facts(&self) -> &Facts {
        self.facts.get().expect("every phase that reads facts needs `facts`")
    }
}
