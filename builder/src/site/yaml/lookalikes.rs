//! Characters of word processors and web pages where YAML wants ordinary ones: named with their place before anything else is judged.
//! May not look into quotes, comments and blocks of text: what stands there is meant.

use anymetal_contract::text::{Lookalike, lookalike};
use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::site::diagnostic::{Findings, Mark};

/// How many places are told besides the first.
const TOLD: usize = 3;

/// Whose text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// One of ours: no value of it has such a character, unless it is quoted.
    Ours,
    /// Somebody's words: such a character may stand within them, but not where it takes the place of one that counts.
    Anybodys,
}

/// `None` when there is such a character; what is wrong has been said, once.
pub fn refuse(text: &str, strictness: Strictness, findings: &mut Findings) -> Option<()> {
    // most texts have none at all
    if text.chars().all(|c| lookalike(c).is_none()) {
        return Some(());
    }
    let characters: Vec<char> = text.chars().collect();
    let found = found(text, &characters, strictness);
    let Some((first, what)) = found.first().map(|at| (*at, lookalike(characters[*at]))) else { return Some(()) };
    let what = what?;
    let others: Vec<String> = found[1..].iter().take(TOLD).map(|at| mark(&characters, *at).to_string()).collect();
    let more = found.len().saturating_sub(1 + TOLD);
    let others = match (others.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!("; more like it at {}", others.join(", ")),
        (false, more) => format!("; more like it at {} and {more} other places", others.join(", ")),
    };
    findings.mistake(mark(&characters, first), format!("the character {what} stands here{others}"), hint(what));
    None
}

fn hint(what: Lookalike) -> String {
    format!("{}, or put the value between quotes if it is meant", what.hint)
}

/// The places of them all, in the order of the text.
fn found(text: &str, characters: &[char], strictness: Strictness) -> Vec<usize> {
    let mut found = Vec::new();
    let mut end = 0;
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else {
            found.extend(outside(characters, end));
            break;
        };
        let (start, after) = (span.start.index().min(characters.len()), span.end.index().min(characters.len()));
        if let Event::Scalar(_, style, ..) = event {
            end = after.max(end);
            if style == ScalarStyle::Plain {
                found.extend(within(characters, start, after, strictness));
            }
        }
    }
    found.dedup();
    found
}

/// The places in a scalar without quotes.
fn within(characters: &[char], start: usize, end: usize, strictness: Strictness) -> Vec<usize> {
    let is_key = || {
        let rest = characters[end..].iter().find(|c| !matches!(c, ' ' | '\t'));
        rest == Some(&':')
    };
    let counts = |at: &usize| {
        let next = characters.get(at + 1);
        let is_edge = *at == start || at + 1 == end || matches!(characters[at - 1], ':' | '-') || next == Some(&'#');
        strictness == Strictness::Ours || is_edge || is_key()
    };
    (start..end).filter(|at| lookalike(characters[*at]).is_some()).filter(counts).collect()
}

/// The places in what could not be parsed, from there on, but for comments and what is between quotes.
fn outside(characters: &[char], from: usize) -> Vec<usize> {
    let (mut found, mut quote, mut comment, mut before) = (Vec::new(), None, false, '\n');
    for (at, c) in characters.iter().copied().enumerate().skip(from) {
        let begins = matches!(before, '\n' | ' ' | '\t' | '[' | '{' | ',' | ':');
        match (quote, c) {
            _ if comment => comment = c != '\n',
            (Some(open), c) if c == open && before != '\\' => quote = None,
            (None, '"' | '\'') if begins => quote = Some(c),
            (None, '#') if matches!(before, '\n' | ' ' | '\t') => comment = true,
            (None, c) if lookalike(c).is_some() => found.push(at),
            _ => {}
        }
        before = c;
    }
    found
}

fn mark(characters: &[char], at: usize) -> Mark {
    let line = characters[..at].iter().filter(|c| **c == '\n').count() + 1;
    let begin = characters[..at].iter().rposition(|c| *c == '\n').map_or(0, |place| place + 1);
    Mark { line, column: at - begin + 1 }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn said(text: &str, strictness: Strictness) -> String {
        let mut findings = Findings::of(Path::new("s"));
        match refuse(text, strictness, &mut findings) {
            Some(()) => "fine".to_owned(),
            None => findings.sorted().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        }
    }

    #[test]
    fn what_stands_for_an_ordinary_character_is_named_once_and_alone() {
        let blank = "; hint: write an ordinary blank, or put the value between quotes if it is meant";
        for (text, expected) in [
            ("site:\u{A0}demo\n", format!("s:1:6: the character U+00A0 no-break space stands here{blank}")),
            ("a: b\nsite:\u{A0}demo\nc: [\n", format!("s:2:6: the character U+00A0 no-break space stands here{blank}")),
            (
                "a:\n\u{A0}\u{A0}v4: x\n",
                format!("s:2:1: the character U+00A0 no-break space stands here; more like it at 2:2{blank}"),
            ),
            ("a: equinix\u{202F}\n", format!("s:1:11: the character U+202F narrow no-break space stands here{blank}")),
            ("a: 2\u{2007}# two\n", format!("s:1:5: the character U+2007 figure space stands here{blank}")),
            (
                "a: “x”\n",
                "s:1:4: the character U+201C typographic double quote stands here; more like it at 1:6; \
                 hint: write an ordinary \", or put the value between quotes if it is meant"
                    .into(),
            ),
            (
                "a: [x, ‘y’]\n",
                "s:1:8: the character U+2018 typographic single quote stands here; more like it at 1:10; \
                 hint: write an ordinary ', or put the value between quotes if it is meant"
                    .into(),
            ),
            (
                "a\u{200B}: x\n",
                "s:1:2: the character U+200B zero width space stands here; \
                 hint: remove it, or put the value between quotes if it is meant"
                    .into(),
            ),
            (
                "a:\n– x\n– y\n– z\n– z\n– z\n",
                "s:2:1: the character U+2013 en dash stands here; more like it at 3:1, 4:1, 5:1 and 1 other places; \
                 hint: write an ordinary -, or put the value between quotes if it is meant"
                    .into(),
            ),
        ] {
            assert_eq!(said(text, Strictness::Ours), expected, "{text:?}");
            assert_eq!(said(text, Strictness::Anybodys), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_quoted_a_comment_or_a_block_is_meant() {
        for text in [
            "a: \"“x”\u{A0}\"\nb: '–'\n",
            "# “x” –\u{A0}\na: b # it’s\n",
            "a: |\n  “x”\u{A0}– it’s\nb: >\n  –\n",
            "größer: ü\n",
        ] {
            assert_eq!(said(text, Strictness::Ours), "fine", "{text:?}");
        }
    }

    #[test]
    fn within_anybodys_words_it_may_stand() {
        for text in ["- echo “hello” – it’s\n", "message: prix 5\u{A0}€ - voilà\n", "- a\u{2013}b\n"] {
            assert_eq!(said(text, Strictness::Anybodys), "fine", "{text:?}");
            assert_ne!(said(text, Strictness::Ours), "fine", "{text:?}");
        }
        for text in ["-\u{A0}echo x\n", "- “hello”\n", "a\u{A0}b: c\n", "runcmd:\u{A0}[x]\n"] {
            assert_ne!(said(text, Strictness::Anybodys), "fine", "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([a-b:#\\-\\[\\]{}\"'\n “”\u{A0}\u{200B}|>&*!]){0,60}") {
            for strictness in [Strictness::Ours, Strictness::Anybodys] {
                let _either = said(&text, strictness);
            }
        }
    }
}
