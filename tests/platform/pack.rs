//! Archives whose bytes depend on their members only: fixed times, owners, modes and level, members in the order given.
//! May not know a component.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "part of a program of the lab and of suites")]

use std::io::{Cursor, Write as _};

use anyhow::Context as _;

/// A file to pack.
pub struct File {
    pub name: String,
    pub executable: bool,
    pub bytes: Vec<u8>,
}

/// The level: of the suites' time, the packing is a part.
const LEVEL: u32 = 1;

pub fn zip(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for file in files {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated)
            .compression_level(Some(i64::from(LEVEL)))
            .last_modified_time(zip::DateTime::default())
            .unix_permissions(mode(file));
        archive.start_file(&file.name, options).with_context(|| format!("packing {}", file.name))?;
        archive.write_all(&file.bytes).with_context(|| format!("packing {}", file.name))?;
    }
    Ok(archive.finish().context("ending the archive")?.into_inner())
}

pub fn tar_gz(files: &[File]) -> anyhow::Result<Vec<u8>> {
    let gzip = flate2::GzBuilder::new().mtime(0).write(Vec::new(), flate2::Compression::new(LEVEL));
    let mut archive = tar::Builder::new(gzip);
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(mode(file));
        header.set_size(file.bytes.len() as u64);
        archive
            .append_data(&mut header, &file.name, file.bytes.as_slice())
            .with_context(|| format!("packing {}", file.name))?;
    }
    let gzip = archive.into_inner().context("ending the archive")?;
    gzip.finish().context("ending the archive")
}

fn mode(file: &File) -> u32 {
    if file.executable { 0o755 } else { 0o644 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_members_pack_to_the_same_bytes_with_their_modes() {
        let files = [
            File { name: "linux-x64/Hippo.Web".into(), executable: true, bytes: b"one".to_vec() },
            File { name: "linux-x64/wwwroot/index.html".into(), executable: false, bytes: b"two".to_vec() },
        ];
        assert_eq!(zip(&files).unwrap(), zip(&files).unwrap());
        let packed = tar_gz(&files).unwrap();
        assert_eq!(packed, tar_gz(&files).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let members: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.path().unwrap().display().to_string(), entry.header().mode().unwrap())
            })
            .collect();
        assert_eq!(members, [("linux-x64/Hippo.Web".into(), 0o755), ("linux-x64/wwwroot/index.html".into(), 0o644)]);
    }
}
