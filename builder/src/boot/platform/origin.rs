//! The artefact origin beside the platform: blobs by digest, with ranges, so that a cut transfer can be resumed.
//! May not look on the disk: it is given what there is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anymetal_contract::Digest;

use crate::sys::listen::{Answer, Body, Part};

/// What can be had: digest to file and size in bytes.
pub type Blobs = BTreeMap<Digest, (PathBuf, u64)>;

/// How badly blobs are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manners {
    /// One byte in the middle is wrong.
    pub corrupt: bool,
    /// Bytes per second of one transfer, at most.
    pub rate: Option<u64>,
}

/// The answer for `/sha256/<name>`.
pub fn answer(blobs: &Blobs, manners: Manners, name: &str, range: Option<&str>) -> Answer {
    let Some((path, size)) = name.parse::<Digest>().ok().and_then(|digest| blobs.get(&digest)) else {
        return Answer::document(404, "text/plain", format!("no blob {name:?} here\n"));
    };
    let (status, from, length) = match range.map_or(Range::Whole, |range| asked_range(range, *size)) {
        Range::Whole => (200, 0, *size),
        Range::Part(from, length) => (206, from, length),
        Range::Impossible => {
            let mut answer = Answer::document(416, "text/plain", "");
            answer.headers.push(("content-range", format!("bytes */{size}")));
            return answer;
        }
    };
    let damage = manners.corrupt.then_some(size / 2);
    let mut headers =
        vec![("content-type", "application/octet-stream".to_owned()), ("accept-ranges", "bytes".to_owned())];
    if status == 206 {
        headers.push(("content-range", format!("bytes {from}-{}/{size}", from + length - 1)));
    }
    let part = Part { from, length, damage, rate: manners.rate };
    Answer { status, headers, body: Body::File { path: path.clone(), part } }
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// First byte and length.
    Part(u64, u64),
    Impossible,
}

/// RFC 9110, section 14.2: a range that cannot be read is ignored, several ranges are answered with the whole.
fn asked_range(text: &str, size: u64) -> Range {
    let Some((from, to)) = text.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Range::Whole;
    };
    let (from, to) = match (from.trim().parse::<u64>(), to.trim()) {
        (Ok(from), "") => (from, size.saturating_sub(1)),
        (Ok(from), to) => match to.parse::<u64>() {
            Ok(to) if to >= from => (from, to.min(size.saturating_sub(1))),
            _ => return Range::Whole,
        },
        (Err(_), last) if from.trim().is_empty() => match last.parse::<u64>() {
            Ok(0) => return Range::Impossible,
            Ok(last) => (size.saturating_sub(last), size.saturating_sub(1)),
            Err(_) => return Range::Whole,
        },
        _ => return Range::Whole,
    };
    if from >= size { Range::Impossible } else { Range::Part(from, to - from + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        for (text, range) in [
            ("bytes=0-", Range::Part(0, 100)),
            ("bytes=40-", Range::Part(40, 60)),
            ("bytes=40-49", Range::Part(40, 10)),
            ("bytes=90-500", Range::Part(90, 10)),
            ("bytes=-10", Range::Part(90, 10)),
            ("bytes=-500", Range::Part(0, 100)),
            ("bytes=100-", Range::Impossible),
            ("bytes=-0", Range::Impossible),
            ("bytes=50-40", Range::Whole),
            ("bytes=0-1,5-6", Range::Whole),
            ("lines=0-1", Range::Whole),
            ("bytes=a-b", Range::Whole),
        ] {
            assert_eq!(asked_range(text, 100), range, "{text}");
        }
    }

    #[test]
    fn only_a_digest_names_a_blob() {
        let digest: Digest = "ab".repeat(32).parse().unwrap();
        let blobs = Blobs::from([(digest.clone(), (PathBuf::from("blob"), 10))]);
        let status = |name: &str| answer(&blobs, Manners::default(), name, None).status;
        assert_eq!(status(digest.as_str()), 200);
        for name in ["", "../../etc/passwd", &digest.as_str().to_uppercase(), &"cd".repeat(32)] {
            assert_eq!(status(name), 404, "{name:?}");
        }
    }

    #[test]
    fn a_part_says_which_part_it_is() {
        let digest: Digest = "ab".repeat(32).parse().unwrap();
        let blobs = Blobs::from([(digest.clone(), (PathBuf::from("blob"), 10))]);
        let answer = answer(&blobs, Manners { corrupt: true, rate: None }, digest.as_str(), Some("bytes=4-"));
        assert_eq!(answer.status, 206);
        assert!(answer.headers.contains(&("content-range", "bytes 4-9/10".to_owned())), "{:?}", answer.headers);
        let part = Part { from: 4, length: 6, damage: Some(5), rate: None };
        assert_eq!(answer.body, Body::File { path: "blob".into(), part });
    }
}
