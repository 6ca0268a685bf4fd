//! The few forms of DER (X.690) that our certificates are made of, written and read.
//! May not know what a certificate is.

/// A tag of X.690 and its use here.
pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The tag of a field `[number]`, with parts of its own or without.
pub(crate) const fn context(number: u8, constructed: bool) -> u8 {
    0x80 | number | if constructed { 0x20 } else { 0 }
}

/// Writes one value: tag, length, and these parts one after the other.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let bytes = length.to_be_bytes();
    if length < 0x80 {
        out.push(bytes[bytes.len() - 1]);
    } else {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let digits = &bytes[zeros..];
        out.push(0x80 | u8::try_from(digits.len()).expect("a length has at most eight bytes"));
        out.extend_from_slice(digits);
    }
    out.extend(parts.iter().copied().flatten());
    out
}

/// Writes a bit string of whole bytes.
pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes])
}

/// Reads one value after the other.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

/// A value that was read.
pub(crate) struct Value<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the next value. Returns nothing when there is none, or it is cut off.
    pub(crate) fn next(&mut self) -> Option<Value<'a>> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (length, rest) = if *first < 0x80 {
            (usize::from(*first), rest)
        } else {
            let (digits, rest) =
                rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| digits.len() <= 4)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some(Value { tag: *tag, content, whole })
    }

    /// Reads the next value when it has this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Option<Value<'a>> {
        self.next().filter(|value| value.tag == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_length_is_read_back_as_it_was_written() {
        for (length, head) in [(3, 2), (127, 2), (128, 3), (300, 4), (70_000, 5)] {
            let content = vec![7; length];
            let written = value(OCTET_STRING, &[&content[..1], &content[1..]]);
            assert_eq!(written.len(), length + head);
            let both = [written.clone(), value(SET, &[])].concat();
            let mut reader = Reader(&both);
            let read = reader.expect(OCTET_STRING).unwrap();
            assert_eq!((read.content, read.whole), (content.as_slice(), written.as_slice()));
            assert_eq!(reader.next().unwrap().tag, SET);
            assert!(reader.next().is_none());
        }
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let written = value(SEQUENCE, &[&[7; 300]]);
        for end in 0..written.len() {
            assert!(Reader(&written[..end]).next().is_none(), "{end} bytes were enough");
        }
        assert!(Reader(&[0x30, 0x85, 1, 0, 0, 0, 0, 0]).next().is_none());
    }
}
