//! The files of an archive of packages: from the network, or from a folder that is laid out like one.
//! May not check what they are: whoever asked knows their digests.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use anymetal_supply::http::{Limits, Outside};
use anymetal_supply::percent;

use super::outside::{Asker, Tell, Vouched};
use super::read;
use crate::lock::debian::{Absent, Fetch};

/// Where an upstream's files are: its own base address, and what stands in its place, tried in this order.
pub type Mirror<P> = (String, Vec<P>);

/// What vouches for an archive's files; Debian's own is asked by plain http.
const SIGNED: &str = "the archive's signature and digests vouch for what comes";

/// Archives on the network.
pub struct Mirrors {
    asker: Asker,
    mirrors: Vec<Mirror<String>>,
}

impl Mirrors {
    /// An upstream that none of these names is asked itself; one that is named is asked only where it says.
    pub fn new(mirrors: Vec<Mirror<String>>, outside: &Outside, tell: Tell) -> Self {
        Self { asker: Asker::new(Limits::TRANSFER, outside, tell), mirrors }
    }

    fn ask(&self, url: &str, most: u64) -> Result<Vec<u8>> {
        let answer = self.asker.get(url, most, Vouched::Otherwise(SIGNED))?;
        if matches!(answer.status, 404 | 410) {
            bail!(Absent(format!("asking {url}: it answered {}", answer.status)));
        }
        ensure!(answer.status == 200, "asking {url}: it answered {}", answer.status);
        Ok(answer.body)
    }
}

impl Fetch for Mirrors {
    fn get(&self, url: &str, most: u64) -> Result<Vec<u8>> {
        let Some((bases, rest)) = split(&self.mirrors, url) else { return self.ask(url, most) };
        first(bases.iter().map(|base| self.ask(&format!("{}/{rest}", base.trim_end_matches('/')), most)))
    }

    fn place(&self, url: &str) -> String {
        let Some((bases, rest)) = split(&self.mirrors, url) else { return url.to_owned() };
        let places: Vec<_> = bases.iter().map(|base| format!("{}/{rest}", base.trim_end_matches('/'))).collect();
        places.join(" or ")
    }
}

/// Archives that somebody carried in: folders with `dists` and `pool`.
pub struct Folders(
    /// For each upstream, its folders.
    pub Vec<Mirror<PathBuf>>,
);

impl Fetch for Folders {
    fn get(&self, url: &str, most: u64) -> Result<Vec<u8>> {
        let (folders, rest) =
            split(&self.0, url).with_context(|| format!("no folder is given that stands for {url}"))?;
        // an address has percent signs for what a file's name has as it is
        let rest = percent::decoded(rest);
        let leads_on = |part: &[u8]| !matches!(part, b"" | b"." | b"..");
        ensure!(rest.split(|byte| *byte == b'/').all(leads_on), "{url} leaves the archive");
        let rest = OsString::from_vec(rest);
        first(folders.iter().map(|folder| {
            let path = folder.join(&rest);
            read::bounded(&path, most).map_err(|refused| match refused {
                absent if absent.is_absent() => Absent(format!("there is no {}", path.display())).into(),
                other => other.told(most).context(format!("reading {}", path.display())),
            })
        }))
    }

    fn place(&self, url: &str) -> String {
        let Some((folders, rest)) = split(&self.0, url) else { return url.to_owned() };
        let paths: Vec<_> = folders.iter().map(|folder| folder.join(rest).display().to_string()).collect();
        paths.join(" or ")
    }
}

/// What stands for an upstream, and the rest of the address below it: of several upstreams that fit, the longest.
fn split<'a, P>(mirrors: &'a [Mirror<P>], url: &'a str) -> Option<(&'a [P], &'a str)> {
    let below = |upstream: &str| url.strip_prefix(upstream.trim_end_matches('/'))?.strip_prefix('/');
    let fitting = mirrors.iter().filter_map(|(upstream, places)| Some((places.as_slice(), below(upstream)?)));
    fitting.min_by_key(|(_, rest)| rest.len())
}

/// The first that answers, or what all of them said.
fn first(answers: impl Iterator<Item = Result<Vec<u8>>>) -> Result<Vec<u8>> {
    let (mut said, mut absent) = (Vec::new(), true);
    for answer in answers {
        match answer {
            Ok(bytes) => return Ok(bytes),
            Err(error) => {
                absent &= error.is::<Absent>();
                said.push(format!("{error:#}"));
            }
        }
    }
    if absent && !said.is_empty() {
        bail!(Absent(said.join("; ")));
    }
    bail!("{}", if said.is_empty() { "nobody is given to be asked".to_owned() } else { said.join("; ") })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the folders it reads")]
mod tests {
    use anymetal_lab::http::{Response, Server};

    use super::*;

    const UPSTREAM: &str = "http://deb.example/debian";

    #[test]
    fn a_mirror_answers_for_its_upstream_and_the_next_when_it_does_not() {
        let server = Server::start(|request, _| match request.path.as_str() {
            "/behind/dists/x" => Response::not_found(),
            "/copy/dists/x" => Response::ok("here"),
            other => panic!("nobody was to ask for {other}"),
        });
        let bases = ["behind", "copy/"].map(|name| format!("{}/{name}", server.url()));
        let mirrors = Mirrors::new(vec![(UPSTREAM.into(), bases.to_vec())], &Outside::default(), |_| ());
        assert_eq!(mirrors.get(&format!("{UPSTREAM}/dists/x"), 9).unwrap(), b"here");
        let error = mirrors.get(&format!("{UPSTREAM}/dists/x"), 3).unwrap_err().to_string();
        let url = server.url();
        let expected = [
            format!("asking {url}/behind/dists/x: it answered 404"),
            format!("reading the answer of {url}/copy/dists/x: it is longer than 3 bytes"),
        ];
        assert_eq!(error, expected.join("; "));
    }

    #[test]
    fn an_upstream_without_mirrors_is_asked_itself() {
        let server = Server::start(|_, _| Response::ok("itself"));
        let mirrors =
            Mirrors::new(vec![(UPSTREAM.into(), vec!["http://mirror.invalid".into()])], &Outside::default(), |_| ());
        assert_eq!(mirrors.get(&format!("{}/debian-security/x", server.url()), 9).unwrap(), b"itself");
    }

    #[test]
    fn a_folder_is_read_below_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("pool")).unwrap();
        std::fs::write(folder.path().join("pool/a.deb"), "deb").unwrap();
        std::fs::write(folder.path().join("secret"), "no").unwrap();
        let folders = Folders(vec![(format!("{UPSTREAM}/"), vec!["/nowhere".into(), folder.path().to_owned()])]);
        assert_eq!(folders.get(&format!("{UPSTREAM}/pool/a.deb"), 3).unwrap(), b"deb");
        for (rest, word) in [
            ("/pool/a.deb", "longer than 2 bytes"),
            ("/pool", "it is a folder"),
            ("/pool/../secret", "leaves the archive"),
            ("//etc/passwd", "leaves the archive"),
            ("-security/pool/a.deb", "no folder is given"),
        ] {
            let error = folders.get(&format!("{UPSTREAM}{rest}"), 2).unwrap_err().to_string();
            assert!(error.contains(word), "{rest}: {error}");
        }
    }
}
