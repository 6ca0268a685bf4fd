//! Where upstreams have their files, who signs them, and where a site says that they are instead.
//! May not ask anybody for a file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::lock::openpgp::Keyring;
use crate::site::Site;

/// The files of keys that are embedded.
const KEYS: [(&str, &str); 2] = [
    ("debian-12.asc", include_str!("../../templates/keys/debian-12.asc")),
    ("hashicorp.asc", include_str!("../../templates/keys/hashicorp.asc")),
];

/// One upstream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Its base URL, without a slash at its end.
    pub url: String,
    /// The file of `templates/keys/` with the keys that sign what it has, when anybody does.
    #[serde(default)]
    keys: Option<String>,
    /// Their fingerprints.
    #[serde(default)]
    pub fingerprints: Vec<String>,
}

impl Source {
    /// Whether what it has is signed.
    pub fn is_signed(&self) -> bool {
        self.keys.is_some()
    }
}

/// Every upstream this release knows, by name.
pub fn all() -> &'static BTreeMap<String, Source> {
    static ALL: LazyLock<BTreeMap<String, Source>> = LazyLock::new(|| {
        let text = include_str!("../../templates/sources.yaml");
        serde_yaml::from_str(text).expect("the embedded sources are whole: a test reads them")
    });
    &ALL
}

/// The upstream below whose base URL this one is, by name.
fn above(url: &str) -> Option<(&'static str, &'static Source)> {
    let is_below = |base: &str| url.strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
    all().iter().find(|(_, source)| is_below(&source.url)).map(|(name, source)| (name.as_str(), source))
}

/// The same file below the base URL that stands for its upstream's; the URL itself when none does.
pub fn instead(bases: &BTreeMap<String, String>, url: &str) -> String {
    let moved = above(url).and_then(|(name, source)| {
        let base = bases.get(name)?.trim_end_matches('/');
        Some(format!("{base}{}", &url[source.url.len()..]))
    });
    moved.unwrap_or_else(|| url.to_owned())
}

/// Where this file may be asked for: where the site says its upstream is instead, then upstream itself.
pub fn mirrored(site: &Site, url: &str) -> Vec<String> {
    let mut urls = vec![instead(&bases(site), url), url.to_owned()];
    urls.dedup();
    urls
}

/// Where the site says that upstreams are, by their names.
pub fn bases(site: &Site) -> BTreeMap<String, String> {
    let said = site.sources.iter().filter_map(|(name, mirror)| Some((name.clone(), mirror.url.clone()?)));
    said.collect()
}

/// The keys that may sign what this upstream has: the site's, or those of this release. `None` when nobody signs it.
pub fn keyring(site: &Site, name: &str) -> Result<Option<Keyring>> {
    let own = site.sources.get(name).and_then(|mirror| mirror.key.as_deref());
    let embedded = || {
        let file = all().get(name)?.keys.as_ref()?;
        KEYS.iter().find(|(known, _)| known == file).map(|(_, text)| text.as_bytes())
    };
    let keys = own.or_else(embedded).map(Keyring::read);
    keys.transpose().with_context(|| format!("reading the key of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use crate::site::model::Mirror;

    #[test]
    fn every_key_is_there_and_its_owners() {
        for (name, source) in all() {
            let keyring = keyring(&sample::site(), name).unwrap();
            assert_eq!(keyring.map(|ring| ring.fingerprints()).unwrap_or_default(), source.fingerprints, "{name}");
            assert_eq!(source.is_signed(), !source.fingerprints.is_empty(), "{name}");
            assert!(!source.url.ends_with('/'), "{name}");
        }
    }

    #[test]
    fn a_mirror_comes_before_its_upstream_and_stands_for_no_other() {
        let mut site = sample::site();
        let mirror = Mirror { url: Some("https://mirror.example/deb".into()), key: None };
        site.sources.insert("debian".into(), mirror);
        for (url, expected) in [
            (
                "http://deb.debian.org/debian/pool/a.deb",
                &["https://mirror.example/deb/pool/a.deb", "http://deb.debian.org/debian/pool/a.deb"][..],
            ),
            ("http://deb.debian.org/debian-security/a.deb", &["http://deb.debian.org/debian-security/a.deb"]),
            ("https://github.com/a/b.tar.gz", &["https://github.com/a/b.tar.gz"]),
        ] {
            assert_eq!(mirrored(&site, url), expected);
        }
    }
}
