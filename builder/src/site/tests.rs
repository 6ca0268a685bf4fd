//! Sites and what is said about them, side by side. The places and the words are what an author sees, so they are all here in full.
#![expect(clippy::disallowed_methods, reason = "the tests write the files that are read")]

mod beside;
mod guard;
mod mistakes;

use std::fs;

use anymetal_contract::plan::{Arch, Delivery, Password, Report, Supply};
use proptest::prelude::*;

use super::model::{Registration, Tls};
use super::*;

/// What every site needs; a test adds lines or replaces them.
const SMALLEST: &str =
    "version: 1\nsite: demo\nplatform: equinix-metal\nos: debian-12\nanycast: {v4: [192.0.2.1/32]}\n";

/// What is said about a site of this text, without the path, one line each.
fn said(text: &str) -> Vec<String> {
    let found = match of(text.as_bytes()) {
        Ok((_, found)) | Err(found) => found,
    };
    let lines = found.iter().map(|one| one.to_string().trim_start_matches("s.yaml:").to_owned());
    lines.filter(|line| !line.contains(UNCERTIFIED)).collect()
}

/// What is said of every site without `tls`, and tested by itself.
const UNCERTIFIED: &str = "warning: without `tls` bindle and hippo cannot be reached";

/// The site of these bytes, as `read` makes it but for files beside it.
fn of(bytes: &[u8]) -> Result<(Site, Vec<Diagnostic>), Vec<Diagnostic>> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.yaml"), bytes).unwrap();
    let place = format!("{}/", folder.path().display());
    let strip = |mut found: Vec<Diagnostic>| {
        for one in &mut found {
            one.path = one.path.replace(&place, "");
        }
        found
    };
    read(&folder.path().join("s.yaml")).map(|(site, found)| (site, strip(found))).map_err(strip)
}

fn site(lines: &str) -> Site {
    match of(format!("{SMALLEST}{lines}").as_bytes()) {
        Ok((site, _)) => site,
        Err(found) => panic!("{found:#?}"),
    }
}

#[test]
fn what_is_not_said_has_a_default() {
    let site = site("");
    assert_eq!(site.name, "demo");
    assert_eq!(site.domain, "192-0-2-1.sslip.io");
    assert_eq!(site.architectures.iter().copied().collect::<Vec<_>>(), Arch::ALL);
    assert_eq!(site.reports, [Report::Platform]);
    assert_eq!(site.tls, Tls::None);
    assert_eq!(site.hippo.registration, Registration::AdministratorOnly);
    assert_eq!(site.hippo.administrator, "admin");
    assert_eq!(
        (site.firewall.ssh4[0].to_string(), site.firewall.ssh6[0].to_string()),
        ("0.0.0.0/0".into(), "::/0".into())
    );
    assert_eq!((&site.firewall.tcp[..], &site.firewall.udp[..]), (&[][..], &[][..]));
    assert!(site.secrets.file.ends_with("secrets.yaml") && site.secrets.file.is_absolute(), "{:?}", site.secrets.file);
    assert_eq!(site.secrets.deliver, Delivery::UserData);
    let versions: Vec<_> = site.components.iter().map(|(name, choice)| format!("{name} {}", choice.version)).collect();
    assert_eq!(
        versions,
        [
            "bindle 0.8.2",
            "bird 2.0.12",
            "consul 1.21.5",
            "hippo 0.20.2",
            "nftables 1.0.6",
            "nomad 1.10.5",
            "spin 0.10.1",
            "traefik 2.11.55"
        ]
    );
}

