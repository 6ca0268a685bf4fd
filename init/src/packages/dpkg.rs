//! dpkg: what it has installed, which of two versions is newer, and packages given to it.
//! May not use apt or the network, nor choose a package.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anymetal_contract::plan::Arch;

use crate::sys::process::{self, Said};

/// How long a question may take: a cold disk under software emulation.
const QUESTION: Duration = Duration::from_secs(30);
/// How long the packages may take: a slow disk, and scripts that rebuild an initramfs.
const WORK: Duration = Duration::from_mins(10);
/// Names in one question: what is kept of the answer, 64 KiB, holds three times as many lines.
const AT_ONCE: usize = 200;
/// One line a package; dpkg's own words, which come on the same way, have no tabs.
const FORMAT: &str = "-f=${Package}\\t${Architecture}\\t${Version}\\t${db:Status-Status}\\n";

/// The dpkg of a system.
pub(crate) struct Dpkg {
    /// Where the system is, when not at `/`.
    root: Option<PathBuf>,
}

impl Dpkg {
    pub(crate) fn of(root: Option<PathBuf>) -> Self {
        Self { root }
    }

    /// The version of each of these that is installed whole, for this architecture or for all.
    pub(crate) fn installed(&self, names: &[&str], arch: Arch) -> anyhow::Result<BTreeMap<String, String>> {
        let mut installed = BTreeMap::new();
        for names in names.chunks(AT_ONCE) {
            let database = self.root.as_ref().map(|root| prefixed("--admindir=", &root.join("var/lib/dpkg")));
            let question = ["-W", FORMAT, "--"].into_iter().chain(names.iter().copied()).map(OsString::from);
            let arguments: Vec<OsString> = database.into_iter().chain(question).collect();
            // It ends with 1 when it does not know one of them.
            installed.extend(whole(&process::run("dpkg-query", &arguments, QUESTION)?.output, arch));
        }
        Ok(installed)
    }

    /// Whether the first version is the second or a newer one.
    #[expect(clippy::unused_self, reason = "who asks need not know that every dpkg compares alike")]
    pub(crate) fn is_at_least(&self, has: &str, wanted: &str) -> anyhow::Result<bool> {
        Ok(process::run("dpkg", &["--compare-versions", has, "ge", wanted], QUESTION)?.success)
    }

    /// Unpacks all of these, then configures them. Nobody is asked; files that an administrator changed stay.
    pub(crate) fn install(&self, files: &[PathBuf]) -> anyhow::Result<Said> {
        // Its words are looked at, so they are to be English; ldconfig and its like are where a service's PATH may not lead.
        let environment = ["LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"].map(OsString::from);
        let path = prefixed("PATH=", Path::new(&process::search_path()));
        let root = self.root.as_ref().map(|root| prefixed("--root=", root));
        let fixed = ["--force-confdef", "--force-confold", "--install", "--"].map(OsString::from);
        let arguments: Vec<OsString> = environment
            .into_iter()
            .chain([path, "dpkg".into()])
            .chain(root)
            .chain(fixed)
            .chain(files.iter().map(OsString::from))
            .collect();
        process::run("env", &arguments, WORK)
    }
}

/// Whether dpkg, or a package's script, did nothing because somebody else is at work with the same (dpkg's `lib/dpkg/dbmodify.c` and `file.c`;
/// debconf's `Debconf/DbDriver/File.pm`; ldconfig and others say what the kernel says).
pub(crate) fn is_locked(said: &Said) -> bool {
    const WORDS: [&str; 3] =
        ["lock was locked by another process", "is locked by another process", "Resource temporarily unavailable"];
    !said.success && WORDS.iter().any(|words| said.output.contains(words))
}

/// Packages in a listing by [`FORMAT`] that are unpacked and configured; a trigger of another may still wait.
fn whole(listing: &str, arch: Arch) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let [name, built_for, version, status] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
        let whole = matches!(status, "installed" | "triggers-awaited" | "triggers-pending");
        (whole && (built_for == arch.debian() || built_for == "all")).then(|| (name.to_owned(), version.to_owned()))
    };
    listing.lines().filter_map(line).collect()
}

fn prefixed(prefix: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(prefix);
    argument.push(path);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_and_of_this_architecture_is_installed() {
        let listing = "bird2\tamd64\t2.0.12-7\tinstalled\nlibc6\ti386\t2.36-9\tinstalled\ntzdata\tall\t2024a-0\ttriggers-pending\n\
                       dpkg-query: no packages found matching nonsense\nlibx\tamd64\t1\tunpacked\nliby\tamd64\t\tnot-installed\n";
        let found: Vec<_> = whole(listing, Arch::X86_64).into_iter().collect();
        assert_eq!(found, [("bird2".into(), "2.0.12-7".into()), ("tzdata".into(), "2024a-0".into())]);
        assert!(!whole(listing, Arch::Aarch64).contains_key("bird2"));
    }

    #[test]
    fn a_lock_that_another_holds_is_known_by_dpkgs_own_words() {
        let said = |success, output: &str| Said { success, ending: String::new(), output: output.into() };
        let locked = "dpkg: error: dpkg frontend lock was locked by another process with pid 411\nNote: removing the lock file is always wrong";
        assert!(is_locked(&said(false, locked)));
        assert!(!is_locked(&said(false, "dpkg: error processing package x (--install):")));
    }
}
