//! The `NoCloud` seed: a small FAT volume with `user-data` and `meta-data`, the same bytes for the same content.
//! May not touch a file: the volume is made in memory.

use std::io::{Cursor, Write as _};

use anyhow::Context as _;

/// The label cloud-init looks for.
const LABEL: [u8; 11] = *b"CIDATA     ";
/// In place of the time of day: our own, as FAT tools choose.
const VOLUME_ID: u32 = 0x616e_796d;

/// The bytes of the volume.
pub fn volume(instance_id: &str, hostname: &str, user_data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let meta_data = format!("instance-id: {instance_id}\nlocal-hostname: {hostname}\n");
    // Room for both files and for FAT's own tables, in whole MiB.
    let mib = 1 + (user_data.len() + meta_data.len() + 256 * 1024).div_ceil(1 << 20);
    let mut bytes = Cursor::new(vec![0; mib << 20]);
    let options = fatfs::FormatVolumeOptions::new().volume_label(LABEL).volume_id(VOLUME_ID);
    fatfs::format_volume(&mut bytes, options).context("formatting the seed volume")?;
    {
        // Without its `chrono` feature fatfs writes 1 January 1980 everywhere.
        let volume = fatfs::FileSystem::new(&mut bytes, fatfs::FsOptions::new()).context("opening the seed volume")?;
        for (name, content) in [("meta-data", meta_data.as_bytes()), ("user-data", user_data)] {
            let doing = || format!("writing {name} to the seed volume");
            let mut file = volume.root_dir().create_file(name).with_context(doing)?;
            file.write_all(content).with_context(doing)?;
            file.flush().with_context(doing)?;
        }
    }
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_volume_holds_what_cloud_init_looks_for() {
        let volume = volume("i-1", "node-1", b"#cloud-config\n").unwrap();
        let system = fatfs::FileSystem::new(Cursor::new(volume), fatfs::FsOptions::new()).unwrap();
        assert_eq!(system.volume_label(), "CIDATA");
        let read = |name: &str| {
            let mut text = String::new();
            system.root_dir().open_file(name).unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(read("user-data"), "#cloud-config\n");
        assert_eq!(read("meta-data"), "instance-id: i-1\nlocal-hostname: node-1\n");
    }

    #[test]
    fn the_same_content_makes_the_same_bytes() {
        let make = || volume("i-1", "node-1", &[b'x'; 16 * 1024]).unwrap();
        assert_eq!(make(), make());
        assert_ne!(make(), volume("i-2", "node-1", &[b'x'; 16 * 1024]).unwrap());
    }

    #[test]
    fn it_grows_with_the_user_data() {
        let content = vec![b'x'; 3 << 20];
        assert!(volume("i-1", "node-1", &content).unwrap().len() > content.len());
    }
}
