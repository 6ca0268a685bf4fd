//! The serial console as a person reads it: plain lines, the last of them, and the milestones that can be told from them.
//! May not read a stream: lines are handed in.

use std::collections::VecDeque;

/// How many lines are shown when a boot fails.
const LAST: usize = 25;

/// What a line of the console shows has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Milestone {
    /// The kernel speaks.
    Kernel,
    /// systemd runs.
    Systemd,
    /// cloud-init runs.
    CloudInit,
    /// cloud-init has finished.
    CloudInitFinished,
    /// The kernel gave up.
    Panic,
}

impl Milestone {
    /// In words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Systemd => "systemd",
            Self::CloudInit => "cloud-init",
            Self::CloudInitFinished => "cloud-init finished",
            Self::Panic => "kernel panic",
        }
    }

    fn shown_by(line: &str) -> Option<Self> {
        let cloud_init = || line.contains("Cloud-init v.");
        match line {
            _ if line.contains("Linux version ") => Some(Self::Kernel),
            _ if line.contains("running in system mode") => Some(Self::Systemd),
            _ if line.contains("Kernel panic - not syncing") => Some(Self::Panic),
            _ if cloud_init() && line.contains(" finished at ") => Some(Self::CloudInitFinished),
            _ if cloud_init() && line.contains(" running ") => Some(Self::CloudInit),
            _ => None,
        }
    }
}

/// The console of one machine, over all its boots.
#[derive(Debug, Clone, Default)]
pub struct Console {
    last: VecDeque<String>,
}

impl Console {
    /// Takes a line. What comes back is what it shows has been reached.
    pub fn line(&mut self, raw: &[u8]) -> Option<Milestone> {
        let line = plain(raw);
        if line.is_empty() {
            return None;
        }
        let milestone = Milestone::shown_by(&line);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line);
        milestone
    }

    /// The last lines, oldest first.
    pub fn last(&self) -> impl Iterator<Item = &str> {
        self.last.iter().map(String::as_str)
    }
}

/// A line without escape sequences (ECMA-48) and other control characters.
fn plain(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => match characters.next() {
                // CSI: parameters, then one final byte.
                Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC: up to BEL or ST.
                Some(']') => while characters.next().is_some_and(|c| c != '\x07' && c != '\\') {},
                _ => {}
            },
            '\t' => plain.push(' '),
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    plain.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out_and_the_words_stay() {
        for (raw, text) in [
            (
                "\x1b[0m\x1b[0;32m  OK  \x1b[0m] Reached \x1b[0;1;39mmulti-user.target\x1b[0m\r",
                "  OK  ] Reached multi-user.target",
            ),
            ("\x1b]0;title\x07after", "after"),
            ("plain\ttext\r\n", "plain text"),
            ("cut \x1b[0;3", "cut"),
        ] {
            assert_eq!(plain(raw.as_bytes()), text, "{raw:?}");
        }
    }

    #[test]
    fn milestones_are_told_from_what_real_machines_say() {
        let mut console = Console::default();
        for (line, milestone) in [
            (
                "[    0.000000] Linux version 6.1.0-50-cloud-amd64 (debian-kernel@lists.debian.org)",
                Some(Milestone::Kernel),
            ),
            (
                "[    6.183728] systemd[1]: systemd 252.39-1~deb12u2 running in system mode (+PAM",
                Some(Milestone::Systemd),
            ),
            (
                "[   20.231959] cloud-init[323]: Cloud-init v. 22.4.2 running 'init-local' at Sun, 22 Nov 2026",
                Some(Milestone::CloudInit),
            ),
            (
                "[   49.299082] cloud-init[388]: Cloud-init v. 22.4.2 finished at Sun, 22 Nov 2026 17:47:41 +0000. Datasource DataSourceEc2.",
                Some(Milestone::CloudInitFinished),
            ),
            ("[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs", Some(Milestone::Panic)),
            ("", None),
            ("Debian GNU/Linux 12 boot-1 ttyS0", None),
        ] {
            assert_eq!(console.line(line.as_bytes()), milestone, "{line}");
        }
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        let mut console = Console::default();
        for number in 0..100 {
            console.line(format!("line {number}").as_bytes());
        }
        assert_eq!(console.last().count(), LAST);
        assert_eq!(console.last().next(), Some("line 75"));
    }
}
