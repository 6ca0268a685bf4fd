//! The site's secrets as an operator meets them: made, added to, carried to nodes, and found nowhere else.
//! May not know how nodes use them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use anymetal_contract::plan::{Delivery, Plan};
use anymetal_contract::{Secrets, place};

use crate::desk::{Desk, SECRETS, SITE, VALUE, dropped, names, stderr, stdout};

#[test]
fn secrets_travel_as_the_site_says_and_only_those_that_are_wanted() {
    // Into one folder: what was written for another way is gone.
    let desk = Desk::new();
    for (deliver, carrier) in
        [("user-data", None), ("customdata", Some("customdata.json")), ("medium", Some("anymetal-secrets.json"))]
    {
        desk.put("site.yaml", &format!("{SITE}secrets: {{deliver: {deliver}}}\n"));
        desk.built(&[]);
        let mut files = vec!["plan.json", "release.json", "sha256", "user-data"];
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
    let check = desk.run(&["check", "site.yaml"]);
    assert!(check.status.success() && !stderr(&check).contains("secrets"), "{}", stderr(&check));
}

#[test]
fn secrets_of_another_site_are_refused() {
    let desk = Desk::new();
    desk.put("secrets.yaml", &SECRETS.replace("site: demo", "site: other"));
    desk.refused(&[], "secrets.yaml:2:7: these are the secrets of another site; hint: write `site: demo`");
}
