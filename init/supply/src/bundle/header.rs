//! The header of a member of a bundle: the block that `tar` makes of a name, a size and nothing else. Written by one function; read by comparing with
//! what that function makes. May not read or write a file.

use anyhow::{Context as _, Result, bail, ensure};

/// What a tar counts in, in bytes (POSIX.1-2017, pax, "ustar Interchange Format"; the table of fields stands there too).
pub const BLOCK: usize = 512;
/// The end mark: two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The largest member, in bytes: what eleven octal digits can say, 8 GiB less one.
pub const LARGEST: u64 = (1 << 33) - 1;

/// What is written besides name, size and checksum: the field's place, its bytes, and how it is called in messages.
const FIELDS: [(usize, &[u8], &str); 9] = [
    (100, b"0000644\0", "the mode"),
    (108, b"0000000\0", "the owner"),
    (116, b"0000000\0", "the group"),
    (136, b"00000000000\0", "the time"),
    (156, b"0", "the kind"),
    (257, b"ustar\x0000", "the magic"),
    (329, b"0000000\0", "the device"),
    (337, b"0000000\0", "the device"),
    (SUM, b"        ", "the checksum"), // as which it is summed up
];
const NAME: usize = 100;
const SIZE: std::ops::Range<usize> = 124..136;
const SUM: usize = 148;
const KIND: usize = 156;

/// The header of a file. Names of ours have 71 characters at most, and no member is larger than [`LARGEST`].
pub fn header(name: &str, size: u64) -> [u8; BLOCK] {
    assert!(name.len() < NAME && size <= LARGEST, "{name} with {size} bytes is a member of a bundle");
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    for (at, bytes, _) in FIELDS {
        put(at, bytes);
    }
    put(SIZE.start, format!("{size:011o}").as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[SUM..SUM + 7].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

/// How many zeros follow a member of that size.
pub fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
    (BLOCK - over) % BLOCK
}

/// The size of the member that this header announces, which has to be the file `wanted`, in no other form than [`header`] writes.
pub(super) fn read(block: &[u8; BLOCK], wanted: &str) -> Result<u64> {
    ensure!(block.iter().any(|byte| *byte != 0), "it ends where {wanted} should be");
    if let Some(kind) = kind(block[KIND]) {
        bail!("{:?} is {kind}, where the file {wanted} should be", name(block));
    }
    ensure!(name(block) == wanted, "where {wanted} should be there is {:?}", name(block));
    let digits = std::str::from_utf8(&block[SIZE.start..SIZE.end - 1]).ok();
    let size = digits.and_then(|digits| u64::from_str_radix(digits, 8).ok()).filter(|size| *size <= LARGEST);
    let size = size.with_context(|| format!("the size of {wanted} is no octal number of eleven digits"))?;
    let right = header(wanted, size);
    let differ = (0..BLOCK).filter(|at| block[*at] != right[*at]);
    // a checksum that is right is another one where something else is
    match differ.min_by_key(|at| (SUM..KIND).contains(at)) {
        None => Ok(size),
        Some(at) => bail!("the header of {wanted} is not as anymetal writes it: {} (byte {at} of it)", field(at)),
    }
}

/// The name that the header has, as far as it is text.
pub(super) fn name(block: &[u8; BLOCK]) -> String {
    let name = block[..NAME].split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// What a member is that is no plain file.
fn kind(flag: u8) -> Option<&'static str> {
    Some(match flag {
        b'0' => return None,
        b'1' | b'2' => "a link",
        b'3' | b'4' => "a device",
        b'5' => "a folder",
        b'6' => "a pipe",
        b'x' | b'g' | b'L' | b'K' | b'S' => "an extension of tar",
        _ => "of an unknown kind",
    })
}

fn field(at: usize) -> &'static str {
    let of = FIELDS.iter().find(|(start, bytes, _)| (*start..start + bytes.len()).contains(&at));
    match of {
        Some((_, _, field)) => field,
        None if at < NAME => "the name",
        None if SIZE.contains(&at) => "the size",
        None => "what should be empty",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_every_changed_bit_of_it_is_refused() {
        for size in [0, 1, 511, 512, 123_456_789, LARGEST] {
            let block = header("sha256/ab", size);
            assert_eq!(read(&block, "sha256/ab").unwrap(), size);
            for bit in 0..BLOCK * 8 {
                let mut other = block;
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(read(&other, "sha256/ab").is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn members_end_on_whole_blocks() {
        for (size, zeros) in [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511), (LARGEST, 1)] {
            assert_eq!(padding(size), zeros, "{size}");
        }
    }
}
