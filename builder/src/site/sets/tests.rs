//! Each rule of the sets, with versions on both sides of it.

use super::*;

/// The default set with these components named, judged for both architectures on debian-12.
fn judged(named: &[(&'static str, &str)]) -> Vec<String> {
    let mut set = default_set();
    for (name, text) in named {
        set.insert(name, Chosen { named: true, ..chosen(version(text).unwrap()) });
    }
    let clashes = clashes(&set, &BTreeSet::from(Arch::ALL), "debian-12");
    let shown = |clash: Clash| {
        let warning = if clash.severity == Severity::Warning { "warning: " } else { "" };
        format!("{warning}{}; {}", clash.complaint.what, clash.complaint.hint)
    };
    clashes.into_iter().map(shown).collect()
}

fn default_set() -> BTreeMap<&'static str, Chosen> {
    component::all().iter().map(|known| (known.name.as_str(), chosen(known.default))).collect()
}

fn chosen(version: Version) -> Chosen {
    Chosen { version, named: false, own: BTreeSet::new(), packages: false }
}

#[test]
fn the_default_set_works() {
    assert_eq!(judged(&[]), [""; 0]);
    for known in component::all() {
        assert_eq!(alone(known, known.default), None, "{}", known.name);
    }
}

#[test]
fn sets_that_cannot_work_are_said_with_why() {
    let unsigned = "from 0.9.0 on Bindle refuses unsigned bindles, and Spin and Hippo's clients push no others; write `bindle: 0.8.2`";
    let removed = "Hippo starts applications with `spin up --bindle`, which Spin 1.0 removed; write `spin: 0.10.1` with `hippo: 0.20.2`";
    let openssl = |version: &str| {
        format!(
            "warning: upstream's bindle {version} is linked against OpenSSL 1.1, which debian-12 does not have; \
             give a build of your own in `components.bindle.artefacts`, and the packages it needs in `components.bindle.packages`: \
             `[]` when it needs none"
        )
    };
    for (named, expected) in [
        (
            &[("nftables", "1.1.0")][..],
            vec![
                "warning: debian-12 has nftables 1.0.6, which is older than 1.1.0; \
                 let `cloud_config` install a newer nftables, or ask for less"
                    .to_owned(),
            ],
        ),
        (&[("bindle", "0.9.0")], vec![format!("bindle 0.9.0 cannot work with spin 0.10.1 (the default): {unsigned}")]),
        (&[("bindle", "0.8.2")], vec![openssl("0.8.2")]),
        (
            &[("bindle", "0.8.1")],
            vec![
                "there is no bindle 0.8.1 for aarch64; write `bindle: 0.8.2`, leave aarch64 out of `architectures`, \
                 or give an archive of your own in `components.bindle.artefacts`"
                    .to_owned(),
                openssl("0.8.1"),
            ],
        ),
        (&[("spin", "1.0.0")], vec![format!("spin 1.0.0 cannot work with hippo 0.20.2 (the default): {removed}")]),
        (
            &[("spin", "1.4.1"), ("hippo", "0.20.1")],
            vec![format!("spin 1.4.1 cannot work with hippo 0.20.1: {removed}")],
        ),
        (
            &[("hippo", "0.20.1")],
            vec![
                "hippo 0.20.1 cannot work with spin 0.10.1 (the default): Hippo up to 0.20.1 passes `--follow-all`, which Spin 0.10 removed; \
                 write `hippo: 0.20.2` with `spin: 0.10.1`, or keep this one with `spin: 0.9.0`"
                    .to_owned(),
            ],
        ),
        (
            &[("hippo", "0.20.1"), ("spin", "0.9.0")],
            vec![
                "warning: it is not known whether there is a spin 0.9.0 for aarch64; write `spin: 0.10.1`, \
                 leave aarch64 out of `architectures`, or give an archive of your own in `components.spin.artefacts`"
                    .to_owned(),
            ],
        ),
        (
            &[("spin", "0.6.0")],
            vec![
                "hippo 0.20.2 (the default) cannot work with spin 0.6.0: Hippo 0.20.2 no longer passes `--follow-all`, \
                 without which Spin before 0.9 shows no output; write `spin: 0.10.1`, or go back to `hippo: 0.20.1`"
                    .to_owned(),
                "there is no spin 0.6.0 for aarch64; write `spin: 0.10.1`, leave aarch64 out of `architectures`, \
                 or give an archive of your own in `components.spin.artefacts`"
                    .to_owned(),
            ],
        ),
        (
            &[("consul", "1.7.14")],
            vec![
                "nomad 1.10.5 (the default) cannot work with consul 1.7.14: Nomad asks for Consul 1.8 or later from 1.7 on; \
                 write a Consul of 1.8.0 or later"
                    .to_owned(),
            ],
        ),
        (&[("consul", "1.7.14"), ("nomad", "1.6.4")], vec![]),
        (&[("consul", "1.8.7")], vec![]),
        (&[("nomad", "2.0.5"), ("consul", "2.0.2")], vec![]),
        (
            &[("bird", "2.17.0")],
            vec![
                "warning: debian-12 has bird 2.0.12, which is older than 2.17.0; \
                 let `cloud_config` install a newer bird2, or ask for less"
                    .to_owned(),
            ],
        ),
    ] {
        assert_eq!(judged(named), expected, "{named:?}");
    }
}

#[test]
fn an_archive_of_ones_own_settles_what_upstream_lacks() {
    let mut set = default_set();
    let own = BTreeSet::from([Arch::Aarch64]);
    let brought = Chosen { named: true, own, packages: true, ..chosen(Version(0, 8, 0)) };
    set.insert("bindle", brought.clone());
    assert_eq!(clashes(&set, &BTreeSet::from(Arch::ALL), "debian-12"), []);
    // an archive says nothing of what it is linked against: upstream's packages are asked for until the site says which
    set.insert("bindle", Chosen { packages: false, ..brought });
    let found = clashes(&set, &BTreeSet::from(Arch::ALL), "debian-12");
    assert!(matches!(&found[..], [only] if only.severity == Severity::Warning), "{found:?}");
}

#[test]
fn no_aarch64_is_missed_where_there_is_none() {
    let mut set = default_set();
    set.insert("spin", Chosen { named: true, ..chosen(Version(0, 9, 0)) });
    set.insert("hippo", Chosen { named: true, ..chosen(Version(0, 20, 1)) });
    assert_eq!(clashes(&set, &BTreeSet::from([Arch::X86_64]), "debian-12"), []);
}

#[test]
fn some_versions_cannot_be_used_at_all() {
    for (name, text, expected) in [
        ("bird", "1.6.8", Some("bird 1.6.8 is too old: bird 1.x has another configuration language, without channels")),
        ("bird", "2.0.0", None),
        ("bird", "3.3.2", None),
        (
            "nomad",
            "1.3.5",
            Some("nomad 1.3.5 is too old: bootstrapping the ACL with a chosen token came with Nomad 1.4"),
        ),
        ("nomad", "1.4.1", None),
        (
            "nomad",
            "1.5.2",
            Some(
                "nomad 1.5.2 cannot be used: anybody who reaches a client's HTTP API gets its rights (GHSA-f8r8-h93m-mj77)",
            ),
        ),
        ("nomad", "1.5.3", None),
        ("consul", "1.4.5", Some("consul 1.4.5 is too old: tokens with chosen ids came with Consul 1.5")),
        ("hippo", "0.20.3", Some("hippo 0.20.3 cannot be used: 0.20.2 was the last release of Hippo")),
        ("hippo", "0.16.0", Some("hippo 0.16.0 is too old: nothing before 0.17 is known to work here")),
        ("traefik", "1.7.34", Some("traefik 1.7.34 is too old: nothing before 2.9 is known to work here")),
        ("traefik", "3.7.13", None),
    ] {
        let complaint = alone(component::named(name).unwrap(), version(text).unwrap());
        assert_eq!(complaint.map(|complaint| complaint.what).as_deref(), expected);
    }
}

#[test]
fn a_version_is_three_numbers() {
    for (text, expected) in [
        ("1.21.5", "ok 1.21.5"),
        ("0.10.1", "ok 0.10.1"),
        ("v0.10.1", "write `0.10.1`, without the letter"),
        ("1.10", "write all three numbers, as in `1.10.0`"),
        ("v1.10", "write all three numbers, as in `1.10.0`"),
        ("2", "write three numbers, as in `1.21.5`"),
        ("01.2.3", "write three numbers, as in `1.21.5`"),
        ("1.2.3.4", "write three numbers, as in `1.21.5`"),
        ("1.2.99999999999", "write three numbers, as in `1.21.5`"),
        ("1..3", "write three numbers, as in `1.21.5`"),
        ("latest", "write one version, not a range: a site names exactly what runs"),
        (">=1.2.3", "write one version, not a range: a site names exactly what runs"),
        ("~1.2", "write one version, not a range: a site names exactly what runs"),
        ("1.x", "write one version, not a range: a site names exactly what runs"),
        ("1.2.*", "write one version, not a range: a site names exactly what runs"),
        ("1.10.5+ent", "write the open edition's version, without `+…`"),
        ("1.0.0-rc.1", "write a release, without `-…`"),
    ] {
        let shown = version(text).map_or_else(|complaint| complaint.hint, |version| format!("ok {version}"));
        assert_eq!(shown, expected, "{text}");
    }
}
