//! A suite's index of packages (`Packages`): fetched as its `InRelease` lists it, unpacked within bounds, read stanza by stanza.
//! May not decide which package is taken: `pool` does.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Read;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use anymetal_contract::packages::Package;
use deb822_fast::borrowed::{BorrowedParagraph, BorrowedParser};
use debversion::Version;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use super::archive::Source;
use super::fetch::{Absent, Fetch};
use super::release::{Listed, Release};

/// The largest index that is fetched, in bytes. Debian's largest has 12 MB.
const LARGEST: u64 = 64 << 20;
/// The largest index that is unpacked, in bytes. Debian's largest has 50 MB.
const LARGEST_UNPACKED: u64 = 256 << 20;
/// What unpacking may take in memory, in KiB. Debian packs with a dictionary of 64 MiB.
const XZ_MEMORY: u32 = 128 << 10;
/// The largest package that is installed, in bytes; the largest in Debian 12 has 2 GB.
const LARGEST_PACKAGE: u64 = 4 << 30;
/// The forms an index comes in, the smallest first. Not every suite has each.
const FORMS: [&str; 3] = [".xz", ".gz", ""];
/// Forms that apt reads too, and we do not.
const OTHERS: [&str; 4] = [".bz2", ".lzma", ".zst", ".lz4"];

/// The fields that decide what is installed.
const COUNTS: [&str; 10] = [
    "SHA256",
    "Size",
    "Pre-Depends",
    "Depends",
    "Provides",
    "Conflicts",
    "Breaks",
    "Essential",
    "Priority",
    "Multi-Arch",
];

/// One package as a suite describes it.
#[derive(Debug, Clone)]
pub struct Stanza<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version, as it is written.
    pub version: &'a str,
    /// Where it is described.
    pub source: &'a Source,
    fields: BorrowedParagraph<'a>,
}

/// Fetches the index of a component for an architecture (Debian's name of it), as the suite's release lists it.
pub fn fetch(
    fetch: &dyn Fetch,
    source: &Source,
    release: &Release,
    component: &str,
    architecture: &str,
) -> Result<String> {
    let folder = format!("{component}/binary-{architecture}");
    let name = |form: &str| format!("{folder}/Packages{form}");
    let listed: Vec<_> = FORMS.iter().filter_map(|form| Some((*form, release.file(&name(form))?))).collect();
    if listed.is_empty() {
        let other = OTHERS.iter().map(|form| name(form)).find(|name| release.file(name).is_some());
        let known = "neither Packages.xz, Packages.gz nor Packages";
        match other {
            Some(other) => bail!("the release lists {other}, but {known} of {folder}, and no other form is read"),
            None => bail!("the release lists {known} of {folder}"),
        }
    }
    let most = release.file(&name("")).map_or(LARGEST_UNPACKED, |plain| plain.size);
    ensure!(most <= LARGEST_UNPACKED, "{} has {most} bytes, more than {LARGEST_UNPACKED}", name(""));
    let suite = format!("{}/dists/{}/{folder}", source.url, source.name);
    let mut refused = None;
    for (form, listed) in listed {
        ensure!(listed.size <= LARGEST, "{} has {} bytes, more than {LARGEST}", name(form), listed.size);
        let packed = match packed(fetch, &suite, form, release.by_hash, listed) {
            Ok(packed) => packed,
            // a release may list what the archive does not keep: Debian's own does, of the plain form
            Err(why) if why.chain().any(<dyn std::error::Error>::is::<Absent>) => {
                refused.get_or_insert(why);
                continue;
            }
            Err(why) => return Err(why),
        };
        let text = unpack(form, packed, most)
            .with_context(|| format!("unpacking {}", fetch.place(&format!("{suite}/Packages{form}"))))?;
        return Ok(text_of(text));
    }
    Err(refused.expect("one at least is listed"))
}

/// An index as text. Names of people may be in any encoding; what is used of an index is ASCII. Lines may end as they do elsewhere.
fn text_of(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if text.contains("\r\n") { text.replace("\r\n", "\n") } else { text }
}

