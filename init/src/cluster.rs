//! Whether Consul and Nomad have a leader and count this node in, by their HTTP APIs.
//! May not wait: what is not so yet is told with what is lacking.

use anyhow::anyhow;
use anymetal_supply::http;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::{self, Api};

/// Why Consul or Nomad does not count this node in.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) kind: MissingKind,
    pub(crate) error: anyhow::Error,
}

/// Which kind of reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingKind {
    /// It does not run, or has no leader: it is being started, or is gone.
    Away,
    /// It takes the question and says nothing: it hangs.
    Mute,
    /// It does not know this node.
    Unknown,
    /// It answers, and what it says of this node is bad; or it is somebody else that answers.
    Refused,
}

impl Missing {
    fn away(error: anyhow::Error) -> Self {
        let kind = if http::timed_out(&error) {
            MissingKind::Mute
        } else if http::certificate_refused(&error) {
            MissingKind::Refused
        } else {
            MissingKind::Away
        };
        Self { kind, error }
    }

    fn of(kind: MissingKind, words: String) -> Self {
        Self { kind, error: anyhow!(words) }
    }
}

/// The leader's address (`GET /v1/status/leader`, the same for both, an address in quotes or empty quotes). No token is needed for it. `stale`:
/// Nomad without a leader says so at once, instead of waiting five seconds for one (nomad/rpc.go, forward); Consul does so anyway.
pub(crate) fn leader(api: &Api<'_>) -> Result<String, Missing> {
    let leader: String = get(api, "/v1/status/leader?stale")?;
    if leader.is_empty() {
        return Err(Missing::of(MissingKind::Away, format!("{} has no leader yet", api::name(api.of()))));
    }
    Ok(leader)
}

/// Whether Consul takes the agent of this node for alive (`GET /v1/health/node/<node>`, the check that its gossip makes).
pub(crate) fn consul_agent_passes(api: &Api<'_>, node: &str) -> Result<(), Missing> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ConsulCheck {
        #[serde(rename = "CheckID")]
        id: String,
        status: String,
        #[serde(default)]
        output: String,
    }
    let checks: Vec<ConsulCheck> = get(api, &format!("/v1/health/node/{node}"))?;
    let Some(alive) = checks.iter().find(|check| check.id == "serfHealth") else {
        return Err(Missing::of(MissingKind::Unknown, format!("Consul does not know the node {node} yet")));
    };
    if alive.status != "passing" {
        let words = format!("Consul says that {node} is {}: {}", alive.status, alive.output.trim());
        return Err(Missing::of(MissingKind::Refused, words));
    }
    Ok(())
}

/// Whether Nomad takes this node for one that jobs may be placed on (`GET /v1/nodes`).
pub(crate) fn nomad_node_is_ready(api: &Api<'_>, node: &str) -> Result<(), Missing> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct NomadNode {
        name: String,
        status: String,
        #[serde(default)]
        scheduling_eligibility: String,
    }
    let nodes: Vec<NomadNode> = get(api, "/v1/nodes")?;
    // A machine that was set up anew is there twice for a while, once as down.
    let own = || nodes.iter().filter(|one| one.name == node);
    let Some(known) = own().find(|one| one.status == "ready").or_else(|| own().next()) else {
        return Err(Missing::of(MissingKind::Unknown, format!("Nomad does not know the node {node} yet")));
    };
    if known.status != "ready" {
        // A client that has just been started registers as `initializing` first.
        let kind = if known.status == "initializing" { MissingKind::Away } else { MissingKind::Refused };
        return Err(Missing::of(kind, format!("Nomad says that {node} is {}", known.status)));
    }
    if known.scheduling_eligibility == "ineligible" {
        let hint = "somebody has drained it; `nomad node eligibility -enable` lets it be again";
        return Err(Missing::of(MissingKind::Refused, format!("{node} is not eligible for jobs: {hint}")));
    }
    Ok(())
}

fn get<T: DeserializeOwned>(api: &Api<'_>, path: &str) -> Result<T, Missing> {
    api.get(path).and_then(api::Reply::json).map_err(Missing::away)
}

#[cfg(test)]
mod tests {
    use anymetal_contract::plan::Acl;
    use anymetal_lab::http::{Response, Server};

    use super::*;
    use anymetal_supply::http::{Certificates, Http, Limits};

    fn http() -> Http {
        Http::afresh(Limits::QUESTION, Certificates::Checked)
    }

    fn said<T>(of: Acl, body: &str, ask: impl FnOnce(&Api<'_>) -> Result<T, Missing>) -> Result<T, String> {
        let body = body.to_owned();
        let server = Server::start(move |_, _| Response::ok(body.clone()));
        ask(&Api::new(&http(), of, &format!("{}/", server.url()), None))
            .map_err(|missing| format!("{:#}", missing.error))
    }

    #[test]
    fn a_leader_is_a_string_that_is_not_empty() {
        assert_eq!(said(Acl::Consul, "\"10.0.0.1:8300\"\n", leader).unwrap(), "10.0.0.1:8300");
        assert_eq!(said(Acl::Consul, "\"\"", leader).unwrap_err(), "Consul has no leader yet");
        let error = said(Acl::Nomad, "<html>", leader).unwrap_err();
        assert!(error.starts_with("reading what Nomad answers to GET /v1/status/leader?stale"), "{error}");
        let server = Server::start(|_, _| Response::new(500, "No known Consul servers"));
        let error = leader(&Api::new(&http(), Acl::Consul, &server.url(), None)).unwrap_err();
        assert_eq!(error.kind, MissingKind::Away);
        assert!(format!("{:#}", error.error).ends_with("with 500, No known Consul servers"), "{error:?}");
    }

    #[test]
    fn consul_must_take_the_agent_for_alive() {
        let check = |id: &str, status: &str| format!(r#"{{"CheckID":"{id}","Status":"{status}","Output":"gone\n"}}"#);
        for (checks, why) in [
            (format!("[{},{}]", check("service:x", "critical"), check("serfHealth", "passing")), Ok(())),
            (format!("[{}]", check("serfHealth", "critical")), Err("Consul says that n1 is critical: gone")),
            ("[]".to_owned(), Err("Consul does not know the node n1 yet")),
        ] {
            let said = said(Acl::Consul, &checks, |api| consul_agent_passes(api, "n1"));
            assert_eq!(said, why.map_err(str::to_owned));
        }
    }

    #[test]
    fn nomad_must_take_the_node_for_ready_and_eligible() {
        let node = |name: &str, status: &str, eligible: &str| {
            format!(r#"{{"Name":"{name}","Status":"{status}","SchedulingEligibility":"{eligible}"}}"#)
        };
        let others = node("n2", "ready", "eligible");
        for (own, why) in [
            (node("n1", "ready", "eligible"), Ok(())),
            (format!("{},{}", node("n1", "down", "eligible"), node("n1", "ready", "eligible")), Ok(())),
            (node("n1", "down", "eligible"), Err("Nomad says that n1 is down")),
            (node("n1", "ready", "ineligible"), Err("n1 is not eligible for jobs: ")),
            (node("n3", "ready", "eligible"), Err("Nomad does not know the node n1 yet")),
        ] {
            let said = said(Acl::Nomad, &format!("[{others},{own}]"), |api| nomad_node_is_ready(api, "n1"));
            match (said, why) {
                (Ok(()), Ok(())) => {}
                (Err(said), Err(why)) => assert!(said.starts_with(why), "{said}"),
                (said, why) => panic!("{said:?} instead of {why:?}"),
            }
        }
    }
}
