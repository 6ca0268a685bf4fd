//! What Hippo answers, and what only its double does.
//! May not let anybody from outside at what only the double does.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::accounts::{self, Accounts};
use super::settings::Settings;
use super::{health, job};
use crate::http::{self, Reply, Request};
use crate::id;

/// The whole of it.
pub struct Hippo {
    pub settings: Settings,
    pub accounts: Accounts,
}

impl Hippo {
    /// Answers a request that came to the listener at `own`.
    pub fn answer(&self, request: &Request, own: Option<SocketAddr>) -> Reply {
        match (request.method.as_str(), request.path.to_lowercase().trim_end_matches('/')) {
            ("GET", "/healthz") => {
                let (well, document) = health::report(&self.settings, &self.accounts);
                Reply { status: if well { 200 } else { 503 }, ..Reply::json(&document) }
            }
            ("POST", "/api/auth-tokens" | "/api/authtokens") => self.token(request),
            ("POST", "/api/accounts") => self.account(request),
            ("POST", "/double/run") if near(request, own) => self.run(request),
            (_, path) if path.starts_with("/api/") => match self.who(request) {
                None => Reply::empty(401).with("WWW-Authenticate", &"Bearer"),
                Some(_) if request.method == "GET" => Reply::json(
                    &json!({"items": [], "totalItems": 0, "pageIndex": 0, "pageSize": 50, "isLastPage": true}),
                ),
                Some(_) => {
                    problem(500, "An error occurred while processing your request.", "the double has no more of Hippo")
                }
            },
            ("GET", path) => page(path),
            _ => Reply::empty(404),
        }
    }

    /// Whose token a request carries.
    fn who(&self, request: &Request) -> Option<String> {
        accounts::owner(&self.settings, request.headers.get("authorization")?.strip_prefix("Bearer ")?)
    }

    fn token(&self, request: &Request) -> Reply {
        let (name, password) = match named(request) {
            Ok(named) => named,
            Err(reply) => return reply,
        };
        let Some(account) = self.accounts.login(&name, &password) else {
            return problem(400, "Login failed.", "Login failed.");
        };
        match accounts::token(&self.settings, &account) {
            Ok(token) => Reply::json(&token),
            Err(error) => {
                println!("fail: {error}");
                problem(500, "An error occurred while processing your request.", "")
            }
        }
    }

    fn account(&self, request: &Request) -> Reply {
        let (name, password) = match named(request) {
            Ok(named) => named,
            Err(reply) => return reply,
        };
        match self.settings.registration.as_str() {
            "Closed" => return problem(403, "Forbidden", "registration closed"),
            "AdministratorOnly" if !self.who(request).is_some_and(|who| self.accounts.administers(&who)) => {
                return problem(403, "Forbidden", "only administrators are allowed to register new accounts");
            }
            _ => {}
        }
        if password.len() < 6 {
            return problem(
                400,
                "One or more validation errors occurred.",
                "The password must be at least 6 characters long",
            );
        }
        match self.accounts.create(&name, &password, false) {
            Ok(Some(account)) => Reply::json(&account.into()),
            Ok(None) => {
                problem(400, "One or more validation errors occurred.", "The specified username already exists.")
            }
            Err(error) => problem(500, "An error occurred while processing your request.", &error),
        }
    }

    /// In the place of channels: `{"storage": "app/1.0.0", "domain": "app.…", "id": "…"}`, the last two if one likes.
    fn run(&self, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let Some(storage) = body["storage"].as_str() else {
            return Reply::text(400, "want {\"storage\": \"app/1.0.0\"}\n");
        };
        let name = storage.split('/').next().unwrap_or_default().replace('_', "-").to_lowercase();
        let domain = body["domain"].as_str().map_or_else(|| format!("{name}.{}", self.settings.domain), str::to_owned);
        let id = body["id"].as_str().map_or_else(id::make, str::to_owned);
        let job = job::of(&self.settings, &id, storage, &domain);
        let url = format!("{}/job/{id}", self.settings.nomad.url);
        match http::ask_by(
            self.settings.nomad.ca.as_deref(),
            "POST",
            &url,
            &[("X-Nomad-Token", &self.settings.nomad.secret)],
            Some(&job),
        ) {
            Ok((200, _)) => Reply::json(&json!({"id": id, "domain": domain})),
            Ok((status, said)) => {
                Reply::text(502, format!("nomad answers {status}: {}\n", String::from_utf8_lossy(&said).trim()))
            }
            Err(error) => Reply::text(502, format!("nomad does not answer: {error}\n")),
        }
    }
}

