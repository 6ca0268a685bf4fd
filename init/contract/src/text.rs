//! Text that people saved: bytes to characters, and characters that look like others or like nothing.
//! May not read a file, and may not know what a text means.

use std::fmt;

/// A place in a text. Both count from one; columns count characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why bytes are no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotText {
    /// Where.
    pub at: Place,
    /// What is there, as a sentence.
    pub what: String,
    /// What to do.
    pub hint: &'static str,
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.what, self.at, self.hint)
    }
}

impl std::error::Error for NotText {}

impl NotText {
    /// Whether it looks like UTF-16, of which nothing can be read.
    pub fn is_wide(&self) -> bool {
        self.hint == WIDE
    }
}

/// The byte order mark that some editors put before UTF-8.
pub const MARK: &[u8] = "\u{FEFF}".as_bytes();
const WIDE: &str = "this looks like UTF-16: save it as UTF-8";

/// Returns the text, without the byte order mark that some editors put before it. Fails when it is not UTF-8.
pub fn decode(bytes: &[u8]) -> Result<&str, NotText> {
    let error = match std::str::from_utf8(bytes) {
        Ok(text) if !is_wide(bytes) => return Ok(without_mark(text)),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    if is_wide(bytes) {
        let start = Place { line: 1, column: 1 };
        return Err(NotText { at: start, what: "not UTF-8".into(), hint: WIDE });
    }
    let good = error.map_or(0, |error| error.valid_up_to());
    let before = std::str::from_utf8(&bytes[..good]).unwrap_or_default();
    let what = format!("not UTF-8: the byte 0x{:02X}", bytes[good]);
    Err(NotText { at: place(without_mark(before), usize::MAX), what, hint: "save it as UTF-8" })
}

/// Returns the text without a byte order mark before it.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{FEFF}').unwrap_or(text)
}

/// Whether every character seems to take two bytes or four. The first of our documents' characters is always ASCII.
fn is_wide(bytes: &[u8]) -> bool {
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, 0, 0xFE, 0xFF, ..] => true,
        [first, second, ..] => (*first == 0) != (*second == 0),
        _ => false,
    }
}

/// Returns the place of the character at this offset in bytes, or of the end. A line ends with LF, CR LF or CR.
pub fn place(text: &str, offset: usize) -> Place {
    let mut at = Place { line: 1, column: 1 };
    let mut characters = text.char_indices().take_while(|(start, _)| *start < offset).peekable();
    while let Some((_, c)) = characters.next() {
        if c == '\n' || (c == '\r' && characters.peek().is_none_or(|(_, next)| *next != '\n')) {
            at = Place { line: at.line + 1, column: 1 };
        } else {
            at.column += 1;
        }
    }
    at
}

/// A character that a person takes for another, or does not see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lookalike {
    /// The character.
    pub character: char,
    /// Its name.
    pub name: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

impl fmt::Display for Lookalike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X} {}", u32::from(self.character), self.name)
    }
}

const BLANK: &str = "write an ordinary blank";
const NOTHING: &str = "remove it";
const LINE: &str = "end the line with an ordinary line feed";
const DOUBLE: &str = "write an ordinary \"";
const SINGLE: &str = "write an ordinary '";
const DASH: &str = "write an ordinary -";

