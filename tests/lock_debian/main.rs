//! Debian packages resolved from whole archives: the lab's, signed and hostile, and the one this machine's own apt uses.
//! May not look inside: what is locked is compared with what was asked, and with what apt itself would install.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a suite plays the world around the program")]

mod real;
