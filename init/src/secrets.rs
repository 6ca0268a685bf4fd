//! The site's secrets on this node: read, judged against what the plan wants, handed to the template that declared them.
//! May not print a value, nor look for the document: `plan` and `facts` do.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::secrets::{self, KIND, VERSION};
use anymetal_contract::{Plan, Reason};
use serde::Deserialize;

use crate::secret::Secret;
use anymetal_supply::failure::Failure;
use anymetal_supply::json;

/// What templates call the variables for the DNS provider.
const ACME: &str = "acme";

/// The secrets known by now: those that came, and those that Nomad made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Secrets {
    values: BTreeMap<String, Secret>,
    acme: BTreeMap<String, Secret>,
}

impl Secrets {
    /// Reads the document. Everything that is wrong with it, and everything the plan wants and it lacks, is named at once; no value is.
    pub(crate) fn read(bytes: &[u8], from: &str, plan: &Plan) -> Result<Self, Failure> {
        let invalid =
            |what: String| Failure::new(Reason::SecretsInvalid, format!("reading the secrets {from}: {what}"));
        let document = parse(bytes).map_err(&invalid)?;
        if document.site != plan.site {
            let what = format!("they are those of the site {:?}, and this plan is of {:?}", document.site, plan.site);
            return Err(invalid(what));
        }
        let odd: Vec<String> = document.values.iter().filter_map(|(name, value)| judge(name, value)).collect();
        if !odd.is_empty() {
            return Err(invalid(odd.join("; ")));
        }
        let kept =
            |map: BTreeMap<String, String>| map.into_iter().map(|(name, value)| (name, Secret::new(value))).collect();
        let secrets = Self { values: kept(document.values), acme: kept(document.acme) };
        let missing = secrets.missing(plan);
        if missing.is_empty() {
            return Ok(secrets);
        }
        let what =
            format!("reading the secrets {from}: the plan wants {}, which are not among them", missing.join(", "));
        Err(Failure::new(Reason::SecretsMissing, what))
    }

    /// Puts a word that names it in the place of every secret that the plan wants and that is not there: for a look at what is rendered, never
    /// for a node. Returns their names.
    pub(crate) fn stand_in(&mut self, plan: &Plan) -> Vec<String> {
        let missing: Vec<String> = self.missing(plan).into_iter().map(str::to_owned).collect();
        for name in &missing {
            let word = Secret::new(format!("<secret {name}>"));
            if name == ACME { &mut self.acme } else { &mut self.values }.insert(name.clone(), word);
        }
        missing
    }

    /// What the plan wants and is not there.
    fn missing<'p>(&self, plan: &'p Plan) -> Vec<&'p str> {
        let has = |name: &str| if name == ACME { !self.acme.is_empty() } else { self.values.contains_key(name) };
        plan.wanted_secrets().into_iter().filter(|name| !has(name)).collect()
    }

    /// Every value, to be hidden wherever it might be said.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Secret> {
        self.values.values().chain(self.acme.values())
    }

    /// One secret, when it is known.
    pub(crate) fn value(&self, name: &str) -> Option<&Secret> {
        self.values.get(name)
    }

    /// A secret that was made on this node.
    pub(crate) fn made(&mut self, name: &str, value: Secret) {
        self.values.insert(name.to_owned(), value);
    }

    /// These secrets in the clear, for the template that declared them; and those that are not known.
    pub(crate) fn exposed(&self, names: &[String]) -> (BTreeMap<String, serde_json::Value>, BTreeSet<String>) {
        let (mut known, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for name in names {
            let value = if name == ACME {
                let variables = self.acme.iter().map(|(name, value)| (name.clone(), value.expose().into()));
                Some(serde_json::Value::Object(variables.collect()))
            } else {
                self.values.get(name).map(|value| value.expose().into())
            };
            match value {
                Some(value) => _ = known.insert(name.clone(), value),
                None => _ = unknown.insert(name.clone()),
            }
        }
        (known, unknown)
    }
}

