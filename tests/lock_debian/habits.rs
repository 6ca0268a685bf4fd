//! Archives as other tools write them: what apt-get takes without a word is locked, too.
//! May not take a habit for granted: apt-get itself is shown each.

use std::fs;
use std::path::Path;
use std::process::Command;

use anymetal::lock::debian::closure;
use anymetal::sys::archive::Folders;
use anymetal_lab::debian::write;

use super::lab::{Lab, SECURITY, UPSTREAM, suites};

/// What a tool does to a text.
type Habit = fn(&str) -> String;

/// A habit of those who write a suite's release.
const RELEASES: [(&str, Habit); 14] = [
    ("a day of one digit", |text| text.replace(", 10 Feb", ", 3 Feb")),
    ("a day with a blank before it", |text| text.replace(", 10 Feb", ",  3 Feb")),
    ("GMT, and an hour of one digit", |text| text.replace("11:07:25 UTC", "9:07:25 GMT")),
    ("Z", |text| text.replace(" UTC", " Z")),
    ("the date of C's library", |text| text.replace("Sat, 10 Feb 2024 11:07:25 UTC", "Sat Feb 10 11:07:25 2024")),
    ("names of fields in other cases", |text| text.replace("Date:", "date:").replace("SHA256:", "Sha256:")),
    ("no codename", |text| renamed(text)),
    ("blanks at the ends of lines", |text| text.replace('\n', "  \n")),
    ("line ends of Windows", |text| text.replace('\n', "\r\n")),
    ("tabs before the lines of a list", |text| text.replace("\n ", "\n\t")),
    ("an empty line before and after", |text| format!("\n{text}\n")),
    ("a description of several lines", |text| format!("Description: a tool's\n .\n own\n{text}")),
    ("digests first", |text| {
        let (head, sums) = text.split_once("SHA256:").unwrap();
        format!("SHA256:{sums}{head}")
    }),
    ("other digests too", |text| text.replace("SHA256:", "MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 x\nSHA256:")),
];

/// A habit of those who write an index.
const INDEXES: [(&str, Habit); 9] = [
    ("dpkg-scanpackages .", |text| text.replace("Filename: pool/", "Filename: ./pool/")),
    ("doubled slashes", |text| text.replace("Filename: pool/main/", "Filename: pool//main/./")),
    ("a slash first", |text| text.replace("Filename: pool/", "Filename: /pool/")),
    ("line ends of Windows", |text| text.replace('\n', "\r\n")),
    ("names of fields in lower case", |text| text.replace("Filename:", "filename:").replace("SHA256:", "sha256:")),
    ("no blank behind a colon", |text| text.replace(": ", ":")),
    ("no maintainer, priority or description", |text| without(text, &["Maintainer", "Priority", "Description"])),
    ("a package without a version", |text| format!("{text}Package: virtual\n\n")),
    ("packages described twice", |text| format!("{text}{}", text.replace("Size:", "Section: misc\nSize:"))),
];

fn renamed(text: &str) -> String {
    let codename = text.lines().find_map(|line| line.strip_prefix("Codename: ")).unwrap().to_owned();
    text.replace("Suite: oldstable", &format!("Suite: {codename}")).replace(&format!("Codename: {codename}\n"), "")
}

fn without(text: &str, fields: &[&str]) -> String {
    let is_left = |line: &&str| !fields.iter().any(|field| line.starts_with(&format!("{field}: ")));
    text.lines().filter(is_left).flat_map(|line| [line, "\n"]).collect()
}

