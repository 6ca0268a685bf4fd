//! The author's file of secrets: what is said of it, what becomes of it, and that no value is ever said.
#![expect(clippy::disallowed_methods, reason = "the tests write the files that are read")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::sample;
use crate::site::model::Tls;

const UUID: &str = "0123abcd-0123-4567-89ab-0123456789ab";
const HEAD: &str = "version: 1\nsite: demo\n";

/// A folder with a site's file of secrets.
struct Desk {
    folder: tempfile::TempDir,
    site: Site,
}

impl Desk {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut site = sample::site();
        site.secrets.file = folder.path().join("secrets.yaml");
        let desk = Self { folder, site };
        desk.put("secrets.yaml", text);
        desk
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// What is found, without the folder, one line each.
    fn found(&self, wanted: &[&str]) -> Vec<String> {
        match document(&self.site, &names(wanted)) {
            Ok((_, found)) | Err(Trouble::Found(found)) => self.lines(&found),
            Err(Trouble::Absent(_)) => panic!("the file is there"),
        }
    }

    fn lines(&self, found: &[Diagnostic]) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        found.iter().map(|one| one.to_string().replace(&folder, "")).collect()
    }

    fn document(&self, wanted: &[&str]) -> secrets::Secrets {
        document(&self.site, &names(wanted)).unwrap().0
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// All that a site can want of its author.
fn all() -> Vec<&'static str> {
    let outside = secrets::NAMES.iter().filter(|secret| secret.from_outside());
    outside.map(|secret| secret.name).collect()
}

/// Bytes that are not random at all.
fn counting() -> impl FnMut(&mut [u8]) -> anyhow::Result<()> {
    let mut next = 0u8;
    move |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = next;
            next = next.wrapping_add(1);
        }
        Ok(())
    }
}

/// What is odd about a value from elsewhere is said with the file or the variable, the character and its place; the value itself is not.
#[test]
fn a_value_from_elsewhere_is_one_line_and_what_it_is_not_is_named() {
    let secret = "hunter2hunter2";
    let desk = Desk::with(&format!("{HEAD}hippo_password: {{file: F}}\n"));
    for ending in ["", "\n", "\r\n"] {
        for mark in ["", "\u{FEFF}"] {
            desk.put("F", &format!("{mark}{secret}{ending}"));
            assert_eq!(desk.document(&["hippo_password"]).values["hippo_password"], secret);
        }
    }
    for (text, said) in [
        (
            format!("{secret}\n\n"),
            "the file `F` has more than one line end behind the value, at 1:15; hint: end it with one",
        ),
        (
            format!("{secret}\r\n\r\n"),
            "the file `F` has more than one line end behind the value, at 1:15; hint: end it",
        ),
        (
            format!("# mine\n{secret}\n"),
            "the file `F` has more than one line: a line end stands at 1:7; hint: a secret is one",
        ),
        (
            format!("\n{secret}\n"),
            "the file `F` has more than one line: a line end stands at 1:1; hint: a secret is one",
        ),
        (
            format!("{secret}\u{A0}\n"),
            "the file `F` has the character U+00A0 no-break space at 1:15; hint: write an ordinary",
        ),
        (
            format!("\u{201C}{secret}\u{201D}\n"),
            "the file `F` has the character U+201C typographic double quote at 1:1; hint: ",
        ),
        (format!("{secret}\u{7}\n"), "the file `F` has the control character U+0007 at 1:15; hint: remove it"),
        (format!("{secret}\t\n"), "the file `F` has the control character U+0009 at 1:15; hint: remove it"),
        (
            format!("{secret}\u{E4}\n"),
            "the file `F`: `hippo_password` has the character U+00E4, which is its 15th; hint: ",
        ),
        ("short\n".to_owned(), "the file `F`: `hippo_password` is not 8 to 200 printable characters, without spaces"),
    ] {
        desk.put("F", &text);
        let found = desk.found(&["hippo_password"]);
        assert!(
            found.len() == 1 && found[0].starts_with(&format!("secrets.yaml:3:17: {said}")),
            "{text:?}: {found:#?}"
        );
        assert!(!found[0].contains("hunter2"), "{found:?}");
    }
    let path = desk.folder.path().join("F");
    fs::write(&path, "hunter2".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).unwrap();
    let expected = "secrets.yaml:3:17: the file `F` is not UTF-8; hint: this looks like UTF-16: save it as UTF-8";
    assert_eq!(desk.found(&["hippo_password"]), [expected]);
}

