//! Nomad's HTTP API: which request goes where, and who asks.
//! May not answer: the rooms below do.

mod acl;
mod agent;
mod jobs;
mod logs;
mod reads;

use std::time::Duration;

use serde_json::Value;

use super::acl::Rights;
use super::state::State;
use super::world::World;
use crate::http::{Reply, Request};
use crate::id;

/// How long a request waits for a leader.
const HOLD: Duration = Duration::from_secs(5);

/// One request with who sent it.
struct Asked<'a> {
    world: &'a World,
    request: &'a Request,
    rights: Rights,
    /// The token's secret, when there is one.
    secret: String,
}

/// Answers a request.
pub fn answer(world: &World, request: &Request) -> Reply {
    let path = request.path.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let reply = match parts.as_slice() {
        ["v1", rest @ ..] => route(world, request, rest),
        [""] | [] => {
            Reply { kind: Some("text/html; charset=utf-8"), ..Reply::text(200, "<p>nomad-double, a double of Nomad\n") }
        }
        _ => Reply::empty(404),
    };
    reply.with("Vary", &"Accept-Encoding")
}

fn route(world: &World, request: &Request, parts: &[&str]) -> Reply {
    if let ["status", _] | ["agent", "health"] | ["regions" | "metrics"] = parts {
        return agent::free(world, request, parts);
    }
    if parts == ["agent", "self"] {
        return match resolve(world, request, "failed to resolve ACL token: ") {
            Ok(asked) => agent::about(&asked),
            Err(reply) => reply,
        };
    }
    if let ["client", "fs", "logs", alloc] = parts {
        return logs::answer(world, request, alloc);
    }
    if !world.wait(HOLD, |_| world.has_leader()) {
        return Reply::text(500, "No cluster leader");
    }
    if parts == ["acl", "bootstrap"] {
        return acl::bootstrap(world, request);
    }
    if parts == ["acl", "token", "self"] {
        return acl::own(world, request);
    }
    let asked = match resolve(world, request, "") {
        Ok(asked) => asked,
        Err(reply) => return reply,
    };
    match parts {
        ["acl", rest @ ..] => acl::answer(&asked, rest),
        ["namespaces" | "namespace", ..] => reads::namespaces(&asked, parts),
        ["jobs" | "job" | "validate", ..] => jobs::answer(&asked, parts),
        _ => reads::answer(&asked, parts),
    }
}

/// Who asks.
fn resolve<'a>(world: &'a World, request: &'a Request, front: &str) -> Result<Asked<'a>, Reply> {
    let secret = secret(request);
    let asked = |rights| Ok(Asked { world, request, rights, secret: secret.clone() });
    if !world.config.acl {
        return asked(Rights::management());
    }
    if secret.is_empty() {
        return asked(world.read(|state| rights(state, ["anonymous"].into_iter())));
    }
    if let Some(wrong) = malformed(&secret) {
        return Err(Reply::text(500, format!("{front}acl token lookup failed: {wrong}")));
    }
    let rights = world.read(|state| {
        let token = state.tokens.values().find(|token| token["SecretID"] == *secret)?;
        if token["Type"] == "management" {
            return Some(Rights::management());
        }
        Some(rights(state, token["Policies"].as_array().into_iter().flatten().filter_map(Value::as_str)))
    });
    match rights {
        Some(rights) => asked(rights),
        None => Err(Reply::text(403, "ACL token not found")),
    }
}

fn rights<'a>(state: &State, names: impl Iterator<Item = &'a str>) -> Rights {
    Rights::of(names.filter_map(|name| state.policies.get(name)?["Rules"].as_str()))
}

/// The secret a request carries.
fn secret(request: &Request) -> String {
    let bearer = request.headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    request.headers.get("x-nomad-token").map(String::as_str).or(bearer).unwrap_or_default().trim().to_owned()
}

/// What Nomad's index says of an id that is none.
fn malformed(text: &str) -> Option<&'static str> {
    if text.len() != 36 {
        return Some("index error: UUID must be 36 characters");
    }
    (!id::is(text)).then_some("index error: Invalid UUID: not in the form")
}

impl Asked<'_> {
    /// The namespace a request names.
    fn namespace(&self) -> &str {
        self.request.asked("namespace").unwrap_or("default")
    }

    fn is(&self, method: &str) -> bool {
        self.request.method == method
    }

    /// Whether something is to be written.
    fn writes(&self) -> bool {
        self.is("POST") || self.is("PUT")
    }

    /// Nothing when a capability is granted in a namespace, else the refusal.
    fn refused(&self, namespace: &str, capability: &str) -> Option<Reply> {
        (!self.rights.may(namespace, capability)).then(denied)
    }

    /// The request's body as JSON.
    fn body(&self) -> Result<Value, String> {
        json(&self.request.body)
    }

    /// Reads with the index of a table; waits for a change when the request asks for one.
    fn read(&self, table: &str, read: impl Fn(&State) -> Option<Value>, missing: &str) -> Reply {
        let since = self.request.asked("index").and_then(|index| index.parse::<u64>().ok()).unwrap_or(0);
        if since > 0 {
            let wait = self.request.asked("wait").and_then(duration).unwrap_or(Duration::from_mins(5));
            self.world.wait(wait, |state| state.index_of(table) > since);
        }
        let (found, index) = self.world.read(|state| (read(state), state.index_of(table)));
        indexed(found.map_or_else(|| Reply::text(404, missing), |value| Reply::json(&value)), index)
    }
}

/// JSON, or what Go says of what is none.
fn json(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|_| match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => "EOF".to_owned(),
        Some(byte) => format!("invalid character '{}' looking for beginning of value", char::from(*byte)),
    })
}

fn denied() -> Reply {
    Reply::text(403, "Permission denied")
}

fn invalid_method() -> Reply {
    Reply::text(405, "Invalid method")
}

fn indexed(reply: Reply, index: u64) -> Reply {
    reply.with("X-Nomad-Index", &index).with("X-Nomad-KnownLeader", &true).with("X-Nomad-LastContact", &0)
}

/// What a write answers.
fn written(index: u64, value: Option<&Value>) -> Reply {
    value.map_or_else(|| Reply::empty(200), Reply::json).with("X-Nomad-Index", &index)
}

/// A duration as Go reads one, of one unit: `10s`, `500ms`, `5m`.
fn duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..at].parse().ok()?;
    match &text[at..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

/// A copy of some fields.
fn stub(document: &Value, fields: &[&str]) -> Value {
    Value::Object(fields.iter().map(|field| ((*field).to_owned(), document[field].clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_mins(2)));
        assert_eq!(duration("x"), None);
    }

    #[test]
    fn a_secret_comes_in_either_header() {
        let with = |name: &str, value: &str| Request {
            headers: [(name.to_owned(), value.to_owned())].into(),
            ..Request::default()
        };
        assert_eq!(secret(&with("x-nomad-token", "a")), "a");
        assert_eq!(secret(&with("authorization", "Bearer b")), "b");
        assert_eq!(secret(&with("authorization", "Basic b")), "");
    }
}
