//! `platform-artefacts OUT`: packs the programs of the platform as their makers pack their own, into `OUT/sha256/<hex>`, and writes what a
//! site must say of them, `OUT/components.yaml`, and which of them are real, `OUT/components.txt`.
//! May not know what an archive holds (`recipe`) nor how one is packed (`pack`).

#[path = "../demo/artefacts.rs"]
mod consul;
mod given;
mod pack;
mod recipe;
mod written;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

/// Packs the platform's programs, real or doubles, into archives of their makers' layouts
#[derive(Debug, Parser)]
#[command(name = "platform-artefacts")]
struct Flags {
    /// The folder to write to
    out: PathBuf,
    /// Real programs, as DIR/<component>/<version>/<program>; the highest version of each. Of several folders the last that has one
    #[arg(long, value_name = "DIR")]
    components: Vec<PathBuf>,
    /// A version to take instead of the highest: nomad=1.4.1
    #[arg(long = "use", value_name = "COMPONENT=VERSION", value_parser = named)]
    versions: Vec<(String, String)>,
}

fn named(text: &str) -> Result<(String, String), String> {
    let (component, version) = text.split_once('=').ok_or("want COMPONENT=VERSION")?;
    Ok((component.to_owned(), version.to_owned()))
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(flags: &Flags) -> anyhow::Result<()> {
    let none = BTreeMap::new();
    let versions: BTreeMap<String, String> = flags.versions.iter().cloned().collect();
    let mut given = BTreeMap::new();
    for (number, folder) in flags.components.iter().enumerate() {
        // A version is asked for of the person's own folder, which comes last.
        let last = number + 1 == flags.components.len();
        given.extend(given::find(folder, if last { &versions } else { &none })?);
    }
    for (component, version) in &versions {
        anyhow::ensure!(
            given.contains_key(component),
            "taking {component} {version}: it is not below --components\nhint: see what is there: DIR/{component}/"
        );
    }
    let mut packed = Vec::new();
    for recipe in recipe::ALL {
        let real = given.get(recipe.component);
        let one =
            written::component(recipe, real, &flags.out).with_context(|| format!("packing {}", recipe.component))?;
        println!("{} {} {} sha256/{}", one.name, one.version, one.kind(), one.archive.sha256);
        packed.push(one);
    }
    written::lists(&flags.out, &packed)
}
