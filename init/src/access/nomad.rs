//! Nomad's ACL: bootstrapped with the chosen management token; every other token's secret is Nomad's own choice, found again by the token's name.
//! HTTP API: `/v1/acl/bootstrap` (a chosen secret from 1.4 on), `/v1/acl/policy/<name>`, `/v1/acl/token…`, `/v1/namespace/<name>`.
//! May not know a policy: the plan declares them.

use std::collections::BTreeMap;

use anymetal_contract::plan::{Acl, Namespace, Token};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ensured, Wanted};
use crate::api::Api;
use crate::secret::Secret;

#[derive(Deserialize)]
struct NomadPolicy {
    #[serde(rename = "Rules", default)]
    rules: String,
}

#[derive(Deserialize)]
struct NomadToken {
    #[serde(rename = "AccessorID")]
    accessor: String,
    #[serde(rename = "SecretID", default)]
    secret: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Policies", default)]
    policies: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct NomadNamespace {
    #[serde(rename = "Description", default)]
    description: String,
    #[serde(rename = "Capabilities", default)]
    capabilities: Option<NomadCapabilities>,
}

#[derive(Deserialize)]
struct NomadCapabilities {
    #[serde(rename = "DisabledTaskDrivers", default)]
    disabled: Option<Vec<String>>,
}

/// What came of it, and the secrets Nomad made, by the names the plan knows them by.
pub(super) fn ensure(api: &Api<'_>, wanted: &Wanted<'_>) -> anyhow::Result<(Ensured, Vec<(String, Secret)>)> {
    let (mut changes, mut made) = (Vec::new(), Vec::new());
    let own = api.get("/v1/acl/token/self")?;
    if !own.is_good() {
        match bootstrap(api, wanted)? {
            Some(Ensured::Same) => {}
            Some(not_done) => return Ok((not_done, made)),
            None => changes.push("bootstrapped".to_owned()),
        }
    }
    for (name, namespace) in &wanted.access.namespaces {
        changes.extend(self::namespace(api, name, namespace)?);
    }
    for (name, rules) in &wanted.rules {
        changes.extend(policy(api, name, rules)?);
    }
    for token in &wanted.access.tokens {
        let (secret, change) = self::token(api, token)?;
        made.push((token.secret.clone(), secret));
        changes.extend(change);
    }
    Ok((if changes.is_empty() { Ensured::Same } else { Ensured::Done(changes) }, made))
}

/// Nobody is asked for a token to bootstrap with: it is the first. `Some` when it was not done: `Same` when another node of the same site was first.
fn bootstrap(api: &Api<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Option<Ensured>> {
    let body = json!({"BootstrapSecret": wanted.management.expose()});
    let reply = Api::new(&wanted.http, Acl::Nomad, &wanted.access.api, None).put("/v1/acl/bootstrap", &body)?;
    Ok(match reply.status {
        200 => None,
        // "ACL bootstrap already done": by another node with our secret since we asked, or with another secret than ours. Of two nodes that ask at
        // once one gets 500 with the same words, and is asked again like anybody without a leader.
        400 if api.get("/v1/acl/token/self")?.is_good() => Some(Ensured::Same),
        400 => Some(Ensured::Refused(reply.words())),
        _ => Some(Ensured::NotYet(format!("waiting for its ACLs: bootstrapping them, it answers {}", reply.words()))),
    })
}

fn namespace(api: &Api<'_>, name: &str, wanted: &Namespace) -> anyhow::Result<Option<String>> {
    let path = format!("/v1/namespace/{name}");
    let found = api.get(&path)?;
    if found.status != 404 {
        let there: NomadNamespace = found.json()?;
        let disabled = there.capabilities.and_then(|capabilities| capabilities.disabled).unwrap_or_default();
        if (&there.description, &disabled) == (&wanted.description, &wanted.disabled_drivers) {
            return Ok(None);
        }
    }
    let capabilities = if wanted.disabled_drivers.is_empty() {
        Value::Null
    } else {
        json!({"DisabledTaskDrivers": wanted.disabled_drivers})
    };
    let body = json!({"Name": name, "Description": wanted.description, "Capabilities": capabilities});
    api.put(&path, &body)?.good()?;
    Ok(Some(format!("namespace {name}")))
}

fn policy(api: &Api<'_>, name: &str, rules: &str) -> anyhow::Result<Option<String>> {
    let path = format!("/v1/acl/policy/{name}");
    let found = api.get(&path)?;
    if found.status != 404 && found.json::<NomadPolicy>()?.rules == rules {
        return Ok(None);
    }
    let body = json!({"Name": name, "Description": "made by anymetal-init", "Rules": rules});
    api.put(&path, &body)?.good()?;
    Ok(Some(format!("policy {name}")))
}

/// The token of that name with its secret, and what was changed. Of several with one name, which only a run that was cut off in the middle can
/// leave, the first is it: the list is sorted by accessor, so it is the same every time.
fn token(api: &Api<'_>, wanted: &Token) -> anyhow::Result<(Secret, Option<String>)> {
    let name = format!("anymetal {}", wanted.secret);
    let there: Vec<NomadToken> = api.get("/v1/acl/tokens")?.json()?;
    let by_accessor: BTreeMap<&str, &NomadToken> = there
        .iter()
        .filter(|token| token.name == name && token.kind == "client")
        .map(|token| (token.accessor.as_str(), token))
        .collect();
    let mut body = json!({"Name": name, "Type": "client", "Policies": wanted.policies, "Global": false});
    let path = match by_accessor.into_values().next() {
        None => "/v1/acl/token".to_owned(),
        Some(token) => {
            let path = format!("/v1/acl/token/{}", token.accessor);
            if token.policies.as_deref().unwrap_or_default() == wanted.policies {
                // The list leaves the secrets out.
                return Ok((Secret::new(api.get(&path)?.json::<NomadToken>()?.secret), None));
            }
            body["AccessorID"] = token.accessor.as_str().into();
            path
        }
    };
    let made: NomadToken = api.put(&path, &body)?.json()?;
    Ok((Secret::new(made.secret), Some(format!("token {}", wanted.secret))))
}
