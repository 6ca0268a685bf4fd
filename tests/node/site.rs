//! Sites of the suites, built and signed as an operator does, with secrets and a key made for each.
//! May not look into what was built, but for its secrets, which must be nowhere else.
#![allow(dead_code, reason = "each suite uses what it needs")]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anymetal_contract::plan::Arch;
use anymetal_contract::{Pins, Secrets, place};
use anymetal_lab::{cloud_init, shipped};
use serde_json::Value;

/// A site, its user-data, and the folders its platform serves.
pub struct Site {
    pub user_data: String,
    pub plan: String,
    pub origins: Vec<PathBuf>,
    /// What the operator puts into the platform's document about each machine, when the site's secrets travel there.
    pub customdata: Value,
    /// Which of its programs are real, a line each; empty when all are.
    which: String,
    folder: tempfile::TempDir,
}

/// A site with the whole platform, but for its components.
const PLATFORM: &str = "\
version: 1
site: platform
platform: equinix-metal
os: debian-12
architectures: [x86_64]
anycast: {v4: [198.51.100.7/32], v6: [\"2001:db8:198::7/128\"]}
origins: [https://origin.example/anymetal]
reports: [platform]
";

/// What a node does with a release, a plan and a bundle that were tampered with: a script to be run on one that is up.
pub const TAMPERED: &str = include_str!("tampered.sh");
/// What that says.
pub const TAMPERED_TOLD: [&str; 8] = [
    "as it was: yes",
    "another release: yes",
    "no signature: yes",
    "another plan: yes",
    "an older release: yes",
    "from a bundle: yes",
    "another bundle: yes",
    "a damaged bundle: yes",
];

impl Site {
    /// The demo's site, with `key: value` lines of the author's own at its end.
    pub fn with(extra: &str) -> Self {
        let demo = fs::read_to_string(shipped::top().join("images/demo/site.yaml")).unwrap();
        Self::build(&format!("{demo}\n{extra}\n"), &[shipped::artefacts()], &["x86_64", "aarch64"], String::new())
    }

    pub fn demo() -> &'static Self {
        static DEMO: OnceLock<Site> = OnceLock::new();
        DEMO.get_or_init(|| Self::with(""))
    }

    /// A site with all components, doubles or real ones as `make platform` packs them; with lines of the author's own.
    pub fn platform(extra: &str) -> Self {
        Self::platform_with(extra, |components| components)
    }

    /// The same with other words about its components, which stand in site.yaml's form.
    pub fn platform_with(extra: &str, change: impl FnOnce(String) -> String) -> Self {
        let packed = shipped::platform();
        let components = change(fs::read_to_string(packed.join("components.yaml")).unwrap());
        let which = fs::read_to_string(packed.join("components.txt")).unwrap();
        Self::build(&format!("{PLATFORM}{components}\n{extra}\n"), &[packed], &["x86_64"], which)
    }

    fn build(text: &str, artefacts: &[PathBuf], architectures: &[&str], which: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (site, out) = (folder.path().join("site.yaml"), folder.path().join("out"));
        let key = folder.path().join("key");
        let made = anymetal(&["sign".as_ref(), "--new-key".as_ref(), key.as_os_str()]);
        let public = made.trim_end().strip_prefix("key ").expect("the public half is told");
        fs::write(&site, format!("{text}\nsigners: [{public}]\n")).unwrap();
        anymetal(&["secrets".as_ref(), "new".as_ref(), site.as_os_str()]);
        let inits: Vec<PathBuf> = architectures.iter().map(|arch| shipped::init(arch)).collect();
        let mut arguments = vec!["build".as_ref(), site.as_os_str(), "-o".as_ref(), out.as_os_str()];
        arguments.extend(["--sign".as_ref(), key.as_os_str()]);
        arguments.extend(inits.iter().flat_map(|init| ["--init".as_ref(), init.as_os_str()]));
        let said = anymetal(&arguments);
        let plan = said.lines().next().and_then(|line| line.strip_prefix("plan sha256:"));
        Self {
            user_data: fs::read_to_string(out.join("user-data")).unwrap(),
            plan: plan.expect("the digest comes first").to_owned(),
            customdata: fs::read(out.join("customdata.json"))
                .map_or_else(|_| serde_json::json!({}), |bytes| serde_json::from_slice(&bytes).unwrap()),
            origins: [&[out], artefacts].concat(),
            which,
            folder,
        }
    }

    /// Which programs are real and which are doubles.
    pub fn which(&self) -> &str {
        &self.which
    }

    /// Who may push to Bindle, and the password that only the author has: nodes get a hash of it.
    pub fn bindle_account(&self) -> (String, String) {
        let text = fs::read_to_string(self.folder.path().join("secrets.yaml")).unwrap();
        let author: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
        let of = |key: &str| author["bindle"][key].as_str().expect("secrets have an account for Bindle").to_owned();
        (of("user"), of("password"))
    }

    /// The sha256 of the init that its user-data pins for `x86_64`.
    pub fn pin(&self) -> String {
        let files = cloud_init::written(&self.user_data).unwrap();
        let pins = files.iter().find(|file| file.path == place::PINS).expect("something pins init");
        let pins: Pins = std::str::from_utf8(&pins.content).unwrap().parse().unwrap();
        pins.inits[&Arch::X86_64].to_string()
    }

    /// Every secret that its user-data brings, by name.
    pub fn secrets(&self) -> BTreeMap<String, String> {
        let files = cloud_init::written(&self.user_data).unwrap();
        let file = files.iter().find(|file| file.path == place::SECRETS).expect("secrets come in the user-data");
        assert_eq!(file.mode, 0o600, "{} is not for root alone", place::SECRETS);
        let secrets: Secrets = serde_json::from_slice(&file.content).unwrap();
        secrets.values
    }
}

/// Runs the builder, which must succeed; gives what it says on stdout.
fn anymetal(arguments: &[&OsStr]) -> String {
    let ran = Command::new(Path::new(env!("CARGO_BIN_EXE_anymetal"))).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}
