//! `anymetal lock` against upstreams as they are: layouts, checksums, signatures, an archive of Debian packages, mirrors and folders.
//! May not look inside: the binary is run, and what it says and writes is all that counts.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a suite plays the world around the program")]

mod kept;
mod newcomer;
mod refused;
mod trusted;
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anymetal_contract::Plan;
use anymetal_contract::packages::Packages;
use anymetal_contract::plan::Arch;
use anymetal_lab::archive::sha256;
use anymetal_lab::init_double::Double;
use anymetal_lab::{elsewhere, program};
use serde_json::Value;
use world::{CONSUL, SMALL, Upstreams, WHOLE, anymetal, lock, locked};

#[test]
fn every_upstreams_layout_is_read_and_every_archive_locked() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(WHOLE);
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    let line =
        |name: &str, archive: &str, who: &str| format!("{name} x86_64 sha256:{} {who}\n", upstreams.digest(archive));
    let signed = format!("signed by {}", upstreams.hashicorp.fingerprint());
    let sums = "upstream's checksums";
    let expected = [
        line("bindle 0.8.2", "bindle-v0.8.2-linux-amd64.tar.gz", sums),
        line("consul 1.21.4", "consul_1.21.4_linux_amd64.zip", &signed),
        line("hippo 0.20.2", "hippo-server-linux-x64.tar.gz", sums),
        line("nomad 1.10.4", "nomad_1.10.4_linux_amd64.zip", &signed),
        line("spin 0.10.0", "spin-v0.10.0-linux-amd64.tar.gz", sums),
        line("traefik 2.11.54", "traefik_v2.11.54_linux_amd64.tar.gz", sums),
        format!("packages x86_64 9 signed by {}\n", upstreams.debian.fingerprint()),
        "lock site.lock written\n".to_owned(),
    ];
    assert_eq!((said.out, said.code), (expected.concat(), Some(0)), "{}", said.err);
    assert_eq!(fs::metadata(lock(folder.path())).unwrap().permissions().mode() & 0o777, 0o644);

    let text = locked(folder.path());
    assert!(!text.contains("127.0.0.1"), "a mirror's address is in the lock: {text}");
    let written: Value = serde_json::from_str(&text).unwrap();
    let consul = &written["components"]["consul"]["artefacts"]["x86_64"];
    let path = upstreams.path("consul_1.21.4_linux_amd64.zip");
    let size = upstreams.files.lock().unwrap()[&path].len();
    assert_eq!(
        *consul,
        serde_json::json!({
            "sha256": upstreams.digest("consul_1.21.4_linux_amd64.zip"),
            "size": size,
            "urls": ["https://releases.hashicorp.com/consul/1.21.4/consul_1.21.4_linux_amd64.zip"],
            "witnesses": [{"signed": upstreams.hashicorp.fingerprint()}],
        })
    );
    let packages = &written["packages"]["x86_64"];
    assert_eq!(packages["packages"][0]["name"], "libc6");
    assert_eq!(
        packages["packages"][0]["urls"],
        serde_json::json!(["http://deb.debian.org/debian/pool/main/l/libc6/libc6_2.36-9_amd64.deb"])
    );
    assert_eq!(packages["suites"]["bookworm-security"]["signed"], upstreams.debian.fingerprint());
}

#[test]
fn the_lock_is_the_same_whichever_mirror_was_asked() {
    let one = Upstreams::start();
    let other = one.mirror();
    let (first, second, third) = (one.site(WHOLE), other.site(WHOLE), one.site(WHOLE));
    assert_eq!(anymetal(first.path(), &["lock", "site.yaml"]).code, Some(0));
    assert_eq!(anymetal(second.path(), &["lock", "site.yaml"]).code, Some(0));
    assert_eq!(locked(first.path()), locked(second.path()));

    let asked = (one.server.requests().len(), other.server.requests().len());
    let mirrors: Vec<_> = ["hashicorp", "github", "bindle", "debian", "debian-security"]
        .iter()
        .flat_map(|name| ["--mirror".to_owned(), format!("{name}={}/{name}", other.server.url())])
        .collect();
    let args: Vec<_> = ["lock", "site.yaml"].into_iter().chain(mirrors.iter().map(String::as_str)).collect();
    let said = anymetal(third.path(), &args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(locked(first.path()), locked(third.path()));
    assert_eq!(one.server.requests().len(), asked.0, "the site's own mirror was asked");
    assert!(other.server.requests().len() > asked.1);
}

#[test]
fn the_lock_is_the_same_whoever_makes_it_and_when() {
    let upstreams = Upstreams::start();
    let (here, there) = (upstreams.site(WHOLE), upstreams.site(WHOLE));
    assert_eq!(anymetal(here.path(), &["lock", "site.yaml"]).code, Some(0));
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o777)).unwrap();
    program::copy(env!("CARGO_BIN_EXE_anymetal"), there.path().join("anymetal"));
    let mut command = elsewhere::command(there.path().join("anymetal"));
    let output =
        command.args(["lock", "site.yaml", "--accept-first", "all"]).current_dir(there.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(locked(here.path()), locked(there.path()));
}

