//! Who may do what with Consul and Nomad: namespaces, policies and tokens as the plan declares them, made so, and told whether anything changed.
//! May not wait: what is not there yet is said, and asked for again.

mod consul;
mod nomad;

use anymetal_contract::Reason;
use anymetal_contract::plan::{Access, Acl, Policy, Token};

use crate::api::{self, Api};
use crate::render::{Template, render};
use crate::secret::Secret;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::http::Http;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ensured {
    /// All is so, after these changes.
    Done(Vec<String>),
    /// All was so.
    Same,
    /// It cannot be made so yet.
    NotYet(String),
    /// The management token is not accepted, and never will be.
    Refused(String),
}

/// What the plan declares, with what this node knows.
struct Wanted<'a> {
    access: &'a Access,
    /// Who asks.
    http: Http,
    management: Secret,
    /// By name, rendered.
    rules: Vec<(&'a str, String)>,
    /// The tokens whose secret was chosen (Consul).
    chosen: Vec<(&'a Token, Secret)>,
}

/// Makes access control what the plan declares.
pub(crate) fn ensure(world: &World, access: &Access) -> Result<Ensured, Failure> {
    let rules = access
        .policies
        .iter()
        .map(|(name, policy)| Ok((name.as_str(), rules(world, name, policy)?)))
        .collect::<Result<_, Failure>>()?;
    let chosen = access.tokens.iter().filter(|_| access.of == Acl::Consul);
    let chosen = chosen.map(|token| Ok((token, known(world, &token.secret)?))).collect::<Result<_, Failure>>()?;
    let http = api::client(world).because(Reason::HostFault)?;
    let wanted = Wanted { access, http, management: known(world, &access.management)?, rules, chosen };
    let api = Api::new(&wanted.http, access.of, &access.api, Some(&wanted.management));
    let ensured = match access.of {
        Acl::Consul => consul::ensure(&api, &wanted),
        Acl::Nomad => nomad::ensure(&api, &wanted).map(|(ensured, made)| {
            for (name, secret) in made {
                world.hidden.add([&secret]);
                world.secrets().made(&name, secret);
            }
            ensured
        }),
    };
    // Whatever goes wrong between two programs on one machine that have just started may be right a moment later.
    Ok(ensured.unwrap_or_else(|error| Ensured::NotYet(format!("{error:#}"))))
}

/// A secret by its name. The phase `plan` has seen to it that all that come from outside are there.
pub(crate) fn known(world: &World, name: &str) -> Result<Secret, Failure> {
    let secret = world.secrets().value(name).cloned();
    secret.ok_or_else(|| {
        let message = format!("putting access right: this node does not have the secret {name}");
        Failure::new(Reason::SecretsMissing, message)
    })
}

fn rules(world: &World, name: &str, policy: &Policy) -> Result<String, Failure> {
    let template = Template { name, needs: &policy.needs, secrets: &[], body: &policy.rules };
    render(template, world.facts(), &world.secrets())
}

#[cfg(test)]
mod tests;
