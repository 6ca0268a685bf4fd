//! The lists of packages that a site's lock has, as the plan pins them: one for each architecture of the site.
//! May not resolve a package: what is in them is the lock's.

use std::collections::BTreeMap;

use anymetal_contract::packages::{self, Packages};
use anymetal_contract::plan::{Arch, Listed};

use super::Lock;
use super::document::Closure;
use crate::plan;
use crate::site::Site;

/// The lists, by architecture; none when there is no lock, or it has no packages. What a lock still has for machines that the site has no more is
/// nobody's.
pub fn lists(site: &Site) -> BTreeMap<Arch, Packages> {
    let of_lock = |lock: &Lock| of(lock).filter(|(arch, _)| site.architectures.contains(arch)).collect();
    site.lock.as_ref().map(of_lock).unwrap_or_default()
}

fn of(lock: &Lock) -> impl Iterator<Item = (Arch, Packages)> {
    let list = |(arch, closure): (&Arch, &Closure)| {
        let list = Packages {
            kind: packages::KIND.to_owned(),
            version: packages::VERSION,
            os: lock.os.clone(),
            arch: *arch,
            packages: closure.packages.clone(),
        };
        (*arch, list)
    };
    lock.packages.iter().map(list)
}

/// A list's bytes: canonical JSON. They are a blob like any other.
pub fn bytes(list: &Packages) -> Vec<u8> {
    plan::canonical(list)
}

/// How a plan pins these bytes of a list.
pub fn listed(bytes: &[u8]) -> Listed {
    Listed { sha256: plan::digest(bytes), size: bytes.len() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::document;
    use crate::sample;

    #[test]
    fn a_list_is_its_canonical_bytes_and_the_plan_has_their_digest() {
        let closure = Closure { suites: BTreeMap::new(), wanted: vec![], packages: vec![] };
        let lock = Lock {
            kind: document::KIND.into(),
            version: document::VERSION,
            site: "demo".into(),
            os: "debian-12".into(),
            components: BTreeMap::new(),
            packages: Arch::ALL.map(|arch| (arch, closure.clone())).into(),
        };
        // it has no machines of the other architecture
        let lists = lists(&Site { lock: Some(lock), ..sample::site() });
        let bytes = bytes(&lists[&Arch::X86_64]);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"arch":"x86_64","kind":"anymetal.packages","os":"debian-12","packages":[],"version":1}"#
        );
        assert_eq!((lists.len(), listed(&bytes).size), (1, 87));
    }
}
