//! Closures of small indexes, written by hand: what is there, what is wanted, what comes out, side by side.
//! May not check signatures: `tests/lock_debian.rs` resolves from whole archives.

use std::fmt::Write as _;

use super::*;

/// A digest of 64 digits, the same for the same name and version.
fn digest(name: &str, version: &str) -> String {
    let sum = name.bytes().chain(version.bytes()).fold(7_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into()));
    format!("{sum:064x}")
}

/// An index with one line a package: `name version`, then fields, all parted by `; `. Whoever says `base` is required.
fn index(lines: &[&str]) -> String {
    let stanza = |line: &&str| {
        let mut parts = line.split("; ");
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let mut text = format!("Package: {name}\nVersion: {version}\n");
        let mut fields: BTreeMap<String, String> = [
            ("Architecture", "amd64"),
            ("Priority", "optional"),
            ("Size", "7"),
            ("Filename", &format!("pool/main/{name}_{version}.deb")),
            ("SHA256", &digest(name, version)),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for part in parts {
            let (name, value) = if part == "base" { ("Priority", "required") } else { part.split_once(": ").unwrap() };
            fields.insert(name.to_owned(), value.to_owned());
        }
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            writeln!(text, "{name}: {value}").unwrap();
        }
        text + "\n"
    };
    lines.iter().map(stanza).collect()
}

fn source(name: &str) -> Source {
    Source { name: name.into(), url: format!("http://{name}.example/debian"), known: None }
}

/// The names, or all the error's sentences, of what `wanted` (names, parted by blanks) takes from these suites.
fn resolved(suites: &[(&str, &str)], wanted: &str) -> Result<Vec<Package>, String> {
    let sources: Vec<Source> = suites.iter().map(|(name, _)| source(name)).collect();
    let texts: Vec<(&Source, &str)> = sources.iter().zip(suites).map(|(source, (_, text))| (source, *text)).collect();
    let wanted = wanted.split_whitespace().map(str::to_owned).collect();
    resolve(&Archive::named("debian-12").unwrap().base, &texts, "amd64", &wanted).map_err(|e| format!("{e:#}"))
}

