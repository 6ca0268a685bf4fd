//! Proxies of the environment: what goes through them and what does not, beside curl.

use std::process::{Command, Stdio};

use anymetal_lab::http::{Response, Server};

use super::desk::{Blob, Desk, PROXIES, Ran, asked, good};

/// A proxy that gives these blobs by the absolute form, and no tunnel: squid's and tinyproxy's way with any port but 443.
fn proxy(blobs: &[Blob]) -> Server {
    let blobs = blobs.to_vec();
    Server::start(move |request, _| {
        if request.method == "CONNECT" {
            return Response::new(403, "");
        }
        match asked(request, &blobs) {
            Some(blob) if request.path.starts_with("http://") => Response::file(request, &blob.bytes),
            _ => Response::not_found(),
        }
    })
}

fn lines(server: &Server) -> Vec<String> {
    server.requests().iter().map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// `fetch` of one blob from this origin, by this environment.
fn fetched(blob: &Blob, origin: &str, variables: &[(&str, &str)]) -> Ran {
    let desk = Desk::new(std::slice::from_ref(blob), &[origin]);
    let mut command = desk.anymetal(&["fetch", "site.yaml", "--cache", "cache", "--retries", "0"]);
    Ran::of(command.envs(variables.iter().copied()).output().unwrap())
}

#[test]
fn plain_http_goes_by_the_absolute_form_and_not_at_all_by_the_proxy_for_https() {
    let blob = Blob::consul(2000, 31);
    let (proxy, origin) = (proxy(std::slice::from_ref(&blob)), good(std::slice::from_ref(&blob)));
    let ran = fetched(&blob, &origin.url(), &[("https_proxy", &proxy.url())]);
    assert_eq!(ran.done()[0], blob.line(&origin.url()));
    assert_eq!((lines(&proxy).len(), lines(&origin).len()), (0, 1), "{:?}", lines(&proxy));

    let ran = fetched(&blob, &origin.url(), &[("http_proxy", &proxy.url())]);
    assert_eq!(ran.done()[0], blob.line(&origin.url()));
    assert_eq!(lines(&proxy), [format!("GET {}/sha256/{}", origin.url(), blob.hex())]);
    assert_eq!(lines(&origin).len(), 1, "it was asked beside the proxy");
}

#[test]
fn a_name_that_only_the_proxy_can_look_up_is_left_to_it() {
    let blob = Blob::consul(2000, 32);
    let proxy = proxy(std::slice::from_ref(&blob));
    let url = proxy.url().replace("http://", "http://user:w%40rd@");
    let ran = fetched(&blob, "http://mirror.invalid/am", &[("all_proxy", &url)]);
    assert_eq!(ran.done()[0], blob.line("http://mirror.invalid/am"));
    let requests = proxy.requests();
    assert_eq!(requests[0].header("proxy-authorization"), Some("Basic dXNlcjp3QHJk"));
    assert_eq!(requests[0].header("host"), Some("mirror.invalid"));
}

#[test]
fn a_proxy_that_refuses_or_cannot_be_used_is_named_with_its_variable() {
    let blob = Blob::consul(2000, 33);
    let proxy = proxy(std::slice::from_ref(&blob));
    let ran = fetched(&blob, "https://mirror.invalid/am", &[("HTTPS_PROXY", &proxy.url())]);
    let words = format!("the proxy {} of HTTPS_PROXY answered 403 to CONNECT mirror.invalid:443", proxy.url());
    assert!(ran.code == Some(2) && ran.times(&words) > 0, "{}", ran.stderr);
    let ran = fetched(&blob, "http://mirror.invalid/am", &[("all_proxy", "socks5://user:hunter2@127.0.0.1:9")]);
    let words =
        "all_proxy of the environment names a proxy of the kind \"socks5\", and only http and https proxies are used";
    assert!(ran.code == Some(2) && ran.times(words) > 0 && ran.times("hunter2") == 0, "{}", ran.stderr);
}

/// Whether the proxy saw it, when curl asks and when we do.
#[test]
fn every_request_goes_where_curl_sends_it() {
    let blob = Blob::consul(2000, 34);
    let proxy = proxy(std::slice::from_ref(&blob));
    let url = proxy.url();
    let bare = url.trim_start_matches("http://").to_owned();
    let here = format!("http://user@{bare}/");
    for (origin, variables) in [
        ("http://a.invalid/am", &[("http_proxy", url.as_str())][..]),
        ("http://a.invalid/am", &[("http_proxy", bare.as_str())]),
        ("http://a.invalid/am", &[("http_proxy", here.as_str())]),
        ("http://a.invalid/am", &[("HTTP_PROXY", url.as_str())]),
        ("http://a.invalid/am", &[("https_proxy", url.as_str())]),
        ("https://a.invalid/am", &[("http_proxy", url.as_str())]),
        ("https://a.invalid/am", &[("https_proxy", url.as_str())]),
        ("https://a.invalid/am", &[("HTTPS_PROXY", url.as_str())]),
        ("https://a.invalid/am", &[("HTTPS_PROXY", url.as_str()), ("https_proxy", "http://127.0.0.1:1")]),
        ("https://a.invalid/am", &[("ALL_PROXY", url.as_str())]),
        ("http://a.invalid/am", &[("all_proxy", url.as_str()), ("http_proxy", "")]),
        ("http://a.invalid/am", &[("all_proxy", url.as_str()), ("no_proxy", "*")]),
        ("http://a.invalid/am", &[("all_proxy", url.as_str()), ("no_proxy", "b.invalid,invalid")]),
        ("http://a.invalid/am", &[("all_proxy", url.as_str()), ("no_proxy", ".a.invalid")]),
        ("http://a.invalid/am", &[("all_proxy", url.as_str()), ("no_proxy", "*.invalid")]),
        ("http://a.invalid:81/am", &[("all_proxy", url.as_str()), ("no_proxy", "a.invalid:81")]),
        ("http://aa.invalid/am", &[("all_proxy", url.as_str()), ("NO_PROXY", "a.invalid")]),
        ("http://a.invalid/am", &[("all_proxy", url.as_str()), ("NO_PROXY", "A.INVALID")]),
        ("http://127.0.0.1:1/am", &[("all_proxy", url.as_str())]),
        ("http://127.0.0.1:1/am", &[("all_proxy", url.as_str()), ("no_proxy", "127.0.0.0/8")]),
        ("http://127.0.0.1:1/am", &[("all_proxy", url.as_str()), ("no_proxy", "127.0.0.0/8, localhost")]),
        ("http://127.0.0.1:1/am", &[("all_proxy", url.as_str()), ("no_proxy", "128.0.0.0/8")]),
        ("http://127.0.0.1:1/am", &[("all_proxy", url.as_str()), ("no_proxy", "127.0.0.1")]),
        ("http://[::1]:1/am", &[("all_proxy", url.as_str()), ("no_proxy", "::1")]),
        ("http://[::1]:1/am", &[("all_proxy", url.as_str()), ("no_proxy", "::2")]),
    ] {
        let seen = || proxy.requests().iter().filter(|request| !request.path.contains("consul.zip")).count();
        let before = seen();
        let mut curl = Command::new("curl");
        for name in PROXIES {
            curl.env_remove(name);
        }
        let target = format!("{origin}/sha256/{}", blob.hex());
        let ran = curl.args(["-q", "-s", "-o", "/dev/null", "-m", "20", &target]).envs(variables.iter().copied());
        ran.stdin(Stdio::null()).status().expect("curl can be run");
        let by_curl = seen() - before;
        fetched(&blob, origin, variables);
        let by_us = seen() - before - by_curl;
        assert_eq!(by_us > 0, by_curl > 0, "{target} with {variables:?}: curl's requests {by_curl}, ours {by_us}");
    }
}
