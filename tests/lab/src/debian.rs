//! A Debian archive as its own tools make one: real packages, an index in each form, a signed release, each file by its path.
//! May not judge what it is told to write: dates, names and digests may be as wrong as a test wants them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use lzma_rust2::{XzOptions, XzWriter};

use crate::archive::{gzip, sha256};

/// The files of an archive, by their path below its base: `dists/…` and `pool/…`.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A binary package.
#[derive(Debug, Clone)]
pub struct Deb {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Debian's name of the architecture, or `all`.
    pub architecture: String,
    /// Further fields of its description, in this order.
    pub fields: Vec<(String, String)>,
    /// Its files: absolute path, mode, content.
    pub files: Vec<(String, u32, Vec<u8>)>,
    /// Its scripts: `postinst`, …
    pub scripts: Vec<(String, String)>,
}

/// A suite, and what is in it.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Under which name it is filed: `bookworm`.
    pub name: String,
    /// What its release says of itself: the fields before the digests.
    pub fields: Vec<(String, String)>,
    /// Its packages.
    pub debs: Vec<Deb>,
    /// The architectures that have an index.
    pub architectures: Vec<String>,
    /// The forms its indexes come in: `xz`, `gz`, or an empty name for a plain one.
    pub forms: Vec<String>,
    /// Whether each index is also filed by its digest.
    pub by_hash: bool,
}

impl Deb {
    /// A package with nothing in it.
    pub fn new(name: &str, version: &str, architecture: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            architecture: architecture.into(),
            fields: Vec::new(),
            files: Vec::new(),
            scripts: Vec::new(),
        }
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// With one more file.
    #[must_use]
    pub fn file(mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), mode, content.into()));
        self
    }

    /// With a script of sh that dpkg runs: `postinst`, …
    #[must_use]
    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.push((name.into(), text.into()));
        self
    }

    /// What it says of itself.
    pub fn control(&self) -> String {
        let mut text = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: The lab <lab@example.com>\n",
            self.name, self.version, self.architecture
        );
        for (name, value) in &self.fields {
            let _infallible = writeln!(text, "{name}: {value}");
        }
        if !self.fields.iter().any(|(name, _)| name == "Description") {
            text += "Description: a package of the lab\n";
        }
        text
    }

    /// The file: an `ar` archive of three members, as deb(5) has it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut control = vec![("control".to_owned(), 0o644, self.control().into_bytes())];
        control.extend(self.scripts.iter().map(|(name, text)| (name.clone(), 0o755, text.clone().into_bytes())));
        let mut bytes = b"!<arch>\n".to_vec();
        for (name, content) in [
            ("debian-binary", b"2.0\n".to_vec()),
            ("control.tar.gz", gzip(&tar(&control))),
            ("data.tar.gz", gzip(&tar(&self.files))),
        ] {
            let size = content.len();
            bytes.extend(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, "100644").as_bytes());
            bytes.extend(content);
            // Members begin at even places.
            bytes.resize(bytes.len().next_multiple_of(2), b'\n');
        }
        bytes
    }

    /// Where it lies in an archive.
    pub fn path(&self) -> String {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        let Self { name, architecture, .. } = self;
        format!("pool/main/{}/{name}/{name}_{version}_{architecture}.deb", &name[..1])
    }

    /// Its stanza of an index.
    pub fn stanza(&self) -> String {
        let bytes = self.bytes();
        let (path, size, sha256) = (self.path(), bytes.len(), sha256(&bytes));
        format!("{}Filename: {path}\nSize: {size}\nSHA256: {sha256}\n", self.control())
    }
}

