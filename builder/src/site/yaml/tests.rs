//! What a text becomes, and what is said when it cannot become anything.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// The tree in one line, or what was said.
fn read(text: &str) -> String {
    let mut findings = Findings::of(Path::new("s"));
    let root = parse(text, &mut findings);
    let said: Vec<_> = findings.sorted().iter().map(ToString::to_string).collect();
    match root {
        Some(root) if said.is_empty() => shown(&root),
        Some(_) | None => said.join("\n"),
    }
}

fn shown(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(Scalar { text, plain: true }) => text.clone(),
        Kind::Scalar(Scalar { text, plain: false }) => format!("{text:?}"),
        Kind::Sequence(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Kind::Mapping(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}: {}", key.scalar.text, shown(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

#[test]
fn scalars_keep_the_text_of_their_author() {
    for (text, tree) in [
        ("a: 1.10", "{a: 1.10}"),
        ("a: 010\nb: 1_000\nc: no\nd: 0x1f", "{a: 010, b: 1_000, c: no, d: 0x1f}"),
        ("a: '1.10'\nb: \"x\\ty\"", "{a: \"1.10\", b: \"x\\ty\"}"),
        ("a: 54825:222", "{a: 54825:222}"),
        ("[2001:db8::/64, ::1/128, 147.75.195.143/32]", "[2001:db8::/64, ::1/128, 147.75.195.143/32]"),
        ("a: !!str 5", "{a: \"5\"}"),
        ("a: ! 5", "{a: \"5\"}"),
        ("a: |\n  x\n  y\n", "{a: \"x\\ny\\n\"}"),
        ("a:\r\n  - b\r\n  - c\r\n", "{a: [b, c]}"),
        ("--- \na: b\n...\n", "{a: b}"),
        ("a: &x [1, 2]\nb: *x\nc: *x", "{a: [1, 2], b: [1, 2], c: [1, 2]}"),
        ("# only\na: b # comment", "{a: b}"),
        ("!!map {a: !!seq [b]}", "{a: [b]}"),
    ] {
        assert_eq!(read(text), tree, "{text}");
    }
}

#[test]
fn nodes_know_where_they_stand() {
    let mut findings = Findings::of(Path::new("s"));
    let root = parse("é: ü\nlist:\n  - &a {k: v}\n  - *a\n", &mut findings).unwrap();
    let Kind::Mapping(entries) = &root.kind else { panic!("{root:?}") };
    let Kind::Sequence(items) = &entries[1].1.kind else { panic!("{root:?}") };
    let Kind::Mapping(inner) = &items[1].kind else { panic!("{root:?}") };
    let marks = [root.at, entries[0].1.at, entries[1].0.at, items[0].at, items[1].at, inner[0].1.at];
    assert_eq!(marks.map(|mark| mark.to_string()), ["1:1", "1:4", "2:1", "3:5", "4:5", "3:12"]);
}

#[test]
fn what_is_not_one_plain_document_is_refused() {
    let nothing = "s:1:1: there is nothing in this file; hint: write at least `version: 1` and what follows it";
    for (text, said) in [
        ("", nothing),
        ("# a comment\n", nothing),
        ("---\n", nothing),
        ("~", nothing),
        (
            "a: b\n---\nc: d\n",
            "s:2:1: a second document begins here; hint: one file holds one document: remove the `---`",
        ),
        ("a: 1\nb: 2\na: 3\n", "s:3:1: the key `a` is given twice, first at 1:1; hint: keep one of them"),
        ("a: 1\n\"a\": 3\n", "s:2:1: the key `a` is given twice, first at 1:1; hint: keep one of them"),
        (
            "x: &x {a: 1}\ny:\n  <<: *x\n",
            "s:3:3: merge keys (`<<`) are not supported; hint: write the keys out; an alias may stand for a whole value",
        ),
        ("a: !!int 5", "s:1:4: the tag `!!int` is not understood here; hint: remove the tag"),
        ("a: !vault x", "s:1:4: the tag `!vault` is not understood here; hint: remove the tag"),
        (
            "a: !!binary eA==",
            "s:1:4: the tag `!!binary` is not understood here; hint: in `write_files`, use `encoding: b64`",
        ),
        (
            "{{ site }}: x",
            "s:1:2: a key must be text, found a list or a mapping; hint: put text that begins with a bracket between quotes",
        ),
        (": x", "s:1:1: a key is missing before the colon; hint: write the key, or put the text between quotes"),
        ("a: &a [*a]", "s:1:8: this alias stands inside the very thing it names; hint: write out what is meant"),
    ] {
        assert_eq!(read(text), said, "{text}");
    }
}

#[test]
fn what_is_not_yaml_is_said_with_its_place() {
    for (text, said) in [
        ("a: [1, 2", "s:1:9: not YAML:"),
        ("a: \"x", "s:1:4: not YAML:"),
        ("a: b: c", "s:1:5: not YAML:"),
        ("a: 1\n  b: 2\n", "s:2:4: not YAML:"),
        ("a: *b", "s:1:4: not YAML:"),
        ("a: @b", "s:1:4: not YAML:"),
        ("a: %b", "s:1:4: not YAML:"),
    ] {
        let found = read(text);
        assert!(found.starts_with(said), "{text:?} gives {found}");
        assert!(found.contains("; hint: look at the lines above too"), "{found}");
        assert!(!found.contains('\n'), "{found}");
    }
    let tab = read("a:\n\tb: c\n");
    assert!(tab.starts_with("s:2:1: not YAML: ") || tab.starts_with("s:2:2: not YAML: "), "{tab}");
    assert!(tab.ends_with("; hint: indent with spaces: YAML knows no tabs there"), "{tab}");
}

#[test]
fn an_anchor_bomb_does_not_go_off() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let before = format!("*a{}", level - 1);
        writeln!(bomb, "a{level}: &a{level} [{}]", [before.as_str(); 10].join(", ")).unwrap();
    }
    assert_eq!(read(&bomb), "s:4:45: aliases expand to more than 10000 nodes; hint: write fewer aliases of aliases");
}

