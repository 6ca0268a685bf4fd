//! Access control against scripted APIs: what is asked for, in which order, and what is made of each answer. The real programs are asked in the
//! suites of the platform.
//! May not need a Consul or a Nomad.

use std::sync::{Arc, Mutex};

use anymetal_contract::Digest;
use anymetal_contract::plan::{Arch, Namespace};
use anymetal_lab::authority::Authority;
use anymetal_lab::http::{Response, Server};
use anymetal_supply::http::Limits;
use serde_json::{Value, json};

use super::*;
use crate::facts;
use crate::goldens;
use crate::metadata;
use crate::secrets::Secrets;
use crate::world::{Overrides, Planned};

const TOKEN: &str = "00000000-0000-4000-8000-00000000000c";

/// A world with the goldens' facts and secrets.
fn world() -> (World, Authority) {
    let world = World::new("/nonexistent", Arch::X86_64, Overrides::default());
    #[expect(clippy::disallowed_methods, reason = "documents are files")]
    let text = std::fs::read_to_string(goldens::documents().join("v4-v6.json")).unwrap();
    let plan = goldens::plan(vec![]);
    let machine = metadata::read("equinix-metal", &text).unwrap();
    world.facts.set(facts::make(&plan, &machine, &Secrets::default(), Arch::X86_64).unwrap()).unwrap();
    world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).unwrap();
    world.learn(goldens::secrets());
    let authority = Authority::new();
    world.cluster.set(api::pinned(authority.certificate.as_bytes(), Limits::QUESTION).unwrap()).ok().unwrap();
    (world, authority)
}

fn access(of: Acl, api: &str) -> Access {
    let policy = Policy { needs: vec!["node".into()], rules: "node {{ node }}".into() };
    let (management, token) = match of {
        Acl::Consul => ("consul_management", "consul_nomad"),
        Acl::Nomad => ("nomad_management", "nomad_hippo"),
    };
    let namespace = Namespace { description: "applications".into(), disabled_drivers: vec!["raw_exec".into()] };
    Access {
        of,
        api: api.into(),
        management: management.into(),
        reader: None,
        policies: [("p".to_owned(), policy)].into(),
        tokens: vec![Token { secret: token.into(), policies: vec!["p".into()] }],
        namespaces: if of == Acl::Nomad { [("default".to_owned(), namespace)].into() } else { [].into() },
    }
}

/// What an API answers: method and path to status and body; what is there twice, in this order. What is not in the list is 404.
type Script = Vec<(&'static str, u16, Value)>;

/// Puts access right against that script. What came of it, and what was put, with bodies.
fn against(
    (world, authority): &(World, Authority),
    of: Acl,
    script: Script,
) -> (Result<Ensured, Failure>, Vec<(String, Value)>) {
    let put = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&put);
    let server = Server::start_tls("127.0.0.1:0", authority.server(), move |request, before| {
        let asked = format!("{} {}", request.method, request.path);
        if request.method == "PUT" {
            kept.lock().unwrap().push((request.path.clone(), serde_json::from_slice(&request.body).unwrap()));
        }
        let answers: Vec<_> = script.iter().filter(|(question, _, _)| *question == asked).collect();
        match answers.get(before.min(answers.len().saturating_sub(1))) {
            Some((_, status, Value::String(text))) => Response::new(*status, text.as_str()),
            Some((_, status, body)) => Response::new(*status, body.to_string()),
            None => Response::new(404, "not found"),
        }
    });
    let ensured = ensure(world, &access(of, &server.url()));
    let put = put.lock().unwrap().clone();
    (ensured, put)
}