#[test]
fn what_was_carried_in_makes_the_same_lock_and_nobody_is_asked() {
    let upstreams = Upstreams::start();
    let (online, offline) = (upstreams.site(WHOLE), upstreams.site(WHOLE));
    assert_eq!(anymetal(online.path(), &["lock", "site.yaml"]).code, Some(0));
    let asked = upstreams.server.requests().len();
    let carried = upstreams.carried();
    let args = ["lock", "site.yaml", "--from", carried.path().to_str().unwrap()];
    let said = anymetal(offline.path(), &args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(locked(online.path()), locked(offline.path()));
    assert_eq!(upstreams.server.requests().len(), asked);

    fs::remove_file(lock(offline.path())).unwrap();
    fs::write(carried.path().join("consul_1.21.4_linux_amd64.zip"), "another").unwrap();
    let said = anymetal(offline.path(), &args);
    assert_eq!((said.out.as_str(), said.code), ("", Some(1)));
    assert!(
        said.err.contains(&format!(
            "consul {CONSUL} for x86_64: its sha256 is {}, and that of ",
            upstreams.digest("consul_1.21.4_linux_amd64.zip")
        )),
        "{}",
        said.err
    );
    assert!(!lock(offline.path()).exists());
}

#[test]
fn both_architectures_are_locked_from_one_file_of_checksums() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(SMALL);
    let said = anymetal(folder.path(), &["lock", "site.yaml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let consul: Vec<_> = said
        .out
        .lines()
        .filter(|line| line.starts_with("consul"))
        .map(|line| line.split(' ').nth(2).unwrap())
        .collect();
    assert_eq!(consul, ["aarch64", "x86_64"]);
    let asked: Vec<_> = upstreams.server.requests().iter().map(|request| request.path.clone()).collect();
    let of = |end: &str| asked.iter().filter(|path| path.ends_with(end)).count();
    assert_eq!((of("SHA256SUMS"), of(".sig"), of("bookworm/InRelease")), (1, 1, 1), "{asked:?}");
}

#[test]
fn what_is_built_pins_the_packages_by_a_list_that_lies_beside_the_inits() {
    let upstreams = Upstreams::start();
    let folder = upstreams.site(&format!("{SMALL}origins: [https://m.example]\n"));
    assert_eq!(anymetal(folder.path(), &["lock", "site.yaml"]).code, Some(0));
    assert_eq!(anymetal(folder.path(), &["secrets", "new", "site.yaml"]).code, Some(0));
    let mut args = vec!["build".to_owned(), "site.yaml".into(), "-o".into(), "out".into()];
    for arch in Arch::ALL {
        let init = folder.path().join(arch.id());
        fs::write(&init, Double::of(arch).elf()).unwrap();
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).unwrap();
        args.extend(["--init".into(), init.display().to_string()]);
    }
    let said = anymetal(folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(said.code, Some(0), "{}", said.err);
    let plan: Plan = serde_json::from_slice(&fs::read(folder.path().join("out/plan.json")).unwrap()).unwrap();
    assert_eq!(plan.packages.keys().copied().collect::<Vec<_>>(), Arch::ALL);
    for (arch, listed) in &plan.packages {
        let bytes = fs::read(folder.path().join("out/sha256").join(listed.sha256.as_str())).unwrap();
        assert_eq!((sha256(&bytes), bytes.len() as u64), (listed.sha256.clone(), listed.size));
        let list: Packages = serde_json::from_slice(&bytes).unwrap();
        let names: Vec<_> = list.packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!((list.arch, names), (*arch, vec!["libc6", "bird2", "nftables"]));
    }
}
