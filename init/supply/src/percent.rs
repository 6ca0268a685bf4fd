//! Percent signs of URLs (RFC 3986 section 2.1).
//! May not know which part of a URL it is given.

/// Returns the bytes with every escape as the byte it stands for; what is no escape stays as it is.
pub fn decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, more @ ..] = rest {
        let digits = more.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|digits| *first == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[2..] } else { more };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_is_its_byte_and_anything_else_is_itself() {
        for (text, bytes) in [
            ("a%2Eb%2f", &b"a.b/"[..]),
            ("%C3%A9", "é".as_bytes()),
            ("100%", b"100%"),
            ("%6q%+1%", b"%6q%+1%"),
            ("", b""),
        ] {
            assert_eq!(decoded(text), bytes, "{text}");
        }
    }
}