/// Returns what is said of a character that looks like another: blanks, quotes and dashes of word processors and web pages, and what takes no room.
pub fn lookalike(character: char) -> Option<Lookalike> {
    let (name, hint) = match character {
        '\u{A0}' => ("no-break space", BLANK),
        '\u{202F}' => ("narrow no-break space", BLANK),
        '\u{2007}' => ("figure space", BLANK),
        '\u{3000}' => ("ideographic space", BLANK),
        '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{205F}' => ("typographic space", BLANK),
        '\u{200B}' => ("zero width space", NOTHING),
        '\u{200C}' => ("zero width non-joiner", NOTHING),
        '\u{200D}' => ("zero width joiner", NOTHING),
        '\u{2060}' => ("word joiner", NOTHING),
        '\u{FEFF}' => ("byte order mark", NOTHING),
        '\u{AD}' => ("soft hyphen", NOTHING),
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            ("mark of the reading direction", NOTHING)
        }
        '\u{85}' | '\u{2028}' | '\u{2029}' => ("typographic line end", LINE),
        '\u{201C}' | '\u{201D}' | '\u{201E}' | '\u{201F}' | '\u{2033}' | '\u{AB}' | '\u{BB}' | '\u{FF02}' => {
            ("typographic double quote", DOUBLE)
        }
        '\u{2018}' | '\u{2019}' | '\u{201A}' | '\u{201B}' | '\u{2032}' | '\u{2039}' | '\u{203A}' | '\u{FF07}' => {
            ("typographic single quote", SINGLE)
        }
        '\u{2011}' => ("non-breaking hyphen", DASH),
        '\u{2013}' => ("en dash", DASH),
        '\u{2014}' => ("em dash", DASH),
        '\u{2212}' => ("minus sign", DASH),
        '\u{2010}' | '\u{2012}' | '\u{2015}' | '\u{FE58}' | '\u{FE63}' | '\u{FF0D}' => ("typographic dash", DASH),
        '\u{FF1A}' => ("fullwidth colon", "write an ordinary :"),
        '\u{FF0C}' => ("fullwidth comma", "write an ordinary ,"),
        _ => return None,
    };
    Some(Lookalike { character, name, hint })
}

/// Returns the first of them in a text, and its offset in bytes.
pub fn first_lookalike(text: &str) -> Option<(usize, Lookalike)> {
    text.char_indices().find_map(|(at, c)| Some((at, lookalike(c)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_before_the_text_is_no_part_of_it() {
        for (bytes, text) in [(&b"\xEF\xBB\xBF{}"[..], "{}"), (b"{}\r\n", "{}\r\n"), (b"\xEF\xBB\xBF", ""), (b"", "")] {
            assert_eq!(decode(bytes), Ok(text));
        }
    }

    #[test]
    fn what_is_no_text_is_named_with_its_place() {
        let utf16 = "not UTF-8 at 1:1: this looks like UTF-16: save it as UTF-8";
        for (bytes, said) in [
            (&b"a\r\nb: \xE9"[..], "not UTF-8: the byte 0xE9 at 2:4: save it as UTF-8"),
            (b"\xEF\xBB\xBF\xC3", "not UTF-8: the byte 0xC3 at 1:1: save it as UTF-8"),
            (b"\xFF\xFE{\0", utf16),
            (b"\xFE\xFF\0{", utf16),
            (b"{\0}\0", utf16),
            (b"\0{\0}", utf16),
        ] {
            assert_eq!(decode(bytes).map_err(|error| error.to_string()), Err(said.to_owned()));
        }
    }

    #[test]
    fn what_looks_like_another_is_named_and_letters_of_others_are_not() {
        for (character, said) in [
            ('\u{A0}', "U+00A0 no-break space"),
            ('\u{202F}', "U+202F narrow no-break space"),
            ('\u{2007}', "U+2007 figure space"),
            ('\u{200B}', "U+200B zero width space"),
            ('“', "U+201C typographic double quote"),
            ('’', "U+2019 typographic single quote"),
            ('–', "U+2013 en dash"),
        ] {
            assert_eq!(lookalike(character).unwrap().to_string(), said);
        }
        assert_eq!(first_lookalike("größer ≥ 中文 🦀 'x' \"y\" -\t\r\n"), None);
        assert_eq!(first_lookalike("é\u{A0}").map(|(at, _)| at), Some(2));
    }

    #[test]
    fn places_count_characters_and_every_kind_of_line_end() {
        let text = "é=1\r\nb\rc\n";
        for (offset, expected) in [(0, "1:1"), (2, "1:2"), (6, "2:1"), (8, "3:1"), (10, "4:1"), (99, "4:1")] {
            assert_eq!(place(text, offset).to_string(), expected, "{offset}");
        }
    }
}
