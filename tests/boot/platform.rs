//! The whole platform on a machine: Nomad, Consul, Traefik, Bindle and Hippo, looked at from inside, from its public network and by a scan.
//! Real: kernel, systemd, cloud-init, nftables, bird, Consul, Traefik, Bindle. Nomad, Hippo and Spin are doubles unless `COMPONENTS` names a
//! folder of real ones; which ran is printed.
//! May not expect of a double what the real one would not do.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anymetal::boot::platform::Ran;
use anymetal::boot::platform::device::{MD5_PASSWORD, Sessions};
use anymetal::boot::show::Show;
use anymetal::boot::{self, Boot, PublicPort, Verdict, Visit, lan};
use anymetal_contract::{Outcome, Phase};
use anymetal_lab::outside::{Beyond, Outside};
use anymetal_lab::scan::{self, Udp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::bench;
use crate::gobgp::GoBgp;
use crate::site::{self, Site};
use crate::tenant;

/// What one look at the machine may take; most take a second or two, a search of its whole disk under emulation a minute.
const LOOK: Duration = Duration::from_mins(5);
/// Somebody on the other side of the world.
const STRANGER: &str = "192.0.2.99";

/// Who is answered without a token, and who with one. A line each: what was asked, the status.
const APIS: &str = r#"
ask() { curl -s -o /dev/null -w "$1 %{http_code}\n" -m 20 --cacert /etc/anymetal/tls/ca.pem ${3:+-H "$3"} "https://127.0.0.1:$2"; }
secret() { sed -n 's/.*"'$1'":"\([^"]*\)".*/\1/p' /etc/anymetal/secrets.json; }
ask nomad-jobs 4646/v1/jobs
ask nomad-agent 4646/v1/agent/self
ask nomad-nodes 4646/v1/nodes
ask consul-agent 8501/v1/agent/self
ask consul-kv '8501/v1/kv/x'
ask nomad-jobs-with-token 4646/v1/jobs "X-Nomad-Token: $(secret nomad_management)"
ask consul-agent-with-token 8501/v1/agent/self "X-Consul-Token: $(secret consul_management)"
ask consul-kv-with-traefiks 8501/v1/kv/x "X-Consul-Token: $(secret consul_traefik)"
"#;

/// What Hippo's own token may have run: an application in a chroot, and nothing as root.
const DRIVERS: &str = r#"
token=$(tr '\0' '\n' </proc/$(pgrep -f 'Hippo[.]Web' | head -n 1)/environ | sed -n 's/^Nomad__Secret=//p')
[ -n "$token" ] || { echo "Hippo has no token"; exit 1; }
try() {
  curl -s -m 20 -w ' %{http_code}\n' -H "X-Nomad-Token: $token" -d '{"Job":{"ID":"try-'$1'","Name":"try-'$1'","Type":"batch","Datacenters":["dc1"],
    "TaskGroups":[{"Name":"g","Count":1,"Tasks":[{"Name":"t","Driver":"'$1'","Config":{"command":"/bin/true"},"Resources":{"CPU":20,"MemoryMB":20}}]}]}}' \
    --cacert /etc/anymetal/tls/ca.pem "https://127.0.0.1:4646/v1/jobs$2" | tr '\n' ' '; echo
}
try raw_exec
try exec
try raw_exec '?namespace=platform'
"#;

/// Who reaches the metadata: root does, nobody else.
const METADATA: &str = r#"
url=$(sed -n 's/.*anymetal.metadata=\([^ ]*\).*/\1/p' /proc/cmdline)/metadata
curl -s -o /dev/null -m 20 -w 'root %{http_code}\n' "$url"
for user in nobody hippo traefik bindle; do
  setpriv --reuid=$user --clear-groups curl -s -o /dev/null -m 20 -w "$user %{http_code}\n" "$url" || :
done
"#;

/// The addresses that the site announces.
const ANYCAST: &str = "198.51.100.7";
const ANYCAST6: &str = "2001:db8:198::7";
/// Whether the guard runs, and where it stands.
const GUARD: &str = r#"
systemctl is-active anymetal-guard
sed -n 's/.*"stance":"\([a-z]*\)".*/\1/p' /run/anymetal-guard/status.json
"#;