/// As a shell and a CI put them into the environment.
#[test]
fn a_value_of_a_variable_is_judged_as_one_of_a_file() {
    let of = |text: &str| {
        let source = Source::Variable("V".into());
        one_line(text.as_bytes(), &source.told()).map(|secret| secret.expose().to_owned()).map_err(|found| found.what)
    };
    for text in ["hunter2", "hunter2\n", "hunter2\r\n", "\u{FEFF}hunter2\n"] {
        assert_eq!(of(text).as_deref(), Ok("hunter2"), "{text:?}");
    }
    for (text, said) in [
        ("hunter2\n\n", "the variable `V` has more than one line end behind the value, at 1:8"),
        ("a\nb", "the variable `V` has more than one line: a line end stands at 1:2"),
        ("a\u{1b}[0m", "the variable `V` has the control character U+001B at 1:2"),
    ] {
        assert_eq!(of(text).unwrap_err(), said, "{text:?}");
    }
}

/// As editors and web pages leave the file itself.
#[test]
fn the_file_itself_may_have_a_mark_and_other_line_ends_and_no_lookalikes() {
    let text = format!("{HEAD}hippo_password: hunter2hunter2\n");
    for saved in
        [text.replace('\n', "\r\n"), format!("\u{FEFF}{text}"), format!("\u{FEFF}{}", text.replace('\n', "\r\n"))]
    {
        let desk = Desk::with(&saved);
        assert_eq!(desk.document(&["hippo_password"]).values["hippo_password"], "hunter2hunter2");
    }
    for (line, said) in [
        (
            "hippo_password:\u{A0}hunter2hunter2\n",
            "secrets.yaml:3:16: the character U+00A0 no-break space stands here; hint: ",
        ),
        (
            "hippo_password: hunter2hunter2\u{202F}\n",
            "secrets.yaml:3:31: the character U+202F narrow no-break space stands here; hint: ",
        ),
        (
            "hippo_password: \u{2018}hunter2hunter2\u{2019}\n",
            "secrets.yaml:3:17: the character U+2018 typographic single quote stands here; more",
        ),
        (
            "hippo_password: 'hunter2\u{A0}hunter2'\n",
            "secrets.yaml:3:17: `hippo_password` has the character U+00A0 no-break space, which is its 8th; ",
        ),
    ] {
        let found = Desk::with(&format!("{HEAD}{line}")).found(&["hippo_password"]);
        assert!(found.len() == 1 && found[0].starts_with(said) && !found[0].contains("hunter2"), "{found:#?}");
    }
}

#[test]
fn each_mistake_is_said_with_its_place_and_no_value() {
    let lines: &[(&str, &[&str])] = &[
        (
            "hippo_pasword: hunter2hunter2\n",
            &["secrets.yaml:3:1: there is no secret `hippo_pasword`; hint: did you mean `hippo_password`?"],
        ),
        (
            "consul_agent: hunter2\n",
            &[
                "secrets.yaml:3:15: `consul_agent` is not a UUID in lower case, 36 characters; hint: `consul_agent: …`, as `uuidgen` makes one",
            ],
        ),
        (
            "hippo_password: [hunter2]\nconsul_gossip: {vault: hunter2}\nhippo_jwt: {env: A, file: B}\n",
            &[
                "secrets.yaml:3:17: `hippo_password` is neither a text nor where one comes from; hint: write the text, `{env: NAME}` or `{file: PATH}`",
                "secrets.yaml:4:16: `consul_gossip` is neither a text nor where one comes from; hint: write the text, `{env: NAME}` or `{file: PATH}`",
                "secrets.yaml:5:12: `hippo_jwt` is neither a text nor where one comes from; hint: write the text, `{env: NAME}` or `{file: PATH}`",
            ],
        ),
        (
            "nomad_hippo: hunter2\nbindle_htpasswd: hunter2\n",
            &[
                "secrets.yaml:3:1: nomad_hippo is made on the node, and brought by nobody; hint: remove the line",
                "secrets.yaml:4:1: `bindle_htpasswd` has another form here; hint: write `bindle: {htpasswd: …}`",
            ],
        ),
        (
            "bindle: {user: 'a:b', password: hunter2, salt: hunter2}\n",
            &[
                "secrets.yaml:3:16: `bindle.user` is not a plain name; hint: use letters, digits and `._-`, as in `admin`",
                "secrets.yaml:3:33: `bindle.password` is not 8 to 200 printable characters, without spaces, quotes, backslashes and dollar signs; hint: `bindle.password: …`, as `openssl rand -hex 24` makes one",
                "secrets.yaml:3:48: `bindle.salt` is not 16 bytes in base64; hint: `openssl rand -base64 16` makes them",
            ],
        ),
        (
            "bindle: {user: admin, password: hunter2hunter2}\n",
            &[
                "secrets.yaml:3:9: `bindle` has other keys than it needs; hint: write `{user: admin, password: …, salt: …}` or `{htpasswd: …}`",
            ],
        ),
        (
            "bindle: {htpasswd: 'admin:$2b$hunter2'}\nacme: {token: hunter2}\n",
            &[
                "secrets.yaml:3:20: `bindle.htpasswd` is not `user:$2y$…`, a line as `htpasswd -B` writes it; hint: `bindle.htpasswd: {user: admin, password: …, salt: …}`, a salt as `openssl rand -base64 16` makes one",
                "secrets.yaml:4:8: a key of `acme` is not the name of a variable; hint: use capital letters, digits and `_`",
            ],
        ),
    ];
    for (text, expected) in lines {
        assert_eq!(Desk::with(&format!("{HEAD}{text}")).found(&[]), *expected, "{text}");
    }
    let long = Desk::with(&format!(
        "{HEAD}bindle: {{user: a, password: {}, salt: MDEyMzQ1Njc4OWFiY2RlZg==}}\n",
        "p".repeat(73)
    ));
    assert!(long.found(&[])[0].contains("more than 72 characters; hint: bcrypt would not look at the rest"));
}

