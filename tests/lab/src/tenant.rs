//! What a hostile tenant tries wherever it runs, and how it went.
//! May not run it.

use std::collections::BTreeMap;

/// Ports of services, which may be free for a moment: nobody takes them meanwhile.
pub const PORTS: &[&str] = &[
    "bind=0.0.0.0:80",
    "bind=0.0.0.0:443",
    "bind=[::]:179",
    "bind=127.0.0.1:3030",
    "bind=127.0.0.1:4646",
    "bind=127.0.0.1:5309",
    "bind=127.0.0.1:8081",
    "bind=127.0.0.1:8500",
    "bind=127.0.0.1:8501",
    "bind=127.0.0.1:9469",
    "bind=127.0.0.1:19999",
];

/// Files of the host's, some of which everybody there may read.
pub const FILES: &[&str] = &[
    "read=/etc/anymetal/secrets.json",
    "read=/etc/anymetal/nomad/nomad.json",
    "read=/etc/shadow",
    "read=/etc/machine-id",
    "list=/usr/bin",
    "list=/var/lib/nomad",
    "list=/root",
    "write=/etc/passwd",
    "write=/etc/hosts",
];

/// Everything else, each a group of attempts; the last makes namespaces, and what follows it would be within.
pub const TRICKS: &[&str] = &["become-root", "kernel", "others", "cgroup", "raw", "namespace"];

/// How each attempt went.
pub struct Heard {
    attempts: BTreeMap<String, String>,
    log: String,
}

impl Heard {
    /// Reads what the tenant has said: a line for each attempt.
    pub fn of(log: &str) -> Self {
        let attempt = |line: &str| {
            let at = line.rfind(": refused").or_else(|| line.rfind(": done"))?;
            Some((line[..at].to_owned(), line[at + 2..].to_owned()))
        };
        Self { attempts: log.lines().filter_map(attempt).collect(), log: log.to_owned() }
    }

    fn got(&self, attempt: &str) -> bool {
        let how = self.attempts.get(attempt).unwrap_or_else(|| panic!("{attempt} was not tried:\n{}", self.log));
        how.starts_with("done")
    }

    /// Asserts that each of these attempts went so.
    pub fn all<'a>(&self, attempts: impl IntoIterator<Item = &'a str>, got: bool) {
        let wrong: Vec<_> = attempts.into_iter().filter(|attempt| self.got(attempt) != got).collect();
        assert!(wrong.is_empty(), "{wrong:?} {} be had:\n{}", if got { "could not" } else { "could" }, self.log);
    }

    /// What the kernel says of the task: `CapEff`.
    pub fn field(&self, name: &str) -> &str {
        let line = self.log.lines().find_map(|line| line.strip_prefix("self: ")?.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {name} in\n{}", self.log)).trim()
    }

    /// How many attempts there were.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks that")]
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Asserts that the task ran as nobody, without a capability, and could not have come by one.
    pub fn is_nobody_with_nothing(&self) {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(self.field(set), "0000000000000000", "{}", self.log);
        }
        assert_eq!(self.field("Uid"), "65534 65534 65534 65534");
    }

    /// Asserts that of all attempts but these, which are judged elsewhere, none worked, and that there were enough of them.
    pub fn no_trick_worked(&self, but: &[&str]) {
        // Nomad leaves its group at 0, which within the chroot is worth nothing. Whether it may make a user namespace is Debian's own setting,
        // which other kernels do not have; it must be worth nothing either.
        let harmless = ["setgid 0", "make a user namespace"];
        let tricks: Vec<_> = self.attempts.keys().map(String::as_str).collect();
        let tricks: Vec<_> = tricks.into_iter().filter(|it| !but.contains(it) && !harmless.contains(it)).collect();
        assert!(tricks.len() >= 24, "only {tricks:?} were tried");
        self.all(tricks, false);
    }
}