impl Suite {
    /// A suite as Debian's own say it of themselves, for both of our architectures, in both packed forms.
    pub fn new(name: &str, date: &str, debs: Vec<Deb>) -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            name: name.into(),
            fields: vec![
                field("Origin", "Lab"),
                field("Suite", "oldstable"),
                field("Codename", name),
                field("Date", date),
                field("Acquire-By-Hash", "yes"),
                field("Components", "main"),
            ],
            debs,
            architectures: vec!["amd64".into(), "arm64".into()],
            forms: vec![String::new(), "gz".into(), "xz".into()],
            by_hash: true,
        }
    }

    /// With this field, in place of another of that name.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(other, _)| other != name);
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Its index for an architecture: those packages, and those for all.
    pub fn packages(&self, architecture: &str) -> String {
        let fits = |deb: &&Deb| deb.architecture == architecture || deb.architecture == "all";
        self.debs.iter().filter(fits).map(|deb| deb.stanza() + "\n").collect()
    }

    /// All of it: packages, indexes, and the release, which `sign` makes an `InRelease` of.
    pub fn files(&self, sign: &dyn Fn(&str) -> String) -> Files {
        let indexes = self.architectures.iter().map(|name| (name.clone(), self.packages(name)));
        self.files_with(&indexes.collect(), sign)
    }

    /// The same with these texts for indexes, by architecture.
    pub fn files_with(&self, indexes: &BTreeMap<String, String>, sign: &dyn Fn(&str) -> String) -> Files {
        let mut files: Files = self.debs.iter().map(|deb| (deb.path(), deb.bytes())).collect();
        let mut release = String::new();
        for (name, value) in &self.fields {
            let _infallible = writeln!(release, "{name}: {value}");
        }
        release += "SHA256:\n";
        for (architecture, text) in indexes {
            let folder = format!("main/binary-{architecture}");
            for form in &self.forms {
                let (name, bytes) = match form.as_str() {
                    "xz" => ("Packages.xz", xz(text.as_bytes())),
                    "gz" => ("Packages.gz", gzip(text.as_bytes())),
                    _ => ("Packages", text.clone().into_bytes()),
                };
                let digest = sha256(&bytes);
                let _infallible = writeln!(release, " {digest} {:>8} {folder}/{name}", bytes.len());
                if self.by_hash {
                    files.insert(format!("dists/{}/{folder}/by-hash/SHA256/{digest}", self.name), bytes.clone());
                }
                files.insert(format!("dists/{}/{folder}/{name}", self.name), bytes);
            }
        }
        files.insert(format!("dists/{}/InRelease", self.name), sign(&release).into_bytes());
        files
    }
}

/// Writes the files below a folder.
pub fn write(files: &Files, folder: &Path) {
    for (path, bytes) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("it is below the folder")).expect("the lab's folder can be made");
        std::fs::write(path, bytes).expect("the lab's folder takes it");
    }
}

/// One stream of xz.
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = XzWriter::new(Vec::new(), XzOptions::with_preset(1)).expect("the options are good");
    writer.write_all(bytes).expect("memory takes it");
    writer.finish().expect("memory takes it")
}

/// A tar archive with the folders above each file, owned by root, as dpkg-deb makes it. Paths have at most 97 bytes.
fn tar(files: &[(String, u32, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root").expect("it is short");
        header.set_groupname("root").expect("it is short");
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("memory takes it");
    };
    let mut folders = vec!["./".to_owned()];
    for (path, _, _) in files {
        let path = format!("./{}", path.trim_start_matches('/'));
        folders.extend(path.match_indices('/').skip(1).map(|(at, _)| path[..=at].to_owned()));
    }
    folders.sort_unstable();
    folders.dedup();
    for folder in &folders {
        add(folder, tar::EntryType::Directory, 0o755, b"");
    }
    for (path, mode, content) in files {
        add(&format!("./{}", path.trim_start_matches('/')), tar::EntryType::Regular, *mode, content);
    }
    builder.into_inner().expect("memory takes it")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn dpkg_takes_a_package_of_the_lab() {
        let deb = Deb::new("lab-bird", "1:2.0-1", "all")
            .field("Depends", "libc6 (>= 2)")
            .file("/usr/lib/lab/odd", 0o644, "odd")
            .script("postinst", "#!/bin/sh\nexit 0\n");
        let folder = tempfile::tempdir().unwrap();
        let files = Suite::new("lab", "Sat, 10 Feb 2024 11:07:25 UTC", vec![deb.clone()]).files(&str::to_owned);
        write(&files, folder.path());
        let path = folder.path().join("pool/main/l/lab-bird/lab-bird_2.0-1_all.deb");
        let said = |arguments: &[&str]| {
            let output = Command::new("dpkg-deb").args(arguments).arg(&path).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(said(&["--field"]), deb.control());
        let contents = said(&["--contents"]);
        let odd = contents.lines().find(|line| line.ends_with("./usr/lib/lab/odd")).expect(&contents);
        assert!(odd.starts_with("-rw-r--r-- root/root         3 "), "{odd}");
        assert!(said(&["--info"]).contains("postinst"));
    }
}
