//! What a component is, as data: `templates/<component>/`, embedded, so that one binary is all an operator carries.
//! May not decide what a site gets: `plan` does.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use anymetal_contract::Digest;
use anymetal_contract::plan::{Arch, File, Format, HostPackage, Member, Ready};
use serde::Deserialize;

use crate::template;

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
            description: include_str!(concat!("../../templates/", $name, "/component.yaml")),
            templates: &[$(($template, include_str!(concat!("../../templates/", $name, "/", $template, ".tera")))),*],
        }
    };
}

/// Every component this release can bring onto a node, in the order in which their services are started.
const FOLDERS: &[Folder] = &[folder!("consul", ["consul.json", "consul.service"]), folder!("bird", ["bird.conf"])];

/// What a component is.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name: `consul`.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// What is rendered for it, in this order.
    pub files: Vec<File>,
    /// What is started for it, in this order.
    pub services: Vec<Service>,
}

/// Where a component comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// From upstream's archives.
    Artefacts(Artefacts),
    /// From the operating system.
    HostPackage(HostPackage),
}

/// Upstream's archives of a component.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefacts {
    /// What kind of archive.
    pub format: Format,
    /// What is taken out of it.
    pub members: Vec<Member>,
    /// Where upstream has it; `{version}` and `{arch}` stand for what they say.
    url: String,
    /// How upstream writes an architecture.
    arch: BTreeMap<Arch, String>,
    /// Known digests: version, architecture.
    pub digests: BTreeMap<String, BTreeMap<Arch, Digest>>,
}

impl Artefacts {
    /// Where upstream has this version for this architecture, when upstream builds for it.
    pub fn url(&self, version: &str, arch: Arch) -> Option<String> {
        let arch = self.arch.get(&arch)?;
        Some(self.url.replace("{version}", version).replace("{arch}", arch))
    }

    /// The digest of this version for this architecture, when it is known.
    pub fn digest(&self, version: &str, arch: Arch) -> Option<&Digest> {
        self.digests.get(version)?.get(&arch)
    }
}

/// A unit of a component; see [`anymetal_contract::plan::Service`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit.
    pub unit: String,
    /// The files it depends on, by their name in the folder.
    pub files: Vec<String>,
    /// Whether a changed file needs only a reload.
    pub reload: bool,
    /// When it counts as ready.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub ready: Ready,
}

/// `component.yaml`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    #[serde(default)]
    artefacts: Option<Artefacts>,
    #[serde(default)]
    host_package: Option<HostPackage>,
    files: Vec<String>,
    services: Vec<Service>,
}

/// Every component of this release, in the order in which their services are started.
pub fn all() -> &'static [Component] {
    static ALL: LazyLock<Vec<Component>> = LazyLock::new(|| {
        let read = |folder| read(folder).expect("the embedded components are whole: a test reads them all");
        FOLDERS.iter().map(read).collect()
    });
    &ALL
}

/// The component of that name, when this release has it.
pub fn named(name: &str) -> Option<&'static Component> {
    all().iter().find(|component| component.name == name)
}

fn read(folder: &Folder) -> Result<Component> {
    let name = folder.name;
    let description: Description =
        serde_yaml::from_str(folder.description).with_context(|| format!("reading templates/{name}/component.yaml"))?;
    ensure!(description.name == name, "templates/{name}/component.yaml says that it is {:?}", description.name);
    let source = match (description.artefacts, description.host_package) {
        (Some(artefacts), None) => Source::Artefacts(artefacts),
        (None, Some(package)) => Source::HostPackage(package),
        _ => anyhow::bail!("templates/{name}/component.yaml needs either `artefacts` or `host_package`"),
    };
    let file = |file: &String| {
        let template = folder.templates.iter().find(|(template, _)| template == file);
        let (_, text) = template.with_context(|| format!("templates/{name}/{file}.tera is not embedded"))?;
        template::read(&format!("{name}/{file}"), text)
    };
    let files = description.files.iter().map(file).collect::<Result<Vec<_>>>()?;
    for service in &description.services {
        let stray = service.files.iter().find(|file| !description.files.contains(file));
        ensure!(stray.is_none(), "{} depends on {stray:?}, which is no file of {name}", service.unit);
    }
    Ok(Component { name: description.name, source, files, services: description.services })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_component_is_whole() {
        for folder in FOLDERS {
            let component = read(folder).unwrap();
            assert_eq!(
                component.files.len(),
                folder.templates.len(),
                "{} embeds a template it does not use",
                folder.name
            );
            let Source::Artefacts(artefacts) = component.source else { continue };
            for version in artefacts.digests.keys() {
                for arch in Arch::ALL {
                    assert!(artefacts.digest(version, arch).is_some(), "{} {version} {arch}", folder.name);
                    assert!(artefacts.url(version, arch).unwrap().starts_with("https://"));
                }
            }
        }
    }

    #[test]
    fn upstream_has_its_own_names_of_architectures() {
        let Source::Artefacts(consul) = &named("consul").unwrap().source else { panic!("consul comes in archives") };
        let url = "https://releases.hashicorp.com/consul/1.16.1/consul_1.16.1_linux_arm64.zip";
        assert_eq!(consul.url("1.16.1", Arch::Aarch64).as_deref(), Some(url));
        assert_eq!(
            consul.digest("1.16.1", Arch::X86_64).unwrap().as_str(),
            "1d48942fa9f1d0df3f56a1622c7a46e9b85924ed9976338912101bb5519aadf1"
        );
        assert_eq!(consul.digest("1.8.7", Arch::X86_64), None);
    }

    #[test]
    fn readiness_is_read_as_data() {
        let ready = |name: &str| named(name).unwrap().services[0].ready.clone();
        assert_eq!(ready("consul"), Ready::ConsulLeader("http://127.0.0.1:8500".into()));
        assert_eq!(ready("bird"), Ready::Active);
        assert!(named("nomad").is_none());
    }

    #[test]
    fn a_description_that_does_not_fit_its_folder_is_an_error() {
        let whole = FOLDERS[1].description;
        for (right, wrong, what) in [
            ("name: bird", "name: bind", "says that it is \"bind\""),
            ("files: [bird.conf]\nservices", "files: [bird6.conf]\nservices", "bird6.conf.tera is not embedded"),
            ("  files: [bird.conf]", "  files: [bird.cfg]", "\"bird.cfg\""),
            ("reload: true", "reload: perhaps", "component.yaml"),
            ("host_package:", "hostpackage:", "unknown field `hostpackage`"),
        ] {
            let text = whole.replacen(right, wrong, 1);
            assert_ne!(text, whole, "{right:?} is not in the description");
            let folder = Folder { name: "bird", description: text.leak(), templates: FOLDERS[1].templates };
            let error = format!("{:#}", read(&folder).unwrap_err());
            assert!(error.contains(what), "{error}");
        }
    }
}
