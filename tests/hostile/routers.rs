//! A hostile account of Hippo's: services in Consul's catalogue with every tag that could take the platform's names or another's. Traefik is
//! real, with the very settings and files of a node; Consul's catalogue and what answers behind the routers are stand-ins. Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anymetal_lab::authority::Authority;
use anymetal_lab::http::{Response, Server};
use anymetal_lab::namespace::Namespace;
use anymetal_lab::shipped;
use serde_json::{Value, json};

use crate::world::golden;

/// A limit against hanging.
const LIMIT: Duration = Duration::from_mins(2);
/// The hash that Bindle and Traefik have of admin's password `p`, in the place of the goldens', which is of no password.
const HTPASSWD: &str = "admin:$2y$05$abcdefghijklmnopqrstuuqwWMzKt5N8p.u2GX5MuH1t19BMWuLOW";
/// `admin:p` in base64.
const BASIC: &str = "YWRtaW46cA==";

/// What somebody registers who wants the platform's names, or everybody's.
const HOSTILE: &[(&str, &[&str])] = &[
    // What Hippo writes of a channel whose domain is ``x`) || PathPrefix(`/``: longer than any rule of an application.
    ("domain-that-is-a-rule", &["rule=Host(`x`) || PathPrefix(`/`)"]),
    ("the-platforms-name", &["rule=Host(`hippo.DOMAIN`)"]),
    ("highest-priority", &["rule=Host(`hippo.DOMAIN`)", "priority=9223372036854774807"]),
    ("more-than-the-highest", &["rule=Host(`bindle.DOMAIN`)", "Priority=9223372036854775807"]),
    ("everything", &["rule=PathPrefix(`/`)"]),
    ("by-expression", &["rule=HostRegexp(`.*`)"]),
    ("by-header", &["rule=Host(`app.example.org`) && Header(`x`, `y`)"]),
    ("two-hosts", &["rule=Host(`app.example.org`, `hippo.DOMAIN`)"]),
    ("not", &["rule=!Host(`nowhere`)"]),
    ("bindles-health", &["rule=Host(`bindle.DOMAIN`) && Path(`/healthz`)", "priority=9223372036854774807"]),
    ("ping", &["rule=PathPrefix(`/ping`)", "entrypoints=ping"]),
    ("capitals", &["RULE=PathPrefix(`/`)"]),
];

struct Traefik {
    network: Namespace,
    child: Child,
    folder: tempfile::TempDir,
    _servers: Vec<Server>,
}

/// Where `make traefik` lays it down, or the one that is asked for.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("ANYMETAL_REAL_TRAEFIK") {
        return program.into();
    }
    let folder = shipped::top().join("target/real/traefik");
    let version = fs::read_dir(&folder).ok().and_then(|mut versions| versions.next()?.ok());
    version
        .unwrap_or_else(|| panic!("{} has no Traefik\nhint: `make traefik`", folder.display()))
        .path()
        .join("traefik")
}

/// A domain of the golden node's.
fn domain() -> String {
    let facts: Value = serde_json::from_slice(&fs::read(golden("facts.json")).unwrap()).unwrap();
    facts["domains"][0].as_str().unwrap().to_owned()
}

impl Traefik {
    /// With the settings of a node's job, and these files instead of those of the same names.
    fn start(services: &BTreeMap<String, Vec<String>>, files: &[(&str, String)]) -> Self {
        Self::with(services, files, |_| true)
    }

