//! Why an archive could not be locked, in words: one sentence and one hint for each cause, however many archives it concerns.
//! May not ask anybody.

use std::collections::BTreeSet;

use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;

/// Why something could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody has to decide: who knows it disagrees, or nobody knows.
    Wrong(String),
    /// Nobody answered.
    World(String),
    /// Nobody answered when something of an archive was asked for.
    Unanswered(Unanswered),
    /// Nobody answers for what is said of an archive.
    Unsigned(Unsigned),
}

/// What was asked for in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The component and its version.
    pub component: String,
    /// Of which of its archives, and what is not known: `bindle 0.8.2 for aarch64: nobody knows its sha256`.
    pub what: String,
    /// Who was asked, and why that failed: `asking https://…: …`.
    pub why: String,
    /// What would do without an answer.
    pub hint: String,
}

impl Unanswered {
    /// Why it failed, without the address: the same for all when this machine has no network.
    fn cause(&self) -> &str {
        self.why.split_once(": ").map_or(&self.why, |(_, cause)| cause)
    }

    /// Who was asked.
    fn host(&self) -> &str {
        let rest = self.why.split_once("://").map_or("", |(_, rest)| rest);
        rest.split(['/', ':', ' ']).next().unwrap_or_default()
    }
}

/// An archive whose digest only the server that has it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsigned {
    /// The component's name.
    pub component: String,
    /// Its version.
    pub version: String,
    /// For what it is built.
    pub arch: Arch,
    /// What is said.
    pub sha256: Digest,
}

/// Troubles in words. Those with one cause are one of them, however many archives they keep from being locked.
pub fn told(troubles: &[Trouble]) -> String {
    let mut said: Vec<String> = Vec::new();
    let unanswered: Vec<&Unanswered> = troubles
        .iter()
        .filter_map(|trouble| match trouble {
            Trouble::Unanswered(one) => Some(one),
            _ => None,
        })
        .collect();
    let unsigned: Vec<&Unsigned> = troubles
        .iter()
        .filter_map(|trouble| match trouble {
            Trouble::Unsigned(one) => Some(one),
            _ => None,
        })
        .collect();
    for trouble in troubles {
        let text = match trouble {
            Trouble::Unsigned(_) => alone(&unsigned),
            Trouble::Wrong(text) | Trouble::World(text) => text.clone(),
            Trouble::Unanswered(one) => {
                let same: Vec<&Unanswered> =
                    unanswered.iter().copied().filter(|other| other.cause() == one.cause()).collect();
                if same.len() == 1 { format!("{}; {}\nhint: {}", one.what, one.why, one.hint) } else { together(&same) }
            }
        };
        if !said.contains(&text) {
            said.push(text);
        }
    }
    said.join("\n")
}

/// Several with one cause.
fn together(same: &[&Unanswered]) -> String {
    let each = |of: fn(&Unanswered) -> &str| {
        let all: BTreeSet<&str> = same.iter().map(|one| of(one)).filter(|word| !word.is_empty()).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    format!(
        "nobody answers for {} archives, of {}; asking {}: {}\nhint: look whether this machine reaches the network; without one, `sources` of the \
         site names mirrors, and `--from DIR` takes files that you carry in",
        same.len(),
        each(|one| &one.component),
        each(Unanswered::host),
        same[0].cause()
    )
}

/// What only upstream's checksums say.
fn alone(unsigned: &[&Unsigned]) -> String {
    let why = "by upstream's checksums alone, which nobody signed: whoever has that server could have written both";
    if let [Unsigned { component, version, arch, sha256 }] = unsigned {
        return format!(
            "{component} {version} for {arch}: its sha256 is {sha256} {why}\nhint: compare it with what others have, and pin it in the site, \
             `components.{component}.artefacts.{arch}.sha256`; or take it as it is now: `--accept-first {component}`"
        );
    }
    let line = |Unsigned { component, version, arch, sha256 }: &&Unsigned| {
        format!("  {component} {version} {arch} sha256:{sha256}\n")
    };
    let lines: String = unsigned.iter().map(line).collect();
    let names: BTreeSet<&str> = unsigned.iter().map(|one| one.component.as_str()).collect();
    let accept: Vec<String> = names.into_iter().map(|name| format!("--accept-first {name}")).collect();
    format!(
        "{} archives have a sha256 {why}\n{lines}hint: compare them with what others have, and pin them in the site, as in \
         `components.{}.artefacts.{}.sha256`; or take them as they are now: `{}`",
        unsigned.len(),
        unsigned[0].component,
        unsigned[0].arch,
        accept.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cause_is_one_sentence_however_many_archives_it_concerns() {
        let one = |component: &str, arch: &str, address: &str, cause: &str| {
            Trouble::Unanswered(Unanswered {
                component: component.into(),
                what: format!("{component} for {arch}: nobody knows its sha256"),
                why: format!("asking {address}: {cause}"),
                hint: "pin it".into(),
            })
        };
        let gone = "io: failed to lookup address information";
        let troubles = [
            one("bindle 0.8.2", "aarch64", "https://a.example/x", gone),
            one("bindle 0.8.2", "x86_64", "https://a.example/x", gone),
            Trouble::Wrong("two disagree\nhint: decide".into()),
            one("nomad 1.10.5", "x86_64", "https://b.example:8443/y", gone),
            one("spin 0.10.1", "x86_64", "https://c.example/z", "it answered 503"),
        ];
        assert_eq!(
            told(&troubles),
            "nobody answers for 3 archives, of bindle 0.8.2, nomad 1.10.5; asking a.example, b.example: io: failed to lookup address information\n\
             hint: look whether this machine reaches the network; without one, `sources` of the site names mirrors, and `--from DIR` takes files \
             that you carry in\n\
             two disagree\nhint: decide\n\
             spin 0.10.1 for x86_64: nobody knows its sha256; asking https://c.example/z: it answered 503\nhint: pin it"
        );
    }

    #[test]
    fn what_nobody_signed_is_one_sentence_with_a_line_for_each_digest() {
        let one = |component: &str, arch, byte| {
            let (component, version) = (component.to_owned(), "1.2.3".to_owned());
            Trouble::Unsigned(Unsigned { component, version, arch, sha256: Digest::of([byte; 32]) })
        };
        let troubles = [one("spin", Arch::Aarch64, 1), one("hippo", Arch::X86_64, 2), one("hippo", Arch::Aarch64, 3)];
        let said = told(&troubles);
        let line = |name: &str, byte| format!("  {name} sha256:{}\n", Digest::of([byte; 32]));
        assert_eq!(
            said,
            format!(
                "3 archives have a sha256 by upstream's checksums alone, which nobody signed: whoever has that server could have written both\n{}{}{}\
             hint: compare them with what others have, and pin them in the site, as in `components.spin.artefacts.aarch64.sha256`; or take \
                 them as they are now: `--accept-first hippo --accept-first spin`",
                line("spin 1.2.3 aarch64", 1),
                line("hippo 1.2.3 x86_64", 2),
                line("hippo 1.2.3 aarch64", 3)
            )
        );
    }
}
