//! What the platform needs of Traefik, asked of the double; and of a real one when `ANYMETAL_REAL_TRAEFIK` names its program.
//! May not know which of the two it asks.
#![allow(clippy::unwrap_used, reason = "a suite")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doubles::http::{self, Answer, Reply, Request};
use serde_json::{Value, json};

/// The token Consul wants.
const TOKEN: &str = "44444444-2222-3333-4444-555555555555";

/// An instance of a service in the catalogue.
#[derive(Clone)]
struct Instance {
    service: &'static str,
    port: u16,
    tags: Vec<String>,
    status: &'static str,
}

fn instance(service: &'static str, port: u16, hosts: &[&str]) -> Instance {
    let rule: Vec<String> = hosts.iter().map(|host| format!("Host(`{host}`)")).collect();
    let tags = vec![
        "traefik.enable=true".to_owned(),
        format!("traefik.http.routers.{service}.rule={}", rule.join(" || ")),
        format!("traefik.http.routers.{service}.entrypoints=web"),
    ];
    Instance { service, port, tags, status: "passing" }
}

/// Consul's catalogue, which answers only who has the token.
struct Catalogue {
    address: SocketAddr,
    all: Arc<Mutex<Vec<Instance>>>,
}

impl Catalogue {
    fn start(all: Vec<Instance>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let all = Arc::new(Mutex::new(all));
        let shared = Arc::clone(&all);
        std::thread::spawn(move || {
            let answer: Arc<Answer> = Arc::new(move |request: &Request| catalogue(request, &shared.lock().unwrap()));
            http::serve(listener, &answer)
        });
        Self { address, all }
    }
}

fn catalogue(request: &Request, all: &[Instance]) -> Reply {
    if request.headers.get("x-consul-token").map(String::as_str) != Some(TOKEN) {
        return Reply::text(403, "Permission denied");
    }
    // Who waits for a change waits a little; nothing here is pushed.
    if request.query.contains_key("index") {
        std::thread::sleep(Duration::from_millis(200));
    }
    let value = match request.path.as_str() {
        "/v1/catalog/services" => all.iter().map(|one| (one.service.to_owned(), json!(one.tags))).collect::<Value>(),
        path => {
            let name = path.rsplit('/').next().unwrap_or_default();
            let of = all.iter().filter(|one| one.service == name).map(|one| {
                let id = format!("{name}-{}", one.port);
                json!({"Node": {"Node": "n", "Address": "127.0.0.1", "Datacenter": "dc1"},
                    "Service": {"ID": id, "Service": name, "Address": "127.0.0.1", "Port": one.port, "Tags": one.tags},
                    "Checks": [{"CheckID": id, "ServiceID": id, "Status": one.status}]})
            });
            of.collect()
        }
    };
    Reply::json(&value).with("X-Consul-Index", &1)
}

/// A server that says its name, its path and who asked.
fn backend(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let answer: Arc<Answer> = Arc::new(move |request: &Request| {
            let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let said = format!("{name} {} {} {} {body}", request.path, header("host"), header("x-forwarded-host"));
            Reply::text(200, said)
        });
        http::serve(listener, &answer)
    });
    port
}

struct Traefik {
    child: Child,
    web: u16,
    ping: u16,
}