#[test]
fn what_is_said_is_taken_as_written() {
    let site = site(
        "domain: cloud.example.com\n\
         architectures: [x86_64]\n\
         bgp: {local_asn: 65000, peer_asn: 65530, multihop: 5, communities: ['54825:222', 1:2]}\n\
         components: {consul: 1.8.7, spin: {version: 0.10.1, artefacts: {x86_64: {sha256: 105054335fd76b3d2a1b76a705dbdb3b83d7e4093b302a7816ce7f922893f29d, size: 7, urls: ['https://m.example/a?b']}}}}\n\
         hippo: {registration: closed, administrator: no}\n\
         tls: {mode: files, certificate: /etc/ssl/a.crt, key: /etc/ssl/a.key}\n\
         firewall: {ssh: ['2001:DB8::/32', 198.51.100.0/24, 192.0.2.0/24], tcp: [9000, 8443], udp: [443]}\n\
         metadata: {plain_http: true, private_subnets: [192.168.0.0/16, 10.7.0.0/16], report_hosts: [Events.example, 192.0.2.9]}\n\
         secrets: {file: ../vault/demo.yaml, deliver: customdata}\n\
         reports: [webhook, platform]\n\
         origins: [https://m.example/am/, http://192.0.2.9:8080]\n\
         supplies: [upstream, bundle]\n\
         proxy: {url: 'HTTP://Proxy.example:3128/', no_proxy: [m.example, 192.0.2.0/24]}\n\
         signers: [RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ]\n\
         deadlines: {metadata: 15m, acquire: 900}\n\
         cloud_config: [{packages: [jq], ntp: {enabled: no}}]\n",
    );
    assert_eq!(site.domain, "cloud.example.com");
    assert_eq!((site.bgp.local_asn, site.bgp.peer_asn, site.bgp.multihop), (Some(65000), Some(65530), Some(5)));
    assert_eq!(site.bgp.communities, ["54825:222", "1:2"]);
    assert_eq!(site.components["consul"].version.to_string(), "1.8.7");
    let pin = &site.components["spin"].artefacts[&Arch::X86_64];
    assert_eq!(
        (pin.sha256.short(), pin.size, pin.urls.as_slice()),
        ("105054335fd7", Some(7), &["https://m.example/a?b".to_owned()][..])
    );
    assert_eq!((site.hippo.registration, site.hippo.administrator.as_str()), (Registration::Closed, "no"));
    assert_eq!(site.tls, Tls::Files { certificate: "/etc/ssl/a.crt".into(), key: "/etc/ssl/a.key".into() });
    let ssh = |site: &Site| site.firewall.ssh4.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(ssh(&site), ["192.0.2.0/24", "198.51.100.0/24"]);
    assert_eq!(site.firewall.ssh6[0].to_string(), "2001:db8::/32");
    assert_eq!((&site.firewall.tcp[..], &site.firewall.udp[..]), (&[8443, 9000][..], &[443][..]));
    assert!(site.metadata.plain_http);
    assert_eq!(site.metadata.private_subnets, ["10.7.0.0/16", "192.168.0.0/16"]);
    assert_eq!(site.metadata.report_hosts, ["192.0.2.9", "events.example"]);
    assert!(site.secrets.file.ends_with("../vault/demo.yaml"));
    assert_eq!(site.secrets.deliver, Delivery::Customdata);
    assert_eq!(site.reports, [Report::Webhook, Report::Platform]);
    assert_eq!(site.supplies, [Supply::Upstream, Supply::Bundle]);
    let proxy = site.proxy.as_ref().unwrap();
    assert_eq!(
        (proxy.url.as_str(), proxy.no_proxy.join(" ")),
        ("http://proxy.example:3128", "m.example 192.0.2.0/24".into())
    );
    assert_eq!(site.signers.iter().map(|key| key.id().to_string()).collect::<Vec<_>>(), ["36C741C2C0850FCB"]);
    assert_eq!(site.origins, ["https://m.example/am", "http://192.0.2.9:8080"]);
    assert_eq!(
        site.deadlines.iter().map(|(phase, seconds)| (phase.id(), *seconds)).collect::<Vec<_>>(),
        [("metadata", 900), ("acquire", 900)]
    );
    assert_eq!(site.cloud_config[0].origin, "cloud_config[0]");
    assert_eq!(
        serde_yaml::to_string(&site.cloud_config[0].document).unwrap(),
        "packages:\n- jq\nntp:\n  enabled: false\n"
    );
}

#[test]
fn a_site_may_do_without_the_platform_and_bring_its_own_packages() {
    let site = site(
        "components: {nomad: none, traefik: none, consul: {version: 1.8.7, packages: [libc6, libstdc++6]}, bird: {version: 2.0.12, packages: []}}\n",
    );
    assert_eq!(site.components.keys().collect::<Vec<_>>(), ["bird", "consul", "nftables"]);
    assert_eq!(site.components["consul"].packages, Some(vec!["libc6".to_owned(), "libstdc++6".to_owned()]));
    assert_eq!(site.components["bird"].packages, Some(vec![]));
    assert_eq!(site.components["nftables"].packages, None);
}

#[test]
fn prefixes_are_sorted_and_the_first_names_the_domain() {
    let text = "version: 1\nsite: d\nplatform: equinix-metal\nos: debian-12\nanycast: {v6: ['2001:db8:2::/48', '2001:db8:1::/48']}\n";
    let (site, _) = of(text.as_bytes()).unwrap();
    assert_eq!(
        site.anycast6.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["2001:db8:1::/48", "2001:db8:2::/48"]
    );
    assert_eq!(site.domain, "2001-db8-1--0.sslip.io");
}

