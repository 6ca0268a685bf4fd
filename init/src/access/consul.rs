//! Consul's ACL: its configuration seeds the management token, and every other token has the secret that was chosen for it.
//! HTTP API: `/v1/acl/policies`, `/v1/acl/policy[/<id>]`, `/v1/acl/token[/self|/<accessor>]`; the same from 1.5 to 2.0.
//! May not know a policy: the plan declares them.

use std::collections::BTreeSet;

use anymetal_contract::plan::Token;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ensured, Wanted};
use crate::api::Api;
use crate::secret::Secret;

#[derive(Deserialize)]
struct ConsulPolicy {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Rules", default)]
    rules: String,
}

#[derive(Deserialize)]
struct ConsulToken {
    #[serde(rename = "AccessorID")]
    accessor: String,
    #[serde(rename = "Policies", default)]
    policies: Option<Vec<ConsulLink>>,
}

#[derive(Deserialize)]
struct ConsulLink {
    #[serde(rename = "Name")]
    name: String,
}

pub(super) fn ensure(api: &Api<'_>, wanted: &Wanted<'_>) -> anyhow::Result<Ensured> {
    // Right after its first election a leader has not yet made the token it is configured with (403, "ACL not found"), and while it takes its
    // ACLs into use it answers 500. A data folder of another site answers 403 for ever: the phase's deadline tells the two apart.
    let own = api.get("/v1/acl/token/self")?;
    if !own.is_good() {
        return Ok(Ensured::NotYet(format!(
            "waiting for its ACLs to know the management token: it answers {}",
            own.words()
        )));
    }
    let mut changes = policies(api, &wanted.rules)?;
    for (token, secret) in &wanted.chosen {
        changes.extend(self::token(api, wanted, token, secret)?);
    }
    Ok(if changes.is_empty() { Ensured::Same } else { Ensured::Done(changes) })
}

fn policies(api: &Api<'_>, wanted: &[(&str, String)]) -> anyhow::Result<Vec<String>> {
    let there: Vec<ConsulPolicy> = api.get("/v1/acl/policies")?.json()?;
    let mut changes = Vec::new();
    for (name, rules) in wanted {
        let body = json!({"Name": name, "Description": "made by anymetal-init", "Rules": rules});
        let path = match there.iter().find(|policy| policy.name == *name) {
            None => "/v1/acl/policy".to_owned(),
            Some(policy) => {
                // The list leaves the rules out.
                let path = format!("/v1/acl/policy/{}", policy.id);
                if api.get(&path)?.json::<ConsulPolicy>()?.rules == *rules {
                    continue;
                }
                path
            }
        };
        api.put(&path, &body)?.good()?;
        changes.push(format!("policy {name}"));
    }
    Ok(changes)
}

fn token(api: &Api<'_>, all: &Wanted<'_>, wanted: &Token, secret: &Secret) -> anyhow::Result<Option<String>> {
    let Token { secret: name, policies } = wanted;
    let links: Vec<Value> = policies.iter().map(|policy| json!({"Name": policy})).collect();
    let mut body = json!({"SecretID": secret.expose(), "Description": format!("anymetal: {name}"), "Policies": links});
    // Who has this secret is found by asking with it.
    let own = Api::new(&all.http, all.access.of, &all.access.api, Some(secret)).get("/v1/acl/token/self")?;
    let path = if own.is_good() {
        let there: ConsulToken = own.json()?;
        let has: BTreeSet<String> = there.policies.into_iter().flatten().map(|link| link.name).collect();
        if has.iter().eq(policies.iter().collect::<BTreeSet<_>>()) {
            return Ok(None);
        }
        body["AccessorID"] = there.accessor.as_str().into();
        format!("/v1/acl/token/{}", there.accessor)
    } else {
        "/v1/acl/token".to_owned()
    };
    api.put(&path, &body)?.good()?;
    Ok(Some(format!("token {name}")))
}
