//! Where a token goes, and where it does not.

use anymetal_lab::authority::Authority;
use anymetal_lab::http::{Response, Server};
use anymetal_lab::thief::Thief;
use serde_json::json;

use super::*;

const TOKEN: &str = "305c481d-0000-4000-8000-00000000000c";

fn http(authority: &Authority) -> Http {
    pinned(authority.certificate.as_bytes(), Limits::within(std::time::Duration::from_secs(5))).unwrap()
}

#[test]
fn the_token_goes_in_the_header_of_its_program_and_nowhere_else() {
    let authority = Authority::new();
    for (of, header) in [(Acl::Consul, "x-consul-token"), (Acl::Nomad, "x-nomad-token")] {
        let server = Server::start_tls("127.0.0.1:0", authority.server(), move |request, _| {
            let sent = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(header));
            assert_eq!(sent.map(|(_, value)| value.as_str()), Some(TOKEN));
            Response::new(403, "Permission denied\n")
        });
        let token = Secret::new(TOKEN);
        let base = format!("{}/", server.url());
        let http = http(&authority);
        let error = Api::new(&http, of, &base, Some(&token)).get("/v1/nodes").unwrap().json::<Value>().unwrap_err();
        let expected = format!("{} answers GET /v1/nodes with 403, Permission denied", name(of));
        assert_eq!(format!("{error:#}"), expected);
    }
}

/// What a thief got, and what is said of him.
fn robbed(thief: &Thief, authority: &Authority) -> (Vec<u8>, String) {
    let (token, base) = (Secret::new(TOKEN), format!("https://{}", thief.address()));
    let http = http(authority);
    let api = Api::new(&http, Acl::Consul, &base, Some(&token));
    let error = api.put("/v1/acl/bootstrap", &json!({"BootstrapSecret": TOKEN})).err().expect("a thief was believed");
    assert!(thief.visits() > 0, "nobody came to the thief");
    (thief.stolen(), format!("{error:#}"))
}

#[test]
fn a_thief_at_the_port_gets_no_token_and_is_named() {
    let (authority, others) = (Authority::new(), Authority::new());
    let elsewhere = authority.issue(&["server.dc1.consul", "10.0.0.1"]);
    for (who, thief) in [
        ("plain", Thief::plain("127.0.0.1:0")),
        ("of another CA", Thief::tls("127.0.0.1:0", others.server())),
        ("of other names", Thief::tls("127.0.0.1:0", elsewhere.server())),
    ] {
        let thief = thief.unwrap();
        let (stolen, said) = robbed(&thief, &authority);
        assert!(!stolen.is_empty(), "{who}: not even a handshake was begun");
        let got = String::from_utf8_lossy(&stolen);
        assert!(!got.contains(TOKEN) && !got.contains("/v1/"), "{who}: {got}");
        let at = thief.address();
        let own = std::process::id();
        assert!(
            said.starts_with(&format!("whoever answers at {at} has no certificate of this site's CA")),
            "{who}: {said}"
        );
        assert!(said.contains(&format!("(process {own}, user ")) && said.contains("; hint: "), "{who}: {said}");
    }
}

#[test]
fn a_redirect_is_not_followed_with_a_token() {
    let authority = Authority::new();
    let elsewhere = Server::start_tls("127.0.0.1:0", authority.server(), |_, _| Response::ok("{}"));
    let url = elsewhere.url();
    let here = Server::start_tls("127.0.0.1:0", authority.server(), move |_, _| Response {
        headers: vec![("Location".into(), url.clone())],
        ..Response::new(307, "")
    });
    let (token, base, http) = (Secret::new(TOKEN), here.url(), http(&authority));
    assert_eq!(Api::new(&http, Acl::Nomad, &base, Some(&token)).get("/v1/nodes").unwrap().status, 307);
    assert!(elsewhere.requests().is_empty(), "the token went elsewhere");
}

#[test]
fn no_secret_goes_to_an_api_without_tls() {
    let server = Server::start(|_, _| Response::ok("\"127.0.0.1:8300\""));
    let (token, base) = (Secret::new(TOKEN), server.url());
    let plain = Http::afresh(Limits::QUESTION, Certificates::Checked);
    let with = Api::new(&plain, Acl::Consul, &base, Some(&token)).get("/v1/nodes").err().unwrap();
    let body = Api::new(&plain, Acl::Nomad, &base, None).put("/v1/acl/bootstrap", &json!({})).err().unwrap();
    for error in [with, body] {
        assert!(format!("{error:#}").contains("no secret goes to an API without TLS"), "{error:#}");
    }
    assert!(server.requests().is_empty());
    let authority = Authority::new();
    let error = Api::new(&http(&authority), Acl::Consul, &base, None).get("/v1/nodes").err().unwrap();
    assert!(server.requests().is_empty(), "the site's own client asked by plain HTTP: {error:#}");
}