/// Looks for every secret of the site where none may be. Says in which place which was found, and how much was looked at.
const SECRETS: &str = r#"
umask 077
dir=$(mktemp -d); cd "$dir"
sed 's/.*"values":{//; s/}.*//' /etc/anymetal/secrets.json | tr ',' '\n' | sed 's/^"[^"]*":"//; s/"$//' >values
echo >>values
tr '\0' '\n' </proc/$(pgrep -f 'Hippo[.]Web' | head -n 1)/environ | sed -n 's/^Nomad__Secret=//p' >>values
sed -n 's/.*"nomad":{"api":"[^"]*","token":"\([^"]*\)".*/\1/p' /etc/anymetal/guard.json >>values
grep -c . values | sed 's/^/secrets: /'
in_place() { if grep -qFf values; then echo "FOUND in $1"; fi; }
journalctl --no-pager -o cat -a | tee journal | in_place journal
wc -l <journal | sed 's/^/journal lines: /'
cat /etc/anymetal/plan.json | in_place plan
cat /var/log/anymetal/events.jsonl /var/log/anymetal-guard/guard.jsonl | in_place events
cat /run/anymetal/status.json /run/anymetal-guard/status.json | in_place status
curl -sS http://127.0.0.1:9469/metrics | tee metrics | in_place metrics
grep -c "^anymetal_guard_announced 1" metrics | sed "s/^/announced in metrics: /"
for line in /proc/[0-9]*/cmdline; do tr '\0' ' ' <$line 2>/dev/null; echo; done >arguments
in_place arguments <arguments
wc -l <arguments | sed 's/^/processes: /'
# What anybody can read, wherever folders let them go; not what the kernel makes up, nor what was there before the first boot.
setpriv --reuid=nobody --clear-groups find / -xdev \( -path /proc -o -path /sys -o -path /usr -o -path /dev \) -prune -o -type f -readable -print >readable 2>/dev/null
setpriv --reuid=nobody --clear-groups find /run -type f -readable -print >>readable 2>/dev/null
wc -l <readable | sed 's/^/readable files: /'
tr '\n' '\0' <readable | xargs -0 grep -lFf values | sed 's/^/FOUND in /'
stat -c '%a %U:%G %n' /etc/anymetal/secrets.json /etc/anymetal/guard.json /etc/anymetal/consul/consul.json /etc/anymetal/nomad/nomad.json /var/lib/hippo /var/lib/bindle /var/lib/nomad
rm -rf "$dir"
"#;

/// Has Hippo run what was pushed; its double takes the word for it directly, and submits the job that the real one would.
const RUN: &str = r#"
curl -sS -m 20 -d '{"storage":"example.com/pushed/1.0.0","domain":"pushed.198-51-100-7.sslip.io","id":"pushed"}' http://127.0.0.1:5309/double/run
"#;
/// As whom an application runs.
const RUNS_AS: &str = "stat -c %U /proc/$(pgrep -f 'spin up' | head -n 1)";

/// What was pushed runs, in a chroot and as nobody, and is reached under its own name from outside.
fn run_an_application(visit: &Visit<'_>, outside: &Outside) {
    let said = lines(visit, RUN).join(" ");
    assert!(said.contains("pushed.198-51-100-7.sslip.io"), "{said}");
    let until = Instant::now() + LOOK;
    loop {
        let (status, body) = ask(outside, STRANGER, "pushed.198-51-100-7.sslip.io", "/");
        if status == 200 {
            break assert!(body.contains("example.com/pushed/1.0.0"), "{body}");
        }
        assert!(Instant::now() < until, "the application does not answer: {status} {body}");
    }
    assert_eq!(lines(visit, RUNS_AS), ["nobody"]);
}

#[test]
fn the_platform_comes_up_answers_under_both_names_and_gives_nothing_away() {
    let _alone = bench();
    let site = Site::platform("");
    println!("{}", site.which());
    let folder = tempfile::tempdir().unwrap();
    let serial_log = folder.path().join("serial.log");
    let outside = match Outside::possible() {
        Ok(()) => Outside::new(&["203.0.113.10/29", "2001:db8:70:17::2/64", "192.0.2.99/32"]).unwrap(),
        Err(why) => return eprintln!("skipped: {why}"),
    };
    // Who comes from beyond the neighbour comes to the anycast address by the neighbour's way.
    let beyond = outside.beyond("192.0.2.65/30", "192.0.2.66/30").unwrap();
    outside.route(&format!("{ANYCAST}/32"), lan::PUBLIC.parse().unwrap()).unwrap();
    let neighbours = [(1, lan::NEIGHBOURS6[0]), (2, lan::NEIGHBOURS6[1])]
        .map(|(number, address)| GoBgp::start(&outside, number, address, lan::PUBLIC6, Some(MD5_PASSWORD)));
    let boot = Boot {
        sessions: Sessions::Outside,
        origins: site.origins.clone(),
        deadline: Duration::from_mins(25),
        bgp_after: Duration::from_secs(10),
        // In the middle of what is new: the jobs are with Nomad, and not all of them are healthy.
        cuts: vec!["jobs+2".parse().unwrap()],
        memory_mib: 3072,
        public: PublicPort::Tap(outside.tap()),
        ..Boot::new(site.user_data.clone().into_bytes(), "debian-12", serial_log.clone())
    };
    let (ended, ()) = boot::visited(&boot, &mut Show::on_stderr(), &|_| Ok(()), |visit| {
        let verdict = visit.verdict().unwrap();
        assert_eq!(verdict, Verdict::Up, "{}", verdict.sentence());
        look_inside(visit);
        look_from_the_neighbours(visit, &neighbours);
        look_from_beyond(&beyond, lan::PUBLIC);
        look_from_beyond(&beyond, ANYCAST);
        look_from_outside(&outside, &site);
        run_an_application(visit, &outside);
        tenant::look(visit);
        assert_eq!(lines(visit, site::TAMPERED), site::TAMPERED_TOLD);
    })
    .unwrap();

    assert_eq!(ended.power_ons, 2);
    assert_eq!(ended.log.violations, Vec::<String>::new());
    for phase in [Phase::Services, Phase::Jobs, Phase::Prove, Phase::Announce, Phase::Settle] {
        // The second power-on may find all of it running already.
        let good = ended.board.standing(phase).outcome.is_some_and(Outcome::is_good);
        assert!(good, "{phase}: {}", ended.summary());
    }
    let told = format!("{:?} {:?}", ended.log.events, ended.log.user_states);
    let console = std::fs::read_to_string(&serial_log).unwrap();
    for (name, secret) in site.secrets() {
        assert!(!told.contains(&secret), "{name} was told to the platform");
        assert!(!console.contains(&secret), "{name} is on the console");
    }
    keep(&serial_log, &ended.summary());
}

