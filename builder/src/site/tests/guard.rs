//! What a site may say of the guard, and every line said about what is wrong with it.
//! May not leave a line out: what else is said matters as much.

use anymetal_contract::plan::{Canary, Guard, Quorum};

use super::{SMALLEST, said, site};

#[test]
fn what_is_not_said_of_the_guard_has_a_default() {
    assert_eq!(site("").guard, Guard::default());
    assert_eq!(site("guard: {rise: 5}\n").guard, Guard { rise: 5, ..Guard::default() });
}

#[test]
fn what_is_said_of_the_guard_is_taken_as_written() {
    let guard = site(
        "tls: {mode: files, certificate: /a.crt, key: /a.key}\n\
         guard:\n\
         \x20 interval: 10\n\
         \x20 fast_interval: 10\n\
         \x20 timeout: 30\n\
         \x20 rise: 20\n\
         \x20 fall: 3\n\
         \x20 drain: 0\n\
         \x20 metrics: 9100\n\
         \x20 canaries:\n\
         \x20 - https://app.example.org/healthz\n\
         \x20 - {url: 'http://app.example.org/old?x', status: 301}\n\
         \x20 - {url: 'https://app.example.org/', contains: yes, verify: true}\n\
         \x20 quorum: {nodes: [N1.example.org, 198.51.100.7, '2001:DB8:0::7'], community: '65000:50'}\n",
    )
    .guard;
    let canary = |url: &str, status, contains: Option<&str>| Canary {
        url: url.into(),
        status,
        contains: contains.map(str::to_owned),
        verify: contains.is_some(),
    };
    let expected = Guard {
        interval: 10,
        fast_interval: 10,
        timeout: 30,
        rise: 20,
        fall: 3,
        drain: 0,
        grace: 10,
        metrics: 9100,
        canaries: vec![
            canary("https://app.example.org/healthz", 200, None),
            canary("http://app.example.org/old?x", 301, None),
            canary("https://app.example.org/", 200, Some("yes")),
        ],
        quorum: Some(Quorum {
            nodes: vec!["n1.example.org".into(), "198.51.100.7".into(), "2001:db8::7".into()],
            community: "65000:50".into(),
        }),
    };
    assert_eq!(guard, expected);
}

