//! Every blob that the nodes of a plan take from somewhere, each digest once.
//! May not say where a blob is.

use std::collections::BTreeMap;

use anymetal_contract::packages::Packages;
use anymetal_contract::plan::{Arch, Plan, Source};
use anymetal_contract::{Digest, terminal};

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What its bytes must have.
    pub sha256: Digest,
    /// In bytes, when it is known.
    pub size: Option<u64>,
    /// What it is, for people: `consul 1.21.5 x86_64`; of one that is several things, all of them, separated by commas.
    pub name: String,
    /// Full URLs, upstream's or the site's own.
    pub urls: Vec<String>,
}

/// What the plan pins, but for the lists of packages themselves and for init, which are made here and fetched by nobody; and what the lists pin.
/// Sorted by digest.
pub fn needs(plan: &Plan, lists: &BTreeMap<Arch, Packages>) -> Vec<Need> {
    let mut needs: BTreeMap<Digest, Need> = BTreeMap::new();
    let mut add = |mut need: Need| {
        need.name = terminal::one_line(&need.name);
        match needs.get_mut(&need.sha256) {
            None => _ = needs.insert(need.sha256.clone(), need),
            Some(known) => {
                if !known.name.split(", ").any(|name| name == need.name) {
                    known.name = format!("{}, {}", known.name, need.name);
                }
                known.size = known.size.or(need.size);
                let more: Vec<_> = need.urls.into_iter().filter(|url| !known.urls.contains(url)).collect();
                known.urls.extend(more);
            }
        }
    };
    for component in &plan.components {
        let Source::Artefacts(artefacts) = &component.source else { continue };
        for (arch, artefact) in artefacts {
            add(Need {
                sha256: artefact.sha256.clone(),
                size: artefact.size,
                name: format!("{} {} {arch}", component.name, component.version),
                urls: artefact.urls.clone(),
            });
        }
    }
    for (arch, list) in lists {
        for package in &list.packages {
            add(Need {
                sha256: package.sha256.clone(),
                size: Some(package.size),
                name: format!("package {} {} {arch}", package.name, package.version),
                urls: package.urls.clone(),
            });
        }
    }
    needs.into_values().collect()
}

#[cfg(test)]
mod tests {
    use anymetal_contract::packages::{self, Package};

    use super::*;
    use crate::plan::draft;
    use crate::sample;

    #[test]
    fn one_digest_is_one_need_with_all_its_names() {
        let plan = draft(&sample::site()).unwrap();
        let consul = needs(&plan, &BTreeMap::new());
        assert_eq!(consul.len(), 1);
        assert_eq!(consul[0].name, "consul 1.16.1 x86_64");
        let package = |name: &str, sha256: &Digest| Package {
            name: name.into(),
            version: "1".into(),
            sha256: sha256.clone(),
            size: 7,
            urls: vec![format!("http://deb.example/{name}.deb")],
        };
        let list = |arch| Packages {
            kind: packages::KIND.into(),
            version: packages::VERSION,
            os: "debian-12".into(),
            arch,
            // of all architectures: the same file
            packages: vec![package("ca-certificates", &Digest::of([9; 32])), package("odd", &consul[0].sha256)],
        };
        let lists = Arch::ALL.map(|arch| (arch, list(arch))).into();
        let all = needs(&plan, &lists);
        assert_eq!(all.len(), 2);
        let shared = all.iter().find(|need| need.sha256 == Digest::of([9; 32])).unwrap();
        assert_eq!(shared.name, "package ca-certificates 1 aarch64, package ca-certificates 1 x86_64");
        assert_eq!(shared.urls, ["http://deb.example/ca-certificates.deb"]);
        let twice = all.iter().find(|need| need.sha256 == consul[0].sha256).unwrap();
        assert_eq!((twice.size, twice.urls.len()), (Some(7), 2));
    }
}
