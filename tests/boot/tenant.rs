//! The hostile tenant as a task of Nomad's on the machine: native code in the place of Spin, submitted with the token that Hippo has.
//! May not try what would be the end of the machine if it worked.

use std::io::Write as _;

use anymetal::boot::{Visit, lan};
use anymetal_lab::shipped::top;
use anymetal_lab::tenant::{FILES, Heard, PORTS, TRICKS};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::platform::lines;

/// What must not be reached: clusters and APIs, what the node tells itself, its own and its neighbours' private doors, the metadata.
const TARGETS: &[&str] = &[
    "get=METADATA/metadata",
    "connect=127.0.0.1:4646",
    "connect=127.0.0.1:4647",
    "connect=127.0.0.1:8300",
    "connect=127.0.0.1:8501",
    "connect=127.0.0.1:5309",
    "connect=127.0.0.1:8081",
    "connect=127.0.0.1:9469",
    "udp=127.0.0.1:8301",
    "connect=PRIVATE:4655",
    "connect=PUBLIC:4647",
    "connect=NEIGHBOUR:179",
];
/// What may be: Bindle, Traefik, and a port of one's own.
const ALLOWED: &[&str] =
    &["connect=127.0.0.1:3030", "connect=127.0.0.1:80", "connect=PUBLIC:80", "bind=127.0.0.1:20001"];

/// Puts the program where Spin is, has it run with Hippo's own token, waits for its last line and shows what it said. `ATTEMPTS` is a list of JSON.
const RUN: &str = r#"
[ -x /opt/anymetal/spin/current/spin ] || { echo "Spin is not there"; exit 1; }
printf %s "$PROGRAM" | base64 -d | gunzip >/opt/anymetal/spin/current/hostile-tenant
chmod 755 /opt/anymetal/spin/current/hostile-tenant
token=$(tr '\0' '\n' </proc/$(pgrep -f 'Hippo[.]Web' | head -n 1)/environ | sed -n 's/^Nomad__Secret=//p')
nomad() { curl -sS -m 20 -H "X-Nomad-Token: $token" --cacert /etc/anymetal/tls/ca.pem "$@"; }
metadata=$(sed -n 's|.*anymetal.metadata=[a-z]*://\([^/ ]*\).*|\1|p' /proc/cmdline)
job='{"Job":{"ID":"hostile","Name":"hostile","Type":"batch","Datacenters":["dc1"],"TaskGroups":[{"Name":"g","Count":1,
  "RestartPolicy":{"Attempts":0,"Mode":"fail"},"Tasks":[{"Name":"hostile","Driver":"exec","Resources":{"CPU":50,"MemoryMB":64},
  "Config":{"command":"/opt/anymetal/spin/current/hostile-tenant","args":ATTEMPTS}}]}]}}'
printf %s "$job" | sed "s|METADATA|$metadata|" | nomad -d @- https://127.0.0.1:4646/v1/jobs >/dev/null
waited=0
until grep -qs '^that was all' /var/lib/nomad/alloc/*/alloc/logs/hostile.stdout.0; do
  waited=$((waited + 1)); [ $waited -lt 120 ] || { cat /var/lib/nomad/alloc/*/alloc/logs/hostile.std*; nomad https://127.0.0.1:4646/v1/job/hostile/allocations; exit 1; }
  sleep 1
done
cat /var/lib/nomad/alloc/*/alloc/logs/hostile.stdout.0
rm /opt/anymetal/spin/current/hostile-tenant
nomad -X DELETE 'https://127.0.0.1:4646/v1/job/hostile' >/dev/null
"#;

/// It gets nothing but what it may.
pub fn look(visit: &Visit<'_>) {
    let named = |attempt: &&str| {
        let places = [("PRIVATE", lan::PRIVATE), ("PUBLIC", lan::PUBLIC), ("NEIGHBOUR", lan::NEIGHBOUR)];
        places.iter().fold((*attempt).to_owned(), |attempt, (name, address)| attempt.replace(name, address))
    };
    let allowed: Vec<String> = ALLOWED.iter().map(named).collect();
    let refused: Vec<String> = [TARGETS, PORTS, FILES].concat().iter().map(named).collect();
    let first = ["self", "become-root"].map(str::to_owned);
    let tricks = TRICKS[1..].iter().map(|group| (*group).to_owned());
    let attempts: Vec<String> =
        first.into_iter().chain(refused.iter().cloned()).chain(allowed.iter().cloned()).chain(tricks).collect();
    let attempts = serde_json::to_string(&attempts).expect("a list of words");
    let script = format!("PROGRAM={}\n{}", program(), RUN.replace("ATTEMPTS", &attempts));
    let said = lines(visit, &script).join("\n");
    println!("{said}");
    let heard = Heard::of(&said);
    heard.is_nobody_with_nothing();
    // The machine's own address of the metadata is known to it alone.
    let metadata = said.lines().find(|line| line.starts_with("get=")).expect("it asked for the metadata");
    assert!(metadata.contains(": refused"), "{metadata}");
    let refused = || refused.iter().map(String::as_str).filter(|attempt| !attempt.starts_with("get="));
    heard.all(refused(), false);
    heard.all(allowed.iter().map(String::as_str), true);
    let asked = metadata.split(": refused").next().expect("a line has a beginning");
    let known: Vec<&str> = refused().chain(allowed.iter().map(String::as_str)).chain([asked]).collect();
    heard.no_trick_worked(&known);
}

/// The program, packed for a script.
fn program() -> String {
    let path = top().join("target/doubles/x86_64-unknown-linux-musl/release/hostile-tenant");
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("reading {}: {error}; run `make doubles`", path.display()));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&bytes).expect("memory takes everything");
    STANDARD.encode(packed.finish().expect("memory takes everything"))
}
