//! `anymetal build` and `anymetal rehearse` as an operator meets them: what is written, what is said, how it ends.
//! May not need a real init: doubles of it stand here, which carry abilities and boot nothing.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: starts programs and looks at what they leave"
)]

mod desk;
mod interrupted;
mod judged;
mod machines;
mod secrets;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anymetal::lock::Lock;
use anymetal::lock::document::{self, Closure};
use anymetal_contract::plan::{Arch, Plan};
use anymetal_contract::{Digest, Pins, Release, Secrets, place};
use anymetal_lab::elsewhere;
use anymetal_lab::init_double::{ABILITIES, Double};
use sha2::{Digest as _, Sha256};

use desk::{Desk, SITE, assert_schema_accepts, dropped, names, python, sha256, stderr, stdout};

#[test]
fn out_holds_the_user_data_the_plan_and_each_init_by_its_digest() {
    let desk = Desk::new();
    desk.put("site.yaml", &SITE.replace("[x86_64]", "[x86_64, aarch64]"));
    let said = desk.built(&[]);
    assert_eq!(names(&desk.path("out")), ["plan.json", "release.json", "sha256", "user-data"]);
    let digests = Arch::ALL.map(|arch| sha256(&desk.path(&format!("bin/anymetal-init-{arch}"))));
    let mut expected = digests.to_vec();
    expected.extend(["plan.json", "release.json"].map(|file| sha256(&desk.path("out").join(file))));
    expected.sort();
    assert_eq!(names(&desk.path("out/sha256")), expected);
    let lines = [
        format!("plan sha256:{}", sha256(&desk.path("out/plan.json"))),
        format!("release sha256:{} serial 1", sha256(&desk.path("out/release.json"))),
        format!("user-data {} bytes", fs::metadata(desk.path("out/user-data")).unwrap().len()),
        format!("init aarch64 sha256:{}", digests[0]),
        format!("init x86_64 sha256:{}", digests[1]),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), lines);
    let plan: Plan = serde_json::from_slice(&fs::read(desk.path("out/plan.json")).unwrap()).unwrap();
    assert_eq!(
        plan.components.iter().map(|component| component.name.as_str()).collect::<Vec<_>>(),
        ["nftables", "consul", "bird"]
    );
    let release: Release = serde_json::from_slice(&fs::read(desk.path("out/release.json")).unwrap()).unwrap();
    assert_eq!(
        (release.site.as_str(), release.serial, release.plan.sha256.as_str()),
        ("demo", 1, &*sha256(&desk.path("out/plan.json")))
    );
    let pins: Pins = std::str::from_utf8(&dropped(&desk, place::PINS).content).unwrap().parse().unwrap();
    assert_eq!(pins.release.sha256.as_str(), sha256(&desk.path("out/release.json")));
    assert_eq!(pins.inits.values().map(ToString::to_string).collect::<Vec<_>>(), digests);
    assert_eq!(pins.inits, release.init_digests());
    assert_eq!(pins.origins, ["http://192.0.2.80/anymetal"]);
    let digest = |path| Digest::of(Sha256::digest(&dropped(&desk, path).content).into());
    assert_eq!((release.stub, release.unit), (digest(place::FETCH), digest(place::UNIT)));
}

#[test]
fn cloud_init_drops_the_very_bytes_that_are_pinned_and_plan_and_release_only_when_told() {
    let desk = Desk::new();
    let said = desk.built(&[]);
    let look = "import base64, gzip, hashlib, sys, yaml
files = {f['path']: f for f in yaml.safe_load(open(sys.argv[1]))['write_files']}
fetch = files['/etc/anymetal/fetch-init']
assert fetch['permissions'] == '0755' and 'encoding' not in fetch, fetch
assert fetch['content'].startswith('#!/bin/sh\\n# Fetches anymetal-init')
assert '/etc/systemd/system/anymetal.service' in files
print(*files['/etc/anymetal/pins']['content'].splitlines()[:2])
for name in 'plan', 'release':
    file = files.get(f'/etc/anymetal/{name}.json')
    if file:
        assert file['encoding'] == 'gz+b64' and 'permissions' not in file, file  # cloud-init's default is 0644
        member = base64.b64decode(file['content'])
        assert member[:10] == bytes([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]), member[:10]
        print(f'{name} sha256:' + hashlib.sha256(gzip.decompress(member)).hexdigest())
";
    let size = fs::metadata(desk.path("out/release.json")).unwrap().len();
    let pinned = format!("anymetal.pins 1 release {} {size}\n", sha256(&desk.path("out/release.json")));
    assert_eq!(python(look, &desk.path("out/user-data")), pinned);
    desk.built(&["--inline-plan"]);
    let documents: Vec<_> = said.lines().take(2).map(|line| line.trim_end_matches(" serial 1")).collect();
    let expected = format!("{pinned}{}\n", documents.join("\n"));
    assert_eq!(python(look, &desk.path("out/user-data")), expected);
    assert_schema_accepts(&desk.path("out/user-data"));
}