    /// The same with only these of the job's settings.
    fn with(services: &BTreeMap<String, Vec<String>>, files: &[(&str, String)], keep: impl Fn(&str) -> bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let network = Namespace::new(format!("amtr{}-{number}", std::process::id())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let job: Value = serde_json::from_slice(&fs::read(golden("traefik.job.json")).unwrap()).unwrap();
        let settings = job["TaskGroups"][0]["Tasks"][0]["Env"].as_object().unwrap().clone();
        let authority = Authority::new();
        let servers = network.inside(|| {
            let mut servers: Vec<Server> = [("127.0.0.1:5309", "hippo"), ("127.0.0.1:3030", "bindle")]
                .map(|(at, name)| Server::start_at(at, move |_, _| Response::ok(name)))
                .into();
            let app = Server::start_at("127.0.0.1:20001", |_, _| Response::ok("application"));
            let hostile = Server::start_at("127.0.0.1:20002", |_, _| Response::ok("hostile"));
            servers.extend([app, hostile, catalogue(services.clone(), &authority)]);
            servers
        });
        let mut command = network.command("env");
        command.arg("-i");
        let ca = folder.path().join("ca");
        fs::write(&ca, &authority.certificate).unwrap();
        for (name, value) in settings.iter().filter(|(name, _)| keep(name) || name.contains("_ENDPOINT_")) {
            let value = match name {
                name if name.ends_with("FILE_DIRECTORY") => folder.path().to_str().unwrap(),
                name if name.ends_with("_TLS_CA") => ca.to_str().unwrap(),
                _ => value.as_str().unwrap(),
            };
            command.arg(format!("{name}={value}"));
        }
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child =
            command.arg(program()).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { network, child, folder, _servers: servers }
    }

    /// The status and the body of the answer under a name.
    fn ask(&self, name: &str, path: &str, method: &str, headers: &str) -> Option<(u16, String)> {
        self.network.inside(|| {
            let mut stream = TcpStream::connect("127.0.0.1:80").ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
            );
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            Some((head.split(' ').nth(1)?.parse().ok()?, body.trim().to_owned()))
        })
    }

    fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + LIMIT;
        while !holds(self) {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < limit, "it never came that {what}:\n{}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Traefik {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Consul's catalogue, by TLS, with all services at one port but the application.
fn catalogue(services: BTreeMap<String, Vec<String>>, authority: &Authority) -> Server {
    Server::start_tls("127.0.0.1:8501", authority.server(), move |request, _| {
        let path = request.path.split('?').next().unwrap_or_default();
        let body = match path.strip_prefix("/v1/health/service/") {
            Some(name) => services.get(name).map_or(json!([]), |tags| {
                let port = if name == "application" { 20_001 } else { 20_002 };
                json!([{"Node": {"Node": "n", "Address": "127.0.0.1", "Datacenter": "dc1"}, "Checks": [{"CheckID": "c", "Status": "passing"}],
                    "Service": {"ID": name, "Service": name, "Address": "127.0.0.1", "Port": port, "Tags": tags}}])
            }),
            None if path == "/v1/catalog/services" => json!(services),
            None => json!({"Config": {"Datacenter": "dc1"}}),
        };
        Response::ok(body.to_string())
    })
}

fn services() -> BTreeMap<String, Vec<String>> {
    let tags = |name: &str, of: &[&str]| {
        let mut tags = vec!["traefik.enable=true".to_owned()];
        if !of.iter().any(|tag| tag.starts_with("entrypoints")) {
            tags.push(format!("traefik.http.routers.{name}.entryPoints=web"));
        }
        tags.extend(of.iter().map(|tag| format!("traefik.http.routers.{name}.{}", tag.replace("DOMAIN", &domain()))));
        tags
    };
    let mut all = BTreeMap::from([("application".to_owned(), tags("application", &["rule=Host(`app.example.org`)"]))]);
    all.extend(HOSTILE.iter().map(|(name, of)| ((*name).to_owned(), tags(name, of))));
    // The platform's own names, declared again: Traefik drops both of one provider's.
    let again = [
        "routers.hippo.rule=Host(`z.example.org`)",
        "middlewares.bindle.basicauth.users=a:b",
        "services.hippo.loadbalancer.server.port=20002",
    ];
    all.insert(
        "again".into(),
        again.iter().map(|tag| format!("traefik.http.{tag}")).chain(["traefik.enable=true".into()]).collect(),
    );
    all.insert("router-again".into(), tags("hippo", &["rule=Host(`y.example.org`)"]));
    all
}

/// The routers a node has where the site says so or has certificates.
fn files() -> [(&'static str, String); 2] {
    let closed = fs::read_to_string(golden("routers.yaml")).unwrap();
    let start = closed.find("admin:").unwrap();
    let end = start + closed[start..].find('"').unwrap();
    let routers = closed.replace(&closed[start..end], HTPASSWD);
    [("routers.yaml", routers), ("tls.yaml", fs::read_to_string(golden("tls.yaml")).unwrap())]
}

/// As a site without certificates has them when it says `expose: plain`.
fn exposed() -> [(&'static str, String); 2] {
    let [(name, routers), tls] = files();
    let servers = routers.replacen("http://127.0.0.1:9\"", "http://127.0.0.1:5309\"", 1).replacen(
        "http://127.0.0.1:9\"",
        "http://127.0.0.1:3030\"",
        1,
    );
    [(name, servers), tls]
}

fn possible() -> bool {
    let root = anymetal_lab::topology::Topology::possible();
    root.map_err(|why| eprintln!("skipped: {why}")).is_ok()
}

#[test]
fn no_tag_of_an_application_takes_a_name_of_the_platform_or_of_another() {
    if !possible() {
        return;
    }
    let traefik = Traefik::start(&services(), &exposed());
    let (hippo, bindle) = (format!("hippo.{}", domain()), format!("bindle.{}", domain()));
    traefik.until("the application answers", |traefik| {
        traefik.ask("app.example.org", "/", "GET", "").is_some_and(|answer| answer == (200, "application".into()))
    });
    let ask = |name: &str, path: &str| traefik.ask(name, path, "GET", "").unwrap();
    assert_eq!(ask(&hippo, "/"), (200, "hippo".into()));
    assert_eq!(ask(&hippo, "/api/accounts"), (200, "hippo".into()));
    assert_eq!(ask(&bindle, "/healthz"), (200, "bindle".into()));
    for elsewhere in ["x", "nowhere.example.org"] {
        assert_eq!(ask(elsewhere, "/").0, 404, "{elsewhere}");
    }
    // A router of the platform's name is no router of the platform's.
    assert_eq!(ask("y.example.org", "/"), (200, "hostile".into()));
    // Every method of every path of Bindle's asks for a name, and gets through with it.
    for (method, path) in [
        ("GET", "/v1/_q?q=x"),
        ("GET", "/v1/_i/a/1.0.0"),
        ("HEAD", "/"),
        ("POST", "/v1/_i"),
        ("OPTIONS", "/"),
        ("GET", "/healthz/x"),
    ] {
        let status = |headers: &str| traefik.ask(&bindle, path, method, headers).map(|(status, _)| status);
        assert_eq!(status(""), Some(401), "{method} {path}");
        assert_eq!(status("Authorization: Basic eDp5\r\n"), Some(401), "{method} {path}");
        assert_eq!(status(&format!("Authorization: Basic {BASIC}\r\n")), Some(200), "{method} {path}");
    }
}

#[test]
fn closed_names_stay_taken() {
    if !possible() {
        return;
    }
    let traefik = Traefik::start(&services(), &files());
    traefik.until("the application answers", |traefik| {
        traefik.ask("app.example.org", "/", "GET", "").is_some_and(|answer| answer.0 == 200)
    });
    let hippo = traefik.ask(&format!("hippo.{}", domain()), "/", "GET", "").unwrap();
    assert_eq!(hippo, (502, "Bad Gateway".into()));
}

/// The control: without what is new in the job, tags are heeded, and the same services take everything.
#[test]
fn without_constraints_and_priorities_they_are_taken() {
    if !possible() {
        return;
    }
    let [(name, routers), tls] = exposed();
    let plain: Vec<&str> = routers.lines().filter(|line| !line.contains("priority:")).collect();
    let traefik =
        Traefik::with(&services(), &[(name, plain.join("\n")), tls], |setting| !setting.ends_with("CONSTRAINTS"));
    traefik.until("a hostile service answers", |traefik| {
        traefik.ask("app.example.org", "/", "GET", "").is_some_and(|answer| answer.1 == "hostile")
    });
    assert_eq!(traefik.ask(&format!("hippo.{}", domain()), "/", "GET", "").unwrap().1, "hostile");
}
