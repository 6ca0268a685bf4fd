//! JSON that people saved or another program answered: read, or why not, with the place and the key.
//! May not know a document; may not quote one that holds secrets: who asks takes [`NotJson::place`] then.

use std::fmt;

use anymetal_contract::terminal;
use anymetal_contract::text::{self, NotText, Place};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Why a text is not the document that was asked for.
#[derive(Debug)]
pub struct NotJson {
    /// What is wrong, as a sentence that quotes the document.
    what: String,
    /// Where, when it is at a place.
    at: Option<Place>,
    /// The character there that looks like another.
    lookalike: Option<text::Lookalike>,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for NotJson {}

impl NotJson {
    /// The place, and the character when it is one that looks like another, as a sentence's end that quotes nothing else.
    pub fn place(&self) -> String {
        match (self.lookalike, self.at) {
            (Some(lookalike), Some(at)) => format!("at {at}: {lookalike}"),
            (None, Some(at)) => format!("at {at}"),
            (_, None) => "at its end".to_owned(),
        }
    }
}

/// Reads a document. A byte order mark before it and line ends of any kind are as good as none. Fails when it is no text, no JSON or has another form.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotJson> {
    let text = text::decode(bytes).map_err(|error| no_text(&error))?;
    parse(text)
}

/// The same of a text.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, NotJson> {
    let text = text::without_mark(text);
    serde_json::from_str(text).map_err(|error| explain(text, &error))
}

/// Reads a document that is known by its digest. Fails too when an editor has saved it, which makes it another.
pub fn exact<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, NotJson> {
    if bytes.starts_with(text::MARK) || bytes.contains(&b'\r') {
        let what = "an editor has saved it, with a byte order mark or other line ends, so that its digest is another: take it as `anymetal build` wrote it";
        return Err(NotJson { what: what.to_owned(), at: None, lookalike: None });
    }
    read(bytes)
}

fn no_text(error: &NotText) -> NotJson {
    NotJson { what: format!("it is {error}"), at: Some(error.at), lookalike: None }
}

fn explain(text: &str, error: &serde_json::Error) -> NotJson {
    let at = Some(Place { line: error.line(), column: error.column() });
    let said = terminal::one_line(&error.to_string());
    let said = said.as_str();
    let plain = |what: String| NotJson { what, at, lookalike: None };
    match error.classify() {
        Category::Eof if text.trim().is_empty() => plain("it is empty".to_owned()),
        Category::Data => {
            let offset = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
            let key = path(text, offset + error.column());
            plain(if key.is_empty() || !said.starts_with("invalid") {
                format!("it has another form: {said}")
            } else {
                format!("`{}` is not of its type: {said}", terminal::one_line(&key))
            })
        }
        category => match lookalike(text) {
            Some((offset, lookalike)) => {
                let at = text::place(text, offset);
                let what = format!("the character {lookalike} stands at {at}: {}", lookalike.hint);
                NotJson { what, at: Some(at), lookalike: Some(lookalike) }
            }
            None if category == Category::Eof => plain(format!("it is cut off after {} bytes: {said}", text.len())),
            None => plain(format!("it is not JSON: {said}")),
        },
    }
}

/// The first character that looks like another: outside of texts, where none may stand; else within one, where a quote may have been meant to end it.
fn lookalike(text: &str) -> Option<(usize, text::Lookalike)> {
    let (mut within, mut escaped, mut inside) = (false, false, None);
    for (offset, c) in text.char_indices() {
        match (text::lookalike(c), within) {
            (Some(found), false) => return Some((offset, found)),
            (Some(found), true) => _ = inside.get_or_insert((offset, found)),
            (None, _) => {}
        }
        within ^= c == '"' && !escaped;
        escaped = within && c == '\\' && !escaped;
    }
    inside
}