/// The bytes that are listed: by their digest where the archive offers that, else by their name.
fn packed(fetch: &dyn Fetch, folder: &str, form: &str, by_hash: bool, listed: &Listed) -> Result<Vec<u8>> {
    // A mirror that keeps no files by digest, or a copy of an archive made by hand, has it by its name.
    let (field, hex) = listed.sum.named();
    let by_hash = by_hash.then(|| format!("{folder}/by-hash/{field}/{hex}"));
    let found = by_hash.and_then(|url| fetch.get(&url, listed.size).and_then(|bytes| fits(bytes, listed)).ok());
    if let Some(bytes) = found {
        return Ok(bytes);
    }
    let url = format!("{folder}/Packages{form}");
    let bytes = fetch.get(&url, listed.size).and_then(|bytes| fits(bytes, listed));
    bytes.with_context(|| format!("fetching {}", fetch.place(&url)))
}

fn fits(bytes: Vec<u8>, listed: &Listed) -> Result<Vec<u8>> {
    let hint = "hint: ask again later, when the mirror is up to date; or ask another";
    let size = bytes.len() as u64;
    ensure!(size == listed.size, "it has {size} bytes, and the release says {}\n{hint}", listed.size);
    let found = listed.sum.of(&bytes);
    let ((field, hex), (_, said)) = (found.named(), listed.sum.named());
    ensure!(found == listed.sum, "its {} is {hex}, and the release says {said}\n{hint}", field.to_lowercase());
    Ok(bytes)
}

/// What is packed, when it has at most `most` bytes.
fn unpack(form: &str, packed: Vec<u8>, most: u64) -> Result<Vec<u8>> {
    let mut reader: Box<dyn Read + '_> = match form {
        ".xz" => Box::new(XzReader::new_mem_limit(packed.as_slice(), true, XZ_MEMORY)),
        ".gz" => Box::new(MultiGzDecoder::new(packed.as_slice())),
        _ => return Ok(packed),
    };
    let mut unpacked = Vec::new();
    reader.by_ref().take(most + 1).read_to_end(&mut unpacked).context("it is damaged")?;
    ensure!(unpacked.len() as u64 <= most, "unpacked it has more than the {most} bytes it may have");
    drop(reader);
    Ok(unpacked)
}

/// The stanzas of an index. One without a version is of a package that nobody can have: apt passes it over, too.
pub fn read<'a>(text: &'a str, source: &'a Source) -> Result<Vec<Stanza<'a>>> {
    let paragraphs = paragraphs(text).context("reading its stanzas")?;
    let stanzas = paragraphs.into_iter().map(|fields| {
        let field = |name| fields.get_single(name).map(str::trim_end).filter(|value| !value.is_empty());
        let name = field("Package").context("it has a stanza without `Package`")?;
        Ok(field("Version").map(|version| Stanza { name, version, source, fields }))
    });
    stanzas.filter_map(Result::transpose).collect()
}

/// The blocks of fields of a text. What does not belong into one is told in short, as it may be all of the text.
pub fn paragraphs(text: &str) -> Result<Vec<BorrowedParagraph<'_>>> {
    BorrowedParser::new(text).parse_all().map_err(|error| anyhow!("{}", shortened(&error.to_string())))
}

