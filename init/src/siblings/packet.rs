//! What siblings say to each other in one datagram: blobs by digest, and how each stands with who says it.
//! May not send one. Whatever comes is judged by its form alone; what it says is a hint, and bytes count by their digest.
//!
//! `amsib1`, a byte for a question or an answer, a byte for how many entries, then for each 32 bytes of digest, a byte of state and 8 bytes of
//! progress, big-endian. An answer has no entry that its question has not, so it is never longer.

use anymetal_contract::Digest;

const MARK: &[u8; 6] = b"amsib1";
const HEAD: usize = MARK.len() + 2;
const ENTRY: usize = 32 + 1 + 8;
/// Entries of one datagram: as many as one frame of Ethernet takes with room to spare.
pub(super) const MOST: usize = 32;
/// The longest datagram, in bytes.
pub(super) const LONGEST: usize = HEAD + MOST * ENTRY;

/// How a blob stands with somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is wanted, and nothing is done about it yet.
    Wanted,
    /// It is coming from outside; so many bytes are there.
    Coming(u64),
    /// It is there, whole.
    Here,
}

/// One datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    /// Whether an answer is asked for.
    pub(super) question: bool,
    pub(super) entries: Vec<(Digest, State)>,
}

impl Packet {
    /// Its bytes; no more than [`MOST`] entries.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let entries = &self.entries[..self.entries.len().min(MOST)];
        let mut bytes = MARK.to_vec();
        bytes.extend([u8::from(self.question), u8::try_from(entries.len()).unwrap_or(0)]);
        for (digest, state) in entries {
            bytes.extend(raw(digest));
            let (word, done) = match state {
                State::Wanted => (0, 0),
                State::Coming(done) => (1, *done),
                State::Here => (2, 0),
            };
            bytes.push(word);
            bytes.extend(done.to_be_bytes());
        }
        bytes
    }

    /// A packet of ours in these bytes, whole and with nothing behind it.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, entries) = bytes.split_at_checked(HEAD)?;
        let [kind, count] = head.strip_prefix(MARK)? else { return None };
        let whole = usize::from(*count) * ENTRY == entries.len() && usize::from(*count) <= MOST && *kind <= 1;
        whole.then_some(())?;
        let entry = |entry: &[u8]| {
            let (digest, rest) = entry.split_first_chunk::<32>()?;
            let (word, done) = rest.split_first()?;
            let done = u64::from_be_bytes(done.try_into().ok()?);
            let state = match word {
                0 => State::Wanted,
                1 => State::Coming(done),
                2 => State::Here,
                _ => return None,
            };
            Some((Digest::of(*digest), state))
        };
        let entries = entries.chunks(ENTRY).map(entry).collect::<Option<_>>()?;
        Some(Self { question: *kind == 1, entries })
    }
}

/// The 32 bytes that a digest is written for.
pub(super) fn raw(digest: &Digest) -> [u8; 32] {
    let text = digest.as_str().as_bytes();
    let digit = |byte: u8| if byte.is_ascii_digit() { byte - b'0' } else { byte - b'a' + 10 };
    std::array::from_fn(|place| digit(text[2 * place]) << 4 | digit(text[2 * place + 1]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_is_read_back_and_an_answer_is_as_long_as_its_question() {
        let entries = vec![
            (Digest::of([0xa5; 32]), State::Wanted),
            (Digest::of([0x0f; 32]), State::Coming(1 << 40)),
            (Digest::of([0; 32]), State::Here),
        ];
        let question = Packet { question: true, entries };
        let answer = Packet { question: false, ..question.clone() };
        assert_eq!(Packet::read(&question.bytes()), Some(question.clone()));
        assert_eq!(Packet::read(&answer.bytes()), Some(answer.clone()));
        assert_eq!(question.bytes().len(), answer.bytes().len());
        let many = Packet { question: true, entries: vec![(Digest::of([1; 32]), State::Here); 99] };
        assert_eq!(many.bytes().len(), LONGEST);
        assert_eq!(Packet::read(&many.bytes()).map(|packet| packet.entries.len()), Some(MOST));
    }

    #[test]
    fn what_is_not_whole_is_no_packet() {
        let good = Packet { question: true, entries: vec![(Digest::of([1; 32]), State::Here)] }.bytes();
        for length in 0..good.len() {
            assert_eq!(Packet::read(&good[..length]), None, "the first {length} bytes were taken for a packet");
        }
        for (place, byte) in [(0, b'A'), (6, 2), (7, 2), (7, 0), (HEAD + 32, 3)] {
            let mut bad = good.clone();
            bad[place] = byte;
            assert_eq!(Packet::read(&bad), None, "byte {place} is {byte}");
        }
        assert_eq!(Packet::read(&[&good[..], b"x"].concat()), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..LONGEST + 9)) {
            let _whatever = Packet::read(&bytes);
            let _marked = Packet::read(&[MARK.as_slice(), &bytes].concat());
        }
    }
}
