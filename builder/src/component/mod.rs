//! What a component is, as data: `templates/<component>/`, embedded, so that one binary is all an operator carries.
//! May not decide what a site gets: `plan` does; nor which sets of versions work: `site::sets` does.

mod description;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail, ensure};
use anymetal_contract::plan::{File, Job};
use anymetal_contract::secrets;

use crate::template;
pub use description::{Access, Artefacts, Barred, Checksums, Clash, HostPackage, Known, Lowest, Part, Service, Token};
pub use version::{NotAVersion, Range, Version};

/// A component's folder: its name, its description, its templates by name.
struct Folder {
    name: &'static str,
    description: &'static str,
    templates: &'static [(&'static str, &'static str)],
}

macro_rules! folder {
    ($name:literal, [$($template:literal),*]) => {
        Folder {
            name: $name,
            description: include_str!(concat!("../../../templates/", $name, "/component.yaml")),
            templates: &[$(($template, include_str!(concat!("../../../templates/", $name, "/", $template, ".tera")))),*],
        }
    };
}

/// Every component this release can bring onto a node, in the order in which their services are started.
const FOLDERS: &[Folder] = &[
    folder!("nftables", ["anymetal.nft", "sysctl.conf", "anymetal-firewall.service"]),
    folder!("consul", ["consul.json", "consul.service"]),
    folder!("nomad", ["nomad.json", "nomad.service"]),
    folder!("traefik", ["tls.yaml", "routers.yaml", "traefik.job.json"]),
    folder!("bindle", ["htpasswd", "bindle.job.json"]),
    folder!("hippo", ["hippo.job.json"]),
    folder!("spin", []),
    folder!("bird", ["bird.conf", "anymetal-guard.service"]),
];

/// What a component is.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name: `consul`.
    pub name: String,
    /// What a site gets that says nothing.
    pub default: Version,
    /// The lowest that can work.
    pub lowest: Lowest,
    /// Whether a site may do without it.
    pub optional: bool,
    /// The component without which it is not there either.
    pub under: Option<String>,
    /// Versions that must not be used.
    pub barred: Vec<Barred>,
    /// What it cannot work with.
    pub clashes: Vec<Clash>,
    /// Where it comes from.
    pub source: Source,
    /// The names and addresses that its certificate is good for; without any it has none.
    pub certificate: Vec<String>,
    /// What is rendered for it, in this order.
    pub files: Vec<File>,
    /// What is started for it, in this order.
    pub services: Vec<Service>,
    /// What Nomad runs for it, in this order. Whose API and which token it is comes from Nomad's own description.
    pub jobs: Vec<Job>,
    /// A system user of its own.
    pub user: Option<String>,
    licences: Vec<Part>,
    purl: Option<String>,
    features: Vec<Part>,
    packages: BTreeMap<String, Vec<Part>>,
    missing: BTreeMap<String, BTreeMap<String, String>>,
}

/// Where a component comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// From upstream's archives.
    Artefacts(Artefacts),
    /// From the operating system.
    HostPackage(HostPackage),
}

impl Component {
    /// What holds of this version and not of every version.
    pub fn features(&self, version: Version) -> BTreeSet<String> {
        held(&self.features, version).map(str::to_owned).collect()
    }

    /// The licence of this version, an SPDX expression, when it is known.
    pub fn licence(&self, version: Version) -> Option<&str> {
        held(&self.licences, version).next()
    }

    /// What the world calls this version (<https://github.com/package-url/purl-spec>), when it does not come from the operating system.
    pub fn purl(&self, version: Version) -> Option<String> {
        self.purl.as_ref().map(|purl| purl.replace("{version}", &version.to_string()))
    }

    /// Packages of that operating system that upstream's build of this version needs.
    pub fn packages(&self, version: Version, os: &str) -> impl Iterator<Item = &str> {
        held(self.packages.get(os).map(Vec::as_slice).unwrap_or_default(), version)
    }

    /// Those of them that the operating system does not have, with what they are needed for.
    pub fn missing(&self, version: Version, os: &str) -> impl Iterator<Item = (&str, &str)> {
        let missing = self.missing.get(os);
        self.packages(version, os).filter_map(move |package| Some((package, missing?.get(package)?.as_str())))
    }

