//! Which passwords a BGP session can have: what BIRD's configuration and the kernel can both carry.
//! May not quote one.

/// The longest key of RFC 2385 as Linux takes it (`TCP_MD5SIG_MAXKEYLEN`). BIRD notices a longer one only at run time.
const MOST: usize = 80;

/// Why this cannot be a session's password, as what follows "a password "; `None` when it can. BIRD's strings know no escapes.
pub(crate) fn unusable(password: &str) -> Option<&'static str> {
    if password.is_empty() {
        Some("that is empty")
    } else if password.contains('"') {
        Some("with a double quote, which BIRD cannot express")
    } else if password.chars().any(char::is_control) {
        Some("with a control character, which BIRD cannot express")
    } else if password.len() > MOST {
        Some("of more than 80 bytes, which TCP MD5 signatures cannot use")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_1_to_80_bytes_without_quotes_and_control_characters() {
        let (longest, too_long, umlauts) = ("k".repeat(80), "k".repeat(81), "ä".repeat(41));
        for (password, fault) in [
            ("k", None),
            ("ä#;{}'\\ %", None),
            (&longest, None),
            ("", Some("empty")),
            ("a\"b", Some("double quote")),
            ("a\nb", Some("control character")),
            ("a\u{85}b", Some("control character")),
            (&too_long, Some("80 bytes")),
            (&umlauts, Some("80 bytes")),
        ] {
            let said = unusable(password);
            let as_expected = fault.map_or(said.is_none(), |fault| said.is_some_and(|said| said.contains(fault)));
            assert!(as_expected, "{password:?} gave {said:?}");
        }
    }
}