fn port() -> u16 {
    loop {
        let port = fastrand::u16(12_000..19_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn command(variables: &[(&str, String)]) -> Command {
    let program =
        std::env::var_os("ANYMETAL_REAL_TRAEFIK").unwrap_or_else(|| env!("CARGO_BIN_EXE_traefik-double").into());
    let mut command = Command::new(program);
    command.env_clear().envs(variables.iter().map(|(name, value)| (*name, value.as_str()))).stdin(Stdio::null());
    command
}

/// Status and body of a request under a name, in words of one's own.
fn ask(port: u16, host: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let method = if body.is_empty() { "GET" } else { "POST" };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

impl Traefik {
    fn start(catalogue: &Catalogue) -> Self {
        let (web, ping) = (port(), port());
        let child = command(&[
            ("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", format!("127.0.0.1:{web}")),
            ("TRAEFIK_ENTRYPOINTS_PING_ADDRESS", format!("127.0.0.1:{ping}")),
            ("TRAEFIK_PING", "true".into()),
            ("TRAEFIK_PING_ENTRYPOINT", "ping".into()),
            ("TRAEFIK_GLOBAL_CHECKNEWVERSION", "false".into()),
            ("TRAEFIK_PROVIDERS_PROVIDERSTHROTTLEDURATION", "100ms".into()),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_PREFIX", "traefik".into()),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_EXPOSEDBYDEFAULT", "false".into()),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_REFRESHINTERVAL", "1s".into()),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_ENDPOINT_ADDRESS", catalogue.address.to_string()),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_ENDPOINT_TOKEN", TOKEN.into()),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        let traefik = Self { child, web, ping };
        traefik.until("it answers", |traefik| ask(traefik.ping, "x", "/ping", "").is_some());
        traefik
    }

    fn web(&self, host: &str, path: &str) -> (u16, String) {
        ask(self.web, host, path, "").unwrap()
    }

    #[track_caller]
    fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !so(self) {
            assert!(Instant::now() < end, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Traefik {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn requests_go_by_name_to_what_is_well() {
    let (hippo, bindle) = (backend("hippo"), backend("bindle"));
    let hidden =
        Instance { tags: vec!["traefik.http.routers.h.rule=Host(`hidden`)".into()], ..instance("hidden", hippo, &[]) };
    let ill = Instance { status: "critical", ..instance("ill", hippo, &["ill.a"]) };
    let catalogue = Catalogue::start(vec![
        instance("hippo", hippo, &["hippo.a", "hippo.b"]),
        instance("bindle", bindle, &["bindle.a"]),
        instance("gone", port(), &["gone.a"]),
        hidden,
        ill,
    ]);
    let traefik = Traefik::start(&catalogue);
    traefik.until("the names are known", |traefik| traefik.web("bindle.a", "/").0 == 200);
    let said = |host: &str, path: &str| {
        let (status, body) = traefik.web(host, path);
        (status, body.split(' ').take(2).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(said("hippo.a", "/healthz"), (200, "hippo /healthz".into()));
    assert_eq!(said("HIPPO.B:80", "/x?y=z"), (200, "hippo /x".into()));
    assert_eq!(said("bindle.a", "/v1/_i/a%2Fb"), (200, "bindle /v1/_i/a/b".into()));
    assert_eq!(traefik.web("gone.a", "/"), (502, "Bad Gateway".into()));
    for host in ["nobody", "hidden", "ill.a"] {
        assert_eq!(traefik.web(host, "/"), (404, "404 page not found\n".into()), "{host}");
    }
    let (_, body) = ask(traefik.web, "hippo.a", "/", "posted").unwrap();
    assert_eq!(body, "hippo / hippo.a hippo.a posted");
    assert_eq!(ask(traefik.ping, "x", "/ping", "").unwrap(), (200, "OK".into()));
    assert_eq!(traefik.web("x", "/ping").0, 404);
    catalogue.all.lock().unwrap().retain(|one| one.service != "hippo");
    traefik.until("what is gone is forgotten", |traefik| traefik.web("hippo.a", "/").0 == 404);
}

#[test]
fn several_instances_take_turns() {
    let catalogue =
        Catalogue::start(vec![instance("web", backend("one"), &["w"]), instance("web", backend("two"), &["w"])]);
    let traefik = Traefik::start(&catalogue);
    traefik.until("both were asked", |traefik| {
        let mut said: Vec<String> = (0..6).map(|_| traefik.web("w", "/").1.chars().take(3).collect()).collect();
        said.sort();
        said.dedup();
        said == ["one", "two"]
    });
}

fn output(variables: &[(&str, String)]) -> (Output, String) {
    let output = command(variables).output().unwrap();
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    // Version 3 says it in JSON.
    (output, String::from_utf8_lossy(&said).replace("\\\"", "\""))
}

#[test]
fn what_it_cannot_start_with_ends_it_with_words() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (ended, said) = output(&[("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", address.to_string())]);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("entryPoint web")
            && said.contains(&format!("listen tcp {address}: bind: address already in use")),
        "{said}"
    );
    let (ended, said) = output(&[("TRAEFIK_PING_NOPE", "1".into())]);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("field not found, node: nope"), "{said}");
    let (ended, said) = output(&[("TRAEFIK_PROVIDERS_CONSULCATALOG_EXPOSEDBYDEFAULT", "maybe".into())]);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("parsing \"maybe\": invalid syntax"), "{said}");
}