/// Which value stands at this offset, by its keys: `network.addresses[0].cidr`; empty for the document itself. The text is JSON up to there.
fn path(text: &str, end: usize) -> String {
    /// An object, with the key that was met last, or a list, with the place in it.
    enum Level {
        Object(String),
        List(usize),
    }
    let mut levels: Vec<Level> = Vec::new();
    let (mut rest, mut is_key) = (text.char_indices(), false);
    while let Some((offset, c)) = rest.next() {
        if offset >= end {
            break;
        }
        match (c, levels.last_mut()) {
            ('{', _) if offset + 1 < end => {
                is_key = true;
                levels.push(Level::Object(String::new()));
            }
            ('[', _) if offset + 1 < end => levels.push(Level::List(0)),
            ('}' | ']', _) => _ = levels.pop(),
            (',', Some(Level::List(place))) => *place += 1,
            (',', Some(Level::Object(_))) => is_key = true,
            (':', _) => is_key = false,
            ('"', level) => {
                let (mut word, mut escaped) = (String::new(), false);
                for (_, c) in rest.by_ref() {
                    if c == '"' && !escaped {
                        break;
                    }
                    escaped = c == '\\' && !escaped;
                    word.push(c);
                }
                if let (true, Some(Level::Object(key))) = (is_key, level) {
                    *key = word;
                }
            }
            _ => {}
        }
    }
    levels.iter().fold(String::new(), |path, level| match level {
        Level::Object(key) if path.is_empty() || key.is_empty() => path + key,
        Level::Object(key) => path + "." + key,
        Level::List(place) => format!("{path}[{place}]"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Document {
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        list: Vec<BTreeMap<String, u8>>,
    }

    fn said(bytes: &[u8]) -> String {
        read::<Document>(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_editors_leave_is_the_same_document() {
        let plain = "{\n  \"name\": \"a\"\n}\n";
        let expected = Document { name: Some("a".into()), list: vec![] };
        for text in [plain.to_owned(), format!("\u{FEFF}{plain}"), plain.replace('\n', "\r\n"), plain.trim_end().into()]
        {
            assert_eq!(read::<Document>(text.as_bytes()).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_place() {
        let wide: Vec<u8> = "{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, expected) in [
            (&b""[..], "it is empty"),
            (b"\xEF\xBB\xBF \n", "it is empty"),
            (b"{\"name\":", "it is cut off after 8 bytes: EOF while parsing a value at line 1 column 8"),
            (b"{name: 1}", "it is not JSON: key must be a string at line 1 column 2"),
            (&wide, "it is not UTF-8 at 1:1: this looks like UTF-16: save it as UTF-8"),
            (
                "{\n\u{A0}\"name\": \"x\"}".as_bytes(),
                "the character U+00A0 no-break space stands at 2:1: write an ordinary blank",
            ),
            (
                "{“name”: \"x\"}".as_bytes(),
                "the character U+201C typographic double quote stands at 1:2: write an ordinary \"",
            ),
            (
                "{\"é\": 1, \"name”: \"x\"}".as_bytes(),
                "the character U+201D typographic double quote stands at 1:15: write an ordinary \"",
            ),
            ("{\"a\": 1\u{200B}}".as_bytes(), "the character U+200B zero width space stands at 1:8: remove it"),
        ] {
            assert_eq!(said(bytes), expected);
        }
        // it is nobody's business what stands in a text
        assert!(read::<Document>("{\"name\": \"“x”\u{A0}\"}".as_bytes()).is_ok());
    }

    #[test]
    fn a_value_of_another_type_is_named_by_its_key() {
        for (text, key) in [
            (r#"{"name": {"code": "da11"}}"#, "name"),
            (r#"{"name": 7}"#, "name"),
            (r#"{"name": [1, 2]}"#, "name"),
            ("{\n \"other\": [{\"name\": 1}],\n \"name\": true\n}", "name"),
            (r#"{"list": "x"}"#, "list"),
            (r#"{"list": [{"a": 1}, {"a": 1, "b\"}": 2, "c": "x"}]}"#, "list[1].c"),
            (r#"{"list": [{"a": 1, "b": 300}]}"#, "list[0].b"),
            (r#"{"list": [{"a": 1}, 7]}"#, "list[1]"),
            (r#"{"list": [{"a": {}}]}"#, "list[0].a"),
        ] {
            let said = said(text.as_bytes());
            assert!(said.starts_with(&format!("`{key}` is not of its type: invalid ")), "{text}: {said}");
        }
        assert!(said(b"7").starts_with("it has another form: invalid type: "));
    }

    #[test]
    fn a_document_that_is_known_by_its_digest_is_not_what_an_editor_saved() {
        assert!(exact::<Document>(b"{}\n").is_ok());
        for bytes in [&b"\xEF\xBB\xBF{}"[..], b"{}\r\n"] {
            assert!(exact::<Document>(bytes).unwrap_err().to_string().starts_with("an editor has saved it, "));
        }
    }

    #[test]
    fn the_place_alone_quotes_nothing() {
        for (text, place) in
            [("{\"name\": s3cret}", "at 1:10"), ("{\"name\"\u{A0}: \"s3cret\"}", "at 1:8: U+00A0 no-break space")]
        {
            assert_eq!(read::<Document>(text.as_bytes()).unwrap_err().place(), place);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "([{}\\[\\]\",:1a\\\\ \n“\u{A0}]|\"list\":|\"name\":){0,40}") {
            let _either = (read::<Document>(&bytes), read::<Document>(text.as_bytes()));
        }
    }
}
