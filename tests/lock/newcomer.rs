//! The first five minutes: an empty folder, a site of five lines, and what a person is told step by step.
//! May not know more than that person: what to do next is taken from what the program said.

use std::fs;
use std::path::Path;
use std::process::Command;

use anymetal_contract::plan::Arch;
use anymetal_lab::init_double::Double;
use anymetal_lab::{program, shipped};
use tempfile::TempDir;

use super::world::{Said, Upstreams, WHOLE};

/// What a newcomer writes.
const SITE: &str = "version: 1\nsite: demo\nplatform: equinix-metal\nos: debian-12\nanycast: {v4: [198.51.100.7/32]}\n";

/// A folder with the programs in `bin`, as a release has them, and this init.
fn desk(site: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("bin")).unwrap();
    program::copy(env!("CARGO_BIN_EXE_anymetal"), folder.path().join("bin/anymetal"));
    for arch in Arch::ALL {
        program::put(folder.path().join(format!("bin/anymetal-init-{arch}")), Double::of(arch).elf());
    }
    fs::write(folder.path().join("site.yaml"), site).unwrap();
    folder
}

/// What is typed, with `bin` on the PATH; `alone` in a network of its own, in which nobody answers.
fn typed(folder: &Path, words: &str, alone: bool) -> Said {
    let mut command = Command::new(if alone { "unshare" } else { "sh" });
    command.args(["--map-root-user", "--net", "sh"].into_iter().filter(|_| alone)).args(["-c", words]);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}/bin:{path}:/usr/sbin", folder.display())).current_dir(folder);
    for name in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code() }
}

/// The hints of what ends a command; a warning has its own on its line, and ends nothing.
fn hints(said: &Said) -> Vec<&str> {
    said.err.lines().filter(|line| line.contains("hint: ") && !line.contains(" warning: ")).collect()
}

#[test]
fn without_a_network_each_step_says_one_cause_and_one_hint() {
    let desk = desk(SITE);
    let check = typed(desk.path(), "anymetal check site.yaml", true);
    assert_eq!((check.code, hints(&check)), (Some(0), vec![]), "{}", check.err);
    assert_eq!(check.err.matches("to do: ").count(), 2, "{}", check.err);
    let lock = typed(desk.path(), "anymetal lock site.yaml", true);
    assert_eq!((lock.code, hints(&lock).len()), (Some(2), 1), "{}", lock.err);
    assert!(lock.err.contains("anymetal: nobody answers for 12 archives, of bindle 0.8.2, "), "{}", lock.err);
    assert_eq!(lock.err.matches("failed to lookup").count(), 1, "{}", lock.err);
    let build = typed(desk.path(), "anymetal build site.yaml -o out", true);
    assert_eq!((build.code, hints(&build).len()), (Some(1), 1), "{}", build.err);
    assert!(
        build.err.contains("anymetal: no sha256 is known for 7 archives: ")
            && build.err.contains("`anymetal lock SITE`"),
        "{}",
        build.err
    );
}

#[test]
fn a_site_goes_from_check_to_build_by_what_each_step_says_to_do() {
    let upstreams = Upstreams::start();
    let folder = desk("");
    fs::write(folder.path().join("hashicorp.asc"), upstreams.hashicorp.public()).unwrap();
    fs::write(folder.path().join("debian.asc"), upstreams.debian.public()).unwrap();
    upstreams.write(folder.path(), WHOLE);
    let run = |words: &str| typed(folder.path(), words, false);
    let check = run("anymetal check site.yaml");
    assert!(check.err.contains("to do: run `anymetal lock`"), "{}", check.err);
    // what nobody signed is one question, which says how it is answered
    let refused = run("anymetal lock site.yaml");
    assert_eq!((refused.code, hints(&refused).len()), (Some(1), 1), "{}", refused.err);
    let answer = refused.err.rsplit('`').nth(1).unwrap();
    assert_eq!(answer, "--accept-first bindle --accept-first hippo --accept-first spin --accept-first traefik");
    let locked = run(&format!("anymetal lock site.yaml {answer}"));
    assert_eq!(locked.code, Some(0), "{}", locked.err);
    let build = run("anymetal build site.yaml -o out");
    assert_eq!((build.code, hints(&build).len()), (Some(1), 1), "{}", build.err);
    assert!(build.err.contains("hint: `anymetal secrets new SITE` makes them"), "{}", build.err);
    assert_eq!(run("anymetal secrets new site.yaml").code, Some(0));
    let build = run("anymetal build site.yaml -o out");
    assert_eq!((build.code, hints(&build).len()), (Some(1), 1), "{}", build.err);
    assert!(build.err.contains("the site has no `origins`"), "{}", build.err);
    let site = fs::read_to_string(folder.path().join("site.yaml")).unwrap();
    fs::write(folder.path().join("site.yaml"), site + "origins: ['https://origin.example/anymetal']\n").unwrap();
    let check = run("anymetal check site.yaml");
    assert!(check.code == Some(0) && !check.err.contains("to do: "), "{}", check.err);
    let build = run("anymetal build site.yaml -o out");
    assert_eq!((build.code, hints(&build)), (Some(0), vec![]), "{}", build.err);
    assert!(folder.path().join("out/user-data").exists());
    let verify = run("anymetal verify out");
    assert_eq!(verify.code, Some(0), "{}", verify.err);
}

