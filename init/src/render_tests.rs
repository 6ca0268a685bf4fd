//! Rendering: what a template may see, and what is said when it is broken.
//! May not hold documents: those lie in `tests/metadata`.
#![expect(clippy::disallowed_methods, reason = "documents are files")]

use anymetal_contract::plan::Arch;

use super::*;
use crate::facts;
use crate::goldens;
use crate::metadata;

fn facts_of(document: &str, change: impl Fn(&mut metadata::Machine)) -> Facts {
    let text = std::fs::read_to_string(goldens::documents().join(document)).unwrap();
    let mut machine = metadata::read("equinix-metal", &text).unwrap();
    change(&mut machine);
    facts::make(&goldens::plan(vec![]), &machine, &Secrets::default(), Arch::X86_64).unwrap()
}

fn file(needs: &[&str], body: &str) -> File {
    let needs = needs.iter().map(ToString::to_string).collect();
    File { name: "x/x.conf".into(), needs, body: body.into(), ..goldens::template("bird/bird.conf") }
}

fn rendered(needs: &[&str], body: &str) -> String {
    render(&file(needs, body), &facts_of("v4-multihop-md5.json", |_| {}), &Secrets::default()).unwrap()
}

fn broken(needs: &[&str], body: &str) -> String {
    let failure =
        render(&file(needs, body), &facts_of("v4-multihop-md5.json", |_| {}), &Secrets::default()).unwrap_err();
    assert_eq!(failure.reason, Reason::TemplateBroken);
    failure.chain()
}

#[test]
fn a_template_says_what_its_facts_are() {
    assert_eq!(rendered(&["node", "anycast4"], "{{ node }} {{ anycast4 | length }}\n"), "edge-1 0\n");
    let loops = "{% for n in neighbours %}{{ loop.index }}:{{ n.address }} {% endfor %}";
    assert_eq!(rendered(&["neighbours"], loops), "1:169.254.255.1 2:169.254.255.2 ");
}

#[test]
fn nothing_is_escaped_as_in_html() {
    let facts = facts_of("v4-multihop.json", |machine| machine.hostname = "<a&b>'\"".into());
    assert_eq!(render(&file(&["node"], "{{ node }}"), &facts, &Secrets::default()).unwrap(), "<a&b>'\"");
}

#[test]
fn a_fact_that_is_not_declared_cannot_be_used() {
    for body in ["{{ metro }}", "{% if metro %}x{% endif %}", "{{ metro | default(value='x') }}", "{{ metro or 'x' }}"]
    {
        let said = broken(&["site"], body);
        assert_eq!(said, "rendering x/x.conf: it uses metro, which its front matter does not need", "{body}");
    }
}

#[test]
fn a_fact_that_has_no_value_cannot_be_used() {
    let facts = facts_of("hollow-instance-c.json", |_| {});
    let failure =
        render(&file(&["private4"], "{% if private4 %}x{% endif %}"), &facts, &Secrets::default()).unwrap_err();
    assert_eq!(failure.chain(), "rendering x/x.conf: it needs private4, which this node does not have");
}

#[test]
fn a_broken_template_is_named_with_the_place() {
    for (body, words) in [
        ("{{ site", "x/x.conf:1:"),
        ("{{ site | sparkle }}", "sparkle"),
        ("\n{{ site.planet }}", "x/x.conf:2:"),
        ("{% include 'y' %}", "'y'"),
    ] {
        let said = broken(&["site"], body);
        assert!(said.starts_with("rendering x/x.conf: ") && said.contains(words), "{body} gave {said}");
    }
}

#[test]
fn a_broken_template_does_not_tell_the_password() {
    for body in [
        "{{ neighbours[0].password | int }}",
        "{{ neighbours[neighbours[0].password] }}",
        "{{ 1 + neighbours[0].password }}",
    ] {
        let said = broken(&["neighbours"], body);
        assert!(!said.contains("not a real secret"), "{body} gave {said}");
    }
}

#[test]
fn json_is_json_whatever_the_machine_is_called() {
    for name in ["edge-1", "a\"b", "back\\slash", "tab\tnew\nline", "{{ site }}", "héß", "</script>\u{1}"] {
        let facts = facts_of("v4-multihop.json", |machine| machine.hostname = name.into());
        let text = render(&goldens::template("consul/consul.json"), &facts, &goldens::secrets()).unwrap();
        let json: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name:?}: {error}: {text}"));
        assert_eq!(json["node_name"], name);
        assert_eq!(json["bind_addr"], "127.0.0.1");
    }
}

#[test]
fn a_text_is_known_by_its_generation() {
    let facts = facts_of("v4-multihop.json", |_| ());
    let made = |body: &str| render(&file(&["site"], body), &facts, &Secrets::default()).unwrap();
    let text = made("comment \"generation @GENERATION@\" {{ site }}");
    let generation = text.split(' ').nth(2).unwrap().trim_end_matches('"').to_owned();
    assert!(generation.len() == 16 && generation.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    assert_eq!(made("comment \"generation @GENERATION@\" {{ site }}"), text, "the same text has another");
    assert!(
        !made("comment \"generation @GENERATION@\" {{ site }}.").contains(&generation),
        "another text has the same"
    );
}
