//! A file of checksums, in every form that coreutils' `sha256sum --check` reads.
//! May not judge who wrote it: `upstream` does.

use anyhow::{Result, bail, ensure};
use anymetal_contract::{Digest, terminal, text};

/// The largest file of checksums that is read, in bytes. HashiCorp's have 3 KiB.
pub const LARGEST: u64 = 1 << 20;

/// Names of our algorithm in lines that name one.
const OURS: [&str; 2] = ["SHA256", "SHA2-256"];

/// One line: what it says the digest of a file is.
struct Line<'a> {
    /// Of which kind it is, where it says so.
    algorithm: Option<&'a str>,
    /// Its digits, or whatever stands in their place.
    digest: &'a str,
    path: String,
}

/// The digest that the file has for a name, if any. Of a path the last part counts. Lines that are of another kind of digest, or none, are passed over; they
/// are named when there is no other of that name.
pub fn digest(file: &[u8], name: &str) -> Result<Option<Digest>> {
    let text = text::decode(file).map_err(|why| anyhow::anyhow!("it is {why}"))?;
    let (mut found, mut odd): (Option<Digest>, _) = (None, None);
    for line in text.lines().filter_map(line).filter(|line| base_name(&line.path) == name) {
        let is_ours = line.algorithm.is_none_or(|name| OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)));
        let Some(digest) = line.digest.to_ascii_lowercase().parse::<Digest>().ok().filter(|_| is_ours) else {
            odd.get_or_insert_with(|| kind(&line));
            continue;
        };
        let same = found.as_ref().is_none_or(|found| *found == digest);
        ensure!(same, "it has two digests for {name}");
        found = Some(digest);
    }
    match (found, foreign(text), odd) {
        (None, Some(why), _) => bail!("{why}"),
        (None, None, Some(odd)) => bail!("what stands beside {name} is no sha256{odd}"),
        (found, ..) => Ok(found),
    }
}

/// One line, in whichever form:
///
/// ```text
/// e3b0c442…  name          sha256sum, and shasum
/// e3b0c442… *name          the same of a binary file
/// \e3b0c442…  a\\b         the same of a name with a backslash or a line end in it
/// SHA256 (name) = e3b0…    sha256sum --tag, and the BSDs' sha256
/// SHA2-256(name)= e3b0…    openssl dgst
/// ```
fn line(line: &str) -> Option<Line<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (line, escaped) = line.strip_prefix('\\').map_or((line, false), |line| (line, true));
    let (algorithm, digest, path) = tagged(line).or_else(|| {
        let (digest, path) = line.split_once([' ', '\t'])?;
        let path = path.trim_start();
        Some((None, digest, path.strip_prefix('*').unwrap_or(path)))
    })?;
    Some(Line { algorithm, digest, path: if escaped { unescaped(path) } else { path.to_owned() } })
}

/// The digest and the path of a line that begins with the name of the algorithm. One of another algorithm has them too.
fn tagged(line: &str) -> Option<(Option<&str>, &str, &str)> {
    let (algorithm, rest) = line.split_once('(')?;
    let algorithm = algorithm.trim_end();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-/".contains(&b);
    if algorithm.is_empty() || !algorithm.bytes().all(is_name) {
        return None;
    }
    let (path, digest) = rest.rsplit_once(')')?;
    let digest = digest.trim_start().strip_prefix('=')?.trim();
    Some((Some(algorithm), digest, path))
}

/// A path as coreutils escapes it.
fn unescaped(path: &str) -> String {
    path.replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\")
}

/// The last part of a path, of Windows' too.
fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Of which kind a digest seems to be that is none of ours, as an end of a sentence.
fn kind(line: &Line<'_>) -> String {
    let known = [(32, "md5"), (40, "sha1"), (96, "sha384"), (128, "sha512")];
    let hexadecimal = line.digest.bytes().all(|b| b.is_ascii_hexdigit());
    match (line.algorithm, known.iter().find(|(length, _)| hexadecimal && *length == line.digest.len())) {
        (Some(algorithm), _) => format!(", but of {}", terminal::one_line(algorithm)),
        (None, Some((_, name))) => format!(", but as long as a {name}"),
        (None, None) => String::new(),
    }
}

