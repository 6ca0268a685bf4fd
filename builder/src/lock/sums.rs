//! A file of checksums, as `sha256sum` and upstreams' release tools write it.
//! May not judge who wrote it: `upstream` does.

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::Digest;

/// The largest file of checksums that is read, in bytes. HashiCorp's have 3 KiB.
pub const LARGEST: u64 = 1 << 20;

/// The digest that the file has for a name, if any. A line is a sha256, blanks, a star for binary or none, and a path whose last part counts; one that begins with
/// `#` is a remark.
pub fn digest(file: &[u8], name: &str) -> Result<Option<Digest>> {
    let text = std::str::from_utf8(file).context("it is not text")?;
    let mut found: Option<Digest> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((hex, path)) = line.trim().split_once([' ', '\t']) else { continue };
        let path = path.trim_start();
        let path = path.strip_prefix('*').unwrap_or(path);
        if path.rsplit('/').next() != Some(name) {
            continue;
        }
        let digest: Digest =
            hex.to_ascii_lowercase().parse().ok().with_context(|| format!("what stands beside {name} is no sha256"))?;
        let same = found.as_ref().is_none_or(|found| *found == digest);
        ensure!(same, "it has two digests for {name}");
        found = Some(digest);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "consul_1.21.5_linux_amd64.zip";

    fn said(file: &str) -> String {
        match digest(file.as_bytes(), NAME) {
            Ok(Some(digest)) => digest.short().to_owned(),
            Ok(None) => "none".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_line_is_found_by_the_last_part_of_its_path() {
        let (a, b) = ("ab".repeat(32), "cd".repeat(32));
        for (file, expected) in [
            (format!("{b}  consul_1.21.5_linux_arm64.zip\n{a}  {NAME}\n"), "abababababab"),
            (format!("{a} *{NAME}"), "abababababab"),
            (format!("{a}\t./{NAME}\r\n"), "abababababab"),
            (format!("{}  dist/release/{NAME}\n", a.to_uppercase()), "abababababab"),
            (format!("{a}  {NAME}\n{a}  {NAME}\n"), "abababababab"),
            (format!("{a}  {NAME}.sig\n{a}  x{NAME}\n# {NAME}\n"), "none"),
            (format!("# sha256 of {NAME}\n"), "none"),
            (String::new(), "none"),
            (format!("{a}  {NAME}\n{b}  other/{NAME}\n"), "it has two digests for consul_1.21.5_linux_amd64.zip"),
            (format!("{}  {NAME}\n", &a[..40]), "what stands beside consul_1.21.5_linux_amd64.zip is no sha256"),
        ] {
            assert_eq!(said(&file), expected, "{file}");
        }
        assert_eq!(digest(b"\xff\n", NAME).unwrap_err().to_string(), "it is not text");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "([0-9a-f]{0,66}[ \t*]{0,3}(\\./)?a\r?\n){0,4}") {
            let _any = digest(&bytes, "a");
            let _any = digest(text.as_bytes(), "a");
        }
    }
}
