//! Sites for nodes without a machine, built as an operator builds them.
//! May not look into what was built: the node does.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anymetal_lab::shipped;

/// A site, its user-data, and the folders its platform serves.
pub struct Site {
    pub user_data: String,
    pub plan: String,
    pub origins: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// The demo's site, with `key: value` lines of the author's own at its end.
    pub fn with(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let demo = fs::read_to_string(shipped::top().join("images/demo/site.yaml")).unwrap();
        let (site, out) = (folder.path().join("site.yaml"), folder.path().join("out"));
        fs::write(&site, format!("{demo}\n{extra}\n")).unwrap();
        let built = Command::new(env!("CARGO_BIN_EXE_anymetal"))
            .args(["build".as_ref(), site.as_os_str(), "-o".as_ref(), out.as_os_str()])
            .args(["--init".as_ref(), shipped::init("x86_64").as_os_str()])
            .args(["--init".as_ref(), shipped::init("aarch64").as_os_str()])
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let said = String::from_utf8(built.stdout).unwrap();
        let plan = said
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("plan sha256:"))
            .expect("the digest comes first")
            .to_owned();
        Self {
            user_data: fs::read_to_string(out.join("user-data")).unwrap(),
            plan,
            origins: vec![out, shipped::artefacts()],
            _folder: folder,
        }
    }

    pub fn demo() -> &'static Self {
        static DEMO: OnceLock<Site> = OnceLock::new();
        DEMO.get_or_init(|| Self::with(""))
    }
}
