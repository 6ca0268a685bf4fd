//! The standard streams: the only way out for text, which is made harmless for a terminal here, so that no command can forget to.
//! May not decide what is said.
#![expect(clippy::disallowed_methods, reason = "the room that writes to the standard streams")]

use std::io::{self, IsTerminal as _, Write};

use anymetal_contract::terminal;

/// One line on stdout.
pub fn data(line: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{}", terminal::one_line(line))
}

/// Lines of our own on stdout.
pub fn table(lines: &str) -> io::Result<()> {
    io::stdout().write_all(terminal::lines(lines).as_bytes())
}

/// Lines of our own on stderr. Where nobody listens there is nobody to tell.
pub fn talk(lines: &str) {
    let _nobody_listens = writeln!(io::stderr(), "{}", terminal::lines(lines));
}

/// Whether a person watches stderr.
pub fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Stderr for who writes pieces of text; each piece is whole lines or parts of one.
#[derive(Debug)]
pub struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(terminal::lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
