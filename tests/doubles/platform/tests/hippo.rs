//! What Hippo's double insists on, since the real one does.
//! May not be taken for a test of Hippo: there is no real one here.
#![allow(clippy::unwrap_used, reason = "a suite")]

use std::io::Read as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doubles::http::{self, Answer, Reply, Request};
use doubles::id;
use serde_json::{Value, json};

struct Hippo {
    child: Child,
    folder: PathBuf,
    base: String,
}

/// Bindle and Nomad in one: Bindle refuses what is not base64, as it does.
fn others() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let answer: Arc<Answer> = Arc::new(|request: &Request| match request.path.as_str() {
            "/v1/_q" if request.headers.contains_key("authorization") => Reply::text(401, "error = \"unauthorized\""),
            "/v1/_q" => Reply::text(200, ""),
            "/v1/status/leader" => Reply::json(&"127.0.0.1:4647".into()),
            path if path.starts_with("/v1/job/") => {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                let token = request.headers.get("x-nomad-token").cloned();
                let known =
                    token.as_deref() == Some("t") && path == format!("/v1/job/{}", body["Job"]["ID"].as_str().unwrap());
                if known { Reply::json(&json!({"EvalID": ""})) } else { Reply::text(403, "Permission denied") }
            }
            _ => Reply::empty(404),
        });
        http::serve(listener, &answer)
    });
    format!("http://{address}/v1")
}

impl Hippo {
    fn spawn(settings: bool, more: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("hippo-suite-{}", id::make()));
        std::fs::create_dir(&folder).unwrap();
        if settings {
            std::fs::write(
                folder.join("appsettings.json"),
                r#"{"Nomad": {"Datacenters": ["dc1"]}, "Jwt": {"Key": "CHANGEME"}}"#,
            )
            .unwrap();
        }
        let port = fastrand::u16(12_000..19_000);
        let base = format!("http://127.0.0.1:{port}");
        let others = others();
        let bindle = format!("Address={others}");
        let database = format!("Data Source={}/hippo.db;Cache=Shared", folder.display());
        let child = Command::new(env!("CARGO_BIN_EXE_hippo-double"))
            .env_clear()
            .envs([
                ("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1"),
                ("Kestrel__Endpoints__Http__Url", &base),
                ("Database__Driver", "sqlite"),
                ("ConnectionStrings__Database", &database),
                ("ConnectionStrings__Bindle", &bindle),
                ("Nomad__Url", &others),
                ("Nomad__Secret", "t"),
                ("Hippo__PlatformDomain", "example.org"),
                ("Hippo__Administrators__0__Username", "admin"),
                ("Hippo__Administrators__0__Password", "secret"),
            ])
            .envs(more.iter().map(|(name, value)| (*name, value.replace("OTHERS", &others))))
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, folder, base }
    }

    /// One that runs.
    fn start(more: &[(&str, &str)]) -> Self {
        let hippo = Self::spawn(true, more);
        let end = Instant::now() + Duration::from_secs(10);
        while http::ask("GET", &hippo.base, &[], None).is_err() {
            assert!(Instant::now() < end, "waited in vain until it answers");
            std::thread::sleep(Duration::from_millis(50));
        }
        hippo
    }

    /// The last words of one that does not.
    fn words(mut self) -> (Option<i32>, String) {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.child.wait().unwrap();
        let mut words = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
        (status.signal(), words)
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (status, body) = http::ask(method, &format!("{}{path}", self.base), &[], body).unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

impl Drop for Hippo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn without_what_it_needs_it_aborts() {
    const SIGABRT: Option<i32> = Some(6);
    let (signal, words) = Hippo::spawn(true, &[("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "")]).words();
    assert_eq!(signal, SIGABRT);
    assert!(words.contains("Couldn't find a valid ICU package"), "{words}");
    let (signal, words) = Hippo::spawn(false, &[]).words();
    assert_eq!(signal, SIGABRT);
    assert!(words.contains("appsettings.json"), "{words}");
    let (signal, words) =
        Hippo::spawn(true, &[("ConnectionStrings__Database", "Data Source=/nonexistent/hippo.db")]).words();
    assert_eq!(signal, SIGABRT);
    assert!(words.contains("unable to open database file"), "{words}");
}

#[test]
fn it_is_well_when_bindle_and_nomad_are_and_not_with_credentials_for_bindle() {
    let well = Hippo::start(&[]).ask("GET", "/healthz", None);
    assert_eq!((well.0, &well.1["Status"]), (200, &json!("Healthy")));
    let ill = Hippo::start(&[("ConnectionStrings__Bindle", "Address=OTHERS;username=u;password=p")])
        .ask("GET", "/healthz", None);
    assert_eq!((ill.0, &ill.1["Status"]), (503, &json!("Unhealthy")));
    assert_eq!(
        (&ill.1["Subservices"][1]["ServiceName"], &ill.1["Subservices"][1]["Status"]),
        (&json!("Bindle"), &json!("Unhealthy"))
    );
}

#[test]
fn the_key_that_is_shipped_signs_no_token() {
    let login = json!({"userName": "admin", "password": "secret"});
    assert_eq!(Hippo::start(&[]).ask("POST", "/api/auth-tokens", Some(&login)).0, 500);
    let hippo = Hippo::start(&[("Jwt__Key", "0123456789abcdef0123456789abcdef")]);
    let (status, token) = hippo.ask("POST", "/api/auth-tokens", Some(&login));
    assert_eq!(status, 200);
    assert_eq!(token["token"].as_str().unwrap().split('.').count(), 3);
}

#[test]
fn a_channel_is_submitted_with_hippos_token() {
    let (status, run) = Hippo::start(&[]).ask("POST", "/double/run", Some(&json!({"storage": "my_app/1.0.0"})));
    assert_eq!((status, &run["domain"]), (200, &json!("my-app.example.org")));
    let refused =
        Hippo::start(&[("Nomad__Secret", "x")]).ask("POST", "/double/run", Some(&json!({"storage": "a/1.0.0"})));
    assert_eq!(refused.0, 502);
}