impl Stanza<'_> {
    /// A field, its lines joined; empty when it is not there.
    pub fn field(&self, name: &str) -> Cow<'_, str> {
        match self.fields.get(name).unwrap_or_default() {
            [] => Cow::Borrowed(""),
            [line] => Cow::Borrowed(line.trim_end()),
            lines => Cow::Owned(lines.join(" ")),
        }
    }

    /// Returns the fields that are compared: two are described alike when this is alike, whatever section or description they have.
    pub fn key(&self) -> (&str, Vec<Cow<'_, str>>) {
        (&self.source.name, COUNTS.map(|field| self.field(field)).into())
    }

    /// All of it, for an order that does not depend on what comes first.
    pub fn all(&self) -> (String, Vec<(String, String)>) {
        let fields = self.fields.iter().map(|field| (field.name().to_owned(), field.join()));
        (self.source.name.clone(), fields.collect())
    }

    /// Whether a field says `yes`.
    pub fn is(&self, name: &str) -> bool {
        self.field(name) == "yes"
    }

    /// Its version, to be compared.
    pub fn version(&self) -> Result<Version> {
        self.version.parse().ok().with_context(|| format!("{:?} is no version of {self}", shortened(self.version)))
    }

    /// The package, pinned, when all that takes is said of it.
    pub fn pinned(&self) -> Result<Package> {
        self.pin().with_context(|| format!("pinning {self}"))
    }

    fn pin(&self) -> Result<Package> {
        ensure!(is_name(self.name), "its name is none of a package");
        self.version()?;
        let file = self.field("Filename");
        ensure!(!file.is_empty(), "it has no `Filename`");
        let path = place(&file)
            .with_context(|| format!("its `Filename` {:?} is no path of a .deb below the archive", shortened(&file)))?;
        let size = self
            .field("Size")
            .parse()
            .ok()
            .with_context(|| format!("its `Size` is {:?}", shortened(&self.field("Size"))))?;
        ensure!(size > 0 && size <= LARGEST_PACKAGE, "its `Size` is {size} bytes, not between 1 and {LARGEST_PACKAGE}");
        let sha256 = self.field("SHA256");
        ensure!(
            !sha256.is_empty() || self.field("SHA512").is_empty(),
            "it has a `SHA512` and no `SHA256`, by which it would be pinned\nhint: have the archive's tool write both"
        );
        let sha256 = sha256.parse().ok().with_context(|| format!("its `SHA256` is {:?}", shortened(&sha256)))?;
        let urls = vec![format!("{}/{path}", self.source.url)];
        Ok(Package { name: self.name.to_owned(), version: self.version.to_owned(), sha256, size, urls })
    }
}

impl std::fmt::Display for Stanza<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} of {}", shortened(self.name), shortened(self.version), self.source.name)
    }
}

/// What an index says may be of any length; messages are not.
pub fn shortened(text: &str) -> Cow<'_, str> {
    let long = text.char_indices().nth(200).map(|(at, _)| &text[..at]);
    long.map_or(Cow::Borrowed(text), |begin| Cow::Owned(format!("{begin}…")))
}

/// Debian Policy, section 5.6.1, but for names of one letter, which dpkg takes as well.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| plain(b) || b"+-.".contains(&b))
        && plain(name.as_bytes()[0])
}

/// Returns the path of a `.deb` below the archive, as it stands in an address: without the parts that lead nowhere (`./pool//x.deb`), each character that would mean
/// something else there percent-encoded. `None` of a path that leads elsewhere.
fn place(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let odd = |part: &&str| *part == ".." || part.contains('\\') || part.chars().any(char::is_control);
    let is_deb = parts.last().is_some_and(|name| name.strip_suffix(".deb").is_some_and(|stem| !stem.is_empty()));
    if path.len() > 512 || !is_deb || parts.iter().any(odd) {
        return None;
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"+-._~:/".contains(&b);
    let mut place = String::new();
    for byte in parts.join("/").bytes() {
        if plain(byte) {
            place.push(byte.into());
        } else {
            let _infallible = write!(place, "%{byte:02X}");
        }
    }
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_bytes_make_unpacking_panic(bytes: Vec<u8>, xz: bool) {
            let (form, magic) = if xz { (".xz", &b"\xfd7zXZ\0\0\x04"[..]) } else { (".gz", &b"\x1f\x8b\x08\0"[..]) };
            let _either = unpack(form, bytes.clone(), 1000);
            let _either = unpack(form, [magic, &bytes].concat(), 1000);
        }
    }

    #[test]
    fn a_flipped_bit_of_a_packed_index_is_an_error() {
        let packed = anymetal_lab::debian::xz(b"Package: bird2\nVersion: 2.0.12-7\nArchitecture: amd64\n");
        assert!(unpack(".xz", packed.clone(), 1000).is_ok());
        for (at, bit) in (0..packed.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = packed.clone();
            flipped[at] ^= 1 << bit;
            assert!(unpack(".xz", flipped, 1000).is_err(), "byte {at}, bit {bit}");
        }
    }
}