#[test]
fn cloud_inits_schema_accepts_it_with_and_without_parts_of_the_operators() {
    let desk = Desk::new();
    desk.built(&[]);
    assert_schema_accepts(&desk.path("out/user-data"));
    let parts = "cloud_config:
- packages: [bird2]
  package_update: yes
  write_files: [{path: /etc/motd, permissions: '0600', content: 'it is 12:30'}]
- runcmd: [[ufw, enable], 'echo \"$HOME\"']
  bootcmd: [modprobe tun]
";
    desk.put("site.yaml", &format!("{SITE}{parts}"));
    desk.built(&[]);
    assert_schema_accepts(&desk.path("out/user-data"));
    let read = python(
        "import sys, yaml
c = yaml.safe_load(open(sys.argv[1]))
print(c['packages'], c['package_update'], c['runcmd'][3:], c['write_files'][4:], c['bootcmd'])",
        &desk.path("out/user-data"),
    );
    assert_eq!(
        read.trim_end(),
        "['bird2'] True [['systemctl', 'start', '--no-block', 'anymetal.service'], ['ufw', 'enable'], 'echo \"$HOME\"'] \
         [{'path': '/etc/motd', 'permissions': '0600', 'content': 'it is 12:30'}] ['modprobe tun']"
    );
}