/// Each entry: lines after the smallest site (they begin at line 6), and all that is said.
const LINES: &[(&str, &[&str])] = &[
    // keys
    (
        "guard: on\n",
        &["6:8: `guard` must be a mapping of keys, found `on`; hint: write it like `guard: {interval: 2, fall: 2}`"],
    ),
    ("guard: {intervall: 2}\n", &["6:9: unknown key `intervall` in `guard`; hint: did you mean `interval`?"]),
    ("canaries: ['http://app.example.org/']\n", &["6:1: unknown key `canaries`; hint: it belongs under `guard`"]),
    (
        "guard: {nodes: [n1.example.org], community: 1:2}\n",
        &[
            "6:9: unknown key `nodes` in `guard`; hint: it belongs under `guard.quorum`",
            "6:34: unknown key `community` in `guard`; hint: it belongs under `guard.quorum`",
        ],
    ),
    // numbers
    (
        "guard: {interval: 0, fast_interval: 1.5, timeout: 31, rise: 0, fall: 21, drain: 10m}\n",
        &[
            "6:19: `guard.interval` must be a whole number from 1 to 60, found `0`; hint: write a number in that range, in decimal digits",
            "6:37: `guard.fast_interval` must be a whole number from 1 to 60, found `1.5`; hint: write a number in that range, in decimal digits",
            "6:51: `guard.timeout` must be a whole number from 1 to 30, found `31`; hint: write a number in that range, in decimal digits",
            "6:61: `guard.rise` must be a whole number from 1 to 20, found `0`; hint: write a number in that range, in decimal digits",
            "6:70: `guard.fall` must be a whole number from 1 to 20, found `21`; hint: write a number in that range, in decimal digits",
            "6:81: `guard.drain` must be a whole number from 0 to 600, found `10m`; hint: write a number in that range, in decimal digits",
        ],
    ),
    (
        "guard: {fast_interval: 3}\n",
        &[
            "6:9: `guard.fast_interval` is 3 seconds, longer than `guard.interval` with 2; hint: it is for looking closer: write one that is as short or shorter",
        ],
    ),
    ("guard: {interval: 10, fast_interval: 10, fall: 5, timeout: 10}\n", &[]),
    (
        "guard: {interval: 10, fast_interval: 10, fall: 5, timeout: 11}\n",
        &[
            "6:8: warning: a node that no longer serves may go on announcing for 61 seconds; hint: make `interval`, `fast_interval`, `fall` or `timeout` smaller unless that is what you want",
        ],
    ),
    // metrics
    (
        "guard: {metrics: 443}\n",
        &[
            "6:18: `guard.metrics` must be a whole number from 1024 to 65535, found `443`; hint: write a number in that range, in decimal digits",
        ],
    ),
    (
        "guard: {metrics: 8501}\n",
        &["6:18: port 8501 is Consul's; hint: write another one, or remove the line: the default is 9469"],
    ),
    (
        "guard: {metrics: 5309}\n",
        &["6:18: port 5309 is Hippo's; hint: write another one, or remove the line: the default is 9469"],
    ),
    (
        "guard: {metrics: 32000}\n",
        &[
            "6:18: port 32000 is among those of applications, 20000 to 32000; hint: write another one, or remove the line: the default is 9469",
        ],
    ),
    // canaries
    (
        "guard: {canaries: 'http://a.example/'}\n",
        &[
            "6:19: `guard.canaries` must be a list, found the text `http://a.example/`; hint: write it like `canaries: [\"http://app.example.org/healthz\"]`",
        ],
    ),
    (
        "guard:\n  canaries:\n  - http://192.0.2.7/\n  - ftp://a.example\n  - http://joe:hunter2@a.example/\n  - [x]\n  - http://a.example/#x\n",
        &[
            "8:5: `http://192.0.2.7/` has an address for a host; hint: write the application's name: the request goes to the anycast address of the node itself anyway",
            "9:5: `ftp://a.example` is not an http or https URL; hint: write it like `http://app.example.org/healthz`",
            "10:5: this URL has credentials in it; hint: secrets do not belong in a site: ask for something that everybody may see",
            "11:5: a canary must be a URL or a mapping, found a list; hint: write a URL, or `{url: http://app.example.org/healthz}`",
            "12:5: `http://a.example/#x` has a fragment (`#…`); hint: remove it: no server ever sees it",
        ],
    ),
    (
        "guard:\n  canaries:\n  - {uri: x}\n  - {url: 'http://a.example/', status: 100}\n  - {url: 'http://a.example/', contains: }\n",
        &[
            "8:5: `guard.canaries.url` is missing; hint: write `url: http://app.example.org/healthz`",
            "8:6: unknown key `uri` in `guard.canaries`; hint: did you mean `url`?",
            "9:40: the status of a canary must be a whole number from 200 to 599, found `100`; hint: write a number in that range, in decimal digits",
            "10:32: `guard.canaries.contains` has no value; hint: give it one, or remove the line",
        ],
    ),
    (
        "guard:\n  canaries:\n  - {url: 'http://a.example/', verify: true}\n  - {url: 'https://b.example/', verify: yes}\ntls: {mode: files, certificate: /a, key: /b}\n",
        &[
            "8:5: warning: with `tls` Traefik answers http by a redirect to https, and no node would ever announce; hint: write `https://`",
            "8:40: `verify` looks at a certificate, and a canary over http has none; hint: write `https://` in its URL, or leave `verify` out",
            "9:41: `verify` of a canary cannot be `yes`; hint: did you mean `true`?",
        ],
    ),
    (
        "guard:\n  canaries: ['http://a.example/', {url: 'http://a.example/', status: 200}]\n",
        &["7:35: this canary is given twice, first at 7:14; hint: keep one of them"],
    ),
    (
        "guard: {canaries: ['https://a.example/']}\n",
        &[
            "6:20: warning: without `tls` Traefik has no certificate to answer this with, and no node would ever announce; hint: write `http://`, or say in `tls` where certificates come from",
        ],
    ),
    ("components: {nomad: none}\nguard: {canaries: ['https://a.example/']}\n", &[]),
    (
        "guard: {canaries: ['http://a.example/']}\ntls: {mode: files, certificate: /a, key: /b}\n",
        &[
            "6:20: warning: with `tls` Traefik answers http by a redirect to https, and no node would ever announce; hint: write `https://`",
        ],
    ),
    // quorum
    (
        "guard: {quorum: {nodes: [n1.example.org], community: '65000:50'}}\n",
        &[
            "6:17: `guard.quorum` has no canary to ask the other nodes for; hint: add `guard.canaries`, or remove it: without one a node stops by itself",
        ],
    ),
    (
        "guard: {canaries: ['http://a.example/'], quorum: {}}\n",
        &[
            "6:50: `guard.quorum.nodes` is missing; hint: name the other nodes, as in `nodes: [n1.example.org, n2.example.org]`",
            "6:50: `guard.quorum.community` is missing; hint: write the one that the network takes for a lower preference, as in `community: \"65000:50\"`",
        ],
    ),
    (
        "guard:\n  canaries: ['http://a.example/']\n  quorum: {nodes: [], community: '65535:0'}\n",
        &[
            "8:19: `guard.quorum.nodes` names no node; hint: name the other nodes, or remove `quorum`: with nobody to ask there is none",
            "8:34: `65535:0` asks the network to go elsewhere, which a node says by itself while it is drained; hint: remove it: `anymetal-init drain` is how a node says so",
        ],
    ),
    (
        "bgp: {communities: ['65000:50']}\nguard:\n  canaries: ['http://a.example/']\n  quorum: {nodes: [a b, 'n1:80', 192.0.2.1, n1, N1], community: '65000:50'}\n",
        &[
            "9:20: `a b` is neither the name nor the address of a node; hint: write it like `n1.example.org` or `198.51.100.7`, without a port",
            "9:25: `n1:80` is neither the name nor the address of a node; hint: write it like `n1.example.org` or `198.51.100.7`, without a port",
            "9:34: `192.0.2.1` is an anycast address: every node that asks there asks itself; hint: write an address that only this node has",
            "9:49: `n1` is given twice, first at 9:45; hint: keep one of them",
            "9:65: `65000:50` is among `bgp.communities`, so it is attached always; hint: take it out there, or write one that only the last node shall have",
        ],
    ),
    (
        "bgp: {communities: ['65535:0']}\n",
        &[
            "6:21: `65535:0` asks the network to go elsewhere, which a node says by itself while it is drained; hint: remove it: `anymetal-init drain` is how a node says so",
        ],
    ),
];

#[test]
fn each_mistake_about_the_guard_is_said_with_its_place_and_what_to_do() {
    for (lines, expected) in LINES {
        assert_eq!(said(&format!("{SMALLEST}{lines}")), *expected, "{lines}");
    }
}
