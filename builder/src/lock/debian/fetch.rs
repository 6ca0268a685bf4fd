//! How files of an archive are had: the border to the world, and a memory of what was asked before.
//! May not judge what comes: `release` and `index` do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use anyhow::Result;

/// The error of a place that answers and has no such file.
#[derive(Debug)]
pub struct Absent(
    /// Who, and what was asked for.
    pub String,
);

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Absent {}

/// Who has the files of an archive. Asked by upstream's own addresses; whether a mirror answers is its business.
pub trait Fetch {
    /// The file at this address, when it has at most `most` bytes.
    fn get(&self, url: &str, most: u64) -> Result<Vec<u8>>;

    /// Names the place in messages: the address that is asked, or the file that is read.
    fn place(&self, url: &str) -> String {
        url.to_owned()
    }
}

/// Asks another but once for each address, so that the closures of two architectures come from one and the same signed index, although a mirror
/// is brought up to date between them.
pub struct Once<'a> {
    inner: &'a dyn Fetch,
    seen: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl<'a> Once<'a> {
    /// Nothing is remembered yet.
    pub fn new(inner: &'a dyn Fetch) -> Self {
        Self { inner, seen: RefCell::default() }
    }
}

impl Fetch for Once<'_> {
    fn get(&self, url: &str, most: u64) -> Result<Vec<u8>> {
        if let Some(seen) = self.seen.borrow().get(url) {
            return Ok(seen.clone());
        }
        let bytes = self.inner.get(url, most)?;
        self.seen.borrow_mut().insert(url.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn place(&self, url: &str) -> String {
        self.inner.place(url)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    struct Counting(Cell<u8>);

    impl Fetch for Counting {
        fn get(&self, url: &str, _: u64) -> Result<Vec<u8>> {
            self.0.set(self.0.get() + 1);
            if url == "missing" {
                bail!("it is not there");
            }
            Ok(vec![self.0.get()])
        }
    }

    #[test]
    fn an_answer_is_kept_and_a_refusal_is_not() {
        let counting = Counting(Cell::new(0));
        let once = Once::new(&counting);
        assert_eq!((once.get("a", 9).unwrap(), once.get("a", 9).unwrap()), (vec![1], vec![1]));
        assert!(once.get("missing", 9).is_err() && once.get("missing", 9).is_err());
        assert_eq!(once.get("b", 9).unwrap(), [4]);
    }
}
