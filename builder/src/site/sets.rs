//! Which components there are, which versions of them, and which sets of versions cannot work together.
//! May not know where an archive is or what its digest is: `templates/<component>/` and the lock do.
//!
//! Every rule was read off sources or changelogs; the comment beside it says which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anymetal_contract::plan::Arch;

use super::diagnostic::{Complaint, Severity, quoted};

/// A version: three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

/// A component this builder knows.
#[derive(Debug)]
pub struct Known {
    /// Its name.
    pub name: &'static str,
    /// What a site gets that says nothing.
    pub version: Version,
    /// The lowest that can work.
    pub lowest: Version,
    /// What is missing below that.
    pub below: &'static str,
    /// Whether the operating system brings it, so that the version is the lowest accepted rather than the one installed.
    pub host_package: bool,
}

const fn known(name: &'static str, version: Version, lowest: Version, below: &'static str) -> Known {
    Known { name, version, lowest, below, host_package: false }
}

/// All components, by name, with one set of versions that fits together.
///
/// Consul 1.21 and Nomad 1.10 are BUSL-1.1; the last under MPL-2.0 are 1.16 and 1.6, which get no fixes any more. Of both, the digests for
/// both architectures are known. Hippo 0.20.2, Bindle 0.8.2 and Spin 0.10.1 are the last of their kind that fit each other. Traefik 2.11
/// is the last 2.x, still patched.
pub const COMPONENTS: [Known; 7] = [
    // the releases examined begin at 0.8.0
    known("bindle", Version(0, 8, 2), Version(0, 8, 0), "nothing before 0.8 is known to work with Hippo"),
    Known {
        // 1.6 and earlier run one daemon per family and know no channels; `bird -p` of 2.0.12 accepts our files
        host_package: true,
        ..known(
            "bird",
            Version(2, 0, 12),
            Version(2, 0, 0),
            "bird 1.x has another configuration language, without channels",
        )
    },
    // consul CHANGELOG 1.5.0: "acl: Allow setting token accessor ids and secret ids during token creation"
    known("consul", Version(1, 21, 5), Version(1, 5, 0), "tokens with chosen ids came with Consul 1.5"),
    // the tags examined begin at 0.17.0
    known("hippo", Version(0, 20, 2), Version(0, 17, 0), "nothing before 0.17 is known to work here"),
    // nomad pull 12520: `BootstrapSecret` in 1.4.0
    known(
        "nomad",
        Version(1, 10, 5),
        Version(1, 4, 0),
        "bootstrapping the ACL with a chosen token came with Nomad 1.4",
    ),
    // the tags examined begin at 0.4.0
    known("spin", Version(0, 10, 1), Version(0, 4, 0), "nothing before 0.4 fits a Hippo that can be used"),
    // consulCatalog's keys are the same from 2.9 to 3.x
    known("traefik", Version(2, 11, 55), Version(2, 9, 0), "nothing before 2.9 is known to work here"),
];

/// The component of that name.
pub fn component(name: &str) -> Option<&'static Known> {
    COMPONENTS.iter().find(|known| known.name == name)
}

/// One component of a site, for judging the set.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its version.
    pub version: Version,
    /// Whether the site names it; otherwise it is the default.
    pub named: bool,
    /// Architectures for which the site brings an archive of its own.
    pub own: BTreeSet<Arch>,
}

/// Something wrong with the set.
#[derive(Debug, PartialEq, Eq)]
pub struct Clash {
    /// The components it is about, the one to blame first.
    pub between: Vec<&'static str>,
    /// Whether it can work at all.
    pub severity: Severity,
    /// What and what to do.
    pub complaint: Complaint,
}

/// From this version on, but not the second.
type Range = (Version, Version);
const FIRST: Version = Version(0, 0, 0);
const LAST: Version = Version(u32::MAX, u32::MAX, u32::MAX);