fn done(ensured: Result<Ensured, Failure>) -> Vec<String> {
    match ensured.unwrap() {
        Ensured::Done(changes) => changes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn consul_gets_what_it_lacks_and_is_left_alone_when_it_lacks_nothing() {
    let world = world();
    let own = json!({"AccessorID": "a", "Policies": [{"Name": "p"}]});
    let there = json!([{"ID": "1", "Name": "p"}]);
    let rules = |rules: &str| json!({"ID": "1", "Name": "p", "Rules": rules});
    let whole = |text: &str| -> Script {
        vec![
            ("GET /v1/acl/token/self", 200, own.clone()),
            ("GET /v1/acl/policies", 200, there.clone()),
            ("GET /v1/acl/policy/1", 200, rules(text)),
            ("PUT /v1/acl/policy/1", 200, rules(text)),
            ("PUT /v1/acl/token/a", 200, own.clone()),
        ]
    };
    assert_eq!(against(&world, Acl::Consul, whole("node edge-1")).0.unwrap(), Ensured::Same);
    let (ensured, put) = against(&world, Acl::Consul, whole("node other"));
    assert_eq!(done(ensured), ["policy p"]);
    assert_eq!((put[0].0.as_str(), &put[0].1["Rules"]), ("/v1/acl/policy/1", &json!("node edge-1")));
}

#[test]
fn a_consul_that_is_not_ready_is_waited_for_in_its_own_words() {
    let world = world();
    let (ensured, put) = against(&world, Acl::Consul, vec![("GET /v1/acl/token/self", 403, "ACL not found".into())]);
    let why = "waiting for its ACLs to know the management token: it answers 403, ACL not found";
    assert_eq!(ensured.unwrap(), Ensured::NotYet(why.into()));
    assert!(put.is_empty());
}

#[test]
fn nomad_is_bootstrapped_with_the_chosen_token_and_the_one_it_makes_is_kept_and_hidden() {
    let world = world();
    let made =
        json!({"AccessorID": "b", "SecretID": "made-just-now", "Name": "anymetal nomad_hippo", "Type": "client"});
    let script: Script = vec![
        ("GET /v1/acl/token/self", 403, "ACL token not found".into()),
        ("PUT /v1/acl/bootstrap", 200, json!({})),
        ("PUT /v1/namespace/default", 200, Value::Null),
        ("PUT /v1/acl/policy/p", 200, Value::Null),
        ("GET /v1/acl/tokens", 200, json!([])),
        ("PUT /v1/acl/token", 200, made),
    ];
    let (ensured, put) = against(&world, Acl::Nomad, script);
    assert_eq!(done(ensured), ["bootstrapped", "namespace default", "policy p", "token nomad_hippo"]);
    let paths: Vec<&str> = put.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/v1/acl/bootstrap", "/v1/namespace/default", "/v1/acl/policy/p", "/v1/acl/token"]);
    let management = world.0.secrets().value("nomad_management").unwrap().expose().to_owned();
    assert_eq!(put[0].1, json!({"BootstrapSecret": management}));
    assert_eq!(put[1].1["Capabilities"], json!({"DisabledTaskDrivers": ["raw_exec"]}));
    assert_eq!(world.0.secrets().value("nomad_hippo").unwrap().expose(), "made-just-now");
    assert_eq!(world.0.without_secrets("it is made-just-now"), "it is ........");
}

#[test]
fn nomad_as_it_should_be_is_read_and_not_written() {
    let world = world();
    let stub = json!({"AccessorID": "b", "Name": "anymetal nomad_hippo", "Type": "client", "Policies": ["p"]});
    let mut whole = stub.clone();
    whole["SecretID"] = TOKEN.into();
    let script: Script = vec![
        ("GET /v1/acl/token/self", 200, json!({})),
        (
            "GET /v1/namespace/default",
            200,
            json!({"Description": "applications", "Capabilities": {"DisabledTaskDrivers": ["raw_exec"]}}),
        ),
        ("GET /v1/acl/policy/p", 200, json!({"Rules": "node edge-1"})),
        ("GET /v1/acl/tokens", 200, json!([stub])),
        ("GET /v1/acl/token/b", 200, whole),
    ];
    let (ensured, put) = against(&world, Acl::Nomad, script);
    assert_eq!(ensured.unwrap(), Ensured::Same);
    assert!(put.is_empty(), "{put:?}");
    assert_eq!(world.0.secrets().value("nomad_hippo").unwrap().expose(), TOKEN);
}

#[test]
fn a_nomad_of_other_secrets_is_refused_and_one_without_a_leader_waited_for() {
    let world = world();
    let script = |status, words: &'static str| -> Script {
        vec![
            ("GET /v1/acl/token/self", 403, "ACL token not found".into()),
            ("PUT /v1/acl/bootstrap", status, words.into()),
        ]
    };
    let already = "ACL bootstrap already done (reset index: 7)";
    let refused = Ensured::Refused(format!("400, {already}"));
    assert_eq!(against(&world, Acl::Nomad, script(400, already)).0.unwrap(), refused);
    let (ensured, _) = against(&world, Acl::Nomad, script(500, "No cluster leader"));
    let why = "waiting for its ACLs: bootstrapping them, it answers 500, No cluster leader";
    assert_eq!(ensured.unwrap(), Ensured::NotYet(why.into()));
}

#[test]
fn a_nomad_that_another_node_bootstrapped_meanwhile_is_not_refused() {
    let world = world();
    let stub = json!({"AccessorID": "b", "Name": "anymetal nomad_hippo", "Type": "client", "Policies": ["p"]});
    let mut whole = stub.clone();
    whole["SecretID"] = TOKEN.into();
    let done = "ACL bootstrap already done (reset index: 12)";
    let rest: Script = vec![
        ("GET /v1/namespace/default", 404, Value::Null),
        ("PUT /v1/namespace/default", 200, Value::Null),
        ("GET /v1/acl/policy/p", 200, json!({"Rules": "node edge-1"})),
        ("GET /v1/acl/tokens", 200, json!([stub])),
        ("GET /v1/acl/token/b", 200, whole),
    ];
    let own = "GET /v1/acl/token/self";
    let mut script: Script = vec![
        (own, 403, "ACL token not found".into()),
        ("PUT /v1/acl/bootstrap", 400, done.into()),
        (own, 200, json!({})),
    ];
    script.extend(rest);
    let (ensured, _) = against(&world, Acl::Nomad, script);
    assert_eq!(self::done(ensured), ["namespace default"]);
    // At once, the later of two gets 500 with the same words.
    let script: Script = vec![(own, 403, "ACL token not found".into()), ("PUT /v1/acl/bootstrap", 500, done.into())];
    let (ensured, _) = against(&world, Acl::Nomad, script);
    assert!(matches!(ensured.unwrap(), Ensured::NotYet(_)));
}

#[test]
fn a_secret_that_is_not_there_is_named() {
    let world = world();
    let mut access = access(Acl::Consul, "http://127.0.0.1:1");
    access.tokens[0].secret = "nomad_gossipy".into();
    let failure = ensure(&world.0, &access).unwrap_err();
    assert_eq!(failure.reason, Reason::SecretsMissing);
    assert!(failure.chain().ends_with("does not have the secret nomad_gossipy"), "{}", failure.chain());
}