    /// Whether the operating system brings it, so that the version is the lowest accepted rather than the one installed.
    pub fn is_host_package(&self) -> bool {
        matches!(self.source, Source::HostPackage(_))
    }
}

/// The words that hold of that version.
fn held(parts: &[Part], version: Version) -> impl Iterator<Item = &str> {
    parts.iter().filter(move |part| part.versions.holds(version)).map(|part| part.name.as_str())
}

/// Every component of this release, in the order in which their services are started.
pub fn all() -> &'static [Component] {
    static ALL: LazyLock<Vec<Component>> = LazyLock::new(|| {
        let read = |folder| read(folder).expect("the embedded components are whole: a test reads them all");
        FOLDERS.iter().map(read).collect()
    });
    &ALL
}

/// Every component of this release, by name.
pub fn by_name() -> impl Iterator<Item = &'static Component> {
    let mut sorted: Vec<_> = all().iter().collect();
    sorted.sort_by_key(|component| &component.name);
    sorted.into_iter()
}

/// The component of that name, when this release has it.
pub fn named(name: &str) -> Option<&'static Component> {
    all().iter().find(|component| component.name == name)
}

fn read(folder: &Folder) -> Result<Component> {
    let name = folder.name;
    let description: description::Description =
        serde_yaml::from_str(folder.description).with_context(|| format!("reading templates/{name}/component.yaml"))?;
    ensure!(description.name == name, "templates/{name}/component.yaml says that it is {:?}", description.name);
    let source = match (description.artefacts, description.host_package) {
        (Some(artefacts), None) => Source::Artefacts(artefacts),
        (None, Some(package)) => Source::HostPackage(package),
        _ => bail!("templates/{name}/component.yaml needs either `artefacts` or `host_package`"),
    };
    let text = |file: &str| {
        let template = folder.templates.iter().find(|(template, _)| *template == file);
        template.map(|(_, text)| *text).with_context(|| format!("templates/{name}/{file}.tera is not embedded"))
    };
    let file = |file: &String| template::file(&format!("{name}/{file}"), text(file)?);
    let job = |job: &String| template::job(name, job, text(&format!("{job}.job.json"))?);
    let files = description.files.iter().map(file).collect::<Result<Vec<_>>>()?;
    let jobs = description.jobs.iter().map(job).collect::<Result<Vec<_>>>()?;
    for service in &description.services {
        let stray = service.files.iter().find(|file| !description.files.contains(file));
        ensure!(stray.is_none(), "{} depends on {stray:?}, which is no file of {name}", service.unit);
        service.access.as_ref().map_or(Ok(()), |access| judge(name, access))?;
    }
    for job in &jobs {
        let stray = job.files.iter().find(|file| files.iter().all(|known| known.name != **file));
        ensure!(stray.is_none(), "the job {} depends on {stray:?}, which is no file of {name}", job.name);
    }
    Ok(Component {
        name: description.name,
        default: description.default,
        lowest: description.lowest,
        optional: description.optional,
        under: description.under,
        barred: description.barred,
        clashes: description.clashes,
        source,
        certificate: description.certificate,
        files,
        services: description.services,
        jobs,
        user: description.user,
        licences: description.licences,
        purl: description.purl,
        features: description.features,
        packages: description.packages,
        missing: description.missing,
    })
}

/// Whether an access names only what there is.
fn judge(name: &str, access: &Access) -> Result<()> {
    for secret in access.tokens.iter().map(|token| &token.secret).chain([&access.management]) {
        ensure!(secrets::named(secret).is_some(), "the access of {name} has {secret:?}, which is no secret");
    }
    if let Some(reader) = &access.reader {
        let token = access.tokens.iter().find(|token| token.secret == *reader);
        ensure!(
            token.is_some_and(|token| token.component.is_none()),
            "the reader of {name} is {reader:?}, which is no token that is always there"
        );
    }
    for policy in access.tokens.iter().flat_map(|token| &token.policies) {
        ensure!(
            access.policies.contains_key(policy),
            "a token of {name} has the policy {policy:?}, which is not there"
        );
    }
    for need in access.policies.values().flat_map(|policy| &policy.needs) {
        ensure!(anymetal_contract::facts::named(need).is_some(), "a policy of {name} needs {need:?}, which is no fact");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
