//! Bytes of a file to the text a YAML parser may see.
//! May not read the file: `sys/read` does, and bounds it.

use anymetal_contract::text;

use super::diagnostic::{Findings, Mark};

/// The text, without a byte order mark; or `None` and what is wrong with it.
pub(crate) fn decode<'b>(bytes: &'b [u8], findings: &mut Findings) -> Option<&'b str> {
    let text = match text::decode(bytes) {
        Ok(text) => text,
        Err(error) => {
            findings.mistake(mark(error.at), error.what, error.hint);
            return None;
        }
    };
    match text.char_indices().find(|(_, c)| !printable(*c)) {
        None => Some(text),
        Some((offset, c)) => {
            let (what, hint) = match text::lookalike(c) {
                Some(found) => (found.to_string(), found.hint),
                None => {
                    (format!("U+{:04X}", u32::from(c)), "remove it, or write it as an escape between double quotes")
                }
            };
            let at = mark(text::place(text, offset));
            findings.mistake(at, format!("the character {what} may not stand in YAML"), hint);
            None
        }
    }
}

fn mark(place: text::Place) -> Mark {
    Mark { line: place.line, column: place.column }
}

/// YAML 1.2, section 5.1, less the byte order mark, which only begins a file.
fn printable(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FEFE}'
        | '\u{FF00}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<String, String> {
        let mut findings = Findings::of(Path::new("s"));
        let text = decode(bytes, &mut findings).map(str::to_owned);
        text.ok_or_else(|| findings.sorted().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn text_is_text() {
        for (bytes, text) in [
            (&b"a: b\n"[..], "a: b\n"),
            (b"\xEF\xBB\xBFa: b\r\n\t\xC3\xA9", "a: b\r\n\té"),
            ("a: \u{1F980}".as_bytes(), "a: \u{1F980}"),
            (b"", ""),
        ] {
            assert_eq!(decoded(bytes).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_is_not_text_is_named_with_its_place() {
        for (bytes, said) in [
            (&b"a: b\nc: \xE9\n"[..], "s:2:4: not UTF-8: the byte 0xE9; hint: save it as UTF-8"),
            (b"a: \xC3\xA9\xC3", "s:1:5: not UTF-8: the byte 0xC3; hint: save it as UTF-8"),
            (b"\xFF\xFEa\0", "s:1:1: not UTF-8; hint: this looks like UTF-16: save it as UTF-8"),
            (
                b"a\r\nb\rc\0",
                "s:3:2: the character U+0000 may not stand in YAML; hint: remove it, or write it as an escape between double quotes",
            ),
            (b"a\xEF\xBB\xBF", "s:1:2: the character U+FEFF byte order mark may not stand in YAML; hint: remove it"),
        ] {
            assert_eq!(decoded(bytes), Err(said.to_owned()));
        }
    }
}
