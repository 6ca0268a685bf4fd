//! Debian packages resolved from whole archives: the lab's, signed and hostile, and the one this machine's own apt uses.
//! May not look inside: what is locked is compared with what was asked, and with what apt itself would install.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a suite plays the world around the program")]

mod habits;
mod hostile;
mod lab;
mod real;

use std::path::PathBuf;

use anymetal::lock::debian::closure;
use anymetal::sys::archive::{Folders, Mirrors};
use anymetal_contract::plan::Arch;
use anymetal_lab::debian::{Files, write};
use anymetal_lab::http::{Response, Server};
use anymetal_supply::http::Outside;

use lab::{DATE, Lab, SECURITY, UPSTREAM};

#[test]
fn a_package_is_locked_with_all_it_needs_from_signed_indexes() {
    let lab = Lab::new();
    let closure = lab.resolve("bird2").unwrap();
    let packages: Vec<String> = closure
        .packages
        .iter()
        .map(|package| format!("{} {} {}", package.name, package.version, package.urls.join(" ")))
        .collect();
    assert_eq!(
        packages,
        [
            format!("libssh-gcrypt-4 0.10.6 {UPSTREAM}/pool/main/l/libssh-gcrypt-4/libssh-gcrypt-4_0.10.6_amd64.deb"),
            format!("bird2 2.0.12-7+deb12u1 {SECURITY}/pool/main/b/bird2/bird2_2.0.12-7+deb12u1_amd64.deb"),
        ]
    );
    let bird = lab.files[SECURITY].iter().find(|(path, _)| path.ends_with("u1_amd64.deb")).unwrap().1;
    assert_eq!(closure.packages[1].sha256, anymetal_lab::archive::sha256(bird));
    assert_eq!(closure.packages[1].size, bird.len() as u64);
    assert_eq!(closure.wanted, ["bird2"]);
    assert_eq!(closure.suites.keys().collect::<Vec<_>>(), ["bookworm", "bookworm-security"]);
    assert_eq!(closure.suites["bookworm"].date, DATE);
    assert_eq!(closure.suites["bookworm"].signed, lab.key.fingerprint());
}

#[test]
fn each_architecture_has_its_own_packages() {
    let mut lab = Lab::new();
    lab.arch = Arch::Aarch64;
    let urls = lab.resolve("bird2").unwrap().packages.into_iter().flat_map(|package| package.urls);
    assert!(urls.clone().all(|url| url.ends_with("_arm64.deb")), "{:?}", urls.collect::<Vec<_>>());
}

#[test]
fn a_mirror_and_a_folder_give_the_same_closure() {
    let lab = Lab::new();
    let expected = lab.resolve("bird2").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let places = |name: &str| folder.path().join(name);
    let mut folders: Vec<(String, Vec<PathBuf>)> = Vec::new();
    for (at, (url, files)) in lab.files.iter().enumerate() {
        write(files, &places(&at.to_string()));
        folders.push((url.clone(), vec![places(&at.to_string())]));
    }
    assert_eq!(closure(&lab.ask(&["bird2".to_owned()].into(), &Folders(folders))).unwrap(), expected);

    let all = lab.files.clone();
    let server = Server::start(move |request, _| {
        let (archive, path) = request.path[1..].split_once('/').unwrap();
        let files: &Files = all.values().nth(archive.parse().unwrap()).unwrap();
        files.get(path).map_or_else(Response::not_found, |bytes| Response::ok(bytes.clone()))
    });
    let mirrors = lab.files.keys().enumerate().map(|(at, url)| (url.clone(), vec![format!("{}/{at}", server.url())]));
    let mirrors = Mirrors::new(mirrors.collect(), &Outside::default(), |_| ());
    assert_eq!(closure(&lab.ask(&["bird2".to_owned()].into(), &mirrors)).unwrap(), expected);
    assert_eq!(server.requests().len(), 4, "an InRelease and an index of each suite");
}

#[test]
fn an_index_is_found_in_whichever_form_an_archive_has_it() {
    let expected = Lab::new().resolve("bird2").unwrap().packages;
    for (forms, by_hash) in
        [(&["xz"][..], true), (&["gz"], true), (&["", "xz"], false), (&["", "gz"], false), (&[""], false)]
    {
        let lab = Lab::changed(|suite| {
            suite.forms = forms.iter().map(|form| (*form).to_owned()).collect();
            suite.by_hash = by_hash;
        });
        assert_eq!(lab.resolve("bird2").unwrap().packages, expected, "{forms:?}");
    }
    let mut lab = Lab::new();
    let folder = "dists/bookworm/main/binary-amd64";
    for file in
        lab.files.get_mut(UPSTREAM).unwrap().keys().filter(|path| path.contains("xz")).cloned().collect::<Vec<_>>()
    {
        lab.files.get_mut(UPSTREAM).unwrap().remove(&file);
    }
    lab.files.get_mut(UPSTREAM).unwrap().retain(|path, _| !path.contains("/by-hash/"));
    assert_eq!(lab.resolve("bird2").unwrap().packages, expected, "listed, and not there");
    lab.files.get_mut(UPSTREAM).unwrap().retain(|path, _| !path.starts_with(folder));
    let error = lab.refused("bird2");
    assert!(error.contains(&format!("fetching {UPSTREAM}/{folder}/Packages.xz: the lab has no ")), "{error}");
    let error = Lab::changed(|suite| suite.forms.clear()).refused("bird2");
    let expected = "the release lists neither Packages.xz, Packages.gz nor Packages of main/binary-amd64";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_mirror_that_was_changed_between_release_and_index_still_has_the_index_by_its_digest() {
    let mut lab = Lab::new();
    for path in ["Packages.xz", "Packages.gz"] {
        lab.replace(UPSTREAM, &format!("dists/bookworm/main/binary-amd64/{path}"), b"newer".to_vec());
    }
    assert_eq!(lab.resolve("bird2").unwrap().packages, Lab::new().resolve("bird2").unwrap().packages);
}
