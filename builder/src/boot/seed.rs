//! The volume a machine may only read: the `NoCloud` seed, or a medium beside another source; the same bytes for the same content.
//! May not touch a file: the volume is made in memory.

use std::io::{Cursor, Write as _};

use anyhow::Context as _;
use anymetal_contract::place;

/// The label cloud-init looks for.
const CIDATA: &str = "CIDATA";
/// In place of the time of day: our own, as FAT tools choose.
const VOLUME_ID: u32 = 0x616e_796d;

/// A file at the top of the volume.
pub type File = (String, Vec<u8>);

/// The bytes of a seed: what cloud-init reads, and these files beside it.
pub fn nocloud(instance_id: &str, hostname: &str, user_data: &[u8], beside: &[File]) -> anyhow::Result<Vec<u8>> {
    let meta_data = format!("instance-id: {instance_id}\nlocal-hostname: {hostname}\n");
    let own = [("meta-data", meta_data.as_bytes()), ("user-data", user_data)];
    volume(CIDATA, own.into_iter().chain(borrowed(beside)))
}

/// The bytes of a medium that has only these files, for a machine whose user-data comes another way.
pub fn medium(files: &[File]) -> anyhow::Result<Vec<u8>> {
    volume(place::MEDIUM[0], borrowed(files))
}

fn borrowed(files: &[File]) -> impl Iterator<Item = (&str, &[u8])> + Clone {
    files.iter().map(|(name, content)| (name.as_str(), content.as_slice()))
}

fn volume<'a>(label: &str, files: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> anyhow::Result<Vec<u8>> {
    // Room for the files and for FAT's own tables, in whole MiB.
    let content: usize = files.clone().map(|(_, content)| content.len()).sum();
    let mib = 1 + (content + 256 * 1024).div_ceil(1 << 20);
    let mut bytes = Cursor::new(vec![0; mib << 20]);
    let options = fatfs::FormatVolumeOptions::new().volume_label(padded(label)).volume_id(VOLUME_ID);
    fatfs::format_volume(&mut bytes, options).context("formatting the seed volume")?;
    {
        // Without its `chrono` feature fatfs writes 1 January 1980 everywhere.
        let volume = fatfs::FileSystem::new(&mut bytes, fatfs::FsOptions::new()).context("opening the seed volume")?;
        for (name, content) in files {
            let doing = || format!("writing {name} to the seed volume");
            let mut file = volume.root_dir().create_file(name).with_context(doing)?;
            file.write_all(content).with_context(doing)?;
            file.flush().with_context(doing)?;
        }
    }
    Ok(bytes.into_inner())
}

/// A label as FAT has it: eleven bytes, the rest of them spaces.
fn padded(label: &str) -> [u8; 11] {
    std::array::from_fn(|at| label.as_bytes().get(at).copied().unwrap_or(b' '))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn read(volume: Vec<u8>) -> (String, Vec<(String, String)>) {
        let system = fatfs::FileSystem::new(Cursor::new(volume), fatfs::FsOptions::new()).unwrap();
        let files = system.root_dir().iter().map(Result::unwrap).filter(fatfs::DirEntry::is_file).map(|entry| {
            let mut text = String::new();
            entry.to_file().read_to_string(&mut text).unwrap();
            (entry.file_name(), text)
        });
        (system.volume_label(), files.collect())
    }

    fn file(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn the_seed_holds_what_cloud_init_looks_for_and_what_lies_beside() {
        let (user, meta) =
            (file("user-data", "#cloud-config\n"), file("meta-data", "instance-id: i-1\nlocal-hostname: node-1\n"));
        let (label, files) = read(nocloud("i-1", "node-1", b"#cloud-config\n", &[]).unwrap());
        assert_eq!((label.as_str(), files), ("CIDATA", vec![meta.clone(), user.clone()]));
        let beside = [(place::MEDIUM_SECRETS.to_owned(), b"{}".to_vec())];
        let (_, files) = read(nocloud("i-1", "node-1", b"#cloud-config\n", &beside).unwrap());
        assert_eq!(files, [meta, user, file(place::MEDIUM_SECRETS, "{}")]);
        let (label, files) = read(medium(&beside).unwrap());
        assert_eq!((label.as_str(), files), ("ANYMETAL", vec![file(place::MEDIUM_SECRETS, "{}")]));
    }

    #[test]
    fn the_same_content_makes_the_same_bytes() {
        let make = |id| nocloud(id, "node-1", &[b'x'; 16 * 1024], &[]).unwrap();
        assert_eq!(make("i-1"), make("i-1"));
        assert_ne!(make("i-1"), make("i-2"));
    }

    #[test]
    fn it_grows_with_its_content() {
        let content = vec![b'x'; 3 << 20];
        assert!(nocloud("i-1", "node-1", &content, &[]).unwrap().len() > content.len());
        assert!(medium(&[("large".to_owned(), content.clone())]).unwrap().len() > content.len());
    }
}