/// What is known of a file without a line for a name, when it is in another form.
fn foreign(text: &str) -> Option<&'static str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let columns: Vec<_> = first.split_whitespace().collect();
    if columns == ["Algorithm", "Hash", "Path"] || first.starts_with("Algorithm") && first.contains(':') {
        return Some("it is what PowerShell's Get-FileHash prints: write it as `sha256sum` does, `<digest>  <name>`");
    }
    if first.parse::<Digest>().is_ok() && lines.next().is_none() {
        return Some("it has a digest and no name: write it as `sha256sum` does, `<digest>  <name>`");
    }
    if first.starts_with('{') || first.starts_with('<') {
        return Some("it is another document: each line of checksums is `<digest>  <name>`");
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "consul_1.21.5_linux_amd64.zip";

    fn said(file: &[u8]) -> String {
        match digest(file, NAME) {
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
            (format!("{a}  dist\\release\\{NAME}\n"), "abababababab"),
            (format!("{a}  {NAME}\n{a}  {NAME}\n"), "abababababab"),
            (format!("{a}  {NAME}.sig\n{a}  x{NAME}\n# {NAME}\n"), "none"),
            (format!("# sha256 of {NAME}\n"), "none"),
            (String::new(), "none"),
            (format!("{a}  {NAME}\n{b}  other/{NAME}\n"), "it has two digests for consul_1.21.5_linux_amd64.zip"),
        ] {
            assert_eq!(said(file.as_bytes()), expected, "{file}");
        }
    }

    #[test]
    fn every_form_that_coreutils_reads_is_read() {
        let (a, b) = ("ab".repeat(32), "cd".repeat(64));
        for file in [
            format!("SHA256 ({NAME}) = {a}\n"),
            format!("SHA256 (./dist/{NAME}) = {}\r\n", a.to_uppercase()),
            format!("SHA256({NAME})= {a}\n"),
            format!("SHA2-256({NAME})= {a}\n"),
            format!("SHA512 ({NAME}) = {b}\nSHA256 ({NAME}) = {a}\n"),
            format!("{b}  {NAME}\n{a}  {NAME}\n"),
            format!("\\{a}  dist\\\\x/{NAME}\n"),
            format!("\u{FEFF}{a}  {NAME}\n"),
            format!("\u{FEFF}SHA256 ({NAME}) = {a}"),
            format!("  {a}  {NAME}  \n"),
        ] {
            assert_eq!(said(file.as_bytes()), "abababababab", "{file}");
        }
    }

    #[test]
    fn a_file_in_another_form_is_named() {
        let a = "ab".repeat(32);
        let powershell =
            "it is what PowerShell's Get-FileHash prints: write it as `sha256sum` does, `<digest>  <name>`";
        let utf16: Vec<u8> = format!("\u{FEFF}{a}  {NAME}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (file, expected) in [
            (utf16, "it is not UTF-8 at 1:1: this looks like UTF-16: save it as UTF-8".to_owned()),
            (b"\xff\n".to_vec(), "it is not UTF-8: the byte 0xFF at 1:1: save it as UTF-8".into()),
            (
                format!("\r\nAlgorithm       Hash     Path\r\n---------  ----  ----\r\nSHA256  {a}  C:\\x\\{NAME}\r\n")
                    .into(),
                powershell.into(),
            ),
            (
                format!("Algorithm : SHA256\r\nHash      : {a}\r\nPath      : C:\\x\\{NAME}\r\n").into(),
                powershell.into(),
            ),
            (
                format!("{a}\n").into(),
                "it has a digest and no name: write it as `sha256sum` does, `<digest>  <name>`".into(),
            ),
            (
                format!("{}  {NAME}\n", &a[..40]).into(),
                format!("what stands beside {NAME} is no sha256, but as long as a sha1"),
            ),
            (
                format!("SHA512 ({NAME}) = {a}{a}\n").into(),
                format!("what stands beside {NAME} is no sha256, but of SHA512"),
            ),
            (
                format!("SHA3-256({NAME})= {a}\n").into(),
                format!("what stands beside {NAME} is no sha256, but of SHA3-256"),
            ),
            (format!("{}  {NAME}\n", &a[..41]).into(), format!("what stands beside {NAME} is no sha256")),
            (b"<html>".to_vec(), "it is another document: each line of checksums is `<digest>  <name>`".into()),
        ] {
            assert_eq!(said(&file), expected, "{}", String::from_utf8_lossy(&file));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "(\\\\?(SHA256 ?\\(a\\) ?= ?)?[0-9a-f]{0,66}[ \t*]{0,3}(\\./)?a\r?\n){0,4}") {
            let _any = digest(&bytes, "a");
            let _any = digest(text.as_bytes(), "a");
        }
    }
}
