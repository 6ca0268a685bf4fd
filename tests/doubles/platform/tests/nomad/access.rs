//! Who may do what.

use serde_json::json;

use super::agent::{Agent, MANAGEMENT, job};

#[test]
fn the_chosen_secret_is_taken_once() {
    let agent = Agent::with(&json!({}));
    agent.leads();
    let bootstrap = |body| agent.ask("POST", "/v1/acl/bootstrap", "", Some(&body));
    let wrong = bootstrap(json!({"BootstrapSecret": "short"}));
    assert_eq!((wrong.status, wrong.text.as_str()), (400, "invalid acl token"));
    let token = bootstrap(json!({"BootstrapSecret": MANAGEMENT})).json();
    assert_eq!((&token["SecretID"], &token["Type"]), (&json!(MANAGEMENT), &json!("management")));
    let again = bootstrap(json!({"BootstrapSecret": MANAGEMENT}));
    assert_eq!(again.status, 400);
    assert!(again.text.starts_with("ACL bootstrap already done (reset index: "), "{}", again.text);
    let own = agent.get("/v1/acl/token/self").json();
    assert_eq!(own["AccessorID"], token["AccessorID"]);
}

#[test]
fn without_the_right_token_nothing_is_said() {
    let agent = Agent::start();
    let stranger = "99999999-2222-3333-4444-555555555555";
    for path in ["/v1/jobs", "/v1/job/x", "/v1/nodes", "/v1/agent/self", "/v1/acl/tokens", "/v1/job/x/allocations"] {
        let none = agent.ask("GET", path, "", None);
        assert_eq!((none.status, none.text.as_str()), (403, "Permission denied"), "{path}");
        let unknown = agent.ask("GET", path, stranger, None);
        // From 1.5 on an unknown token is said to be none of the agent's.
        assert_eq!(unknown.status, 403, "{path}: {}", unknown.text);
        assert!(
            ["ACL token not found", "Permission denied"].contains(&unknown.text.as_str()),
            "{path}: {}",
            unknown.text
        );
    }
    assert_eq!(agent.ask("GET", "/v1/status/leader", "", None).status, 200);
    assert_eq!(agent.ask("GET", "/v1/agent/health", "", None).status, 200);
}

#[test]
fn a_token_may_what_its_policies_allow_in_their_namespace() {
    let agent = Agent::start();
    assert_eq!(agent.post("/v1/namespace/platform", &json!({"Name": "platform"})).status, 200);
    let rules = r#"namespace "default" { capabilities = ["list-jobs", "read-job", "submit-job", "read-logs"] }"#;
    let hippo = agent.token("hippo", rules);
    let get = |path: &str| agent.ask("GET", path, &hippo, None).status;
    assert_eq!((get("/v1/jobs"), get("/v1/job/x"), get("/v1/job/x/allocations")), (200, 404, 200));
    assert_eq!((get("/v1/jobs?namespace=platform"), get("/v1/nodes"), get("/v1/acl/tokens")), (403, 403, 403));
    let sleep = |namespace: &str| {
        let mut sleep = job("mine", "/bin/sleep", &["1000"], &json!({}), &json!({}));
        sleep["Job"]["Namespace"] = namespace.into();
        agent.ask("POST", "/v1/jobs", &hippo, Some(&sleep))
    };
    assert_eq!(sleep("default").status, 200);
    let refused = sleep("platform");
    assert_eq!((refused.status, refused.text.as_str()), (403, "Permission denied"));
    let names = agent.ask("GET", "/v1/namespaces", &hippo, None).json();
    assert_eq!(names.as_array().unwrap().len(), 1);
}

#[test]
fn who_may_read_nodes_may_read_nothing_else() {
    let agent = Agent::start();
    let guard = agent.token("guard", "node { policy = \"read\" }\n");
    let get = |path: &str| agent.ask("GET", path, &guard, None);
    let nodes = get("/v1/nodes").json();
    assert!(nodes[0]["Name"].is_string() && nodes[0]["Status"].is_string(), "{nodes}");
    for path in ["/v1/jobs", "/v1/job/x", "/v1/agent/self", "/v1/acl/tokens", "/v1/job/x/allocations"] {
        assert_eq!(get(path).status, 403, "{path}");
    }
}

#[test]
fn tokens_get_their_ids_from_nomad_and_can_be_changed() {
    let agent = Agent::start();
    agent.token("one", r#"node { policy = "read" }"#);
    let known = "22222222-2222-3333-4444-555555555555";
    let body = json!({"Name": "x", "Type": "client", "Policies": ["one"], "AccessorID": known});
    let refused = agent.post("/v1/acl/token", &body);
    assert_eq!(refused.status, 400);
    assert!(refused.text.to_lowercase().contains("cannot find token"), "{}", refused.text);
    let token = agent.post("/v1/acl/token", &json!({"Name": "x", "Type": "client", "Policies": ["one"]})).json();
    let accessor = token["AccessorID"].as_str().unwrap();
    let body = json!({"Name": "y", "Type": "client", "Policies": ["one"], "AccessorID": accessor});
    let changed = agent.post(&format!("/v1/acl/token/{accessor}"), &body).json();
    assert_eq!((&changed["Name"], &changed["SecretID"]), (&json!("y"), &token["SecretID"]));
    let listed = agent.get("/v1/acl/tokens").json();
    assert!(listed.as_array().unwrap().iter().all(|token| token.get("SecretID").is_none()));
}

#[test]
fn wrong_rules_and_drivers_that_are_not_allowed_are_refused() {
    let agent = Agent::start();
    let wrong = json!({"Name": "bad", "Rules": "namespace \"default\" { capabilities = [\"fly\"] }"});
    let refused = agent.post("/v1/acl/policy/bad", &wrong);
    assert!(refused.status >= 400 && refused.text.contains("Invalid namespace capability 'fly'"), "{}", refused.text);
    let only = json!({"Name": "default", "Capabilities": {"DisabledTaskDrivers": ["raw_exec"]}});
    assert_eq!(agent.post("/v1/namespace/default", &only).status, 200);
    let refused = agent.post("/v1/jobs", &job("a", "/bin/true", &[], &json!({}), &json!({})));
    assert_eq!(refused.status, 500);
    assert!(
        refused.text.contains("used task driver \"raw_exec\" is not allowed in namespace \"default\""),
        "{}",
        refused.text
    );
    let nowhere = agent.post("/v1/jobs?namespace=nope", &job("a", "/bin/true", &[], &json!({}), &json!({})));
    assert!(nowhere.text.contains("job \"a\" is in nonexistent namespace \"nope\""), "{}", nowhere.text);
}
