//! gzip and base64 of a file in `write_files`: the same text for the same bytes, whoever packs them.
//! May not know what is packed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Crc;
use zopfli::{BlockType, DeflateEncoder, Options, Write as _};

/// cloud-init's name of this encoding.
pub const ENCODING: &str = "gz+b64";

/// RFC 1952 section 2.3.1: unknown. Any fixed value would do; this one says nothing about who packed.
const OS_UNKNOWN: u8 = 255;

/// Characters in a line: long enough that line feeds and indentation cost next to nothing (at 120 they are a twenty-fifth of the whole, at 1000
/// sixty bytes of a large plan), short enough for an editor.
const WIDTH: usize = 4000;

/// Lines of base64, of a gzip member without a name, a time or an operating system.
pub fn pack(bytes: &[u8]) -> String {
    let text = STANDARD.encode(gzip(bytes));
    let lines = text.as_bytes().chunks(WIDTH).map(|line| std::str::from_utf8(line).expect("base64 is ASCII"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// A gzip member (RFC 1952, section 2.3).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    // ID1 ID2, CM (deflate), FLG (nothing), MTIME (none) of four bytes, XFL (the slowest), OS
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, OS_UNKNOWN];
    // The version of zopfli is pinned in Cargo.lock; its choices do not depend on the processor.
    let mut encoder = DeflateEncoder::new(Options::default(), BlockType::Dynamic, &mut member);
    encoder.write_all(bytes).and_then(|()| encoder.finish().map(drop)).expect("writing to memory does not fail");
    let mut crc = Crc::new();
    crc.update(bytes);
    member.extend(crc.sum().to_le_bytes());
    member.extend(crc.amount().to_le_bytes());
    member
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_header_of_the_gzip_member_says_nothing_but_the_method() {
        // ID1 ID2 CM FLG MTIME×4 XFL (2: slowest) OS (255: unknown)
        assert_eq!(gzip(b"a plan")[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        let plan = "{\"kind\":\"anymetal.plan\"}".repeat(500);
        let text = pack(plan.as_bytes());
        assert!(text.lines().all(|line| line.len() <= WIDTH) && text.ends_with('\n'), "{text}");
        let member = STANDARD.decode(text.replace('\n', "")).unwrap();
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&member[..]).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, plan);
    }

    #[test]
    fn the_packed_text_is_the_one_it_always_was() {
        // Made by this very function; another text means that nodes of an unchanged site would get another user-data.
        assert_eq!(pack(b"anymetal anymetal anymetal"), "H4sIAAAAAAAC/0vMq8xNLUnMUcBgAADY+h0vGgAAAA==\n");
    }
}