/// The document's form. serde's own words may quote what they did not expect, so they are not repeated: only the place is.
fn parse(bytes: &[u8]) -> Result<secrets::Secrets, String> {
    #[derive(Deserialize)]
    struct Peek {
        kind: Option<String>,
        version: Option<u32>,
    }
    let placed = |error: json::NotJson| format!("they are not a document of secrets ({})", error.place());
    let peek: Peek = json::read(bytes).map_err(placed)?;
    if peek.kind.as_deref() != Some(KIND) || peek.version != Some(VERSION) {
        return Err(format!("they are not of kind {KIND:?} and version {VERSION}"));
    }
    json::read(bytes).map_err(placed)
}

fn judge(name: &str, value: &str) -> Option<String> {
    let Some(known) = secrets::named(name) else { return Some(format!("there is no secret named {name:?}")) };
    known.shape.judge(value).err().map(|words| format!("{name} is not {words}"))
}

#[cfg(test)]
mod tests {
    use anymetal_contract::plan::File;
    use serde_json::json;

    use super::*;
    use crate::goldens;

    const UUID: &str = "0123abcd-0123-4567-89ab-0123456789ab";

    fn plan(wants: &[&str]) -> Plan {
        let secrets = wants.iter().map(ToString::to_string).collect();
        goldens::plan(vec![File { secrets, ..goldens::template("bird/bird.conf") }])
    }

    fn document(site: &str, values: &serde_json::Value) -> String {
        json!({"kind": KIND, "version": VERSION, "site": site, "values": values}).to_string()
    }

    fn refused(text: &str, wants: &[&str]) -> (Reason, String) {
        let failure = Secrets::read(text.as_bytes(), "of the test", &plan(wants)).unwrap_err();
        (failure.reason, failure.chain())
    }

    #[test]
    fn what_the_plan_wants_is_there_and_only_the_declared_is_exposed() {
        let text = document("demo", &json!({"consul_agent": UUID, "hippo_password": "hunter2hunter2"}));
        let mut secrets = Secrets::read(text.as_bytes(), "of the test", &plan(&["consul_agent"])).unwrap();
        secrets.made("nomad_hippo", Secret::new("made"));
        let names = ["consul_agent", "nomad_hippo", "nomad_gossip"].map(str::to_owned);
        let (known, unknown) = secrets.exposed(&names);
        assert_eq!(
            known,
            BTreeMap::from([("consul_agent".into(), UUID.into()), ("nomad_hippo".into(), "made".into())])
        );
        assert_eq!(unknown, BTreeSet::from(["nomad_gossip".to_owned()]));
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[test]
    fn everything_missing_or_misshapen_is_named_and_no_value_is() {
        for (text, wants, reason, said) in [
            (
                document("demo", &json!({})),
                &["nomad_gossip", "hippo_jwt"][..],
                Reason::SecretsMissing,
                "the plan wants hippo_jwt, nomad_gossip, which are not among them",
            ),
            (
                document("other", &json!({})),
                &[],
                Reason::SecretsInvalid,
                r#"they are those of the site "other", and this plan is of "demo""#,
            ),
            (
                document("demo", &json!({"hippo_password": "hunter2", "consul_agent": "hunter2", "mood": "hunter2"})),
                &[],
                Reason::SecretsInvalid,
                "consul_agent is not a UUID in lower case, 36 characters; hippo_password is not 8 to 200 printable characters, \
                 without spaces, quotes, backslashes and dollar signs; there is no secret named \"mood\"",
            ),
            (document("demo", &json!({"hippo_password": ["hunter2"]})), &[], Reason::SecretsInvalid, "(at 1:"),
            ("{\"hunter2".to_owned(), &[], Reason::SecretsInvalid, "not a document of secrets"),
            ("{}".to_owned(), &[], Reason::SecretsInvalid, "not of kind \"anymetal.secrets\" and version 1"),
        ] {
            let (found, chain) = refused(&text, wants);
            assert_eq!(found, reason, "{chain}");
            assert!(chain.starts_with("reading the secrets of the test: ") && chain.contains(said), "{chain}");
            assert!(!chain.contains("hunter2"), "{chain}");
        }
    }
}
