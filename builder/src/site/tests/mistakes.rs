//! The tables of mistakes: a text, and every line said about it.
//! May not leave a line out: what else is said matters as much.

use super::{SMALLEST, said};

/// Each entry: lines after the smallest site (they begin at line 6), and all that is said.
const LINES: &[(&str, &[&str])] = &[
    // keys
    ("domian: x.example\n", &["6:1: unknown key `domian`; hint: did you mean `domain`?"]),
    ("local_asn: 65000\n", &["6:1: unknown key `local_asn`; hint: it belongs under `bgp`"]),
    ("components: {consol: 1.8.7}\n", &["6:14: unknown key `consol` in `components`; hint: did you mean `consul`?"]),
    (
        "components: {vault: 1.8.7}\n",
        &[
            "6:14: unknown key `vault` in `components`; hint: known here: `bindle`, `bird`, `consul`, `hippo`, `nftables`, `nomad`, `spin` or `traefik`",
        ],
    ),
    (
        "bgp: {password: hunter2}\n",
        &[
            "6:17: `bgp.password` is neither left out nor the word `secret`; hint: secrets do not belong in a site: write `password: secret`, and the password as `bgp_password` of the secrets",
        ],
    ),
    ("bgp:\n", &["6:1: `bgp` has no value; hint: give it one, or remove the line"]),
    ("bgp: 5\n", &["6:6: `bgp` must be a mapping of keys, found `5`; hint: write it like `bgp: {peer_asn: 65530}`"]),
    ("site: other\n", &["6:1: the key `site` is given twice, first at 2:1; hint: keep one of them"]),
    // architectures
    (
        "architectures: x86_64\n",
        &[
            "6:16: `architectures` must be a list, found `x86_64`; hint: write it like `architectures: [x86_64, aarch64]`",
        ],
    ),
    ("architectures: [amd64]\n", &["6:17: an architecture cannot be `amd64`; hint: did you mean `x86_64`?"]),
    ("architectures: [riscv]\n", &["6:17: an architecture cannot be `riscv`; hint: write `aarch64` or `x86_64`"]),
    ("architectures: [x86_64, x86_64]\n", &["6:25: `x86_64` is given twice; hint: keep one of them"]),
    ("architectures: []\n", &["6:16: a site needs at least one architecture; hint: write `architectures: [x86_64]`"]),
    // bgp
    (
        "bgp: {local_asn: 65_000, peer_asn: '65530', multihop: 08}\n",
        &[
            "6:18: `bgp.local_asn` must be a whole number from 1 to 4294967294, found `65_000`; hint: write 65000",
            "6:36: `bgp.peer_asn` must be a whole number from 1 to 4294967294, found the text `65530`; hint: remove the quotes",
            "6:55: `bgp.multihop` must be a whole number from 1 to 255, found `08`; hint: remove the zero in front: some readers take it for an octal number",
        ],
    ),
    (
        "bgp: {multihop: 256}\n",
        &[
            "6:17: `bgp.multihop` must be a whole number from 1 to 255, found `256`; hint: write a number in that range, in decimal digits",
        ],
    ),
    (
        "bgp: {peer_asn: 0}\n",
        &[
            "6:17: `bgp.peer_asn` must be a whole number from 1 to 4294967294, found `0`; hint: write a number in that range, in decimal digits",
        ],
    ),
    (
        "bgp: {peer_asn: 1.5}\n",
        &[
            "6:17: `bgp.peer_asn` must be a whole number from 1 to 4294967294, found `1.5`; hint: write a number in that range, in decimal digits",
        ],
    ),
    (
        "bgp: {peer_asn: [1]}\n",
        &["6:17: `bgp.peer_asn` must be a whole number from 1 to 4294967294, found a list; hint: write one number"],
    ),
    (
        "bgp: {peer_asn: 65535}\n",
        &[
            "6:17: `bgp.peer_asn` cannot be 65535, which is reserved (RFC 7300); hint: write the number that the network gave you",
        ],
    ),
    (
        "bgp: {local_asn: 23456}\n",
        &[
            "6:18: `bgp.local_asn` cannot be 23456, which stands in for four-byte numbers (RFC 6793); hint: write the number that the network gave you",
        ],
    ),
    (
        "bgp: {communities: [54825, 1:2:3, 70000:1, 1:2, 1:2]}\n",
        &[
            "6:21: `54825` is not a community; hint: write two numbers with a colon between them, as in `54825:222`",
            "6:28: `1:2:3` is not a community; hint: large communities are not supported: write two numbers, as in `54825:222`",
            "6:35: `70000:1` is not a community; hint: both numbers go from 0 to 65535",
            "6:49: `1:2` is given twice, first at 6:44; hint: keep one of them",
        ],
    ),
    (
        "bgp: {communities: ['54825:666']}\n",
        &[
            "6:21: warning: `54825:666` asks the network to drop all traffic to the prefixes; hint: remove it unless the site is to be unreachable",
        ],
    ),
    // components
    ("components: {consul: v1.8.7}\n", &["6:22: `v1.8.7` is not a version; hint: write `1.8.7`, without the letter"]),
    ("components: {nomad: 1.10}\n", &["6:21: `1.10` is not a version; hint: write all three numbers, as in `1.10.0`"]),
    (
        "components: {nomad: '>= 1.6'}\n",
        &["6:21: `>= 1.6` is not a version; hint: write one version, not a range: a site names exactly what runs"],
    ),
    (
        "components: {nomad: }\n",
        &["6:14: nothing is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: ~}\n",
        &["6:14: `~` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: null}\n",
        &["6:14: `null` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: no}\n",
        &["6:21: `no` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: 'No'}\n",
        &["6:21: `No` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: False}\n",
        &["6:21: `False` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: off}\n",
        &["6:21: `off` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: disabled}\n",
        &[
            "6:21: `disabled` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line",
        ],
    ),
    (
        "components: {nomad: None}\n",
        &["6:21: `None` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {nomad: {version: none}}\n",
        &["6:31: `none` is not a version of nomad; hint: write `nomad: none` to do without nomad, or remove the line"],
    ),
    (
        "components: {traefik: no, consul: off}\n",
        &[
            "6:23: `no` is not a version of traefik; hint: remove the line: traefik comes with nomad, and `nomad: none` takes it out too",
            "6:35: `off` is not a version of consul; hint: remove the line: a site cannot do without consul",
        ],
    ),
    (
        "components: {nomad: [1.6.4]}\n",
        &[
            "6:21: the version of nomad must be text, found a list; hint: write one text, without the brackets or the dash",
        ],
    ),
    (
        "components: {bird: 1.6.8}\n",
        &[
            "6:20: bird 1.6.8 is too old: bird 1.x has another configuration language, without channels; hint: write `bird: 2.0.12` or at least 2.0.0",
        ],
    ),
    (
        "components: {spin: 1.4.1}\n",
        &[
            "6:20: spin 1.4.1 cannot work with hippo 0.20.2 (the default): Hippo starts applications with `spin up --bindle`, which Spin 1.0 removed; hint: write `spin: 0.10.1` with `hippo: 0.20.2`",
        ],
    ),
    (
        "components:\n  hippo: 0.20.0\n  consul: 1.21.5\n",
        &[
            "7:10: hippo 0.20.0 cannot work with spin 0.10.1 (the default): Hippo up to 0.20.1 passes `--follow-all`, which Spin 0.10 removed; hint: write `hippo: 0.20.2` with `spin: 0.10.1`, or keep this one with `spin: 0.9.0`",
        ],
    ),
    (
        "components: {consul: {version: 1.8.7, artefacts: {amd64: {}}}}\n",
        &["6:51: unknown key `amd64` in `components.consul.artefacts`; hint: known here: `aarch64` or `x86_64`"],
    ),
    (
        "components: {consul: {artefacts: {}}}\n",
        &["6:22: `components.consul.version` is missing; hint: write `version: 1.21.5`"],
    ),
    (
        "components: {consul: {version: 1.8.7, artefacts: {x86_64: {size: 0}}}}\n",
        &[
            "6:59: `components.consul.artefacts.x86_64.sha256` is missing; hint: write the archive's sha256: `sha256sum FILE` prints it",
            "6:66: `components.consul.artefacts.x86_64.size` must be a whole number from 1 to 17179869184, found `0`; hint: write a number in that range, in decimal digits",
        ],
    ),
    (
        "components: {consul: {version: 1.8.7, artefacts: {x86_64: {sha256: abc, urls: [x, 'https://m.example/a', 'https://m.example/a']}}}}\n",
        &[
            "6:68: `abc` is not a sha256; hint: 64 lower-case hexadecimal digits are expected, found 3 characters",
            "6:80: `x` is not an http or https URL; hint: write it like `https://mirror.example/anymetal`",
            "6:106: `https://m.example/a` is given twice, first at 6:83; hint: keep one of them",
        ],
    ),
    (
        "components: {bird: {version: 2.0.12, artefacts: {x86_64: {}}}}\n",
        &[
            "6:49: bird comes from the operating system and has no artefacts; hint: remove them; its version is the lowest that is accepted",
        ],
    ),
    (
        "components: {nomad: none, hippo: 0.20.2, spin: 0.10.1}\n",
        &[
            "6:34: hippo needs nomad, and the site says `nomad: none`; hint: remove `hippo`, or name a version of nomad",
            "6:48: spin needs nomad, and the site says `nomad: none`; hint: remove `spin`, or name a version of nomad",
        ],
    ),
    (
        "components: {bindle: none, consul: none}\n",
        &[
            "6:22: a site that has nomad cannot do without bindle; hint: remove the line, or write `nomad: none`, which takes out bindle, hippo, spin, traefik together",
            "6:36: a site cannot do without consul; hint: remove the line",
        ],
    ),
    (
        "components: {bindle: {version: 0.8.2, packages: [libssl3, libssl3, 'libssl3 (>= 3)', X]}}\n",
        &[
            "6:59: `libssl3` is given twice; hint: keep one of them",
            "6:68: `libssl3 (>= 3)` is not the name of a package; hint: write it as `apt install` takes it, without a version, as in `libssl3`",
            "6:86: `X` is not the name of a package; hint: write it as `apt install` takes it, without a version, as in `libssl3`",
        ],
    ),
    // hippo
    (
        "hippo: {registration: open}\n",
        &[
            "6:23: warning: with open registration anybody who reaches the address makes an account and runs code on the nodes; hint: write `registration: administrator-only` unless that is what you want",
        ],
    ),
    (
        "hippo: {registration: AdministratorOnly}\n",
        &["6:23: `hippo.registration` cannot be `AdministratorOnly`; hint: did you mean `administrator-only`?"],
    ),
    (
        "hippo: {registration: maybe}\n",
        &["6:23: `hippo.registration` cannot be `maybe`; hint: write `administrator-only`, `closed` or `open`"],
    ),
    (
        "hippo: {administrator: 'a b'}\n",
        &[
            "6:24: `a b` cannot be the name of Hippo's administrator; hint: use at most 64 ASCII letters, digits and `-._@+`",
        ],
    ),
    (
        "hippo: {administrator: ''}\n",
        &["6:24: `hippo.administrator` must be text, found the text ``; hint: write it out, or remove the line"],
    ),
    // tls
    ("tls: none\n", &["6:6: `tls` must be a mapping of keys, found `none`; hint: write it like `tls: {mode: none}`"]),
    ("tls: {email: ops@example.com}\n", &["6:6: `tls.mode` is missing; hint: write `mode: none`, `acme` or `files`"]),
    ("tls: {mode: letsencrypt}\n", &["6:13: `tls.mode` cannot be `letsencrypt`; hint: did you mean `acme`?"]),
    (
        "tls: {mode: none, email: ops@example.com}\n",
        &["6:19: `tls.email` means nothing with `mode: none`; hint: remove it, or write `mode: acme`"],
    ),
    (
        "domain: x.example\ntls: {mode: acme, email: ops}\n",
        &[
            "7:6: `tls.dns_provider` is missing; hint: with anycast the authority may reach another node than the one that asked, so only a DNS challenge works: name the provider of the zone as Traefik does, as in `dns_provider: route53`",
            "7:26: `ops` is not an e-mail address; hint: write it like `ops@example.com`",
        ],
    ),
    (
        "tls: {mode: acme, email: ops@example.com, dns_provider: route53}\n",
        &[
            "6:6: a DNS challenge cannot be answered for `192-0-2-1.sslip.io`: the zone is not yours; hint: set `domain` to a name in a zone that `tls.dns_provider` holds",
        ],
    ),
    (
        "tls: {mode: acme, email: ops@example.com, dns_provider: Route 53}\ndomain: x.example\n",
        &["6:57: `Route 53` is not the name of a DNS provider; hint: write it as Traefik does, as in `route53`"],
    ),
    (
        "tls: {mode: files, certificate: a.crt, key: /k}\n",
        &[
            "6:33: `a.crt` cannot be a path on the node; hint: it begins with `/`, has no `..`, and is made of letters, digits and `._-+@`",
        ],
    ),
    (
        "tls: {mode: files, certificate: /a, key: /a}\n",
        &[
            "6:42: `tls.certificate` and `tls.key` are the same file; hint: keep the key in a file of its own, mode 0600",
        ],
    ),
    // firewall
    (
        "firewall: {ssh: [192.0.2.7, 10.0.0.0/8, 10.1.0.0/16, '::/0', '::/0'], tcp: [22, 80, 8501, 9000, 9000, 0], udp: x}\n",
        &[
            "6:18: `192.0.2.7` is not a prefix; hint: write `192.0.2.7/32`",
            "6:41: `10.1.0.0/16` overlaps `10.0.0.0/8` at 6:29; hint: keep the wider one",
            "6:62: `::/0` is given twice, first at 6:54; hint: keep one of them",
            "6:77: port 22 is open to those in `firewall.ssh` already, and this would open it to everybody; hint: remove it, and say in `firewall.ssh` who may come",
            "6:81: warning: port 80 is open already; hint: remove it",
            "6:85: warning: port 8501 is Consul's, and this opens it to everybody; hint: remove it unless that is what you want",
            "6:97: port 9000 is given twice, first at 6:91; hint: keep one of them",
            "6:103: a port must be a whole number from 1 to 65535, found `0`; hint: write a number in that range, in decimal digits",
            "6:112: `firewall.udp` must be a list, found `x`; hint: write it like `udp: [8443]`",
        ],
    ),
    // metadata
    (
        "metadata: {plain_http: yes, private_subnets: [10.0.0.1, 0.0.0.0/0, 'fc00::/7'], report_hosts: ['https://a/']}\n",
        &[
            "6:24: `metadata.plain_http` cannot be `yes`; hint: write `true` or `false`",
            "6:47: `10.0.0.1` is not a prefix; hint: write `10.0.0.1/32`",
            "6:57: warning: `0.0.0.0/0` is no private network, and who is there reaches what is for the site's nodes; hint: write the prefixes that only the site's own machines have",
            "6:68: `fc00::/7` is not an IPv4 prefix; hint: private networks are IPv4 here: remove it",
            "6:96: `https://a/` is not a host; hint: write the host alone, a name or an address, without `https://`, port and path",
        ],
    ),
    (
        "metadata: {plain_http: true}\n",
        &[
            "6:24: warning: with `metadata.plain_http` whoever is on the path to the metadata service decides what a node is; hint: remove it unless your platform has no metadata service with TLS",
        ],
    ),
    ("plain_http: true\n", &["6:1: unknown key `plain_http`; hint: it belongs under `metadata`"]),
    ("ssh: [0.0.0.0/0]\n", &["6:1: unknown key `ssh`; hint: it belongs under `firewall`"]),
    // secrets
    (
        "secrets: secrets.yaml\n",
        &[
            "6:10: `secrets` must be a mapping of keys, found `secrets.yaml`; hint: write it like `secrets: {deliver: user-data}`",
        ],
    ),
    (
        "secrets: {deliver: usb, hippo_password: hunter2}\n",
        &[
            "6:20: `secrets.deliver` cannot be `usb`; hint: did you mean `medium`?",
            "6:25: unknown key `hippo_password` in `secrets`; hint: secrets do not belong in a site: they have a document of their own, mode 0600",
        ],
    ),
    // the way outside
    (
        "proxy: socks5://p.example:1080\n",
        &[
            "6:8: `socks5://p.example:1080` is a SOCKS proxy, which is not supported; hint: write it like `http://proxy.example:3128`",
        ],
    ),
    (
        "proxy: http://joe:hunter2@p.example:3128\n",
        &[
            "6:8: this proxy has user and password in it; hint: secrets do not belong in a site: let the proxy know nodes by their addresses, or bring `http_proxy`, `https_proxy` and `no_proxy` in a drop-in of anymetal.service that is root's alone",
        ],
    ),
    (
        "proxy: http://p.example\n",
        &["6:8: `http://p.example` has no port; hint: write it like `http://proxy.example:3128`"],
    ),
    (
        "proxy: p.example:3128\n",
        &["6:8: `p.example:3128` is not an http or https URL; hint: write it like `http://proxy.example:3128`"],
    ),
    (
        "proxy: http://p.example:3128/x\n",
        &[
            "6:8: `http://p.example:3128/x` has a path, and a proxy has none; hint: write it like `http://proxy.example:3128`",
        ],
    ),
    (
        "proxy: {no_proxy: [a.example]}\n",
        &["6:8: `proxy.url` is missing; hint: write `url: http://proxy.example:3128`"],
    ),
    (
        "proxy: {url: 'http://p.example:1', no_proxy: ['a b', '*']}\n",
        &[
            "6:47: `a b` is no host, address or network; hint: write a name, which stands for what is below it too, an address, or a network like `192.0.2.0/24`",
        ],
    ),
    ("no_proxy: [a.example]\n", &["6:1: unknown key `no_proxy`; hint: it belongs under `proxy`"]),
    ("ca: []\n", &["6:5: `ca` names no certificate; hint: name a file of them, or remove the line"]),
    (
        "ca: nowhere.pem\n",
        &[
            "6:5: the file `nowhere.pem` of `ca`: cannot be read: No such file or directory (os error 2); hint: paths are relative to the site's file",
        ],
    ),
    // reports and origins
    ("reports: [platfrom]\n", &["6:11: a report cannot be `platfrom`; hint: did you mean `platform`?"]),
    (
        "reports: [https://hook.example/]\n",
        &[
            "6:11: the URL of a webhook is a secret, and what stands in a site everybody may read; hint: write `webhook` alone here, and the URL as `webhook` of the secrets: a text, `{env: NAME}` or `{file: PATH}`",
        ],
    ),
    ("reports: [webhok]\n", &["6:11: a report cannot be `webhok`; hint: did you mean `webhook`?"]),
    ("reports: [platform, platform]\n", &["6:21: this report is given twice, first at 6:11; hint: keep one of them"]),
    (
        "reports: [{webhok: https://hook.example/}]\n",
        &["6:11: a report must be a word, found a mapping; hint: write `platform` or `webhook`"],
    ),
    (
        "origins: [ftp://m.example]\n",
        &["6:11: `ftp://m.example` is not an http or https URL; hint: write it like `https://mirror.example/anymetal`"],
    ),
    ("origins: ['https://m.example/ ']\n", &["6:11: `https://m.example/ ` has white space at an end; hint: remove it"]),
    (
        "origins: [\"https://m.example/\\r\"]\n",
        &[r"6:11: `https://m.example/\r` has white space at an end; hint: remove it"],
    ),
    (
        "origins: ['https://joe:hunter2@m.example/']\n",
        &[
            "6:11: this URL has credentials in it; hint: secrets do not belong in a site: use an origin that needs none, or one that the network protects",
        ],
    ),
    (
        "origins: [https://m.example, https://m.example/]\n",
        &["6:30: `https://m.example` is given twice, first at 6:11; hint: keep one of them"],
    ),
    // supplies
    (
        "supplies: [bundel, peers, origins, peers]\n",
        &[
            "6:12: a supply cannot be `bundel`; hint: did you mean `bundle`?",
            "6:20: a supply cannot be `peers`; hint: did you mean `siblings`?",
            "6:36: a supply cannot be `peers`; hint: did you mean `siblings`?",
        ],
    ),
    (
        "supplies: [origins, bundle, origins]\n",
        &["6:29: `origins` is given twice, first at 6:12; hint: keep one of them"],
    ),
    (
        "supplies: []\n",
        &[
            "6:11: `supplies` names nothing that archives could come from; hint: name one, or remove the line: then all are asked, what is nearest first",
        ],
    ),
    // signers
    (
        "signers: RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ\n",
        &[
            "6:10: `signers` must be a list, found `RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ`; hint: write it like `signers: [RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ]`",
        ],
    ),
    ("signers: []\n", &["6:10: `signers` names no key; hint: name one, or remove the line: then nobody has to sign"]),
    (
        "signers: [RWQ, RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNa]\n",
        &[
            "6:11: `RWQ` is no public key; hint: write the 56 characters of a public key, `RW…`, as `anymetal sign --new-key FILE` prints them",
            "6:16: `RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNa` is no public key; hint: write the 56 characters of a public key, `RW…`, as `anymetal sign --new-key FILE` prints them",
        ],
    ),
    (
        "signers: [RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ, RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ]\n",
        &["6:69: the key 36C741C2C0850FCB is given twice, first at 6:11; hint: keep one of them"],
    ),
    (
        "signer: [RWTLD4XAwkHHNr5cteLPfYZ/cZNtLqie50vRjHLnIICHVazXQbxDbNaZ]\n",
        &["6:1: unknown key `signer`; hint: did you mean `signers`?"],
    ),
    // sources
    (
        "sources: https://m.example\n",
        &[
            "6:10: `sources` must be a mapping of keys, found `https://m.example`; hint: write it like `sources: {github: https://mirror.example/github}`",
        ],
    ),
    (
        "sources: {hashicrop: https://m.example}\n",
        &["6:11: unknown key `hashicrop` in `sources`; hint: did you mean `hashicorp`?"],
    ),
    ("github: https://m.example\n", &["6:1: unknown key `github`; hint: it belongs under `sources`"]),
    (
        "sources: {github: m.example, bindle: {}}\n",
        &[
            "6:19: `m.example` is not an http or https URL; hint: write it like `https://mirror.example/anymetal`",
            "6:38: `sources.bindle` says neither where nor whose; hint: write a `url`, a `key`, or both",
        ],
    ),
    (
        "sources: {github: {url: https://m.example, key: a.asc}}\n",
        &["6:49: nobody signs what github has, so it has no key; hint: remove the key"],
    ),
    (
        "sources: {hashicorp: {kex: a.asc, url: [a]}}\n",
        &[
            "6:23: unknown key `kex` in `sources.hashicorp`; hint: did you mean `key`?",
            "6:40: the URL of hashicorp must be text, found a list; hint: write one text, without the brackets or the dash",
        ],
    ),
    (
        "sources: {hashicorp: {key: none.asc}, debian: {key: s.yaml}}\n",
        &[
            "6:28: the key `none.asc`: cannot be read: No such file or directory (os error 2); hint: paths are relative to the site's file",
            "6:53: the key `s.yaml`: it holds no public OpenPGP key; hint: name a file of public OpenPGP keys, as `gpg --export --armor` writes one",
        ],
    ),
    // deadlines
    ("deadlines: {metdata: 5}\n", &["6:13: unknown key `metdata` in `deadlines`; hint: did you mean `metadata`?"]),
    (
        "deadlines: {metadata: soon}\n",
        &["6:23: `soon` is not a deadline; hint: write seconds, or a text like `90s`, `15m` or `1h30m`"],
    ),
    (
        "deadlines: {metadata: 0}\n",
        &["6:23: `0` is not a deadline; hint: it lies between one second and seven days (`168h`)"],
    ),
    // domain
    (
        "domain: '*.example.com'\n",
        &["6:9: `*.example.com` is not a domain; hint: write `example.com`: names below it are meant anyway"],
    ),
    (
        "domain: {a: b}\n",
        &["6:9: `domain` must be text, found a mapping; hint: put text with a colon in it between quotes"],
    ),
    // cloud_config
    (
        "cloud_config: extra.yaml\n",
        &["6:15: `cloud_config` must be a list, found `extra.yaml`; hint: write it like `cloud_config: [extra.yaml]`"],
    ),
    (
        "cloud_config: [[a]]\n",
        &[
            "6:16: `cloud_config[0]` must be a file's path or a mapping, found a list; hint: write a path, or the keys of a cloud-config",
        ],
    ),
    ("cloud_config: [{}]\n", &["6:16: a cloud-config without keys; hint: give it some, or remove it"]),
    (
        "cloud_config: [none.yaml]\n",
        &[
            "6:16: the cloud-config `none.yaml`: cannot be read: No such file or directory (os error 2); hint: paths are relative to the site's file",
        ],
    ),
    ("cloud_config: ['.']\n", &["6:16: the cloud-config `.`: it is a folder; hint: name the file in it"]),
];

#[test]
fn each_mistake_is_said_with_its_place_and_what_to_do() {
    for (lines, expected) in LINES {
        assert_eq!(said(&format!("{SMALLEST}{lines}")), *expected, "{lines}");
    }
}

/// Each entry: a whole site, and all that is said.
const SITES: &[(&str, &[&str])] = &[
    (
        "site: demo\n",
        &[
            "1:1: `version` is missing; hint: begin the file with `version: 1`",
            "1:1: `platform` is missing; hint: write `platform: equinix-metal`",
            "1:1: `os` is missing; hint: write `os: debian-12`",
            "1:1: `anycast` is missing; hint: write `anycast: {v4: [147.75.195.143/32]}`",
        ],
    ),
    (
        "version: 2\nanything: goes\n",
        &[
            "1:10: version 2 of the site format is not known to this anymetal; hint: write `version: 1`, or use the anymetal that the site was written for",
        ],
    ),
    (
        "version: one\n",
        &[
            "1:10: `version` must be a whole number from 1 to 4294967295, found `one`; hint: write a number in that range, in decimal digits",
        ],
    ),
    ("- version: 1\n", &["1:1: a site must be a mapping of keys, found a list; hint: write it like `version: 1`"]),
    ("just text\n", &["1:1: a site must be a mapping of keys, found `just text`; hint: write it like `version: 1`"]),
    (
        "site: Demo Site\nversion: 1\nplatform: equinix\nos: debian-13\nanycast: {}\n",
        &[
            "1:7: the name `Demo Site` may hold only lower-case letters, digits and inner dashes, at most 40; hint: write `demo-site`",
            "2:1: `version` must be the first key; hint: move this line to the top",
            "3:11: `platform` cannot be `equinix`; hint: did you mean `equinix-metal`?",
            "4:5: `os` cannot be `debian-13`; hint: did you mean `debian-12`?",
            "5:10: a site needs at least one anycast prefix; hint: write it like `anycast: {v4: [147.75.195.143/32]}`",
        ],
    ),
];

#[test]
fn the_first_lines_are_checked_too() {
    for (text, expected) in SITES {
        assert_eq!(said(text), *expected, "{text}");
    }
}

/// Each entry: the value of `anycast`, which begins at 5:10, and all that is said.
const PREFIXES: &[(&str, &[&str])] = &[
    (
        "{v4: 192.0.2.1/32}",
        &["5:15: `anycast.v4` must be a list, found `192.0.2.1/32`; hint: write it like `v4: [147.75.195.143/32]`"],
    ),
    (
        "{v4: [192.0.2.1/24]}",
        &["5:16: `192.0.2.1/24` has bits set behind its length of 24; hint: write `192.0.2.0/24`, or `192.0.2.1/32`"],
    ),
    (
        "{v4: [192.0.2.1/32, 192.0.2.1/32]}",
        &["5:30: `192.0.2.1/32` is given twice, first at 5:16; hint: keep one of them"],
    ),
    (
        "{v4: [192.0.2.0/24, 192.0.2.1/32]}",
        &[
            "5:30: `192.0.2.1/32` overlaps `192.0.2.0/24` at 5:16; hint: keep the one that is to be announced: a route for both says the same thing twice",
        ],
    ),
    (
        "{v6: ['2001:db8::/32', '2001:DB8:0::/32']}",
        &["5:33: `2001:db8::/32` is given twice, first at 5:16; hint: keep one of them"],
    ),
    (
        "{v6: ['::/0']}",
        &[
            "5:16: `::/0` is the default route; hint: announcing it would draw all traffic of the network: write the prefix the project holds",
        ],
    ),
    (
        "{v4: [127.0.0.1/32]}",
        &[
            "5:16: `127.0.0.1/32` lies in loopback space (127.0.0.0/8) or holds it; hint: write the public prefix that the project holds for anycast",
        ],
    ),
    (
        "{v4: [10.0.0.1/32]}",
        &[
            "5:16: warning: `10.0.0.1/32` is in private space (10.0.0.0/8); hint: nobody outside reaches it: write a public prefix unless that is what you want",
        ],
    ),
    ("{v4: [7]}", &["5:16: `7` is not an IPv4 prefix; hint: write it like `147.75.195.143/32`"]),
    (
        "{v4: [], v6: []}",
        &["5:10: a site needs at least one anycast prefix; hint: write it like `anycast: {v4: [147.75.195.143/32]}`"],
    ),
    (
        "{v5: [192.0.2.1/32]}",
        &[
            "5:10: a site needs at least one anycast prefix; hint: write it like `anycast: {v4: [147.75.195.143/32]}`",
            "5:11: unknown key `v5` in `anycast`; hint: did you mean `v4`?",
        ],
    ),
    (
        "{v4: [192.0.2.1/32,192.0.2.2/32,192.0.2.3/32,192.0.2.4/32,192.0.2.5/32,192.0.2.6/32,192.0.2.7/32,192.0.2.8/32,192.0.2.9/32,192.0.2.10/32,192.0.2.11/32]}",
        &[
            "5:15: warning: `anycast.v4` has 11 prefixes; hint: networks take few per neighbour: Equinix Metal 10, unless more are agreed on",
        ],
    ),
];

#[test]
fn prefixes_are_checked_against_each_other() {
    for (value, expected) in PREFIXES {
        let text = format!("version: 1\nsite: demo\nplatform: equinix-metal\nos: debian-12\nanycast: {value}\n");
        assert_eq!(said(&text), *expected, "{value}");
    }
}