/// The log of the boot and its times lie where CI, or a person, can look at them.
fn keep(serial_log: &Path, summary: &str) {
    let folder = anymetal_lab::shipped::top().join("target/boot-platform");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(serial_log, folder.join("serial.log")).unwrap();
    std::fs::write(folder.join("summary.txt"), summary).unwrap();
    println!("{summary}");
}

/// What a script inside the machine says, line by line; it must end well.
pub fn lines(visit: &Visit<'_>, script: &str) -> Vec<String> {
    let Ran { status, output } = visit.run(script, LOOK).unwrap();
    assert_eq!(status, 0, "{output}");
    output.lines().map(|line| line.trim().to_owned()).collect()
}

fn look_inside(visit: &Visit<'_>) {
    assert_eq!(
        lines(visit, APIS),
        [
            "nomad-jobs 403",
            "nomad-agent 403",
            "nomad-nodes 403",
            "consul-agent 403",
            "consul-kv 403",
            "nomad-jobs-with-token 200",
            "consul-agent-with-token 200",
            "consul-kv-with-traefiks 403",
        ]
    );
    let drivers = lines(visit, DRIVERS);
    assert!(drivers[0].contains("raw_exec") && !drivers[0].ends_with(" 200"), "{drivers:?}");
    assert!(drivers[1].ends_with(" 200"), "{drivers:?}");
    assert!(drivers[2].contains("Permission denied") && drivers[2].ends_with(" 403"), "{drivers:?}");
    assert_eq!(lines(visit, METADATA), ["root 200", "nobody 000", "hippo 000", "traefik 000", "bindle 000"]);
    let secrets = lines(visit, SECRETS);
    println!("{}", secrets.join("\n"));
    let found: Vec<_> = secrets.iter().filter(|line| line.starts_with("FOUND")).collect();
    assert!(found.is_empty(), "a secret lies open: {found:?}");
    let count = |what: &str| -> u32 {
        let line =
            secrets.iter().find_map(|line| line.strip_prefix(what)).unwrap_or_else(|| panic!("no {what}: {secrets:?}"));
        line.trim().parse().unwrap()
    };
    // It was really looked: a search of nothing finds nothing.
    assert!(
        count("secrets: ") >= 13
            && count("announced in metrics: ") == 1
            && count("journal lines: ") > 500
            && count("processes: ") > 20,
        "{secrets:?}"
    );
    assert!(count("readable files: ") > 200, "{secrets:?}");
    for owned in [
        "600 root:root /etc/anymetal/secrets.json",
        "600 root:root /etc/anymetal/guard.json",
        "600 root:root /etc/anymetal/consul/consul.json",
        "600 root:root /etc/anymetal/nomad/nomad.json",
        "700 hippo:hippo /var/lib/hippo",
        "700 bindle:bindle /var/lib/bindle",
        "700 root:root /var/lib/nomad",
    ] {
        assert!(secrets.iter().any(|line| line == owned), "{owned} is not among {secrets:?}");
    }
}

/// The smallest bindle there can be, of the form that Spin pushes first: unsigned.
const INVOICE: &str = "bindleVersion = \"1.0.0\"\n[bindle]\nname = \"example.com/pushed\"\nversion = \"1.0.0\"\n";

/// One request from outside, with a name: status and body.
fn ask(outside: &Outside, from: &str, host: &str, path: &str) -> (u16, String) {
    ask_as(outside, from, host, path, None)
}

