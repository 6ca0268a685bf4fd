//! What is said about a build: the bill of materials and the provenance.
//! May not know their forms: `crate::sbom` and `crate::provenance` do.

use std::path::Path;

use anymetal_contract::bundle::PLAN;
use anymetal_contract::release::{FILE, SIGNATURE};
use anymetal_contract::{Digest, Plan, place};

use super::made::Made;
use super::{Args, BUNDLE, Failed, Form};
use crate::lock::{Lock, document};
use crate::provenance::{self, Resource};
use crate::site::Site;
use crate::sys::{bundle, read};
use crate::{plan, sbom};

/// What is said about all the rest: the bill of materials and the provenance, when they are wanted, by their names in OUT.
pub(super) fn papers(
    made: &Made,
    site: &Site,
    drafted: &Plan,
    args: &Args,
) -> Result<Vec<(&'static str, Vec<u8>)>, Failed> {
    let lists = &made.lists;
    let mut papers = Vec::new();
    if args.form.contains(&Form::Sbom) {
        papers.push((sbom::FILE, sbom::document(drafted, lists, &made.inits)?.into_bytes()));
    }
    if args.form.contains(&Form::Provenance) {
        let (own, read) = inputs(site, &args.site)?;
        let mut written = subjects(made, args)?;
        written.extend(papers.iter().map(|(name, bytes)| resource(name, bytes)));
        let build = provenance::Build {
            site: &own,
            forms: args.form.iter().map(|form| form.word()).collect(),
            read: &read,
            needs: &plan::needs(drafted, lists),
            written: &written,
        };
        papers.push((provenance::FILE, provenance::document(&build)));
    }
    Ok(papers)
}

/// What was written and is no secret.
fn subjects(made: &Made, args: &Args) -> anyhow::Result<Vec<Resource>> {
    let blob = |sha256: &Digest| Resource { name: place::blob(sha256), sha256: sha256.clone(), urls: Vec::new() };
    let blobs = made.inits.iter().map(|init| &init.sha256).chain(made.listed.iter().map(|(sha256, _)| sha256));
    let bundled = args.form.contains(&Form::Bundle).then(|| {
        let sha256 = bundle::digest(&args.output.join(BUNDLE))?;
        anyhow::Ok(Resource { name: BUNDLE.to_owned(), sha256, urls: Vec::new() })
    });
    let signature = made.signature.as_ref().map(|text| resource(SIGNATURE, text.as_bytes()));
    let user_data = made.user_data.as_ref().map(|text| resource("user-data", text.as_bytes()));
    let documents = [(FILE, &made.text), (PLAN, &made.plan)];
    let named = documents.map(|(_, bytes)| blob(&plan::digest(bytes)));
    let documents = documents.map(|(name, bytes)| resource(name, bytes));
    let rest = named.into_iter().chain(documents).chain(signature).chain(user_data);
    Ok(blobs.map(blob).chain(rest).chain(bundled.transpose()?).collect())
}

fn resource(name: &str, bytes: &[u8]) -> Resource {
    Resource { name: name.to_owned(), sha256: plan::digest(bytes), urls: Vec::new() }
}

/// The site's own file, and every other that was read for it but for the secrets, each by the name the site gives it.
fn inputs(site: &Site, path: &Path) -> anyhow::Result<(Resource, Vec<Resource>)> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let read = |name: &str, path: &Path| {
        let bytes = read::bounded(path, document::LARGEST)
            .map_err(|refused| refused.told(document::LARGEST).context(format!("reading {} again", path.display())))?;
        Ok(resource(name, &bytes))
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let own = read(&name, path)?;
    let inline = |place: usize| format!("cloud_config[{place}]");
    let files = site.cloud_config.iter().enumerate().filter(|(place, part)| part.origin != inline(*place));
    let files = files.map(|(_, part)| read(&part.origin, &folder.join(&part.origin)));
    let lock = site.lock.as_ref().map(|_| {
        let path = Lock::path(path);
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        read(&name, &path)
    });
    Ok((own, lock.into_iter().chain(files).collect::<anyhow::Result<Vec<_>>>()?))
}