#[test]
fn whatever_yaml_makes_of_a_value_it_is_not_repeated() {
    for text in [
        "hippo_password: !hunter2\n",
        "hippo_password: *hunter2\n",
        "hippo_password: &hunter2\n",
        "hippo_password: {hunter2}\n",
        "hippo_password: hunter2: x\n",
        "hippo_password: 'hunter2\n",
        "hippo_password: @hunter2\n",
        "hippo_password: %hunter2\n",
        "hippo_password: |hunter2\n",
        "hippo_password: [hunter2\n",
        "hippo_password hunter2\n",
        "? {hunter2: hunter2}\n: x\n",
        "hippo_password: \"hunter2\\q\"\n",
    ] {
        for head in [HEAD, ""] {
            let found = Desk::with(&format!("{head}{text}")).found(&["hippo_password"]);
            assert!(!found.is_empty() && !found.concat().contains("hunter2"), "{text}: {found:?}");
        }
    }
    let found = Desk::with("hunter2").found(&[]);
    assert_eq!(found, ["secrets.yaml:1:1: secrets are a mapping of names; hint: write lines like `hippo_password: …`"]);
}

#[test]
fn what_is_missing_or_of_another_site_is_named() {
    assert_eq!(
        Desk::with("version: 2\nsite: other\n").found(&["hippo_jwt", "bindle_htpasswd"]),
        [
            "secrets.yaml: `bindle` is missing, and the site needs it; hint: `anymetal secrets new SITE` adds it and keeps the others; by hand: `bindle: {user: admin, password: …, salt: …}`, a salt as `openssl rand -base64 16` makes one",
            "secrets.yaml: `hippo_jwt` is missing, and the site needs it; hint: `anymetal secrets new SITE` adds it and keeps the others; by hand: `hippo_jwt: …`, as `openssl rand -hex 24` makes one",
            "secrets.yaml:1:10: this version of the file is not known to this anymetal; hint: write `version: 1`, or name the right file in the site's `secrets.file`",
            "secrets.yaml:2:7: these are the secrets of another site; hint: write `site: demo`, or name the right file in the site's `secrets.file`",
        ]
    );
    let acme = Desk::with(&format!("{HEAD}acme: {{}}\n"));
    assert!(acme.found(&["acme"])[0].contains("`acme` has no variables; hint: "));
    assert_eq!(acme.found(&[]), [""; 0]);
}

#[test]
fn a_file_that_others_may_read_is_warned_of_and_taken() {
    let desk = Desk::with(HEAD);
    fs::set_permissions(&desk.site.secrets.file, fs::Permissions::from_mode(0o640)).unwrap();
    let path = desk.site.secrets.file.display();
    let said =
        format!("{path}: warning: others on this machine may read it: its mode is 0640; hint: `chmod 600 {path}`");
    let (_, found) = document(&desk.site, &names(&[])).unwrap();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), [said]);
}

#[test]
fn only_what_is_wanted_goes_to_the_nodes() {
    let text = format!(
        "{HEAD}consul_agent: {UUID}\nconsul_nomad: {UUID}\nhippo_jwt: {{env: NOBODY_SETS_THIS}}\nacme: {{A: b}}\n"
    );
    let document = Desk::with(&text).document(&["consul_agent"]);
    assert_eq!((document.kind.as_str(), document.version, document.site.as_str()), (KIND, VERSION, "demo"));
    assert_eq!(document.values, BTreeMap::from([("consul_agent".to_owned(), UUID.to_owned())]));
    assert!(document.acme.is_empty());
}

