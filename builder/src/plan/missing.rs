//! What a plan lacks that only somebody else knows, said in one sentence however much it is.
//! May not look for it.

use std::collections::BTreeSet;

use anymetal_contract::plan::Arch;

/// One archive that the plan cannot have yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// Nobody has asked for its digest.
    Digest {
        /// The component's name.
        component: String,
        /// Its version.
        version: String,
        /// For what it is built.
        arch: Arch,
        /// Of which other versions the digest is known, as the end of a hint.
        known: String,
    },
    /// Something else is wrong with it, as a sentence.
    Other(String),
}

/// Everything that is missing, in words. Digests are one cause with one remedy, so they are one sentence.
pub(super) fn told(missing: &[Missing]) -> String {
    let digests: Vec<_> = missing.iter().filter(|one| matches!(one, Missing::Digest { .. })).collect();
    let others = missing.iter().filter_map(|one| match one {
        Missing::Other(text) => Some(text.clone()),
        Missing::Digest { .. } => None,
    });
    let digests = match digests[..] {
        [] => None,
        [Missing::Digest { component, version, arch, known }] => Some(format!(
            "component {component} {version}: no sha256 is known for {arch}\nhint: `anymetal lock SITE` asks upstream for it; or pin it in the \
             site, `components.{component}.artefacts.{arch}.sha256`; {known}"
        )),
        _ => Some(format!(
            "no sha256 is known for {} archives: {}\nhint: `anymetal lock SITE` asks upstreams for them; or pin each in the site, as in \
             `components.{}.sha256`",
            digests.len(),
            named(&digests),
            first(&digests)
        )),
    };
    digests.into_iter().chain(others).collect::<Vec<_>>().join("\n")
}

/// `traefik 2.11.55 (aarch64, x86_64), spin 0.10.1 (aarch64)`.
fn named(digests: &[&Missing]) -> String {
    let mut names: Vec<(String, BTreeSet<&str>)> = Vec::new();
    for one in digests {
        let Missing::Digest { component, version, arch, .. } = one else { continue };
        let name = format!("{component} {version}");
        match names.iter_mut().find(|(there, _)| *there == name) {
            Some((_, arches)) => _ = arches.insert(arch.id()),
            None => names.push((name, BTreeSet::from([arch.id()]))),
        }
    }
    let one = |(name, arches): (String, BTreeSet<&str>)| {
        format!("{name} ({})", arches.into_iter().collect::<Vec<_>>().join(", "))
    };
    names.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

fn first(digests: &[&Missing]) -> String {
    match digests.first() {
        Some(Missing::Digest { component, arch, .. }) => format!("{component}.artefacts.{arch}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(component: &str, arch: Arch) -> Missing {
        Missing::Digest { component: component.into(), version: "1.2.3".into(), arch, known: "known: 1.2.2".into() }
    }

    #[test]
    fn many_digests_are_one_sentence_and_one_hint() {
        let all = [
            digest("traefik", Arch::Aarch64),
            digest("traefik", Arch::X86_64),
            Missing::Other("component x: its size is over 2^53".into()),
            digest("spin", Arch::Aarch64),
        ];
        assert_eq!(
            told(&all),
            "no sha256 is known for 3 archives: traefik 1.2.3 (aarch64, x86_64), spin 1.2.3 (aarch64)\nhint: `anymetal lock SITE` asks \
             upstreams for them; or pin each in the site, as in `components.traefik.artefacts.aarch64.sha256`\ncomponent x: its size is over 2^53"
        );
        assert_eq!(
            told(&all[3..]),
            "component spin 1.2.3: no sha256 is known for aarch64\nhint: `anymetal lock SITE` asks upstream for it; or pin it in the site, \
             `components.spin.artefacts.aarch64.sha256`; known: 1.2.2"
        );
    }
}