fn names(lines: &[&str], wanted: &str) -> Result<String, String> {
    let packages = resolved(&[("bookworm", &index(lines))], wanted)?;
    Ok(packages.into_iter().map(|package| package.name).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_package_comes_after_all_it_needs_and_the_base_is_left_out() {
    for (lines, wanted, expected) in [
        (&["libc 1; base", "bird 2; Depends: libc, libssh (>= 1)", "libssh 1"][..], "bird", "libssh bird"),
        // What the base needs is there with it.
        (&["tar 1; Essential: yes; Depends: libacl", "libacl 1", "x 1; Depends: libacl"], "x", "x"),
        (&["tar 1; Priority: important", "x 1"], "tar", ""),
        (&["tar 1; Priority: standard", "x 1"], "tar", "tar"),
        (&["x 1", "y 1"], "", ""),
        // Nobody's recommendations.
        (&["x 1; Recommends: y; Suggests: y", "y 1"], "x", "x"),
        // By name, where nobody needs the other.
        (&["a 1", "b 1", "c 1; Depends: b"], "c b a", "a b c"),
        (&["zz 1", "a 1; Depends: zz"], "a", "zz a"),
        // Circles: the smallest name first, whoever is not in it before.
        (&["a 1; Depends: b", "b 1; Depends: c, a", "c 1"], "a", "c a b"),
        // But whoever has to be there before the other is unpacked.
        (&["aa 1; Pre-Depends: bb", "bb 1; Depends: aa"], "aa", "bb aa"),
        (&["aa 1; Pre-Depends: bb, cc", "bb 1; Pre-Depends: cc", "cc 1; Depends: aa"], "aa", "cc bb aa"),
        (&["aa 1; Architecture: all", "bb 1; Architecture: arm64"], "aa", "aa"),
    ] {
        assert_eq!(names(lines, wanted).as_deref(), Ok(expected), "{wanted} of {lines:#?}");
    }
}

#[test]
fn of_alternatives_the_one_that_is_there_then_the_one_that_comes_anyway_then_the_first() {
    for (lines, wanted, expected) in [
        (&["x 1; Depends: a | b", "a 1", "b 1; base"][..], "x", "x"),
        (&["x 1; Depends: a | b, c", "a 1", "b 1", "c 1; Depends: b"], "x", "b c x"),
        (&["x 1; Depends: a | b", "a 1", "b 1"], "x b", "b x"),
        (&["x 1; Depends: a | b", "a 1", "b 1"], "x", "a x"),
        (&["x 1; Depends: a | b", "b 1"], "x", "b x"),
        (&["x 1; Depends: a (>= 2) | b", "a 1", "b 1"], "x", "b x"),
        // What cannot be installed itself is none.
        (&["x 1; Depends: a | b", "a 1; Depends: gone", "b 1"], "x", "b x"),
        (&["x 1; Depends: a | b", "a 1; Depends: c", "c 1; Depends: a, gone", "b 1"], "x", "b x"),
        // Nor is what clashes.
        (&["x 1; Depends: a | b", "a 1; Conflicts: x", "b 1"], "x", "b x"),
        (&["x 1; Depends: a | b", "a 1", "b 1", "c 1; base; Breaks: a (<< 2)"], "x", "b x"),
    ] {
        assert_eq!(names(lines, wanted).as_deref(), Ok(expected), "{wanted} of {lines:#?}");
    }
}

#[test]
fn a_name_is_answered_by_whoever_provides_it_in_that_version() {
    for (lines, expected) in [
        (&["x 1; Depends: mta", "exim 1; Provides: mta"][..], "exim x"),
        (&["x 1; Depends: mta", "exim 1; Provides: other, mta (= 3)"], "exim x"),
        // The package of that name goes before; then the priority, then the name.
        (&["x 1; Depends: mta", "exim 1; Provides: mta", "mta 1"], "mta x"),
        (&["x 1; Depends: mta", "b 1; Provides: mta", "a 1; Provides: mta"], "a x"),
        (&["x 1; Depends: mta", "b 1; Provides: mta; Priority: standard", "a 1; Provides: mta"], "b x"),
        // A version is provided only where it is said.
        (&["x 1; Depends: mta (>= 2) | y", "exim 9; Provides: mta", "y 1"], "x y"),
        (&["x 1; Depends: mta (>= 2) | y", "exim 1; Provides: mta (= 2)", "y 1"], "exim x"),
        (&["x 1; Depends: mta (>= 2) | y", "exim 1; Provides: mta (= 1)", "y 1"], "x y"),
    ] {
        let names = names(lines, "x").map(|names| {
            let mut names: Vec<&str> = names.split(' ').collect();
            names.sort_unstable();
            names.join(" ")
        });
        assert_eq!(names.as_deref(), Ok(expected), "{lines:#?}");
    }
}

#[test]
fn relations_are_read_as_dpkg_reads_them() {
    for (depends, there) in [
        ("y (= 1:1.0-1)", true),
        ("y (>= 1:1.0~rc1)", true),
        ("y (>> 1:1.0-1)", false),
        ("y (<< 1:1.0-1+b1)", true),
        ("y (<= 2)", false),
        ("y(>=1)", true),
        ("y [amd64]", true),
        ("y (>= 9:1) [arm64]", true),
        ("y (>= 9:1) [!arm64]", false),
        ("y [linux-any]", true),
        ("y (>= 9:1) [any-i386 hurd-any]", true),
        ("y:any", false),
        ("y:native", true),
        ("y:amd64", true),
        ("y:armhf", false),
        ("z:any", true),
    ] {
        let x = format!("x 1; Depends: {depends}");
        let lines = [&x, "y 1:1.0-1", "z 1; Multi-Arch: allowed"];
        let found = names(&lines, "x");
        assert_eq!(found.is_ok(), there, "{depends}: {found:?}");
    }
}

#[test]
fn the_newest_version_of_all_suites_is_taken() {
    let suite = |version: &str| index(&[&format!("bird 2.0.12-{version}")]);
    let of = |main: &str, security: &str| {
        let packages = resolved(&[("main", &suite(main)), ("security", &suite(security))], "bird").unwrap();
        assert_eq!(packages.len(), 1);
        format!("{} {}", packages[0].version, packages[0].urls.join(" "))
    };
    let url = |suite, version| format!("http://{suite}.example/debian/pool/main/bird_2.0.12-{version}.deb");
    assert_eq!(of("7", "7+deb12u1"), format!("2.0.12-7+deb12u1 {}", url("security", "7+deb12u1")));
    assert_eq!(of("10", "9"), format!("2.0.12-10 {}", url("main", "10")));
    assert_eq!(of("7", "7"), format!("2.0.12-7 {} {}", url("main", "7"), url("security", "7")));
}

#[test]
fn whatever_cannot_be_had_is_named_with_who_needs_it() {
    for (lines, wanted, expected) in [
        (
            &["bird2 2; Depends: libfoo (>= 3)"][..],
            "bird2",
            "bird2 2 needs libfoo (>= 3), which the archive does not have",
        ),
        (
            &["bird2 2; Depends: libfoo (>= 3)", "libfoo 2.1"],
            "bird2",
            "bird2 2 needs libfoo (>= 3), and the archive has libfoo 2.1",
        ),
        (
            &["a 1; Depends: b", "b 1; Depends: c | d", "c 1; Pre-Depends: gone", "d 1; Depends: gone"],
            "a",
            "a 1 needs b; b 1 needs c | d; c 1 needs gone, which the archive does not have",
        ),
        (
            &["a 1; Depends: b", "b 1; Depends: a, gone", "c 1"],
            "a c",
            "a 1 needs b; b 1 needs gone, which the archive does not have",
        ),
        (
            &["a 1", "exim 1; Provides: mta"],
            "libssl1.1 a mta libicu67",
            "no package for amd64 in bookworm is called libicu67, libssl1.1, mta (but others that provide it: exim)\n\
             hint: name packages of this release of Debian",
        ),
        (
            &["a 1; Conflicts: b", "b 1; Depends: c", "c 1"],
            "a b",
            "a 1 cannot be installed together with b 1: it says `Conflicts: b`",
        ),
        (
            &["a 1; Depends: c", "c 2; Breaks: tar (<< 3)", "tar 2; base"],
            "a",
            "c 2 cannot be installed together with tar 2: it says `Breaks: tar (<< 3)`",
        ),
        (
            &["a 1", "tar 2; base; Conflicts: virtual", "b 1; Provides: virtual"],
            "a b",
            "tar 2 cannot be installed together with b 1: it says `Conflicts: virtual`",
        ),
        (
            &["aa 1; Pre-Depends: bb", "bb 1; Pre-Depends: aa"],
            "aa",
            "aa 1 cannot be unpacked before it is unpacked itself, in a circle of Pre-Depends",
        ),
        (
            &["tar 1; base; Depends: gone", "a 1"],
            "a",
            "resolving what every machine has: tar 1 needs gone, which the archive does not have",
        ),
    ] {
        assert_eq!(names(lines, wanted), Err(expected.to_owned()));
    }
}

#[test]
fn a_package_does_not_clash_with_itself_or_with_what_it_merely_replaces() {
    let lines =
        ["exim 1; Provides: mta; Conflicts: mta; Replaces: y; Depends: y", "y 2", "tar 1; base; Breaks: y (<< 2)"];
    assert_eq!(names(&lines, "exim").as_deref(), Ok("y exim"));
}

#[test]
fn what_would_be_fetched_is_refused_when_it_is_not_described_plainly() {
    for (field, expected) in [
        ("Filename: ", "it has no `Filename`"),
        ("Filename: ../../etc/x.deb", r#"its `Filename` "../../etc/x.deb" is no path of a .deb below the archive"#),
        ("Filename: pool/../x.deb", r#"its `Filename` "pool/../x.deb" is no path of a .deb below the archive"#),
        (r"Filename: pool\x.deb", r#"its `Filename` "pool\\x.deb" is no path of a .deb below the archive"#),
        ("Filename: pool/.deb", r#"its `Filename` "pool/.deb" is no path of a .deb below the archive"#),
        ("Filename: pool/x.sh", r#"its `Filename` "pool/x.sh" is no path of a .deb below the archive"#),
        ("SHA256: ", r#"its `SHA256` is """#),
        ("SHA256: abc", r#"its `SHA256` is "abc""#),
        ("Size: ", r#"its `Size` is """#),
        ("Size: -1", r#"its `Size` is "-1""#),
        ("Size: 0", "its `Size` is 0 bytes, not between 1 and 4294967296"),
    ] {
        let line = format!("bird 2; {field}");
        assert_eq!(names(&[&line], "bird"), Err(format!("pinning bird 2 of bookworm: {expected}")), "{field}");
        // Who is not installed may say what it likes.
        assert_eq!(names(&[&line, "x 1"], "x").as_deref(), Ok("x"), "{field}");
    }
    let error = names(&["bird 2; Depends: (what"], "bird").unwrap_err();
    assert_eq!(error, "reading Depends of bird 2 of bookworm: Expected package name");
    let error = names(&["Bird 2"], "Bird").unwrap_err();
    assert_eq!(error, "pinning Bird 2 of bookworm: its name is none of a package");
    let error = names(&["bird 2_0"], "bird").unwrap_err();
    assert_eq!(error, r#"pinning bird 2_0 of bookworm: "2_0" is no version of bird 2_0 of bookworm"#);
}

/// As dpkg-scanpackages, apt-ftparchive, OBS and people write them: apt-get download 2.6.1 takes each without a word.
#[test]
fn a_path_is_taken_in_its_shortest_form_and_written_as_an_address() {
    for (written, expected) in [
        ("pool/x.deb", "pool/x.deb"),
        ("./pool/x.deb", "pool/x.deb"),
        ("././pool/./main//x.deb", "pool/main/x.deb"),
        ("/pool/x.deb", "pool/x.deb"),
        ("x.deb", "x.deb"),
        ("pool/a+b~c_1:2.deb", "pool/a+b~c_1:2.deb"),
        ("pool/x_1%3a2.deb", "pool/x_1%253a2.deb"),
        ("pool/%2e%2e/x.deb", "pool/%252e%252e/x.deb"),
        ("pool/a b/x.deb?y#z.deb", "pool/a%20b/x.deb%3Fy%23z.deb"),
        ("pool/\u{fc}/x.deb", "pool/%C3%BC/x.deb"),
    ] {
        let packages = resolved(&[("bookworm", &index(&[&format!("bird 2; Filename: {written}")]))], "bird").unwrap();
        assert_eq!(packages[0].urls, [format!("http://bookworm.example/debian/{expected}")], "{written}");
    }
}

/// The same, of other habits of their writers.
#[test]
fn an_index_is_read_as_apt_reads_it() {
    let plain = index(&["bird 2; Depends: y", "y 1; Section: net"]);
    let described_again = index(&["bird 2; Depends: y; Section: misc"]);
    for (habit, text) in [
        ("names of fields in lower case", plain.replace("Package:", "package:").replace("SHA256:", "sha256:")),
        ("no blank behind a colon", plain.replace(": ", ":")),
        ("blanks at the ends of lines", plain.replace('\n', "  \n").replace("\n  \n", "\n\n")),
        ("a list in lines of its own", plain.replace("Depends: y", "Depends:\n y (>= 1),\n y")),
        ("no line end at the end", plain.trim_end().to_owned()),
        ("fields that nobody knows", plain.replace("Package:", "X-Made-By: a tool\n b\n .\nPackage:")),
        ("a package without a version", format!("{plain}Package: none\n\n")),
        ("a package described twice, with another section", format!("{plain}{described_again}")),
    ] {
        let packages = resolved(&[("bookworm", &text)], "bird").unwrap_or_else(|error| panic!("{habit}: {error}"));
        let names: Vec<_> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(names, ["y", "bird"], "{habit}");
    }
}

#[test]
fn a_package_with_a_sha512_alone_is_named() {
    let error = names(&["bird 2; SHA256: ; SHA512: abc"], "bird").unwrap_err();
    assert!(error.contains("it has a `SHA512` and no `SHA256`, by which it would be pinned\nhint: "), "{error}");
}

#[test]
fn a_hostile_length_is_not_repeated_in_full() {
    let long = "a".repeat(1 << 20);
    let error = names(&[&format!("bird 2; Filename: {long}.deb")], "bird").unwrap_err();
    assert!(error.len() < 400, "{} bytes", error.len());
    let error = names(&[&format!("bird 2; Depends: {long}")], "bird").unwrap_err();
    assert!(error.len() < 400, "{} bytes: {}…", error.len(), &error[..100]);
}

#[test]
fn who_is_described_twice_must_be_described_alike() {
    let one = "bird 2; Depends: y";
    assert_eq!(names(&[one, one, "y 1"], "bird").as_deref(), Ok("y bird"));
    let error = names(&[one, "bird 2; Depends: z", "y 1", "z 1"], "bird").unwrap_err();
    assert_eq!(error, "the index describes bird 2 of bookworm twice, and not alike");
    let other = index(&["bird 2; Size: 8"]);
    let error = resolved(&[("main", &index(&["bird 2"])), ("security", &other)], "bird").unwrap_err();
    let sha256 = digest("bird", "2");
    assert_eq!(
        error,
        format!("bird 2 of main and bird 2 of security have one version and other bytes: sha256 {sha256} and {sha256}")
    );
}

#[test]
fn the_order_in_which_things_are_described_changes_nothing() {
    let lines = [
        "tar 1; base; Depends: awk",
        "mawk 1; Provides: awk",
        "gawk 1; Provides: awk",
        "bird 2; Pre-Depends: init; Depends: libc | libd, mta, perl",
        "init 3; Depends: perl",
        "perl 5; Depends: bird",
        "perl 5-0; Depends: bird",
        "perl 4",
        "libc 1",
        "libd 1",
        "exim 1; Provides: mta",
        "sendmail 1; Provides: mta",
    ];
    let expected = resolved(&[("a", &index(&lines)), ("b", &index(&lines[3..6]))], "bird").unwrap();
    assert_eq!(expected.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["exim", "libc", "init", "perl", "bird"]);
    for turn in 0..lines.len() {
        let mut turned = lines;
        turned.rotate_left(turn);
        turned[..6].reverse();
        let suites = [("b", index(&turned.into_iter().filter(|l| lines[3..6].contains(l)).collect::<Vec<_>>()))];
        let all = index(&turned);
        let found = resolved(&[("b", &suites[0].1), ("a", &all)], "bird").unwrap();
        assert_eq!(found, expected, "turned by {turn}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_of_indexes_panic(text in "(Package: (a|b|c)\n|Version: [0-9~.:-]{0,4}\n|Architecture: all\n|(Pre-)?Depends: [a-c|(>=<) 1:,\\[\\]!]{0,9}\n|Provides: .{0,9}\n|Priority: required\n|Conflicts: [a-c, ]{0,6}\n|\n|.{0,5}){0,40}") {
        let _either = resolved(&[("bookworm", &text)], "a b");
    }

    #[test]
    fn no_dependencies_make_the_solver_panic_or_forget_one(
        needs in proptest::collection::vec(proptest::collection::vec((0..12_usize, 0..12_usize), 0..4), 12),
    ) {
        let name = |at: usize| format!("p{at:02}");
        let lines: Vec<String> = needs
            .iter()
            .enumerate()
            .map(|(at, needs)| {
                let needs: Vec<String> = needs.iter().map(|(a, b)| format!("{} | {}", name(*a), name(*b))).collect();
                format!("{} 1; Depends: {}", name(at), needs.join(", "))
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = names(&lines, "p00 p01").unwrap();
        let there: Vec<usize> = found.split(' ').map(|name| name[1..].parse().unwrap()).collect();
        for at in &there {
            for (a, b) in &needs[*at] {
                proptest::prop_assert!(there.contains(a) || there.contains(b), "{at} needs {a} or {b}: {there:?}");
            }
        }
    }
}