#[test]
fn values_come_from_files_and_variables_and_are_judged_when_they_have_come() {
    let text = "hippo_password: {file: password}\nacme: {PATH_HERE: {env: PATH}, TOKEN: {file: token}}\n";
    let desk = Desk::with(&format!("{HEAD}{text}"));
    desk.put("password", "correct-horse\n");
    desk.put("token", "a b\r\n");
    let document = desk.document(&["hippo_password", "acme"]);
    assert_eq!(document.values["hippo_password"], "correct-horse");
    assert_eq!(document.acme["TOKEN"], "a b");
    assert_eq!(document.acme["PATH_HERE"], std::env::var("PATH").unwrap());

    desk.put("password", "hunter2\n");
    let found = desk.found(&["hippo_password"]);
    assert!(
        found[0].starts_with("secrets.yaml:3:17: the file `password`: `hippo_password` is not 8 to 200")
            && found.len() == 1,
        "{found:?}"
    );
    let absent =
        Desk::with(&format!("{HEAD}hippo_password: {{file: nowhere}}\nhippo_jwt: {{env: NOBODY_SETS_THIS}}\n"));
    assert_eq!(
        absent.found(&["hippo_password", "hippo_jwt"]),
        [
            "secrets.yaml:3:17: the file `nowhere`: cannot be read: No such file or directory (os error 2); hint: paths are relative to the file of secrets",
            "secrets.yaml:4:12: there is no variable `NOBODY_SETS_THIS` in the environment; hint: set it for this command",
        ]
    );
    // a check is not a build: what is elsewhere may not be here yet
    assert_eq!(absent.lines(&check(&absent.site, &names(&["hippo_password", "hippo_jwt"])).unwrap()), [""; 0]);
}

#[test]
fn bindles_password_becomes_the_same_line_every_time() {
    let desk = Desk::with(&format!(
        "{HEAD}bindle: {{user: admin, password: correct-horse, salt: MDEyMzQ1Njc4OWFiY2RlZg==}}\n"
    ));
    let line = desk.document(&["bindle_htpasswd"]).values["bindle_htpasswd"].clone();
    assert_eq!(line, "admin:$2y$10$KBCwKxOzLha2MUDgW0PjXeCT5CIl4cY2YnyxnIzwxuwuliD4rXHBC");
    let made = Desk::with(&format!("{HEAD}bindle: {{htpasswd: '{line}'}}\n"));
    assert_eq!(made.document(&["bindle_htpasswd"]).values["bindle_htpasswd"], line);
}

#[test]
fn a_new_file_has_all_that_is_wanted_and_is_good() {
    let mut desk = Desk::with("");
    desk.site.tls = Tls::Acme { email: "ops@example.com".into(), dns_provider: "route53".into() };
    let text = file(&desk.site, &names(&all()), &mut counting()).unwrap();
    assert!(text.contains("names for route53, "), "{text}");
    assert!(text.contains("nomad_management: 22232425-2627-4829-aa2b-2c2d2e2f3031\n"), "{text}");
    assert!(text.ends_with("so it is a secret.\nwebhook: ''\n"), "{text}");
    desk.put(
        "secrets.yaml",
        &text
            .replace("acme: {}", "acme: {TOKEN: x}")
            .replace("bgp_password: ''", "bgp_password: 'a b'")
            .replace("webhook: ''", "webhook: 'https://hook.example/T0K3N?x=1'"),
    );
    let document = desk.document(&all());
    assert_eq!(document.values.len() + 1, all().len());
    for (name, value) in &document.values {
        assert_eq!(secrets::named(name).unwrap().shape.judge(value), Ok(()), "{name}");
    }
    let few = file(&desk.site, &names(&["consul_agent"]), &mut counting()).unwrap();
    let keys: Vec<_> =
        few.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':')).collect();
    assert_eq!(keys.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["version", "site", "consul_agent"]);
}

/// What becomes of a file with that text, and the lines said about it.
fn added_to(text: &str, wanted: &[&str]) -> (Added, Vec<String>) {
    let desk = Desk::with(text);
    let (added, found) = added(&desk.site, &names(wanted), &mut counting()).unwrap();
    (added, desk.lines(&found))
}

