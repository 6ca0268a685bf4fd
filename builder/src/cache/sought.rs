//! What a site needs, and all places where each blob may be, in the order in which they are tried.
//! May not try one.

use std::path::{Path, PathBuf};

use anyhow::Result;
use anymetal_supply::origin::{self, Candidate};
use anymetal_supply::transfer::Wanted;

use crate::lock::list;
use crate::plan::{self, Need};
use crate::site::Site;
use crate::sources;

/// A blob and where it may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// The blob.
    pub need: Need,
    /// Files that somebody carried in, if they are there; tried first.
    pub files: Vec<PathBuf>,
    /// Places in the net.
    pub candidates: Vec<Candidate>,
}

/// Every blob of the site's plan, sorted by name. The error is the author's to mend.
pub fn needs(site: &Site) -> Result<Vec<Need>> {
    let plan = plan::draft(site)?;
    let mut needs = plan::needs(&plan, &list::lists(site));
    needs.sort_by(|one, other| (&one.name, &one.sha256).cmp(&(&other.name, &other.sha256)));
    Ok(needs)
}

/// The needs of a site with their places: what lies in these folders, the site's origins, and the needs' own addresses, each after the mirror that
/// the site has of it.
pub fn sought(site: &Site, needs: Vec<Need>, from: &[PathBuf]) -> Vec<Sought> {
    let places = |need: Need| {
        let origins = site.origins.iter().map(String::as_str);
        let urls: Vec<_> = need.urls.iter().flat_map(|url| sources::mirrored(site, url)).collect();
        let candidates = origin::candidates(origins, &need.sha256, &urls);
        Sought { files: from.iter().flat_map(|folder| files(folder, &need)).collect(), candidates, need }
    };
    needs.into_iter().map(places).collect()
}

/// Under which names somebody may have put it there: by its digest, as an origin has it, or as upstream names it.
fn files(folder: &Path, need: &Need) -> Vec<PathBuf> {
    let hex = need.sha256.as_str();
    let mut files = vec![folder.join("sha256").join(hex), folder.join(hex)];
    for name in need.urls.iter().filter_map(|url| file_name(url)) {
        let path = folder.join(name);
        if !files.contains(&path) {
            files.push(path);
        }
    }
    files
}

/// What a URL's file is called.
fn file_name(url: &str) -> Option<&str> {
    let plain = url.split(['?', '#']).next()?;
    let (_, path) = plain.split_once("://")?.1.split_once('/')?;
    path.rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".."))
}

impl Sought {
    /// What a transfer is told.
    pub fn wanted(&self) -> Wanted<'_> {
        let Need { sha256, size, name, .. } = &self.need;
        Wanted { name, title: name.clone(), sha256, size: *size, candidates: self.candidates.clone(), reserve: vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_blob_is_looked_for_by_its_digest_and_by_the_names_its_addresses_have() {
        let site = sample::site();
        let mut needs = needs(&site).unwrap();
        needs[0].urls.push("https://mirror.example/pool/consul.zip?token=t".into());
        let hex = needs[0].sha256.to_string();
        let own = needs[0].urls[0].clone();
        let all = sought(&site, needs, &["/mnt/a".into(), "b".into()]);
        let files: Vec<_> = all[0].files.iter().map(|path| path.display().to_string()).collect();
        let consul = "consul_1.16.1_linux_amd64.zip";
        assert!(own.ends_with(consul), "{own}");
        assert_eq!(
            files,
            [
                format!("/mnt/a/sha256/{hex}"),
                format!("/mnt/a/{hex}"),
                format!("/mnt/a/{consul}"),
                "/mnt/a/consul.zip".into(),
                format!("b/sha256/{hex}"),
                format!("b/{hex}"),
                format!("b/{consul}"),
                "b/consul.zip".into(),
            ]
        );
        let urls: Vec<_> = all[0].candidates.iter().map(|candidate| candidate.url.as_str()).collect();
        let origin = format!("https://mirror.example/anymetal/sha256/{hex}");
        assert_eq!(urls, [&origin, &own, "https://mirror.example/pool/consul.zip?token=t"]);
    }

    #[test]
    fn an_address_without_a_file_names_none() {
        for (url, name) in [
            ("http://a/x/y.zip", Some("y.zip")),
            ("http://a/y.zip#z", Some("y.zip")),
            ("http://a/x/", None),
            ("http://a/x/..", None),
            ("http://a", None),
            ("nonsense", None),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
