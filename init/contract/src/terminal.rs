//! Text that strangers wrote, on its way to a terminal: what would steer it, or hide a part of it, is written out.
//! May not print.

/// Whether a character does something to a terminal, or to how text is read, instead of being seen: control characters, line ends among them,
/// marks of the reading direction, and what takes no room.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text on one line, each character that [`steers`] as an escape: `\n`, `\u{202e}`.
pub fn one_line(text: &str) -> String {
    written_out(text, steers)
}

/// The same of a text whose lines are its author's own: line feeds stay.
pub fn lines(text: &str) -> String {
    written_out(text, |c| steers(c) && c != '\n')
}

fn written_out(text: &str, steers: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_written_out_and_nothing_else_is() {
        let hostile = "a\u{1b}[2J\u{9b}\u{7}\r\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}\u{ad}\tz\n";
        assert_eq!(one_line(hostile), r"a\u{1b}[2J\u{9b}\u{7}\r\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}\u{ad}\tz\n");
        assert_eq!(lines("one\nhint: two\u{1b}"), "one\nhint: two\\u{1b}");
        let plain = "größer ≥ → „x“ 🦀 中文 •••";
        assert_eq!((one_line(plain), lines(plain)), (plain.to_owned(), plain.to_owned()));
    }
}