#[test]
fn where_the_sessions_password_is_depends_on_the_platform() {
    let password = |platform: &str, lines: &str| {
        let text = format!("{}{lines}", SMALLEST.replace("equinix-metal", platform));
        of(text.as_bytes()).unwrap().0.bgp.password
    };
    for platform in ["equinix-metal", "file"] {
        assert_eq!(password(platform, ""), None, "{platform} tells it");
        assert_eq!(password(platform, "bgp: {password: secret}\n"), Some(Password::Secret));
    }
    assert_eq!(password("vultr", ""), Some(Password::Secret), "the platform does not tell it");
    assert_eq!(password("vultr", "bgp: {password: secret, multihop: 3}\n"), Some(Password::Secret));
}

#[test]
fn a_platform_is_one_that_is_known_and_can_hold_what_is_put_there() {
    let of = |platform: &str, lines: &str| said(&format!("{}{lines}", SMALLEST.replace("equinix-metal", platform)));
    assert_eq!(of("vultur", ""), ["3:11: `platform` cannot be `vultur`; hint: did you mean `vultr`?"]);
    assert_eq!(of("nocloud", ""), ["3:11: `platform` cannot be `nocloud`; hint: did you mean `file`?"]);
    assert_eq!(of("aws", ""), ["3:11: `platform` cannot be `aws`; hint: write `equinix-metal`, `vultr` or `file`"]);
    for platform in ["vultr", "file"] {
        assert_eq!(of(platform, "secrets: {deliver: medium}\n"), [""; 0]);
        assert_eq!(
            of(platform, "secrets: {deliver: customdata}\n"),
            [
                "6:20: this platform has no custom data that could hold the secrets; hint: write `deliver: user-data` or `deliver: medium`"
            ]
        );
    }
}

#[test]
fn a_mistake_in_a_file_beside_the_site_names_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.yaml");
    fs::write(&path, format!("{SMALLEST}cloud_config: [one.yaml, two.yaml]\ndomian: x\n")).unwrap();
    fs::write(folder.path().join("one.yaml"), "#cloud-config\npackages: [jq\n").unwrap();
    fs::write(folder.path().join("two.yaml"), "#!/bin/sh\n").unwrap();
    let found: Vec<_> = read(&path)
        .unwrap_err()
        .iter()
        .filter(|one| one.severity == Severity::Mistake)
        .map(|one| format!("{}:{}", one.path, one.at.unwrap()))
        .collect();
    let in_folder = |place: &str| folder.path().join(place).display().to_string();
    assert_eq!(found, [in_folder("s.yaml:7:1"), in_folder("one.yaml:2:14"), in_folder("two.yaml:1:1")]);
}