#[test]
fn one_long_text_and_many_aliases_are_a_bomb_too() {
    let bomb = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 19), ["*a"; 50].join(", "));
    assert_eq!(
        read(&bomb),
        "s:2:29: aliases expand to more than 4194304 bytes of text; hint: write fewer aliases of aliases"
    );
}

#[test]
fn a_flood_of_nodes_ends_at_the_budget() {
    let flood = "- a\n".repeat(NODES);
    assert_eq!(
        read(&flood),
        "s:10000:3: the document has more than 10000 nodes; hint: a site is far smaller: check that this is the right file"
    );
}

#[test]
fn depth_ends_at_the_budget_whatever_makes_it() {
    let said = |place: &str| {
        format!("s:{place}: nested more than 32 deep; hint: a site is far flatter: check the brackets here")
    };
    assert_eq!(
        read(&format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH))),
        format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH))
    );
    assert_eq!(read(&"[".repeat(100)), said("1:33"));
    assert_eq!(read(&"- ".repeat(100)), said("1:65"));
    assert_eq!(read(&"{a: ".repeat(100)), said("1:129"));
    for piece in ["[", "- ", "{a: ", "? "] {
        let found = read(&piece.repeat(200_000));
        assert!(found.contains("nested more than 32 deep"), "{found}");
    }
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..60 {
        writeln!(chain, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert_eq!(read(&chain), said("32:12"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_text_is_read_or_refused(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn text_made_of_yaml_is_read_or_refused(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "a", "b: ", "- ", "? ", ": ", ":", "\n", "\n  ", "\n    ", "[", "]", "{", "}", ", ", "\"", "'", "|\n", ">-\n", "&a ", "*a ", "!!str ",
                "!t ", "#", " #", "---\n", "...\n", "%YAML 1.2\n", "%TAG ! x\n", "\t", "\r\n", "\\", "\\u00e9", "é", "<<: ", "~", "0", "|2\n", "@", "`",
            ]),
            0..40,
        )
    ) {
        let text = pieces.concat();
        let found = read(&text);
        prop_assert!(!found.is_empty());
    }
}