/// Whether apt-get takes the archive in this folder without a word, and locks nothing of it.
fn apt_takes(folder: &Path, key: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().display();
    for below in ["etc/preferences.d", "etc/apt.conf.d", "state/lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(dir.path().join(below)).unwrap();
    }
    let config = format!(
        "Dir::Etc \"{at}/etc\";\nDir::State \"{at}/state\";\nDir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
    );
    let source = format!("deb [signed-by={}] file:{} bookworm main\n", key.display(), folder.display());
    for (name, text) in [("apt.conf", config), ("etc/sources.list", source), ("status", String::new())] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    for arguments in [&["update"][..], &["download", "bird2"]] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).current_dir(dir.path()).env("APT_CONFIG", dir.path().join("apt.conf")).env("LC_ALL", "C");
        let ran = apt.output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        let warned = said.lines().any(|line| line.starts_with("W: ") || line.starts_with("E: "));
        assert!(ran.status.success() && !warned, "apt-get {arguments:?}: {said}");
    }
}

/// The lab's main suite, written by a tool with these habits, is taken by apt-get and by us alike.
fn taken(what: &str, release: Habit, index: Habit, detached: bool) {
    let lab = Lab::new();
    let expected = lab.resolve("bird2").unwrap().packages;
    let [(_, main), (_, security)] = suites();
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.asc");
    fs::write(&key, lab.key.public()).unwrap();
    let folders = [(UPSTREAM, "debian"), (SECURITY, "security")];
    let indexes = ["amd64", "arm64"].map(|name| (name.to_owned(), index(&main.packages(name))));
    let mut files = main.files_with(&indexes.clone().into(), &|text| lab.key.clearsigned(&release(text)));
    if detached {
        let said = std::cell::RefCell::default();
        main.files_with(&indexes.into(), &|text| said.replace(release(text)));
        let text: String = said.into_inner();
        files.remove("dists/bookworm/InRelease");
        files.insert("dists/bookworm/Release.gpg".into(), lab.key.detached_armoured(text.as_bytes()).into_bytes());
        files.insert("dists/bookworm/Release".into(), text.into_bytes());
    }
    write(&files, &dir.path().join("debian"));
    write(&security.files(&|text| lab.key.clearsigned(text)), &dir.path().join("security"));
    let asked = folders.map(|(url, name)| (url.to_owned(), vec![dir.path().join(name)])).to_vec();
    let wanted = ["bird2".to_owned()].into();
    let found = closure(&lab.ask(&wanted, &Folders(asked))).unwrap_or_else(|error| panic!("{what}: {error:#}"));
    assert_eq!(found.packages, expected, "{what}");
    apt_takes(&dir.path().join("debian"), &key);
}

#[test]
fn a_release_that_apt_takes_is_taken() {
    for (what, habit) in RELEASES {
        taken(what, habit, str::to_owned, false);
    }
}

#[test]
fn an_index_that_apt_takes_is_taken() {
    for (what, habit) in INDEXES {
        taken(what, str::to_owned, habit, false);
    }
}

#[test]
fn a_release_may_have_its_signature_beside_it() {
    taken("Release.gpg", str::to_owned, str::to_owned, true);
    taken("Release.gpg, line ends of Windows", |text| text.replace('\n', "\r\n"), str::to_owned, true);
    let mut lab = Lab::new();
    lab.files.get_mut(UPSTREAM).unwrap().remove("dists/bookworm/InRelease");
    let absent = lab.refused("bird2");
    assert!(absent.starts_with(&format!("fetching {UPSTREAM}/dists/bookworm/InRelease: ")), "{absent}");
    lab.replace(UPSTREAM, "dists/bookworm/Release", b"Codename: bookworm\n".to_vec());
    lab.replace(UPSTREAM, "dists/bookworm/Release.gpg", lab.key.detached_armoured(b"another").into_bytes());
    let wrong = lab.refused("bird2");
    assert!(wrong.contains("checking its signature, Release.gpg: "), "{wrong}");
}

#[test]
fn a_flat_archive_is_named() {
    let mut lab = Lab::new();
    lab.files.get_mut(UPSTREAM).unwrap().retain(|path, _| !path.starts_with("dists/"));
    lab.replace(UPSTREAM, "Release", b"Origin: Lab\n".to_vec());
    let error = lab.refused("bird2");
    assert!(
        error.starts_with("the archive is a flat one, with Release at its top, and has no suite bookworm\nhint: "),
        "{error}"
    );
}