#[test]
fn another_folder_user_zone_locale_home_umask_and_clock_change_no_byte() {
    let (desk, other) = (Desk::new(), Desk::new());
    let said = desk.built(&[]);
    fs::set_permissions(other.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    // that user may read it too, which is warned of
    fs::set_permissions(other.path("secrets.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = elsewhere::command(other.path("bin/anymetal"));
    command.args(["build", "../site.yaml", "--output", "../far/out"]);
    let output = command.current_dir(other.path("bin")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), said);
    let blob = format!("sha256/{}", sha256(&desk.path("bin/anymetal-init-x86_64")));
    for file in ["user-data", "plan.json", "release.json", &blob] {
        let (here, there) = (desk.path("out").join(file), other.path("far/out").join(file));
        assert_eq!(fs::read(&here).unwrap(), fs::read(&there).unwrap(), "{file}");
        let mode = if file == "user-data" { 0o600 } else { 0o644 };
        for path in [here, there] {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode, "{}", path.display());
        }
    }
    for folder in ["far", "far/out", "far/out/sha256"] {
        assert_eq!(fs::metadata(other.path(folder)).unwrap().mode() & 0o7777, 0o755, "{folder}");
    }
}

#[test]
fn building_again_touches_nothing_and_another_site_replaces_only_what_differs() {
    let desk = Desk::new();
    let first = desk.built(&[]);
    let blob = format!("out/sha256/{}", sha256(&desk.path("bin/anymetal-init-x86_64")));
    let inodes = || ["out/user-data", "out/plan.json", &blob].map(|file| fs::metadata(desk.path(file)).unwrap().ino());
    let before = inodes();
    assert_eq!(desk.built(&[]), first);
    assert_eq!(inodes(), before);
    desk.put("site.yaml", &SITE.replace("192.0.2.1/32", "192.0.2.2/32"));
    assert_ne!(desk.built(&[]), first);
    let after = inodes();
    assert!(before[0] != after[0] && before[1] != after[1] && before[2] == after[2], "{before:?} {after:?}");
    assert_eq!(names(&desk.path("out")), ["plan.json", "release.json", "sha256", "user-data"]);
}

#[test]
fn a_mistake_in_the_site_is_the_authors_and_nothing_is_written() {
    let desk = Desk::new();
    desk.put("site.yaml", &SITE.replace("anycast:", "anycats:"));
    desk.refused(&[], "site.yaml:6:1: ");
    desk.put("site.yaml", &SITE.replace("origins: [http://192.0.2.80/anymetal]\n", ""));
    desk.refused(&[], "no `origins`");
    desk.put("site.yaml", &SITE.replace("nomad: none", "nomad: none, consul: 1.21.4"));
    desk.refused(&[], "component consul 1.21.4: no sha256 is known for x86_64\nhint: `anymetal lock SITE` asks upstream for it; or pin it in the site, `components.consul.artefacts.x86_64.sha256`");
}

#[test]
fn the_operators_parts_that_cannot_go_in_are_named() {
    for (parts, what) in [
        ("[{runcmd: {a: 1}}]", "`runcmd` is a mapping, but anymetal has a list"),
        ("[{timezone: UTC}, {timezone: CET}]", "`timezone` is \"CET\", but "),
        ("[{phone_home: {url: 'http://192.0.2.9/'}}]", "there is a `phone_home` key"),
        ("[{write_files: [{path: /etc/a, defer: true}]}]", "there is `defer: true`"),
        ("[{write_files: [{path: /tmp/a}]}]", "writes /tmp/a"),
        (
            "[{write_files: [{path: /etc/anymetal/plan.json}]}]",
            "writes /etc/anymetal/plan.json, which is anymetal's own",
        ),
        ("[{write_files: [{path: /etc/a}]}, {write_files: [{path: /etc/a}]}]", "writes /etc/a twice"),
        ("[{runcmd: ['echo image_uri=x']}]", "there is `image_uri=`"),
    ] {
        let desk = Desk::new();
        desk.put("site.yaml", &format!("{SITE}cloud_config: {parts}\n"));
        desk.refused(&[], what);
    }
}

#[test]
fn sixteen_kibibytes_are_the_limit_unless_the_author_says_otherwise() {
    let desk = Desk::new();
    let part = format!("cloud_config: [{{write_files: [{{path: /etc/big, content: {}}}]}}]\n", "x".repeat(16_384));
    desk.put("site.yaml", &format!("{SITE}{part}"));
    desk.refused(&[], " over the limit of 16384\n  fetch-init ");
    desk.refused(&[], "\n  secrets.json ");
    desk.refused(&["--max-size", "20000"], " over the limit of 20000\n");
    let said = desk.built(&["--max-size", "40000"]);
    assert!(said.contains("\nuser-data 2"), "{said}");
}

/// The sample site with all there is: every component for both architectures, an ACME account, secrets in the user-data, canaries and a quorum.
fn whole(tls: &str) -> String {
    // digests do not pack, so they must not repeat
    let pin = |name: &str, arch: &str| {
        let sha256 = Digest::of(Sha256::digest(format!("{name} for {arch}")).into());
        format!("{arch}: {{sha256: {sha256}, size: 12345678}}")
    };
    let component = |name: &str, version: &str| {
        format!("  {name}: {{version: {version}, artefacts: {{{}, {}}}}}\n", pin(name, "x86_64"), pin(name, "aarch64"))
    };
    let components = [
        ("consul", "1.21.5"),
        ("nomad", "1.10.5"),
        ("traefik", "2.11.55"),
        ("hippo", "0.20.2"),
        ("spin", "0.10.1"),
        ("bindle", "0.8.2"),
    ];
    let components: String = components.iter().map(|(name, version)| component(name, version)).collect();
    let site = SITE.replace("components: {nomad: none}\n", &format!("components:\n{components}"));
    let site = site
        .replace("[x86_64]", "[x86_64, aarch64]")
        .replace("{v4: [192.0.2.1/32]}", "{v4: [192.0.2.1/32], v6: ['2001:db8::1/128']}");
    let guard = "guard:\n  interval: 5\n  fall: 3\n  drain: 60\n  canaries:\n  - https://app.cloud.example.com/healthz\n  \
                 - {url: 'https://shop.cloud.example.com/', status: 200, contains: in stock}\n  \
                 quorum: {nodes: [n1.example.org, n2.example.org], community: '65000:50'}\n";
    format!(
        "{site}domain: cloud.example.com\ntls: {tls}\nfirewall: {{ssh: [198.51.100.0/24], tcp: [8443], udp: [443]}}\n{guard}"
    )
}

/// A lock of packages for both architectures; how many there are a plan does not say.
fn locked() -> String {
    let wanted = "bird2 ca-certificates libgcc-s1 libgssapi-krb5-2 libssl3 libstdc++6 nftables zlib1g";
    let wanted = wanted.split(' ').map(str::to_owned).collect();
    let closure = Closure { suites: BTreeMap::new(), wanted, packages: vec![] };
    let packages = Arch::ALL.map(|arch| (arch, closure.clone())).into();
    let (kind, site, os) = (document::KIND.into(), "demo".into(), "debian-12".into());
    Lock { kind, version: document::VERSION, site, os, components: BTreeMap::new(), packages }.text()
}

/// Bytes that a whole site's user-data may have: what is pinned does not travel in it.
const THIN: usize = 6144;

#[test]
fn the_user_data_of_a_whole_site_signed_and_with_all_its_secrets_fits_in_six_kibibytes() {
    let desk = Desk::new();
    let operator = "cloud_config: [{packages: [htop], ssh_authorized_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJhc2U2NCBvZiBhIHB1YmxpYyBrZXkgIQ== ops]}]\n";
    let site = whole("{mode: acme, email: ops@example.com, dns_provider: route53}") + operator + "reports: [webhook]\n";
    // secrets as they really are: they do not pack
    desk.put("site.yaml", &site);
    fs::remove_file(desk.path("secrets.yaml")).unwrap();
    assert!(desk.run(&["secrets", "new", "site.yaml"]).status.success());
    let secrets = fs::read_to_string(desk.path("secrets.yaml")).unwrap();
    let variables = "{AWS_ACCESS_KEY_ID: AKIAIOSFODNN7EXAMPLE, AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY, AWS_REGION: eu-central-1}";
    let webhook = "https://hooks.slack.com/services/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";
    let filled = secrets.replace("\nacme: {}\n", &format!("\nacme: {variables}\n"));
    let filled = filled.replace("\nwebhook: ''\n", &format!("\nwebhook: {webhook}\n"));
    desk.put("secrets.yaml", &filled);
    let made = desk.run(&["sign", "--new-key", "key"]);
    let key = stdout(&made).trim_end().replace("key ", "");
    desk.put("site.yaml", &format!("{site}serial: 20261128\nsigners: [{key}]\n"));
    desk.put("site.lock", &locked());
    desk.built(&["--sign", "key"]);
    let text = fs::read_to_string(desk.path("out/user-data")).unwrap();
    println!("user-data of a whole site, signed and locked: {} bytes", text.len());
    assert!(text.len() <= THIN, "it has {} bytes, {} too many:\n{text}", text.len(), text.len() - THIN);
    // a person reads what will run: nothing of it is packed but secrets
    assert_eq!(text.matches("gz+b64").count(), 1, "{text}");
    assert!(text.contains("\n    # Certificates do not matter: the digest decides.\n"), "{text}");
    let document: Secrets = serde_json::from_slice(&dropped(&desk, place::SECRETS).content).unwrap();
    assert_eq!((document.values.len(), document.acme.len()), (13, 3));
    let said = desk.built(&["--sign", "key", "--inline-plan", "--max-size", "32768"]);
    println!("with plan and release in it: {said}");
}

#[test]
fn an_init_that_is_missing_or_unfit_is_named_with_what_to_do() {
    let desk = Desk::new();
    let good = Double::of(Arch::X86_64);
    let unable = ABILITIES.replace("\"equinix-metal\"", "\"moonbase\"");
    for (double, what) in [
        (Double { interpreter: true, ..good.clone() }, "given is not static"),
        (Double { abilities: String::new(), ..good.clone() }, "given is no anymetal-init"),
        (
            Double { abilities: unable, ..good.clone() },
            "given: anymetal-init 0.0.0-double cannot carry out this plan: it does not know platform equinix-metal",
        ),
    ] {
        desk.put_init("given", &double);
        desk.refused(&["--init", "given"], what);
    }
    desk.refused(&["--init", "site.yaml"], "site.yaml is no whole ELF program");
    desk.refused(&["--init", "nothing"], "reading nothing");
    fs::remove_file(desk.path("bin/anymetal-init-x86_64")).unwrap();
    desk.refused(&[], "no anymetal-init for x86_64: there is no ");
    desk.refused(&[], "hint: run `make init`");
    desk.put_init("given", &good);
    desk.built(&["--init", "given"]);
}

#[test]
fn an_output_that_is_a_file_is_refused_and_left_alone() {
    let desk = Desk::new();
    desk.put("out", "mine");
    desk.refused(&[], "out is not a folder\nhint: ");
    assert_eq!(fs::read_to_string(desk.path("out")).unwrap(), "mine");
}

#[test]
fn rehearse_runs_the_given_init_with_the_plan_and_passes_on_what_it_says_and_how_it_ends() {
    let own = Arch::own().expect("the suites run on an architecture of ours");
    for (code, expected) in [(0, 0), (1, 1), (2, 2), (7, 2)] {
        let desk = Desk::new();
        desk.put_init("init", &Double { code, ..Double::of(own) });
        let output = desk.run(&["rehearse", "site.yaml", "--metadata", "m.json", "-o", "root", "--init", "init"]);
        assert_eq!(output.status.code(), Some(expected), "{}", stderr(&output));
        let said = stderr(&output);
        let arguments = said.lines().find(|line| line.contains('\0')).expect("the double says its arguments");
        let words: Vec<_> = arguments.split('\0').collect();
        assert_eq!(
            (words[1], words[2], &words[4..9]),
            ("render", "--plan", &["--metadata", "m.json", "--root", "root", "--secrets"][..])
        );
        for temporary in [words[3], words[9]] {
            assert!(!Path::new(temporary).exists(), "something was left at {temporary}");
        }
    }
}