/// The same with an account.
fn ask_as(outside: &Outside, from: &str, host: &str, path: &str, account: Option<&str>) -> (u16, String) {
    let who = authorization(account);
    send(outside, from, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{who}\r\n"))
}

fn authorization(account: Option<&str>) -> String {
    account.map(|account| format!("Authorization: Basic {}\r\n", STANDARD.encode(account))).unwrap_or_default()
}

/// The invoice to Bindle, by nobody or with an account.
fn push(outside: &Outside, account: Option<&str>) -> u16 {
    let who = authorization(account);
    let request = format!(
        "POST /v1/_i HTTP/1.1\r\nHost: bindle.198-51-100-7.sslip.io\r\nConnection: close\r\n{who}\
         Content-Type: application/toml\r\nContent-Length: {}\r\n\r\n{INVOICE}",
        INVOICE.len()
    );
    send(outside, STRANGER, &request).0
}

fn send(outside: &Outside, from: &str, request: &str) -> (u16, String) {
    let machine: IpAddr = lan::PUBLIC.parse().unwrap();
    talk(outside.connect(Some(from.parse().unwrap()), (machine, 80), LOOK).unwrap(), request)
}

fn talk(mut stream: TcpStream, request: &str) -> (u16, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// Each has its session, the one on the private network and those beyond the public gateway, with their password; and each has what the site
/// announces in its family, and nothing else.
fn look_from_the_neighbours(visit: &Visit<'_>, neighbours: &[GoBgp<'_>]) {
    for neighbour in neighbours {
        neighbour.wait_established(LOOK);
        neighbour.wait_for_routes(&[&format!("{ANYCAST6}/128")], LOOK);
    }
    assert_eq!(visit.known().listed(), format!("{ANYCAST}/32"));
    assert_eq!(lines(visit, GUARD), ["active", "announced"]);
}

/// A client beyond the neighbour is answered under the site's name at this address of the machine.
fn look_from_beyond(beyond: &Beyond, address: &str) {
    let request = "GET /healthz HTTP/1.1\r\nHost: hippo.198-51-100-7.sslip.io\r\nConnection: close\r\n\r\n";
    let (status, body) = talk(beyond.connect((address.parse().unwrap(), 80), LOOK).unwrap(), request);
    assert_eq!(status, 200, "{address}: {body}");
}

fn look_from_outside(outside: &Outside, site: &Site) {
    // Under the site's name and under the node's own, for a neighbour and for a stranger.
    for domain in ["198-51-100-7.sslip.io", "203-0-113-11.sslip.io"] {
        for (service, from) in [("hippo", lan::PUBLIC_GATEWAY), ("bindle", STRANGER)] {
            let (status, body) = ask(outside, from, &format!("{service}.{domain}"), "/healthz");
            assert_eq!(status, 200, "{service}.{domain}: {body}");
        }
    }
    assert_eq!(ask(outside, STRANGER, "elsewhere.example", "/").0, 404);
    // From outside nobody reads or pushes a bindle without the site's account; Hippo and Spin read on the loopback.
    let (user, password) = site.bindle_account();
    assert_eq!(push(outside, None), 401);
    assert_eq!(push(outside, Some(&format!("{user}:wrong"))), 401);
    assert_eq!(push(outside, Some(&format!("{user}:{password}"))), 201);
    let account = format!("{user}:{password}");
    for (host, path) in [
        ("bindle.203-0-113-11.sslip.io", "/v1/_i/example.com/pushed/1.0.0"),
        ("bindle.198-51-100-7.sslip.io", "/v1/_q?q=x"),
    ] {
        assert_eq!(ask(outside, STRANGER, host, path).0, 401, "{host}{path}");
        assert_eq!(ask_as(outside, STRANGER, host, path, Some(&account)).0, 200, "{host}{path}");
    }

    let machines: [IpAddr; 2] = [lan::PUBLIC.parse().unwrap(), lan::PUBLIC6.parse().unwrap()];
    let scans = std::thread::scope(|scope| {
        let scans = machines.map(|machine| scope.spawn(move || outside.inside(|| scan::tcp(machine, 1..=u16::MAX))));
        scans.map(|scan| scan.join().unwrap().unwrap())
    });
    for (machine, found) in machines.iter().zip(scans) {
        println!("{machine}: open {:?}, refused {:?}, {} silent", found.open, found.refused, found.silent.len());
        assert_eq!(found.open.iter().copied().collect::<Vec<_>>(), [22, 80, 443], "{machine}");
        assert_eq!(found.refused.iter().copied().collect::<Vec<u16>>(), [0; 0], "{machine}");
    }
    for machine in machines {
        let found = outside.inside(|| [4648, 8301, 8302, 8600].map(|port| scan::udp(machine, port).unwrap()));
        assert_eq!(found, [Udp::Silent; 4], "{machine}");
    }
}