/// A folder with the real init, and a document of the metadata service.
fn rehearsal(site: &str) -> TempDir {
    let folder = desk(site);
    let arch = Arch::own().expect("the suites run on an architecture of ours");
    let init = std::env::var_os("ANYMETAL_INIT").map_or_else(|| shipped::init(arch.id()), Into::into);
    program::copy(init, folder.path().join(format!("bin/anymetal-init-{arch}")));
    fs::copy(shipped::top().join("tests/metadata/v4-multihop.json"), folder.path().join("device.json")).unwrap();
    folder
}

const REHEARSE: &str = "anymetal rehearse site.yaml --metadata device.json -o node";

#[test]
fn a_look_at_a_nodes_files_needs_neither_lock_nor_secrets_nor_a_network() {
    let folder = rehearsal(SITE);
    let said = typed(folder.path(), REHEARSE, true);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
    for path in said.out.lines() {
        assert!(!read(path).is_empty(), "{path}");
    }
    assert_eq!(said.out.lines().count(), 12, "{}", said.out);
    assert!(read("node/etc/anymetal/consul/consul.json").contains("\"encrypt\": \"<secret consul_gossip>\""));
    assert!(read("node/etc/bird/bird.conf").contains("neighbor 169.254.255.1 as 65530;"));
    for line in [
        "12 secrets are not known yet, and stand in the files as <secret NAME>; `anymetal secrets new` makes them\n",
        "not known yet: the sha256 of 7 archives, which no file shows; `anymetal lock` asks for them\n",
        "checked: bird takes node/etc/bird/bird.conf\n",
        "checked: nft takes node/etc/anymetal/firewall/anymetal.nft\n",
    ] {
        assert!(said.err.contains(line), "{line}: {}", said.err);
    }
    // with secrets the files have them
    assert_eq!(typed(folder.path(), "anymetal secrets new site.yaml", true).code, Some(0));
    let said = typed(folder.path(), REHEARSE, true);
    assert!(said.code == Some(0) && !said.err.contains("secrets are not known"), "{}", said.err);
    assert!(!read("node/etc/anymetal/consul/consul.json").contains("<secret"));
    // a file that cannot be read ends nothing, and is said
    fs::write(folder.path().join("secrets.yaml"), "site: other\n").unwrap();
    let said = typed(folder.path(), REHEARSE, true);
    assert!(said.code == Some(0) && said.err.contains("none of the secrets in secrets.yaml is shown"), "{}", said.err);
}

#[test]
fn what_could_not_be_checked_is_said() {
    let folder = rehearsal(SITE);
    let words = |gone: &str| format!("mount --bind /dev/null {gone}; {REHEARSE}");
    let without = |gone: &str| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--mount", "sh", "-euc", &words(gone)]).current_dir(folder.path());
        let path = std::env::var("PATH").unwrap_or_default();
        let output = command.env("PATH", format!("{}/bin:{path}", folder.path().display())).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (program, said) in [
        (
            "/usr/sbin/bird",
            "not checked: node/etc/bird/bird.conf, since bird is not installed here; hint: apt-get install bird2\n",
        ),
        (
            "/usr/sbin/nft",
            "not checked: node/etc/anymetal/firewall/anymetal.nft, since nft is not installed here; hint: apt-get install nftables\n",
        ),
        (
            "/usr/bin/unshare",
            "not checked: node/etc/anymetal/firewall/anymetal.nft, since nft needs a network namespace to look at it, and here: ",
        ),
    ] {
        let found = without(program);
        assert!(found.contains(said), "{program}: {found}");
    }
}

#[test]
fn the_desk_of_another_architecture_shows_the_node_all_the_same() {
    let folder = rehearsal(&format!("{SITE}architectures: [aarch64]\n"));
    let said = typed(folder.path(), REHEARSE, true);
    assert_eq!(said.code, Some(0), "{}", said.err);
}
