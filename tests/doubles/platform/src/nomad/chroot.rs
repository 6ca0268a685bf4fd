//! What the driver `exec` finds in its chroot: a program, its user and its loader.
//! May not start anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a chroot holds: paths of the host, each with its place within.
pub struct Chroot<'a> {
    own: &'a Path,
    held: BTreeMap<String, String>,
}

/// What Nomad puts in when it is told nothing.
const STANDARD: &[&str] =
    &["/bin", "/etc", "/lib", "/lib32", "/lib64", "/run/resolvconf", "/sbin", "/usr", "/run/systemd/resolve"];

/// A program found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Within.
    pub inside: PathBuf,
    /// Whether its loader is not there: it cannot run.
    pub no_loader: bool,
}

impl<'a> Chroot<'a> {
    /// Of a task's folder and what `client.chroot_env` says.
    pub fn new(own: &'a Path, said: Option<&BTreeMap<String, String>>) -> Self {
        let standard = || STANDARD.iter().map(|path| ((*path).to_owned(), (*path).to_owned())).collect();
        Self { own, held: said.cloned().unwrap_or_else(standard) }
    }

    /// A command as `exec` looks it up.
    pub fn find(&self, command: &str) -> Result<Found, String> {
        let relative = command.trim_start_matches('/');
        let own = [self.own.join("local").join(relative), self.own.join(relative)];
        if let Some(program) = own.into_iter().find(|place| place.is_file()) {
            let below = program.strip_prefix(self.own).unwrap_or(&program);
            return Ok(self.loaded(&program, Path::new("/").join(below)));
        }
        let inside: Vec<PathBuf> = if command.starts_with('/') {
            vec![command.into()]
        } else {
            ["/usr/local/bin", "/usr/bin", "/bin"].map(|folder| Path::new(folder).join(command)).to_vec()
        };
        let found = inside.into_iter().find_map(|inside| self.outside(&inside).map(|program| (program, inside)));
        let (program, inside) =
            found.ok_or_else(|| format!("file {command} not found under path {}", self.own.display()))?;
        Ok(self.loaded(&program, inside))
    }

    /// Nothing when a user is known within, else what the container says.
    pub fn lacks_user(&self, user: &str) -> Option<String> {
        let file = self.outside(Path::new("/etc/passwd")).and_then(|path| std::fs::read_to_string(path).ok());
        let known = file.unwrap_or_default().lines().any(|line| line.split(':').next() == Some(user));
        (!known).then(|| {
            format!(
                "unable to start container process: unable to setup user: unable to find user {user}: no matching \
                 entries in passwd file"
            )
        })
    }

    /// What it holds: paths of the host, each with its place within.
    pub fn held(&self) -> &BTreeMap<String, String> {
        &self.held
    }

    fn loaded(&self, program: &Path, inside: PathBuf) -> Found {
        let loader = std::fs::read(program).ok().and_then(|bytes| loader(&bytes));
        let there = loader.is_none_or(|loader| self.outside(Path::new(&loader)).is_some());
        Found { inside, no_loader: !there }
    }

    /// Where a file within lies on the host.
    fn outside(&self, inside: &Path) -> Option<PathBuf> {
        let of = |(host, inner): (&String, &String)| {
            let rest = inside.strip_prefix(inner).ok()?;
            Some(if rest.as_os_str().is_empty() { PathBuf::from(host) } else { Path::new(host).join(rest) })
        };
        self.held.iter().filter_map(of).find(|path| path.is_file())
    }
}

/// The loader that a 64-bit little-endian ELF program names; nothing when it needs none.
fn loader(bytes: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3; // elf(5)
    let number = |at: usize, size: usize| -> Option<u64> {
        let field = bytes.get(at..at + size)?;
        Some(field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    };
    let place = |at: usize| number(at, 8).and_then(|number| usize::try_from(number).ok());
    if bytes.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let (table, size, count) =
        (place(0x20)?, usize::try_from(number(0x36, 2)?).ok()?, usize::try_from(number(0x38, 2)?).ok()?);
    let header = (0..count).map(|at| table + at * size).find(|at| number(*at, 4) == Some(PT_INTERP))?;
    let (from, length) = (place(header + 8)?, place(header + 32)?);
    let text = bytes.get(from..from.checked_add(length)?)?;
    Some(String::from_utf8_lossy(text).trim_end_matches('\0').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(host, inside)| ((*host).to_owned(), (*inside).to_owned())).collect()
    }

    #[test]
    fn only_what_was_put_in_is_found() {
        let own = Path::new("/nonexistent");
        let chroot = held(&[("/etc/hostname", "/usr/local/bin/spin")]);
        let chroot = Chroot::new(own, Some(&chroot));
        let found = Found { inside: "/usr/local/bin/spin".into(), no_loader: false };
        assert_eq!(chroot.find("spin"), Ok(found.clone()));
        assert_eq!(chroot.find("/usr/local/bin/spin"), Ok(found));
        assert_eq!(chroot.find("/bin/sh").unwrap_err(), "file /bin/sh not found under path /nonexistent");
        assert!(!Chroot::new(own, None).find("sh").unwrap().no_loader);
    }

    #[test]
    fn a_program_needs_its_loader_and_its_user_within() {
        let own = Path::new("/nonexistent");
        let lonely = held(&[("/bin/sh", "/bin/sh")]);
        let lonely = Chroot::new(own, Some(&lonely));
        assert!(lonely.find("sh").unwrap().no_loader);
        assert!(
            lonely
                .lacks_user("nobody")
                .unwrap()
                .ends_with("unable to find user nobody: no matching entries in passwd file")
        );
        assert_eq!(Chroot::new(own, None).lacks_user("nobody"), None);
        assert!(Chroot::new(own, None).lacks_user("nouser").is_some());
    }
}