#[test]
fn what_is_lacking_is_added_below_and_no_byte_before_it_changes() {
    let wanted = ["bgp_password", "bindle_htpasswd", "consul_agent", "consul_guard", "hippo_jwt"];
    for old in [
        format!("# mine\n{HEAD}consul_agent: {UUID} # of 2025\nhippo_jwt: {{env: NOBODY_SETS_THIS}}\n"),
        format!("{HEAD}hippo_jwt: {{file: nowhere}}\nconsul_agent: '{UUID}'"),
        format!("\u{FEFF}{HEAD}hippo_jwt: {{file: nowhere}}\nconsul_agent: {UUID}\n").replace('\n', "\r\n"),
    ] {
        let (Added::These { keys, text, .. }, said) = added_to(&old, &wanted) else {
            panic!("nothing is added to {old}")
        };
        assert_eq!((said, keys), (vec![], vec!["bgp_password".into(), "bindle".into(), "consul_guard".into()]));
        let below = text.strip_prefix(&old).unwrap();
        assert!(below.contains("\n# Consul: the guard's token, to look at this node\nconsul_guard: "), "{below}");
        // The network's password is still to be filled in; then it is whole, and nothing more is added.
        let filled = text.replace("bgp_password: ''", "bgp_password: x");
        assert!(matches!(added_to(&filled, &wanted), (Added::Nothing, said) if said.is_empty()), "{filled}");
    }
}

#[test]
fn nothing_is_added_to_a_file_that_is_wrong_or_has_no_end_to_add_at() {
    let of_another = "version: 1\nsite: other\n";
    let typo = format!("{HEAD}consul_gaurd: {UUID}\n");
    let braces = "{version: 1, site: demo}\n";
    let indented = "  version: 1\n  site: demo\n";
    let form = "secrets.yaml: it lacks `consul_guard`, and nothing can be added at its end; \
                hint: write each name on a line of its own that begins in the first column";
    for (text, line) in [
        (of_another, "secrets.yaml:2:7: these are the secrets of another site; hint: "),
        (&typo, "secrets.yaml:3:1: there is no secret `consul_gaurd`; hint: did you mean `consul_guard`?"),
        (braces, form),
        (indented, form),
        ("version: 1\nsite: demo\n...\n", form),
        ("", "secrets.yaml:1:1: "),
    ] {
        let (added, said) = added_to(text, &["consul_guard"]);
        assert!(matches!(added, Added::Refused) && said.len() == 1 && said[0].starts_with(line), "{text}: {said:?}");
    }
}

#[test]
fn what_only_the_network_knows_is_left_to_be_filled_in() {
    let desk = Desk::with("");
    let wanted = ["bgp_password"];
    desk.put("secrets.yaml", &file(&desk.site, &names(&wanted), &mut counting()).unwrap());
    assert_eq!(
        desk.found(&wanted),
        [
            "secrets.yaml:8:15: `bgp_password` is neither a text nor where one comes from; hint: write the text, `{env: NAME}` or `{file: PATH}`"
        ]
    );
    desk.put("secrets.yaml", &format!("{HEAD}bgp_password: 'hunter2\"'\n"));
    let said = "secrets.yaml:3:15: `bgp_password` is not 1 to 80 printable characters without double quotes; \
                hint: `bgp_password: …`, as the network that is spoken to gave it";
    assert_eq!(desk.found(&wanted), [said]);
    desk.put("secrets.yaml", &format!("{HEAD}bgp_password: \"it's $5\"\n"));
    assert_eq!(desk.document(&wanted).values["bgp_password"], "it's $5");
    assert!(logins(&desk.site, &names(&wanted))[0].starts_with("to do: fill in `bgp_password`"));
}

#[test]
fn who_may_log_in_where_is_said_without_a_secret() {
    let mut site = sample::site();
    let said = logins(&site, &names(&all()));
    assert_eq!(said[0], "Hippo: admin logs in at http://hippo.192-0-2-1.sslip.io with `hippo_password`");
    assert_eq!(said[1], "Bindle: admin pushes to http://bindle.192-0-2-1.sslip.io/v1 with `bindle.password`");
    site.tls = Tls::Files { certificate: "/c".into(), key: "/k".into() };
    assert!(logins(&site, &names(&all()))[0].contains("https://"));
    assert_eq!(logins(&site, &names(&["consul_agent"])).len(), 1);
}

#[test]
fn secrets_that_are_made_up_are_whole() {
    let document = made_up(&sample::site(), &names(&all()), &mut counting()).unwrap();
    assert_eq!(document.values.len() + document.acme.len(), all().len());
    for (name, value) in &document.values {
        assert_eq!(secrets::named(name).unwrap().shape.judge(value), Ok(()), "{name}");
    }
}

#[test]
fn nothing_that_holds_a_secret_shows_it() {
    assert_eq!(format!("{:?}", Secret::new("hunter2")), "•••");
}
