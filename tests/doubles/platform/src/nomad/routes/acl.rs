//! Policies and tokens.
//! May not decide what a policy allows: `nomad::acl` does.

use serde_json::{Value, json};

use super::{Asked, denied, indexed, invalid_method, json, malformed, secret, stub, written};
use crate::http::{Reply, Request};
use crate::nomad::acl;
use crate::nomad::state::{State, hash, text};
use crate::nomad::validate::list;
use crate::nomad::world::World;
use crate::{clock, id};

/// What a list of tokens shows of one.
const SHOWN: &[&str] = &[
    "AccessorID",
    "CreateIndex",
    "CreateTime",
    "ExpirationTime",
    "Global",
    "Hash",
    "ModifyIndex",
    "Name",
    "Policies",
    "Roles",
    "Type",
];

/// `/v1/acl/bootstrap`: once, with a secret that may be chosen.
pub fn bootstrap(world: &World, request: &Request) -> Reply {
    if request.method != "POST" && request.method != "PUT" {
        return invalid_method();
    }
    if !world.config.acl {
        return Reply::text(400, "ACL support disabled");
    }
    let chosen = if request.body.is_empty() {
        String::new()
    } else {
        match json(&request.body) {
            Ok(body) => text(&body, "BootstrapSecret").to_owned(),
            Err(error) => return Reply::text(400, format!("failed to decode request body: {error}")),
        }
    };
    if !chosen.is_empty() && !id::is(&chosen) {
        return Reply::text(400, "invalid acl token");
    }
    world.change(|state| {
        if state.bootstrapped > 0 {
            return Reply::text(400, format!("ACL bootstrap already done (reset index: {})", state.bootstrapped));
        }
        let raced = world.ways.bootstrap_race.filter(|_| !chosen.is_empty());
        let token =
            new(state, "Bootstrap Token", "management", &Value::Null, true, Some(chosen).filter(|c| !c.is_empty()));
        state.bootstrapped = state.index;
        if let Some(status) = raced {
            let words = if status == 400 { format!(" (reset index: {})", state.index) } else { String::new() };
            return Reply::text(status, format!("ACL bootstrap already done{words}"));
        }
        written(state.index, Some(&token))
    })
}

/// A new token, kept.
fn new(state: &mut State, name: &str, kind: &str, policies: &Value, global: bool, secret: Option<String>) -> Value {
    let index = state.next("acl_token");
    let token = json!({"AccessorID": id::make(), "SecretID": secret.unwrap_or_else(id::make), "Name": name, "Type": kind,
        "Policies": policies, "Roles": null, "Global": global, "Hash": hash(&format!("{name}{kind}{policies}")),
        "CreateTime": clock::text(clock::now()), "ExpirationTime": null, "ExpirationTTL": 0, "CreateIndex": index,
        "ModifyIndex": index});
    state.tokens.insert(text(&token, "AccessorID").to_owned(), token.clone());
    token
}

/// `/v1/acl/token/self`: the token that asks.
pub fn own(world: &World, request: &Request) -> Reply {
    if request.method != "GET" {
        return invalid_method();
    }
    let secret = secret(request);
    if secret.is_empty() {
        return Reply::text(500, "acl token lookup failed: missing secret id");
    }
    if let Some(wrong) = malformed(&secret) {
        return Reply::text(500, format!("acl token lookup failed: {wrong}"));
    }
    world.read(|state| {
        let found = state.tokens.values().find(|token| token["SecretID"] == secret);
        let reply = found.map_or_else(|| Reply::text(404, "ACL token not found"), Reply::json);
        indexed(reply, state.index_of("acl_token"))
    })
}

/// The rest of `/v1/acl/…`.
pub fn answer(asked: &Asked, parts: &[&str]) -> Reply {
    if !asked.world.config.acl {
        return Reply::text(400, "ACL support disabled");
    }
    match parts {
        ["policies"] if asked.is("GET") => policies(asked),
        ["tokens"] if asked.is("GET") => tokens(asked),
        ["policy"] => Reply::text(400, "Missing Policy Name"),
        ["policy", name] => match asked.request.method.as_str() {
            "GET" => policy(asked, name),
            "POST" | "PUT" => put_policy(asked, name),
            "DELETE" => delete(asked, "acl_policy", name),
            _ => invalid_method(),
        },
        ["token"] if asked.writes() => put_token(asked, None),
        ["token", accessor] => match asked.request.method.as_str() {
            "GET" => token(asked, accessor),
            "POST" | "PUT" => put_token(asked, Some(accessor)),
            "DELETE" => delete(asked, "acl_token", accessor),
            _ => invalid_method(),
        },
        ["policies" | "tokens" | "token"] => invalid_method(),
        _ => Reply::empty(404),
    }
}

