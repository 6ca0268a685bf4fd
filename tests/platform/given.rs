//! The real programs somebody gives: `DIR/<component>/<version>/`.
//! May not open a program: it only finds them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "part of a program of the lab and of suites")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::recipe::{self, Content, Form, Recipe};

/// A component given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its version, the name of its folder.
    pub version: String,
    /// Its folder.
    pub folder: PathBuf,
}

/// What is given, by component: the version asked for, else the highest that has the component's programs.
pub fn find(folder: &Path, wanted: &BTreeMap<String, String>) -> anyhow::Result<BTreeMap<String, Given>> {
    anyhow::ensure!(folder.is_dir(), "looking for components: {} is no folder", folder.display());
    let mut found = BTreeMap::new();
    for recipe in recipe::ALL {
        let component = folder.join(recipe.component);
        if !component.is_dir() {
            continue;
        }
        let mut versions = Vec::new();
        for entry in std::fs::read_dir(&component).with_context(|| format!("reading {}", component.display()))? {
            let path = entry.with_context(|| format!("reading {}", component.display()))?.path();
            if whole(recipe, &path) {
                versions.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        let version = match wanted.get(recipe.component) {
            Some(version) => {
                anyhow::ensure!(
                    versions.contains(version),
                    "taking {} {version}: {} has {}",
                    recipe.component,
                    component.display(),
                    if versions.is_empty() { "no version".to_owned() } else { versions.join(", ") }
                );
                Some(version.clone())
            }
            None => versions.into_iter().max_by_key(|version| order(version)),
        };
        if let Some(version) = version {
            let given = Given { folder: component.join(&version), version };
            found.insert(recipe.component.to_owned(), given);
        }
    }
    Ok(found)
}

/// Whether a folder has every program of a component; of a component that is a whole folder, whether it has its first.
fn whole(recipe: &Recipe, folder: &Path) -> bool {
    let mut programs = recipe.members.iter().filter(|member| matches!(member.content, Content::Program(_)));
    if recipe.form == Form::Folder {
        return programs.next().is_some_and(|program| folder.join(program.name).is_file());
    }
    programs.all(|program| folder.join(program.name).is_file())
}

/// Versions as numbers: 1.10.5 is higher than 1.9.9.
fn order(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn the_highest_version_is_taken_unless_another_is_asked_for() {
        let folder = folder(&["nomad/1.4.1/nomad", "nomad/1.10.5/nomad", "nomad/2.0.0/README", "STATUS.txt"]);
        let found = find(folder.path(), &BTreeMap::new()).unwrap();
        assert_eq!(found["nomad"].version, "1.10.5");
        assert_eq!(found.len(), 1);
        let wanted = BTreeMap::from([("nomad".to_owned(), "1.4.1".to_owned())]);
        assert_eq!(find(folder.path(), &wanted).unwrap()["nomad"].folder, folder.path().join("nomad/1.4.1"));
        let wanted = BTreeMap::from([("nomad".to_owned(), "2.0.0".to_owned())]);
        let error = find(folder.path(), &wanted).unwrap_err().to_string();
        assert!(error.starts_with("taking nomad 2.0.0: ") && error.contains("1.4.1"), "{error}");
    }
}