/// Two components that cannot work together in these versions: why, and what to write instead.
struct Pair {
    left: (&'static str, Range),
    right: (&'static str, Range),
    why: &'static str,
    hint: &'static str,
}

const PAIRS: [Pair; 5] = [
    // bindle src/invoice/verification.rs at 0.9.0: no signature is an error under every strategy, HTTP 400; at 0.8.2 it passes
    Pair {
        left: ("bindle", (Version(0, 9, 0), LAST)),
        right: ("spin", (FIRST, LAST)),
        why: "from 0.9.0 on Bindle refuses unsigned bindles, and Spin and Hippo's clients push no others",
        hint: "write `bindle: 0.8.2`",
    },
    // spin commit 61fb295e removed it between 1.0.0-rc.1 and 1.0.0
    Pair {
        left: ("spin", (Version(1, 0, 0), LAST)),
        right: ("hippo", (FIRST, LAST)),
        why: "Hippo starts applications with `spin up --bindle`, which Spin 1.0 removed",
        hint: "write `spin: 0.10.1` with `hippo: 0.20.2`",
    },
    // hippo passes it from 0.17 to 0.20.1 (removed by f081d96c); spin src/commands/up.rs has it up to 0.9
    Pair {
        left: ("hippo", (FIRST, Version(0, 20, 2))),
        right: ("spin", (Version(0, 10, 0), Version(1, 0, 0))),
        why: "Hippo up to 0.20.1 passes `--follow-all`, which Spin 0.10 removed",
        hint: "write `hippo: 0.20.2` with `spin: 0.10.1`, or keep this one with `spin: 0.9.0`",
    },
    // hippo f081d96c; spin 0.9 follows by itself and only warns of the flag
    Pair {
        left: ("hippo", (Version(0, 20, 2), LAST)),
        right: ("spin", (FIRST, Version(0, 9, 0))),
        why: "Hippo 0.20.2 no longer passes `--follow-all`, without which Spin before 0.9 shows no output",
        hint: "write `spin: 0.10.1`, or go back to `hippo: 0.20.1`",
    },
    // nomad CHANGELOG 1.7.0
    Pair {
        left: ("nomad", (Version(1, 7, 0), LAST)),
        right: ("consul", (FIRST, Version(1, 8, 0))),
        why: "Nomad asks for Consul 1.8 or later from 1.7 on",
        hint: "write a Consul of 1.8.0 or later",
    },
];

/// Versions that must not be used at all: why, and what to write instead.
const BARRED: [(&str, Range, &str, &str); 2] = [
    // GHSA-f8r8-h93m-mj77
    (
        "nomad",
        (Version(1, 5, 0), Version(1, 5, 3)),
        "anybody who reaches a client's HTTP API gets its rights (GHSA-f8r8-h93m-mj77)",
        "write `nomad: 1.5.3` or later",
    ),
    // deislabs/hippo: tag v0.20.2 of 2023-03-08 is the last; archived 2024-10-28
    ("hippo", (Version(0, 20, 3), LAST), "0.20.2 was the last release of Hippo", "write `hippo: 0.20.2`"),
];

/// Upstream builds for aarch64: the first version known to have one, and the last known to have none.
const AARCH64: [(&str, Version, Version); 2] = [
    // bindle's release workflow gained it on the 0.8 branch just before 0.8.2
    ("bindle", Version(0, 8, 2), Version(0, 8, 1)),
    // spin's release workflow: commented out at 0.6.0, present at 0.10.1; those in between were not looked at
    ("spin", Version(0, 10, 1), Version(0, 6, 0)),
];

/// The version of bird in the distributions this builder knows.
const BIRD_OF: [(&str, Version); 1] = [("debian-12", Version(2, 0, 12))];

/// Reads a version: three numbers, nothing else.
pub fn version(text: &str) -> Result<Version, Complaint> {
    let what = || format!("{} is not a version", quoted(text));
    let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let parts: Vec<&str> = bare.split('.').collect();
    let plain = |part: &&str| part.bytes().all(|b| b.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
    let numbers: Option<Vec<u32>> =
        parts.iter().map(|part| Some(part).filter(|p| plain(p)).and_then(|p| p.parse().ok())).collect();
    let hint = match numbers.as_deref() {
        Some(&[major, minor, patch]) if bare == text => return Ok(Version(major, minor, patch)),
        Some(&[major, minor, patch]) => format!("write `{major}.{minor}.{patch}`, without the letter"),
        Some(&[major, minor]) => format!("write all three numbers, as in `{major}.{minor}.0`"),
        _ if text.contains(['<', '>', '=', '^', '~', '*', ',', ' ', '|'])
            || parts.contains(&"x")
            || text == "latest" =>
        {
            "write one version, not a range: a site names exactly what runs".to_owned()
        }
        _ if text.contains('+') => "write the open edition's version, without `+…`".to_owned(),
        _ if text.contains('-') => "write a release, without `-…`".to_owned(),
        _ => "write three numbers, as in `1.21.5`".to_owned(),
    };
    Err(Complaint::new(what(), hint))
}

/// What is wrong with one component alone.
pub fn alone(known: &Known, version: Version) -> Option<Complaint> {
    if version < known.lowest {
        let hint = format!("write `{}: {}` or at least {}", known.name, known.version, known.lowest);
        return Some(Complaint::new(format!("{} {version} is too old: {}", known.name, known.below), hint));
    }
    let (name, _, why, hint) =
        BARRED.iter().find(|(name, range, _, _)| *name == known.name && within(version, *range))?;
    Some(Complaint::new(format!("{name} {version} cannot be used: {why}"), *hint))
}

/// Everything that is wrong with the set as a whole, in a fixed order. What is wrong with one alone is not said again.
pub fn clashes(set: &BTreeMap<&'static str, Chosen>, architectures: &BTreeSet<Arch>, os: &str) -> Vec<Clash> {
    let mut clashes: Vec<Clash> = PAIRS.iter().filter_map(|pair| pair.clash(set)).collect();
    if architectures.contains(&Arch::Aarch64) {
        clashes.extend(AARCH64.iter().filter_map(|rule| without_aarch64(*rule, set)));
    }
    clashes.extend(bird_of_the_os(set, os));
    clashes.extend(bindle_on_the_os(set, os));
    clashes
}

impl Pair {
    fn clash(&self, set: &BTreeMap<&'static str, Chosen>) -> Option<Clash> {
        let ((left, left_range), (right, right_range)) = (self.left, self.right);
        let (one, other) = (set.get(left)?, set.get(right)?);
        if !within(one.version, left_range) || !within(other.version, right_range) {
            return None;
        }
        let title = |name: &str, chosen: &Chosen| {
            format!("{name} {}{}", chosen.version, if chosen.named { "" } else { " (the default)" })
        };
        let what = format!("{} cannot work with {}: {}", title(left, one), title(right, other), self.why);
        Some(Clash {
            between: vec![left, right],
            severity: Severity::Mistake,
            complaint: Complaint::new(what, self.hint),
        })
    }
}

fn without_aarch64(
    (name, first, none): (&'static str, Version, Version),
    set: &BTreeMap<&'static str, Chosen>,
) -> Option<Clash> {
    let chosen = set.get(name).filter(|chosen| chosen.version < first && !chosen.own.contains(&Arch::Aarch64))?;
    let (severity, what) = if chosen.version <= none {
        (Severity::Mistake, format!("there is no {name} {} for aarch64", chosen.version))
    } else {
        (Severity::Warning, format!("it is not known whether there is a {name} {} for aarch64", chosen.version))
    };
    let hint = format!(
        "write `{name}: {first}`, leave aarch64 out of `architectures`, or give an archive of your own in `components.{name}.artefacts`"
    );
    Some(Clash { between: vec![name], severity, complaint: Complaint::new(what, hint) })
}

/// A lowest version that the distribution's package does not reach.
fn bird_of_the_os(set: &BTreeMap<&'static str, Chosen>, os: &str) -> Option<Clash> {
    let chosen = set.get("bird")?;
    let (_, packaged) =
        BIRD_OF.iter().find(|(name, _)| *name == os).filter(|(_, packaged)| chosen.version > *packaged)?;
    let what = format!("{os} has bird {packaged}, which is older than {}", chosen.version);
    let hint = "let `cloud_config` install a newer bird2, or ask for less";
    Some(Clash { between: vec!["bird"], severity: Severity::Warning, complaint: Complaint::new(what, hint) })
}

/// Bindle's own builds of 0.8 link OpenSSL 1.1 (its release workflow), which Debian dropped with 12; 0.9.1 uses rustls.
/// Said only to who names Bindle: whoever takes the default gets what the component's description brings.
fn bindle_on_the_os(set: &BTreeMap<&'static str, Chosen>, os: &str) -> Option<Clash> {
    let old = |chosen: &&Chosen| chosen.named && chosen.own.is_empty() && chosen.version < Version(0, 9, 0);
    let chosen = set.get("bindle").filter(old).filter(|_| os == "debian-12")?;
    let what = format!("upstream's bindle {} is linked against OpenSSL 1.1, which {os} does not have", chosen.version);
    let hint = "give a build of your own in `components.bindle.artefacts`";
    Some(Clash { between: vec!["bindle"], severity: Severity::Warning, complaint: Complaint::new(what, hint) })
}

fn within(version: Version, (from, to): Range) -> bool {
    from <= version && version < to
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests;
