//! `anymetal build` and `anymetal rehearse` as an operator meets them: what is written, what is said, how it ends.
//! May not need a real init: doubles of it stand here, which carry abilities and boot nothing.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: starts programs and looks at what they leave"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anymetal_contract::plan::{Arch, Delivery, Plan};
use anymetal_contract::{Digest, Secrets, place};
use anymetal_lab::cloud_init::{self, Written};
use anymetal_lab::init_double::{ABILITIES, Double};
use anymetal_lab::program;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A site that needs one init and no digest of its own.
const SITE: &str = "version: 1
site: demo
platform: equinix-metal
os: debian-12
architectures: [x86_64]
anycast: {v4: [192.0.2.1/32]}
components: {nomad: none}
origins: [http://192.0.2.80/anymetal]
";

/// Its secrets, and all others: what the site does not want stays here.
const SECRETS: &str = "version: 1
site: demo
bindle: {user: admin, password: bindle-password-x, salt: MDEyMzQ1Njc4OWFiY2RlZg==}
consul_agent: c0000000-0000-4000-8000-000000000001
consul_guard: c0000000-0000-4000-8000-000000000005
consul_gossip: Y29uc3VsLWdvc3NpcC1jb25zdWwtZ29zc2lwLWNvbnM=
consul_management: c0000000-0000-4000-8000-000000000002
consul_nomad: c0000000-0000-4000-8000-000000000003
consul_traefik: c0000000-0000-4000-8000-000000000004
hippo_jwt: hippo-jwt-x-hippo-jwt-x-hippo-jwt-x
hippo_password: hippo-password-x
nomad_gossip: bm9tYWQtZ29zc2lwLW5vbWFkLWdvc3NpcC1ub21hZC0=
nomad_management: d0000000-0000-4000-8000-000000000001
";
/// What is in every value that a site without Nomad wants.
const VALUE: &str = "c0000000-0000-4000-8000-00000000000";

/// A folder with `anymetal` and doubles of its inits beside it, as a release has them.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(desk.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(desk.path("bin")).unwrap();
        program::copy(env!("CARGO_BIN_EXE_anymetal"), desk.path("bin/anymetal"));
        for arch in Arch::ALL {
            desk.put_init(&format!("bin/anymetal-init-{arch}"), &Double::of(arch));
        }
        desk.put("site.yaml", SITE);
        desk.put("secrets.yaml", SECRETS);
        fs::set_permissions(desk.path("secrets.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
        desk
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn put(&self, below: &str, text: &str) {
        fs::write(self.path(below), text).unwrap();
    }

    fn put_init(&self, below: &str, double: &Double) {
        program::put(self.path(below), double.elf());
    }

    /// `anymetal` with these words, in the desk's folder.
    fn run(&self, words: &[&str]) -> Output {
        Command::new(self.path("bin/anymetal")).args(words).current_dir(self.folder.path()).output().unwrap()
    }

    fn build(&self, more: &[&str]) -> Output {
        self.run(&[&["build", "site.yaml", "-o", "out"], more].concat())
    }

    fn built(&self, more: &[&str]) -> String {
        let output = self.build(more);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    }

    /// The build is refused as the author's mistake, nothing is written, and stderr says this.
    fn refused(&self, more: &[&str], what: &str) {
        let before = names(self.folder.path());
        let output = self.build(more);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(what), "expected {what:?} in:\n{}", stderr(&output));
        assert_eq!((stdout(&output).as_str(), names(self.folder.path())), ("", before));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The sha256 of a file by another program than ours.
fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    stdout(&output).split(' ').next().unwrap().to_owned()
}

/// What this Python program prints about the file; the distribution's Python, which cloud-init runs under, has the yaml module.
fn python(program: &str, file: &Path) -> String {
    let output = Command::new("/usr/bin/python3").arg("-c").arg(program).arg(file).output().expect("install python3");
    assert!(output.status.success(), "install python3-yaml? {}", stderr(&output));
    stdout(&output)
}

/// What cloud-init would write there.
fn dropped(desk: &Desk, path: &str) -> Written {
    let text = fs::read_to_string(desk.path("out/user-data")).unwrap();
    let written = cloud_init::written(&text).unwrap().into_iter().find(|file| file.path == path);
    written.unwrap_or_else(|| panic!("nothing is written to {path}"))
}

/// cloud-init's own opinion of a user-data.
fn assert_schema_accepts(file: &Path) {
    let output = Command::new("cloud-init").args(["schema", "--config-file"]).arg(file).output();
    let output = output.expect("cloud-init is not on PATH: install the package cloud-init");
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn out_holds_the_user_data_the_plan_and_each_init_by_its_digest() {
    let desk = Desk::new();
    desk.put("site.yaml", &SITE.replace("[x86_64]", "[x86_64, aarch64]"));
    let said = desk.built(&[]);
    assert_eq!(names(&desk.path("out")), ["plan.json", "sha256", "user-data"]);
    let digests = Arch::ALL.map(|arch| sha256(&desk.path(&format!("bin/anymetal-init-{arch}"))));
    let mut expected = digests.to_vec();
    expected.sort();
    assert_eq!(names(&desk.path("out/sha256")), expected);
    let lines = [
        format!("plan sha256:{}", sha256(&desk.path("out/plan.json"))),
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
    let fetch = dropped(&desk, place::FETCH);
    let fetch = std::str::from_utf8(&fetch.content).unwrap();
    assert!(digests.iter().all(|digest| fetch.contains(&format!(") want={digest} ;;"))), "{fetch}");
}

#[test]
fn cloud_init_drops_the_very_bytes_whose_digest_is_printed() {
    let desk = Desk::new();
    let said = desk.built(&[]);
    let dropped = python(
        "import base64, gzip, hashlib, sys, yaml
files = {f['path']: f for f in yaml.safe_load(open(sys.argv[1]))['write_files']}
plan = files['/etc/anymetal/plan.json']
assert plan['encoding'] == 'gz+b64' and plan['permissions'] == '0644', plan
member = base64.b64decode(plan['content'])
assert member[:10] == bytes([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]), member[:10]
print('plan sha256:' + hashlib.sha256(gzip.decompress(member)).hexdigest())
fetch = files['/etc/anymetal/fetch-init']
assert fetch['permissions'] == '0755' and fetch['encoding'] == 'gz+b64', fetch
assert gzip.decompress(base64.b64decode(fetch['content'])).startswith(b'#!/bin/sh\\n')
assert '/etc/systemd/system/anymetal.service' in files",
        &desk.path("out/user-data"),
    );
    assert_eq!(said.lines().next(), dropped.lines().next());
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
fn another_folder_user_zone_locale_home_and_umask_change_no_byte() {
    let (desk, other) = (Desk::new(), Desk::new());
    let said = desk.built(&[]);
    fs::set_permissions(other.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // that user may read it too, which is warned of
    fs::set_permissions(other.path("secrets.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let words = "umask 077; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", words, "sh"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg(other.path("bin/anymetal")).args(["build", "../site.yaml", "--output", "../far/out"]);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "Asia/Kathmandu")
        .env("LANG", "tr_TR.UTF-8")
        .env("HOME", "/nowhere");
    let output = command.current_dir(other.path("bin")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), said);
    let blob = format!("sha256/{}", sha256(&desk.path("bin/anymetal-init-x86_64")));
    for file in ["user-data", "plan.json", &blob] {
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
    assert_eq!(names(&desk.path("out")), ["plan.json", "sha256", "user-data"]);
}

#[test]
fn a_mistake_in_the_site_is_the_authors_and_nothing_is_written() {
    let desk = Desk::new();
    desk.put("site.yaml", &SITE.replace("anycast:", "anycats:"));
    desk.refused(&[], "site.yaml:6:1: ");
    desk.put("site.yaml", &SITE.replace("origins: [http://192.0.2.80/anymetal]\n", ""));
    desk.refused(&[], "no `origins`");
    desk.put("site.yaml", &SITE.replace("nomad: none", "nomad: none, consul: 1.21.4"));
    desk.refused(&[], "component consul 1.21.4: no sha256 is known for x86_64\nhint: pin it in the site, `components.consul.artefacts.x86_64.sha256`");
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

#[test]
fn secrets_travel_as_the_site_says_and_only_those_that_are_wanted() {
    // Into one folder: what was written for another way is gone.
    let desk = Desk::new();
    for (deliver, carrier) in
        [("user-data", None), ("customdata", Some("customdata.json")), ("medium", Some("anymetal-secrets.json"))]
    {
        desk.put("site.yaml", &format!("{SITE}secrets: {{deliver: {deliver}}}\n"));
        desk.built(&[]);
        let mut files = vec!["plan.json", "sha256", "user-data"];
        files.extend(carrier);
        files.sort_unstable();
        assert_eq!(names(&desk.path("out")), files);
        let mode = |file: &str| fs::metadata(desk.path("out").join(file)).unwrap().mode() & 0o7777;
        let text = fs::read_to_string(desk.path("out/user-data")).unwrap();
        let document = match carrier {
            None => {
                let file = dropped(&desk, place::SECRETS);
                assert_eq!((file.mode, mode("user-data")), (0o600, 0o600));
                file.content
            }
            Some(carrier) => {
                assert_eq!((mode(carrier), mode("user-data")), (0o600, 0o644));
                assert!(!text.contains("secrets.json"), "{text}");
                fs::read(desk.path("out").join(carrier)).unwrap()
            }
        };
        let mut value: serde_json::Value = serde_json::from_slice(&document).unwrap();
        if deliver == "customdata" {
            value = value["anymetal"].take();
        }
        let secrets: Secrets = serde_json::from_value(value).unwrap();
        let plan = fs::read(desk.path("out/plan.json")).unwrap();
        let plan: Plan = serde_json::from_slice(&plan).unwrap();
        assert_eq!(plan.secrets.map(Delivery::id), Some(deliver));
        let wanted: Vec<_> = plan.wanted_secrets().into_iter().map(str::to_owned).collect();
        assert_eq!(secrets.values.into_keys().collect::<Vec<_>>(), wanted);
        assert_eq!(secrets.site, "demo");
        // canonical, so the same secrets are the same bytes
        assert!(!document.contains(&b'\n') && !document.contains(&b' '));
    }
}

#[test]
fn what_others_may_read_holds_no_secret_and_no_command_says_one() {
    let desk = Desk::new();
    let mut said = String::new();
    for words in [
        &["check", "site.yaml"][..],
        &["build", "site.yaml", "-o", "out"],
        &["rehearse", "site.yaml", "--metadata", "m.json", "-o", "root"],
        &["secrets", "new", "site.yaml"],
        &["-vv", "build", "site.yaml", "-o", "out"],
    ] {
        let output = desk.run(words);
        said += &(stdout(&output) + &stderr(&output));
    }
    let mut open = vec![fs::read(desk.path("out/plan.json")).unwrap(), said.into_bytes()];
    for name in names(&desk.path("out/sha256")) {
        open.push(fs::read(desk.path("out/sha256").join(name)).unwrap());
    }
    let held = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(VALUE);
    assert!(!open.iter().any(|bytes| held(bytes)));
    assert!(held(&dropped(&desk, place::SECRETS).content), "the test looks for what there is not");
}

#[test]
fn secrets_are_made_once_and_are_what_a_build_needs() {
    let desk = Desk::new();
    fs::remove_file(desk.path("secrets.yaml")).unwrap();
    desk.refused(
        &[],
        "the site's secrets are not there: no secrets.yaml\nhint: `anymetal secrets new SITE` makes them",
    );

    let made = desk.run(&["secrets", "new", "site.yaml"]);
    assert_eq!((stdout(&made).as_str(), made.status.code()), ("secrets.yaml\n", Some(0)), "{}", stderr(&made));
    assert!(stderr(&made).contains("Consul: on a node, `consul_management` may do everything"), "{}", stderr(&made));
    assert_eq!(fs::metadata(desk.path("secrets.yaml")).unwrap().mode() & 0o7777, 0o600);
    let text = fs::read_to_string(desk.path("secrets.yaml")).unwrap();
    assert!(text.contains("\nconsul_management: ") && !text.contains("hippo_password:"), "{text}");
    desk.built(&[]);
    assert!(desk.run(&["check", "site.yaml"]).status.success());

    let again = desk.run(&["secrets", "new", "site.yaml"]);
    assert_eq!((stdout(&again).as_str(), again.status.code()), ("secrets.yaml\n", Some(0)));
    assert_eq!(stderr(&again), "secrets.yaml has all that the site needs already, and is left as it is\n");
    assert_eq!(fs::read_to_string(desk.path("secrets.yaml")).unwrap(), text);
}

#[test]
fn secrets_that_a_site_comes_to_need_are_added_and_the_others_stay() {
    let desk = Desk::new();
    // as an anymetal without a guard made it
    let old = SECRETS.replace("consul_guard: c0000000-0000-4000-8000-000000000005\n", "");
    desk.put("secrets.yaml", &old);
    let check = desk.run(&["check", "site.yaml"]);
    let said = "secrets.yaml: `consul_guard` is missing, and the site needs it; hint: `anymetal secrets new SITE` adds it and keeps \
                the others; by hand: `consul_guard: …`, as `uuidgen` makes one\n1 mistake in secrets.yaml\n";
    assert_eq!((stderr(&check).as_str(), check.status.code()), (said, Some(1)));
    desk.refused(&[], said);

    let added = desk.run(&["secrets", "new", "site.yaml"]);
    assert_eq!((stdout(&added).as_str(), added.status.code()), ("secrets.yaml\n", Some(0)), "{}", stderr(&added));
    assert!(stderr(&added).starts_with("secrets.yaml: added consul_guard; what was there is as it was\n"));
    let text = fs::read_to_string(desk.path("secrets.yaml")).unwrap();
    assert!(text.strip_prefix(&old).is_some_and(|more| more.contains("\nconsul_guard: ")), "{text}");
    assert_eq!(fs::metadata(desk.path("secrets.yaml")).unwrap().mode() & 0o7777, 0o600);
    desk.built(&[]);

    // a file with a mistake in it is told of, and left as it is
    let wrong = format!("{old}site: other\n");
    desk.put("secrets.yaml", &wrong);
    let refused = desk.run(&["secrets", "new", "site.yaml"]);
    assert_eq!((stdout(&refused).as_str(), refused.status.code()), ("", Some(1)), "{}", stderr(&refused));
    assert_eq!(fs::read_to_string(desk.path("secrets.yaml")).unwrap(), wrong);
    fs::remove_file(desk.path("secrets.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", desk.path("secrets.yaml")).unwrap();
    let link = desk.run(&["secrets", "new", "site.yaml"]);
    assert_eq!(link.status.code(), Some(1));
    assert!(stderr(&link).contains("secrets.yaml is there already and is no plain file"), "{}", stderr(&link));
}

#[test]
fn a_site_that_gets_the_platform_needs_its_secrets() {
    let desk = Desk::new();
    fs::remove_file(desk.path("secrets.yaml")).unwrap();
    assert!(desk.run(&["secrets", "new", "site.yaml"]).status.success());
    desk.put("site.yaml", &SITE.replace("components: {nomad: none}\n", ""));
    let check = desk.run(&["check", "site.yaml"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(stderr(&check).contains("secrets.yaml: `hippo_password` is missing, and the site needs it; hint: "));
    assert!(stderr(&check).ends_with(" mistakes in secrets.yaml\n"), "{}", stderr(&check));
    assert!(desk.run(&["secrets", "new", "site.yaml"]).status.success());
    assert_eq!(stderr(&desk.run(&["check", "site.yaml"])), "");
}

#[test]
fn secrets_of_another_site_are_refused() {
    let desk = Desk::new();
    desk.put("secrets.yaml", &SECRETS.replace("site: demo", "site: other"));
    desk.refused(&[], "secrets.yaml:2:7: these are the secrets of another site; hint: write `site: demo`");
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

#[test]
fn the_user_data_of_a_whole_site_fits_in_sixteen_kibibytes() {
    let desk = Desk::new();
    desk.put("site.yaml", &whole("{mode: acme, email: ops@example.com, dns_provider: route53}"));
    // secrets as they really are: they do not pack
    fs::remove_file(desk.path("secrets.yaml")).unwrap();
    assert!(desk.run(&["secrets", "new", "site.yaml"]).status.success());
    let secrets = fs::read_to_string(desk.path("secrets.yaml")).unwrap();
    let variables = "{AWS_ACCESS_KEY_ID: AKIAIOSFODNN7EXAMPLE, AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY, AWS_REGION: eu-central-1}";
    let filled = secrets.replace("\nacme: {}\n", &format!("\nacme: {variables}\n"));
    assert_ne!(filled, secrets);
    desk.put("secrets.yaml", &filled);
    let said = desk.built(&[]);
    let size = said.lines().find_map(|line| line.strip_prefix("user-data ")).unwrap();
    println!("user-data of a whole site: {size}");
    let document: Secrets = serde_json::from_slice(&dropped(&desk, place::SECRETS).content).unwrap();
    assert_eq!((document.values.len(), document.acme.len()), (11, 3));
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