/// The policies of the token that asks; of a management token, all.
fn mine(asked: &Asked, state: &State) -> Vec<String> {
    if asked.rights.is_management() {
        return state.policies.keys().cloned().collect();
    }
    let token = state.tokens.values().find(|token| token["SecretID"] == *asked.secret);
    let names = token.and_then(|token| token["Policies"].as_array()).into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn policies(asked: &Asked) -> Reply {
    asked.read(
        "acl_policy",
        |state| {
            let mine = mine(asked, state);
            let seen = state.policies.iter().filter(|(name, _)| mine.contains(name));
            let fields = ["CreateIndex", "Description", "Hash", "ModifyIndex", "Name"];
            Some(seen.map(|(_, policy)| stub(policy, &fields)).collect())
        },
        "",
    )
}

fn policy(asked: &Asked, name: &str) -> Reply {
    if !asked.world.read(|state| asked.rights.is_management() || mine(asked, state).iter().any(|own| own == name)) {
        return denied();
    }
    let of = |state: &State| {
        let mut policy = state.policies.get(name)?.clone();
        policy["RulesJSON"] = acl::explained(text(&policy, "Rules"));
        Some(policy)
    };
    asked.read("acl_policy", of, "ACL policy not found")
}

fn put_policy(asked: &Asked, name: &str) -> Reply {
    let body = match asked.body() {
        Ok(body) => body,
        Err(error) => return Reply::text(500, error),
    };
    if text(&body, "Name") != name {
        return Reply::text(400, "ACL policy name does not match request path");
    }
    if !asked.rights.is_management() {
        return denied();
    }
    let mut wrong = Vec::new();
    if name.is_empty() || name.len() > 128 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        wrong.push(format!("invalid name '{name}'"));
    }
    let rules = text(&body, "Rules");
    if let Err(error) = acl::check(rules) {
        wrong.push(format!("failed to parse rules: {error}"));
    }
    if !wrong.is_empty() {
        return Reply::text(404, format!("policy 0 invalid: {}", list(&wrong)));
    }
    asked.world.change(|state| {
        let index = state.next("acl_policy");
        let created = state.policies.get(name).map_or(json!(index), |old| old["CreateIndex"].clone());
        let policy = json!({"Name": name, "Description": text(&body, "Description"), "Rules": rules, "JobACL": null,
            "Hash": hash(&format!("{name}{rules}")), "CreateIndex": created, "ModifyIndex": index});
        state.policies.insert(name.to_owned(), policy);
        written(index, None)
    })
}

fn tokens(asked: &Asked) -> Reply {
    if !asked.rights.is_management() {
        return denied();
    }
    let prefix = asked.request.asked("prefix").unwrap_or_default();
    asked.read(
        "acl_token",
        |state| {
            let mut all: Vec<&Value> = state.tokens.values().collect();
            all.retain(|token| text(token, "AccessorID").starts_with(prefix));
            all.sort_by_key(|token| token["CreateIndex"].as_u64());
            Some(all.into_iter().map(|token| stub(token, SHOWN)).collect())
        },
        "",
    )
}

fn token(asked: &Asked, accessor: &str) -> Reply {
    if let Some(wrong) = malformed(accessor) {
        return Reply::text(500, format!("acl token lookup failed: {wrong}"));
    }
    let owner =
        asked.world.read(|state| state.tokens.get(accessor).is_some_and(|token| token["SecretID"] == *asked.secret));
    if !asked.rights.is_management() && !owner {
        return denied();
    }
    asked.read("acl_token", |state| state.tokens.get(accessor).cloned(), "ACL token not found")
}

/// A new token, or another form of one there is. A new one's accessor and secret are made here, whoever asks for others.
fn put_token(asked: &Asked, path: Option<&str>) -> Reply {
    let body = match asked.body() {
        Ok(body) => body,
        Err(error) => return Reply::text(500, error),
    };
    let accessor = text(&body, "AccessorID").to_owned();
    if path.is_some_and(|path| path != accessor) {
        return Reply::text(400, "ACL token accessor does not match request path");
    }
    if !asked.rights.is_management() {
        return denied();
    }
    let (kind, policies) = (text(&body, "Type").to_owned(), body["Policies"].clone());
    let none = policies.as_array().is_none_or(Vec::is_empty);
    let wrong = match (kind.as_str(), none) {
        ("client", true) => Some("client token missing policies or roles"),
        ("management", false) => Some("management token cannot be associated with policies or roles"),
        ("client" | "management", _) => None,
        _ => Some("token type must be client or management"),
    };
    asked.world.change(|state| {
        let known = state.tokens.contains_key(&accessor);
        if !accessor.is_empty() && !known {
            return Reply::text(400, format!("cannot find token {accessor}"));
        }
        if let Some(wrong) = wrong {
            return Reply::text(400, format!("token 0 invalid: {}", list(&[wrong.to_owned()])));
        }
        let global = body["Global"] == true;
        if !known {
            let token = new(state, text(&body, "Name"), &kind, &policies, global, None);
            return written(state.index, Some(&token));
        }
        if state.tokens[&accessor]["Global"] != global {
            return Reply::text(400, "cannot toggle global mode");
        }
        let index = state.next("acl_token");
        let token = state.tokens.get_mut(&accessor).expect("the token is known");
        token["Name"] = body["Name"].clone();
        token["Type"] = kind.clone().into();
        token["Policies"] = if none { Value::Null } else { policies.clone() };
        token["Hash"] = hash(&format!("{}{kind}{policies}", body["Name"])).into();
        token["ModifyIndex"] = index.into();
        written(index, Some(token))
    })
}

fn delete(asked: &Asked, table: &str, name: &str) -> Reply {
    if !asked.rights.is_management() {
        return denied();
    }
    asked.world.change(|state| {
        let (gone, missing) = match table {
            "acl_policy" => (state.policies.remove(name).is_some(), None),
            _ => (state.tokens.remove(name).is_some(), Some(format!("Cannot delete nonexistent tokens: {name}"))),
        };
        if !gone && let Some(missing) = missing {
            return Reply::text(400, missing);
        }
        written(state.next(table), None)
    })
}
