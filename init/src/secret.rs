//! A secret that prints dots.
//! May not be serialised as it is: the one way out is [`Secret::expose`], and whoever calls it says why.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Serialize, Serializer};

/// What is printed in place of a secret, however long the secret is.
pub(crate) const DOTS: &str = "........";

/// A text nobody may see by accident: neither in `Debug`, `Display`, JSON nor an error.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one file or connection it is meant for.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// From so many bytes on a secret is hidden wherever it stands.
const LONG: usize = 6;
/// From so many on, where it is a word by itself. A network may really give a shorter one; then only what is quoted is hidden: hiding every `a`
/// would garble what is said, and thereby tell the secret.
const WORD: usize = 4;
/// The least of a base64 text that is taken for a secret's, in characters.
const ENCODED: usize = 8;

/// A text to be hidden, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    text: String,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Anywhere,
    /// Between characters that are no letters and no digits.
    Word,
    /// Between quotes.
    Quoted,
}

impl Form {
    fn hide(&self, text: &str) -> String {
        let Self { text: secret, place } = self;
        if *place == Place::Anywhere {
            return text.replace(secret, DOTS);
        }
        let (mut hidden, mut rest) = (String::with_capacity(text.len()), text);
        let mut before = None;
        while let Some(at) = rest.find(secret.as_str()) {
            let (start, end) = (&rest[..at], &rest[at + secret.len()..]);
            let (left, right) = (start.chars().next_back().or(before), end.chars().next());
            let hides = match place {
                Place::Quoted => left.is_some_and(is_quote) && right.is_some_and(is_quote),
                Place::Anywhere | Place::Word => {
                    !left.is_some_and(char::is_alphanumeric) && !right.is_some_and(char::is_alphanumeric)
                }
            };
            hidden.push_str(start);
            hidden.push_str(if hides { DOTS } else { secret });
            before = secret.chars().next_back();
            rest = end;
        }
        hidden.push_str(rest);
        hidden
    }
}

fn is_quote(letter: char) -> bool {
    matches!(letter, '"' | '\'' | '`')
}

/// A secret as it is, as JSON and Rust escape it, as it stands in a URL and within base64; the longest first.
fn forms(secret: &str) -> Vec<Form> {
    let place = match secret.len() {
        0 => return Vec::new(),
        length if length < WORD => Place::Quoted,
        length if length < LONG => Place::Word,
        _ => Place::Anywhere,
    };
    let mut forms = vec![Form { text: secret.to_owned(), place }];
    let inner = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    let percent = |upper: bool| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let each = |byte: u8| match (plain(byte), upper) {
            (true, _) => char::from(byte).to_string(),
            (false, true) => format!("%{byte:02X}"),
            (false, false) => format!("%{byte:02x}"),
        };
        secret.bytes().map(each).collect::<String>()
    };
    let escaped = [serde_json::to_string(secret).map(inner).ok(), Some(inner(format!("{secret:?}")))];
    let written = escaped.into_iter().flatten().chain([percent(true), percent(false)]);
    let encoded = if secret.len() >= LONG { encoded(secret.as_bytes()) } else { Vec::new() };
    for text in written {
        if !forms.iter().any(|form| form.text == text) {
            forms.push(Form { text, place });
        }
    }
    for text in encoded {
        if text.len() >= ENCODED && !forms.iter().any(|form| form.text == text) {
            forms.push(Form { text, place: Place::Anywhere });
        }
    }
    forms.sort_by_key(|form| std::cmp::Reverse(form.text.len()));
    forms
}

/// What base64 makes of these bytes wherever they stand in a longer text, in both alphabets: the characters that depend on nothing else.
fn encoded(secret: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    for before in 0..3_usize {
        let text = STANDARD_NO_PAD.encode([&[0; 2][..before], secret].concat());
        let start = [0, 2, 3][before];
        let end = text.len() - usize::from(!(before + secret.len()).is_multiple_of(3));
        let core = text.get(start..end).unwrap_or_default().to_owned();
        all.push(core.replace('+', "-").replace('/', "_"));
        all.push(core);
    }
    all
}

/// Every secret this process knows, so that none is in what it says: whoever learns one adds it here.
#[derive(Debug, Default)]
pub(crate) struct Hidden(RwLock<Vec<Form>>);

impl Hidden {
    /// From now on these are dots in whatever goes through [`Self::hide`].
    pub(crate) fn add<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            for form in forms(&secret.0) {
                if !known.contains(&form) {
                    known.push(form);
                }
            }
        }
        // One secret may be part of another: the longer goes first, or its rest would be left.
        known.sort_by_key(|form| std::cmp::Reverse(form.text.len()));
    }

    /// `text` with every secret known by now replaced by dots.
    pub(crate) fn hide(&self, text: &str) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(text.to_owned(), |text, form| form.hide(&text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DOTS)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DOTS)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(DOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(secret: &str, text: &str) -> String {
        let known = Hidden::default();
        known.add(&[Secret::new(secret)]);
        known.hide(text)
    }

    #[test]
    fn a_secret_prints_dots_in_every_form() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, r#"........ ........ "........""#);
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn somebody_elses_words_lose_the_secret() {
        assert_eq!(hidden("hunter2", "expected number, got `hunter2`"), "expected number, got `........`");
        assert_eq!(hidden("", "nothing to hide"), "nothing to hide");
    }

    #[test]
    fn a_short_secret_garbles_nothing_and_is_hidden_where_it_is_quoted_or_a_word() {
        for (secret, text, shown) in [
            ("a", "a neighbour has a password", "a neighbour has a password"),
            ("a", "password \"a\"; 'a' and `a`", "password \"........\"; '........' and `........`"),
            ("abc", "abc \"abc\" abcd", "abc \"........\" abcd"),
            ("bird", "birdc: bird, \"bird\" and ladybird", "birdc: ........, \"........\" and ladybird"),
            ("hunter", "hunters", "........s"),
        ] {
            assert_eq!(hidden(secret, text), shown, "{secret}");
        }
    }

    #[test]
    fn a_secret_is_hidden_in_every_form_in_which_programs_write_it() {
        let secret = "p\u{e4}ss\"w\\rd/ 1";
        let basic = |user: &str| base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}@more"));
        for text in [
            secret.to_owned(),
            serde_json::to_string(&[secret]).unwrap(),
            format!("{secret:?}"),
            "https://u:p%C3%A4ss%22w%5Crd%2F%201@h/".to_owned(),
            "https://u:p%c3%a4ss%22w%5crd%2f%201@h/".to_owned(),
        ] {
            let shown = hidden(secret, &text);
            assert!(shown.contains(DOTS) && !shown.contains("ss"), "{shown}");
        }
        for user in ["u", "us", "usr", "user"] {
            let shown = hidden(secret, &format!("authorization: Basic {}", basic(user)));
            assert!(shown.contains(DOTS), "{shown}");
        }
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode("\u{ff}\u{fe}\u{fd}~~~???>>>");
        assert_eq!(hidden("\u{ff}\u{fe}\u{fd}~~~???>>>", &url_safe), DOTS);
    }

    #[test]
    fn all_known_secrets_are_hidden_and_of_two_that_begin_alike_the_longer_one_whole() {
        let hidden = Hidden::default();
        hidden.add(&[Secret::new("hunter"), Secret::new(""), Secret::new("hunter2"), Secret::new("hunter")]);
        assert_eq!(hidden.hide("hunter hunter2 hunt"), "........ ........ hunt");
    }
}