#[test]
fn a_mistake_an_alias_repeats_is_said_once() {
    let lines = "origins: &o [ftp://m.example]\ncomponents: {consul: {version: 1.8.7, artefacts: {x86_64: {sha256: &d abc}, aarch64: {sha256: *d}}}}\n";
    let found = said(&format!("{SMALLEST}{lines}"));
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn passwords_in_clear_are_said_aloud_and_opened_only_on_request() {
    const CLOSED: &str = "warning: without `tls` bindle and hippo cannot be reached from outside, since passwords would travel in clear, and \
        applications answer by plain HTTP; hint: say in `tls` where certificates come from; `expose: plain` opens them all the same";
    const OPEN: &str = "warning: passwords for bindle and hippo travel in clear: whoever reads one packet on the way to a node runs code on \
        all of them; hint: say in `tls` where certificates come from, and remove `expose`";
    let files = "tls: {mode: files, certificate: /etc/ssl/a.crt, key: /etc/ssl/a.key}\n";
    for (lines, place, expected) in [
        ("", "1:1: ", CLOSED),
        ("tls: {mode: none}\n", "6:6: ", CLOSED),
        ("expose: plain\n", "6:9: ", OPEN),
        (files, "", ""),
        ("components: {nomad: none}\n", "", ""),
        (
            "expose: all\ncomponents: {nomad: none}\n",
            "6:9: ",
            "`expose` means nothing in a site without bindle and hippo; hint: remove it",
        ),
        (
            &format!("expose: plain\n{files}"),
            "6:9: ",
            "`expose` means nothing with `tls`: what asks for passwords is reachable by https; hint: remove it",
        ),
        ("exposed: plain\n", "6:1: ", "unknown key `exposed`; hint: did you mean `expose`?"),
        ("expose: plian\n", "6:9: ", "`expose` cannot be `plian`; hint: did you mean `plain`?"),
    ] {
        let found = match of(format!("{SMALLEST}{lines}").as_bytes()) {
            Ok((_, found)) | Err(found) => found,
        };
        let found: Vec<_> = found.iter().map(|one| one.to_string().replacen("s.yaml:", "", 1)).collect();
        let expected = format!("{place}{expected}");
        assert!(found.contains(&expected) || (expected.is_empty() && found.is_empty()), "{lines}: {found:#?}");
    }
    assert_eq!(site("expose: plain\n").expose, Some(anymetal_contract::plan::Expose::Plain));
    assert_eq!(site("").expose, None);
}

#[test]
fn a_query_that_looks_like_a_secret_is_warned_of_and_not_repeated() {
    let pin = "components: {consul: {version: 1.8.7, artefacts: {x86_64: {sha256: 105054335fd76b3d2a1b76a705dbdb3b83d7e4093b302a7816ce7f922893f29d, urls: ['https://m.example/a?X-Amz-Signature=hunter2']}}}, nomad: none}\n";
    for (lines, name) in [
        (pin, Some("X-Amz-Signature")),
        ("guard: {canaries: ['http://app.example.org/?a=1&token=hunter2']}\n", Some("token")),
        ("guard: {canaries: ['http://app.example.org/?page=1&token=']}\n", None),
    ] {
        let found = said(&format!("{SMALLEST}{lines}"));
        let expected = name.map(|name| {
            format!("warning: the query of this URL has `{name}` in it, and the plan, which everybody may read")
        });
        assert_eq!(found.len(), usize::from(expected.is_some()), "{found:?}");
        assert!(expected.is_none_or(|expected| found[0].contains(&expected)), "{found:?}");
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
}

#[test]
fn no_secret_is_repeated() {
    for lines in [
        "bgp: {password: hunter2}\n",
        "origins: ['https://x:hunter2@m.example']\n",
        "guard: {canaries: ['https://x:hunter2@m.example/']}\n",
        "sources: {github: 'https://hunter2@m.example'}\n",
        "components: {consul: {version: 1.8.7, artefacts: {x86_64: {sha256: x, urls: ['https://hunter2@m']}}}}\n",
        "reports: [webhook: 'https://m/hunter2']\n",
        "reports: ['https://m/hunter2']\n",
        "reports: [webhook: {env: hunter2}]\n",
        "jwt_key: hunter2\n",
    ] {
        let found = said(&format!("{SMALLEST}{lines}"));
        let why = ["secrets do not belong in a site", "the URL of a webhook is a secret"];
        assert!(found.iter().any(|one| why.iter().any(|why| one.contains(why))), "{found:?}");
        assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
    }
}

/// A site as somebody might mangle it: every line of a good one, with pieces put in the wrong place.
fn mangled() -> impl Strategy<Value = String> {
    let lines = include_str!("../../../tests/sites/full.yaml").lines().map(str::to_owned).collect::<Vec<_>>();
    let piece = prop::sample::select(vec![
        "",
        "- ",
        "{",
        "]",
        ": ",
        "'",
        "0",
        "é",
        "&a ",
        "*a",
        "~",
        "  ",
        "\u{0}",
        "1.1.1.1/33",
        "::/0",
    ]);
    prop::collection::vec((prop::sample::select(lines), piece, 0_usize..40), 0..30).prop_map(|lines| {
        let mangle = |(line, piece, at): (String, &str, usize)| {
            let at = line.char_indices().nth(at).map_or(line.len(), |(at, _)| at);
            format!("{}{piece}{}\n", &line[..at], &line[at..])
        };
        lines.into_iter().map(mangle).collect()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_a_site_or_are_refused_with_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let found = of(&bytes).expect_err("random bytes are no site");
        prop_assert!(!found.is_empty());
    }

    #[test]
    fn a_mangled_site_is_refused_with_places_in_it(text in mangled()) {
        if let Err(found) = of(text.as_bytes()) {
            let lines = text.lines().count().max(1);
            prop_assert!(!found.is_empty());
            for one in found {
                prop_assert!(one.at.is_none_or(|at| at.line <= lines + 1), "{one} in {lines} lines");
                prop_assert!(!one.to_string().contains('\n'), "{one:?}");
            }
        }
    }

    #[test]
    fn a_mangled_site_that_begins_well_never_panics(text in mangled()) {
        let _either = of(format!("{SMALLEST}{text}").as_bytes());
    }
}
