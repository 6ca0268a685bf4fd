//! The recipe of a test machine's disk, as data in `images/`.
//! May not make a disk: `disk` does.

use serde::Deserialize;

/// Files beside a recipe: name and text.
type Beside = [(&'static str, &'static str)];

/// The recipes that are built in: name, text, and the files beside it.
const RECIPES: &[(&str, &str, &Beside)] = &[(
    "debian-12",
    include_str!("../../../images/debian-12/recipe.yaml"),
    &[
        ("cloud.cfg", include_str!("../../../images/debian-12/cloud.cfg")),
        ("lab-agent", include_str!("../../../images/debian-12/lab-agent")),
    ],
)];

/// A recipe, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// `debian-12`.
    pub name: String,
    /// The suite of the distribution.
    pub suite: String,
    /// Packages beyond the essential ones.
    pub packages: Vec<String>,
    /// The size of the disk, in MiB.
    pub disk_mib: u32,
    /// Files to put into the system.
    pub files: Vec<File>,
    /// Commands for sh, run inside the system at the end.
    pub finish: Vec<String>,
}

/// One file to put into the system, owned by root, mode 0644.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Absolute.
    pub path: String,
    /// When it is put there.
    pub stage: Stage,
    /// What it holds.
    pub content: String,
}

/// When a file is put into the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Where packages find it when they are configured.
    BeforePackages,
    /// Over what packages have put there.
    #[default]
    AfterPackages,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    suite: String,
    packages: Vec<String>,
    disk_mib: u32,
    files: Vec<WrittenFile>,
    finish: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    path: String,
    #[serde(default)]
    stage: Stage,
    content: Option<String>,
    source: Option<String>,
}

/// The recipe of an operating system, by the name sites use.
pub fn named(name: &str) -> anyhow::Result<Recipe> {
    let Some((name, text, beside)) = RECIPES.iter().find(|(known, _, _)| *known == name) else {
        let known: Vec<&str> = RECIPES.iter().map(|(name, _, _)| *name).collect();
        anyhow::bail!("no test machine runs {name:?}; there are recipes for {}", known.join(", "));
    };
    read(name, text, beside)
}

fn read(name: &str, text: &str, beside: &[(&str, &str)]) -> anyhow::Result<Recipe> {
    let written: Written =
        serde_yaml::from_str(text).map_err(|error| anyhow::anyhow!("reading the recipe of {name}: {error}"))?;
    anyhow::ensure!(written.version == 1, "reading the recipe of {name}: version {} is not 1", written.version);
    let files = written.files.into_iter().map(|file| {
        let content = match (file.content, file.source) {
            (Some(content), None) => content,
            (None, Some(source)) => {
                beside.iter().find(|(known, _)| *known == source).map(|(_, text)| (*text).to_owned()).ok_or_else(
                    || anyhow::anyhow!("reading the recipe of {name}: there is no file {source:?} beside it"),
                )?
            }
            _ => anyhow::bail!("reading the recipe of {name}: {} needs either `content` or `source`", file.path),
        };
        anyhow::ensure!(file.path.starts_with('/'), "reading the recipe of {name}: {} is not absolute", file.path);
        Ok(File { path: file.path, stage: file.stage, content })
    });
    Ok(Recipe {
        name: name.to_owned(),
        suite: written.suite,
        packages: written.packages,
        disk_mib: written.disk_mib,
        files: files.collect::<anyhow::Result<_>>()?,
        finish: written.finish,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_that_is_built_in_can_be_read() {
        for (name, _, _) in RECIPES {
            let recipe = named(name).unwrap();
            assert!(recipe.packages.contains(&"cloud-init".to_owned()), "{name} has no cloud-init");
        }
        assert!(named("plan-9").unwrap_err().to_string().contains("debian-12"));
    }

    #[test]
    fn a_file_has_its_content_from_one_place_only() {
        let recipe =
            |file: &str| format!("version: 1\nsuite: s\npackages: []\ndisk_mib: 1\nfiles: [{file}]\nfinish: []\n");
        let read = |file: &str| read("r", &recipe(file), &[("there", "text")]);
        assert_eq!(read("{path: /a, source: there}").unwrap().files[0].content, "text");
        for bad in [
            "{path: /a}",
            "{path: /a, source: there, content: x}",
            "{path: /a, source: gone}",
            "{path: a, content: x}",
            "{path: /a, mood: x}",
        ] {
            assert!(read(bad).is_err(), "{bad} was taken");
        }
    }
}