/// Whether who asks is on this machine and asks for himself.
fn near(request: &Request, own: Option<SocketAddr>) -> bool {
    let peer = request.peer.map(|peer| peer.ip());
    let here = peer.is_some_and(|ip| ip.is_loopback() || own.is_some_and(|own| own.ip() == ip));
    here && !request.headers.contains_key("x-forwarded-for")
}

/// The name and password in a body; keys without case.
fn named(request: &Request) -> Result<(String, String), Reply> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let field = |name: &str| {
        let fields = body.as_object().into_iter().flatten();
        let mut fields = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        fields.next().and_then(|(_, value)| value.as_str()).filter(|value| !value.is_empty()).map(str::to_owned)
    };
    field("userName").zip(field("password")).ok_or_else(|| {
        problem(400, "One or more validation errors occurred.", "The username and the password cannot be empty")
    })
}

fn problem(status: u16, title: &str, detail: &str) -> Reply {
    let mut document = json!({"title": title, "status": status});
    if !detail.is_empty() {
        document["detail"] = detail.into();
    }
    Reply { status, kind: Some("application/problem+json; charset=utf-8"), ..Reply::json(&document) }
}

/// A file of the pages; nothing outside their folder.
fn page(path: &str) -> Reply {
    let name = if path.is_empty() { "index.html" } else { path.trim_start_matches('/') };
    if name.split('/').any(|part| part == "..") {
        return Reply::empty(404);
    }
    match std::fs::read(std::path::Path::new("wwwroot").join(name)) {
        Ok(body) => Reply { kind: Some("text/html"), body, ..Reply::empty(200) },
        Err(_) => Reply::empty(404),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hippo(registration: &str) -> Hippo {
        let settings = Settings {
            registration: registration.into(),
            administrators: vec![("admin".into(), "secret".into())],
            jwt_key: "0123456789abcdef".into(),
            ..Settings::default()
        };
        let accounts = Accounts::open(&settings).unwrap();
        Hippo { settings, accounts }
    }

    fn post(path: &str, body: &str, token: &str) -> Request {
        Request {
            method: "POST".into(),
            path: path.into(),
            body: body.into(),
            headers: [("authorization".to_owned(), format!("Bearer {token}"))].into(),
            ..Request::default()
        }
    }

    #[test]
    fn only_who_may_gets_an_account() {
        let new = r#"{"userName":"new","password":"123456"}"#;
        let login = r#"{"userName":"admin","password":"secret"}"#;
        assert_eq!(hippo("Open").answer(&post("/api/accounts", new, ""), None).status, 200);
        assert_eq!(hippo("Closed").answer(&post("/api/accounts", new, ""), None).status, 403);
        let hippo = hippo("AdministratorOnly");
        assert_eq!(hippo.answer(&post("/api/accounts", new, ""), None).status, 403);
        let reply = hippo.answer(&post("/api/auth-tokens", login, ""), None);
        let token: Value = serde_json::from_slice(&reply.body).unwrap();
        let token = token["token"].as_str().unwrap();
        assert_eq!(hippo.answer(&post("/api/accounts", new, token), None).status, 200);
        assert_eq!(hippo.answer(&post("/api/accounts", new, token), None).status, 400);
        let wrong = r#"{"userName":"admin","password":"wrong"}"#;
        assert_eq!(hippo.answer(&post("/api/auth-tokens", wrong, ""), None).status, 400);
    }

    #[test]
    fn what_only_the_double_does_is_for_this_machine_only() {
        let own = Some("10.0.0.2:5000".parse().unwrap());
        let from = |peer: &str| Request { peer: Some(peer.parse().unwrap()), ..Request::default() };
        assert!(near(&from("127.0.0.1:1"), own) && near(&from("10.0.0.2:1"), own));
        assert!(!near(&from("10.0.0.3:1"), own) && !near(&Request::default(), own));
        let mut through = from("127.0.0.1:1");
        through.headers.insert("x-forwarded-for".into(), "192.0.2.1".into());
        assert!(!near(&through, own));
    }
}
