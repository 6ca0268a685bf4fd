use super::*;

fn proxies(variables: &[(&str, &str)]) -> Proxies {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Proxies::of(move |name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
}

fn route(proxies: &Proxies, url: &str) -> String {
    match proxies.route(&url.parse().unwrap()) {
        Ok(None) => "direct".into(),
        Ok(Some(proxy)) => proxy.to_string(),
        Err(unusable) => format!("error: {unusable}"),
    }
}

#[test]
fn a_variable_is_for_its_own_scheme_and_read_in_the_cases_that_curl_reads() {
    let (plain, tls) = ("http://a.example/x", "https://a.example/x");
    for (variables, of_plain, of_tls) in [
        (&[("https_proxy", "http://p:1")][..], "direct", "the proxy http://p:1 of https_proxy"),
        (&[("http_proxy", "http://p:1")], "the proxy http://p:1 of http_proxy", "direct"),
        (&[("HTTPS_PROXY", "http://p:1")], "direct", "the proxy http://p:1 of HTTPS_PROXY"),
        (&[("HTTP_PROXY", "http://p:1")], "direct", "direct"),
        (&[("ALL_PROXY", "p:1")], "the proxy http://p:1 of ALL_PROXY", "the proxy http://p:1 of ALL_PROXY"),
        (
            &[("http_proxy", ""), ("all_proxy", "p")],
            "the proxy http://p:1080 of all_proxy",
            "the proxy http://p:1080 of all_proxy",
        ),
        (
            &[("https_proxy", "HTTPS://p"), ("HTTPS_PROXY", "http://q:1"), ("all_proxy", "http://r:1")],
            "the proxy http://r:1 of all_proxy",
            "the proxy https://p:443 of https_proxy",
        ),
        (&[], "direct", "direct"),
    ] {
        let proxies = proxies(variables);
        assert_eq!((route(&proxies, plain), route(&proxies, tls)), (of_plain.into(), of_tls.into()), "{variables:?}");
    }
}

#[test]
fn another_kind_of_proxy_is_an_error_that_names_the_variable_and_only_where_it_would_be_used() {
    let socks = proxies(&[("all_proxy", "socks5h://user:hunter2@p:1080"), ("no_proxy", "b.example")]);
    let said = route(&socks, "http://a.example/");
    assert!(said.starts_with("error: all_proxy of the environment names a proxy of the kind \"socks5h\""), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    assert_eq!(route(&socks, "http://b.example/"), "direct");
    for value in ["http://", "http://p:x", "http://p:99999", "http://:80", "http://a b:1", "http://user:hunter2@"] {
        let said = route(&proxies(&[("http_proxy", value)]), "http://a.example/");
        assert!(
            said.starts_with("error: http_proxy of the environment is not like http://host:port"),
            "{value}: {said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn credentials_become_a_header_and_are_not_shown() {
    for (value, plain) in [
        ("http://user:word@p:1", Some("user:word")),
        ("user:p%40ss%3aword%@p:1", Some("user:p@ss:word%")),
        ("http://user@p:1", Some("user:")),
        ("http://p:1", None),
    ] {
        let proxies = proxies(&[("http_proxy", value)]);
        let proxy = proxies.route(&"http://a.example/".parse().unwrap()).unwrap().unwrap();
        let expected = plain.map(|plain| format!("Basic {}", BASE64_STANDARD.encode(plain)));
        assert_eq!(proxy.authorization, expected, "{value}");
        assert_eq!(format!("{proxy:?}"), "the proxy http://p:1 of http_proxy");
    }
}

/// What `tests/` of curl's own `unit1614` has, and a little more: host, list, whether it is exempt.
#[test]
fn no_proxy_is_read_as_curl_reads_it() {
    for (host, list, exempt) in [
        ("www.example.com", "localhost .example.com .example.de", true),
        ("www.example.com", "localhost,.example.com,.example.de", true),
        ("www.example.com.", "localhost,.example.com,.example.de", true),
        ("example.com", "localhost,.example.com,.example.de", true),
        ("example.com.", "localhost,example.com.", true),
        ("www.example.com", "localhost .example.net example.de", false),
        ("nonexample.com", "example.com", false),
        ("EXAMPLE.com", ".Example.COM", true),
        ("a.example.com", "*.example.com", false),
        ("a.example.com", "*", true),
        ("a.example.com", "*,b.example", false),
        ("a.example.com", "a.example.com:80", false),
        ("192.168.1.1", "192.168.0.0/16", true),
        ("192.168.1.1", "192.168.0.0/24", false),
        ("192.160.1.1", "foo, bar, 192.168.0.0/24", false),
        ("192.168.1.1", "192.168.1.1", true),
        ("192.168.1.1", "192.168.1.1/33", false),
        ("192.168.1.1", "168.1.1", false),
        ("192.168.1.1", ".1", false),
        ("192.168.1.1", "0.0.0.0/0", false),
        ("[::1]", "foo, bar, ::1/64", true),
        ("[::1]", "[::1]", true),
        ("[fe80::1%25eth0]", "fe80::/64", true),
        ("[2001:db8::1]", "192.168.0.0/16,2001:db9::/32", false),
        ("host.example", "", false),
        ("bbb", "b", false),
        ("localhost", "localhost", true),
    ] {
        assert_eq!(is_exempt(host, list), exempt, "{host} in {list:?}");
    }
}

#[test]
fn what_is_near_is_never_asked_through_a_proxy_whatever_the_environment_says() {
    let all = [("all_proxy", "http://p:1"), ("no_proxy", "nothing.example")];
    let (curl, node) = (proxies(&all), proxies(&all).sparing([("10.70.17.0".parse().unwrap(), 24)]));
    for url in [
        "http://127.0.0.1:8500/v1",
        "https://127.8.9.1/",
        "http://localhost:4646/",
        "http://LOCALHOST./",
        "http://[::1]:80/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/v1.json",
        "http://[fe80::1]/",
        "http://10.70.17.10:36633/sha256/x",
    ] {
        assert_eq!(route(&curl, url), "the proxy http://p:1 of all_proxy", "{url}: a desk is as curl is");
        assert_eq!(route(&node, url), "direct", "{url}");
    }
    for url in ["http://10.70.18.10/", "https://origin.example/", "http://128.0.0.1/", "http://mylocalhost/"] {
        assert_eq!(route(&node, url), "the proxy http://p:1 of all_proxy", "{url}");
    }
}
