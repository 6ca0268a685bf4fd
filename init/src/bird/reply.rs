//! The replies of BIRD's control socket: lines `NNNN-text` and ` text` while there is more, `NNNN text` for the last.
//! May not read from anything: it is fed.

use anyhow::bail;

/// The longest line taken, in bytes. BIRD 2 and 3 make none above 4096 (`CLI_LINE_SIZE` in nest/cli.c).
const LONGEST_LINE: usize = 4096;
/// The most of one reply, in bytes and in lines: a thousand sessions in full are a tenth of it.
const LARGEST_REPLY: usize = 256 * 1024;
const MOST_LINES: usize = 4096;
/// How much of a line that cannot be understood is quoted, in characters.
const QUOTED: usize = 80;
/// The first code of an error: 8xxx were understood and failed, 9xxx were not understood.
const FIRST_ERROR: u16 = 8000;

/// One line of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// As in BIRD's `doc/reply_codes`.
    pub(crate) code: u16,
    /// What stands behind the code; characters that a terminal would obey are written as escapes.
    pub(crate) text: String,
}

/// A whole reply: one line at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) lines: Vec<Line>,
}

impl Reply {
    /// Whether BIRD did as it was told; the error is BIRD's own words.
    pub(crate) fn accepted(&self) -> anyhow::Result<()> {
        if let Some(line) = self.lines.iter().find(|line| line.code >= FIRST_ERROR) {
            bail!("bird answered {:04} {}", line.code, line.text.trim());
        }
        Ok(())
    }

    /// The texts of the lines with this code.
    pub(crate) fn texts(&self, code: u16) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(move |line| line.code == code).map(|line| line.text.as_str())
    }

    /// All of it on one line, for an error.
    pub(crate) fn words(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(|line| format!("{:04} {}", line.code, line.text.trim())).collect();
        cut(&lines.join(", "))
    }
}

/// Takes bytes as they come and gives whole replies. After an error the stream has no meaning any more.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// What has come of the line.
    partial: Vec<u8>,
    /// What has come of the reply.
    lines: Vec<Line>,
    /// Bytes of `lines` as they came.
    size: usize,
}

impl Reader {
    /// Puts the replies that end within `bytes` at the end of `into`.
    pub(crate) fn feed(&mut self, bytes: &[u8], into: &mut Vec<Reply>) -> anyhow::Result<()> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ended = piece.strip_suffix(b"\n");
            let text = ended.unwrap_or(piece);
            if self.partial.len() + text.len() > LONGEST_LINE {
                let room = LONGEST_LINE - self.partial.len();
                self.partial.extend_from_slice(&text[..room]);
                bail!("bird sent a line of more than {LONGEST_LINE} bytes: {}", quote(&self.partial));
            }
            self.partial.extend_from_slice(text);
            if ended.is_some() {
                let line = std::mem::take(&mut self.partial);
                into.extend(self.take(&line)?);
            }
        }
        Ok(())
    }

    /// Whether nothing of a reply is waiting for the rest of it.
    pub(crate) fn is_idle(&self) -> bool {
        self.lines.is_empty()
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Option<Reply>> {
        let (code, last, text) = match bytes {
            // An echo of the log, between any two lines; nobody has asked for it.
            [b'+', ..] => return Ok(None),
            [b' ', text @ ..] => match self.lines.last() {
                Some(before) => (before.code, false, text),
                None => bail!("bird sent the continuation of nothing: {}", quote(bytes)),
            },
            [thousands, hundreds, tens, ones, end @ (b' ' | b'-'), text @ ..] => {
                match number(&[*thousands, *hundreds, *tens, *ones]) {
                    Some(code) => (code, *end == b' ', text),
                    None => bail!("bird sent what is no line of a reply: {}", quote(bytes)),
                }
            }
            _ => bail!("bird sent what is no line of a reply: {}", quote(bytes)),
        };
        self.size += bytes.len() + 1;
        if self.size > LARGEST_REPLY {
            bail!("bird sent a reply of more than {LARGEST_REPLY} bytes");
        }
        if self.lines.len() == MOST_LINES {
            bail!("bird sent a reply of more than {MOST_LINES} lines");
        }
        self.lines.push(Line { code, text: visible(text) });
        if !last {
            return Ok(None);
        }
        self.size = 0;
        Ok(Some(Reply { lines: std::mem::take(&mut self.lines) }))
    }
}

fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0')))
}

/// The text, harmless to print.
fn visible(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() && character != '\t' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn quote(bytes: &[u8]) -> String {
    format!("\"{}\"", cut(&visible(bytes)))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> anyhow::Result<Vec<Reply>> {
        let mut replies = Vec::new();
        Reader::default().feed(bytes, &mut replies)?;
        Ok(replies)
    }

    fn coded(reply: &Reply) -> Vec<(u16, &str)> {
        reply.lines.iter().map(|line| (line.code, line.text.as_str())).collect()
    }

    #[test]
    fn a_continuation_has_the_code_of_the_line_before_and_an_echo_of_the_log_is_passed_over() {
        let replies =
            read(b"0001 BIRD 2.0.12 ready.\n0009-anycast4: disabled\n+a line of the log\n anycast6: disabled\n0000 \n")
                .unwrap();
        assert_eq!(replies.len(), 2, "{replies:?}");
        assert_eq!(coded(&replies[0]), [(1, "BIRD 2.0.12 ready.")]);
        assert_eq!(coded(&replies[1]), [(9, "anycast4: disabled"), (9, "anycast6: disabled"), (0, "")]);
    }

    #[test]
    fn a_refusal_is_told_in_birds_own_words() {
        let said = |bytes: &[u8]| read(bytes).unwrap()[0].accepted().map_err(|error| error.to_string());
        assert_eq!(said(b"0000 \n"), Ok(()));
        assert_eq!(said(b"8007 Access denied\n"), Err("bird answered 8007 Access denied".to_owned()));
        assert_eq!(said(b"9001 syntax error\n"), Err("bird answered 9001 syntax error".to_owned()));
        let overflow = said(b"1002-x\n8000-<line overflow>\n0000 \n");
        assert_eq!(overflow, Err("bird answered 8000 <line overflow>".to_owned()));
    }

    #[test]
    fn what_is_no_line_of_a_reply_is_quoted_harmlessly() {
        for (bytes, said) in [
            (&b" text\n"[..], "bird sent the continuation of nothing: \" text\""),
            (b"\n", "bird sent what is no line of a reply: \"\""),
            (b"0000\n", "bird sent what is no line of a reply: \"0000\""),
            (b"00x0 y\n", "bird sent what is no line of a reply: \"00x0 y\""),
            (b"0000_y\n", "bird sent what is no line of a reply: \"0000_y\""),
            (b"\x1b[2J\0\r\xff\n", "bird sent what is no line of a reply: \"\\u{1b}[2J\\u{0}\\r\u{fffd}\""),
        ] {
            assert_eq!(read(bytes).unwrap_err().to_string(), said);
        }
        let long = read(&[b'x'; 5000]).unwrap_err().to_string();
        let expected = format!("bird sent a line of more than 4096 bytes: \"{}…\"", "x".repeat(80));
        assert_eq!(long, expected);
    }

    #[test]
    fn a_reply_has_an_end_in_lines_and_in_bytes() {
        let many = b"1002-x\n".repeat(4097);
        assert_eq!(read(&many).unwrap_err().to_string(), "bird sent a reply of more than 4096 lines");
        let large = [b"1002-".as_slice(), &[b'x'; 4000], b"\n"].concat().repeat(66);
        assert_eq!(read(&large).unwrap_err().to_string(), "bird sent a reply of more than 262144 bytes");
    }

    #[test]
    fn control_characters_within_a_reply_are_written_as_escapes() {
        let replies = read(b"0000 a\rb\0c\td\xffe\n").unwrap();
        assert_eq!(coded(&replies[0]), [(0, "a\\rb\\u{0}c\td\u{fffd}e")]);
    }
}
