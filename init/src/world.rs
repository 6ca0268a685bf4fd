//! Where a boot happens: root, overrides, and what earlier phases have made for later ones.
//! May not do anything: it is what phases are given.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anymetal_contract::plan::Arch;
use anymetal_contract::{Digest, Plan, place};

use crate::acquire;
use crate::facts::Facts;
use crate::install::Prepared;
use crate::jobs;
use crate::ledger::Keeper;
use crate::metadata::Machine;
use crate::outside::Way;
use crate::release::Released;
use crate::secret::Hidden;
use crate::secrets::Secrets;
use crate::services::Doings;
use crate::settle::Verdict;
use crate::siblings::Siblings;
use anymetal_supply::http::Http;
use anymetal_supply::origin::lower;

/// The world a phase works on.
pub(crate) struct World {
    /// Every path of the node lies below this; `/` on a node.
    pub(crate) root: PathBuf,
    pub(crate) arch: Arch,
    pub(crate) overrides: Overrides,
    /// The way out that the environment names; with what the plan adds it is [`World::way`].
    pub(crate) way: Way,
    /// Where the plan is; its place below the root unless the command line says otherwise.
    pub(crate) plan_file: PathBuf,
    /// Whether a release that is older than what the node has run is taken, as somebody said.
    pub(crate) allow_rollback: bool,
    /// Made by `wake`.
    pub(crate) ledger: OnceLock<Keeper>,
    /// Made by `plan`.
    pub(crate) plan: OnceLock<Planned>,
    /// Made by `plan`, before it: the release that pins the plan, unless that is one for tests.
    pub(crate) released: OnceLock<Released>,
    /// When `metadata` first asked in this run.
    pub(crate) metadata_asked: OnceLock<Instant>,
    /// Made by `metadata`.
    pub(crate) machine: OnceLock<Machine>,
    /// Made by `metadata`: this node among its siblings, or that it has none.
    pub(crate) siblings: OnceLock<Option<Siblings>>,
    /// Made by `facts`.
    pub(crate) facts: OnceLock<Facts>,
    /// What `install` has made ready and nobody uses yet; `install::switch` puts it into use.
    pub(crate) prepared: Mutex<Vec<Prepared>>,
    /// Names of components and files that this run changed; `services` restarts what they concern.
    pub(crate) changed: Mutex<BTreeSet<String>>,
    /// What `acquire` has seen so far in this run; it is called again while it waits.
    pub(crate) acquire: Mutex<acquire::Doings>,
    /// What `services` has done so far in this run; it is called again while it waits.
    pub(crate) services: Mutex<Doings>,
    /// What `jobs` has done so far in this run.
    pub(crate) jobs: Mutex<jobs::Doings>,
    /// Filled by `plan` or `metadata`, by the way the plan names; `services` adds what Nomad made.
    secrets: Mutex<Secrets>,
    /// What nobody may read in anything this process says. Shared with the journal.
    pub(crate) hidden: Arc<Hidden>,
    /// Who asks Consul and Nomad, once the CA's certificate is there; see [`crate::api::client`].
    pub(crate) cluster: OnceLock<Http>,
    /// Made by the runner for `settle`.
    pub(crate) verdict: OnceLock<Verdict>,
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

impl Overrides {
    /// What a kernel command line says: words of the form `name=value`, the value perhaps in double quotes, the last one counting.
    pub(crate) fn of(command_line: &str) -> Self {
        let value = |name: &str| {
            let mut values =
                command_line.split_ascii_whitespace().filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            values.next_back().map(|value| value.trim_matches('"').to_owned()).filter(|value| !value.is_empty())
        };
        let url = |name: &str| value(name).map(|url| lower(&url));
        Self { metadata: url(place::ARG_METADATA), origin: url(place::ARG_ORIGIN), report: url(place::ARG_REPORT) }
    }
}

impl World {
    pub(crate) fn new(root: impl Into<PathBuf>, arch: Arch, overrides: Overrides) -> Self {
        let root = root.into();
        Self {
            plan_file: below(&root, Path::new(place::PLAN)),
            root,
            arch,
            overrides,
            way: Way::default(),
            allow_rollback: false,
            ledger: OnceLock::new(),
            plan: OnceLock::new(),
            released: OnceLock::new(),
            metadata_asked: OnceLock::new(),
            machine: OnceLock::new(),
            siblings: OnceLock::new(),
            facts: OnceLock::new(),
            prepared: Mutex::default(),
            changed: Mutex::default(),
            acquire: Mutex::default(),
            services: Mutex::default(),
            jobs: Mutex::default(),
            secrets: Mutex::default(),
            hidden: Arc::default(),
            cluster: OnceLock::new(),
            verdict: OnceLock::new(),
        }
    }

    /// Where a path of the node is: below the root.
    pub(crate) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        below(&self.root, path.as_ref())
    }

    /// Whether this is a node, and not a tree below some folder.
    pub(crate) fn is_node(&self) -> bool {
        self.root == Path::new("/")
    }

    /// The ledger. Nothing starts before `wake` has made it.
    pub(crate) fn ledger(&self) -> &Keeper {
        self.ledger.get().expect("every phase but `wake` needs `wake`")
    }

    /// The plan. The table starts no phase that calls this before `plan` is done.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan.get().expect("every phase that reads the plan needs `plan`").plan
    }

    /// The machine. The table starts no phase that calls this before `metadata` is done.
    pub(crate) fn machine(&self) -> &Machine {
        self.machine.get().expect("every phase that reads the machine needs `metadata`")
    }

    /// What a program says, without the secrets its files hold.
    pub(crate) fn without_secrets(&self, said: &str) -> String {
        self.hidden.hide(said)
    }

    /// The secrets known by now.
    pub(crate) fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes secrets over, and hides them from now on.
    pub(crate) fn learn(&self, secrets: Secrets) {
        self.hidden.add(secrets.all());
        *self.secrets() = secrets;
    }

    /// The facts. The table starts no phase that calls this before `facts` is done.
    pub(crate) fn facts(&self) -> &Facts {
        self.facts.get().expect("every phase that reads facts needs `facts`")
    }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_below_the_root() {
        let world = |root: &str| World::new(root, Arch::X86_64, Overrides::default());
        assert_eq!(world("/").at("/etc/hosts"), Path::new("/etc/hosts"));
        assert_eq!(world("/tmp/x").at("/etc/hosts"), Path::new("/tmp/x/etc/hosts"));
        assert_eq!(world("/tmp/x").plan_file, Path::new("/tmp/x/etc/anymetal/plan.json"));
        assert!(world("/").is_node() && !world("/tmp/x").is_node());
    }

    #[test]
    fn the_kernel_command_line_overrides_by_name() {
        assert_eq!(
            Overrides::of(
                "quiet anymetal.metadata=HTTP://10.0.2.2:8000 anymetal.metadatax=no anymetal.report=\"http://a/b\" \
                 anymetal.origin=http://one anymetal.origin=http://two console=ttyS0\n"
            ),
            Overrides {
                metadata: Some("http://10.0.2.2:8000".into()),
                origin: Some("http://two".into()),
                report: Some("http://a/b".into()),
            }
        );
        assert_eq!(Overrides::of("ro anymetal.metadata= anymetal.origin"), Overrides::default());
    }
}
