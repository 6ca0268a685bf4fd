//! The readers of upstream's archives as init has them; its binary has no other way in.
//! May not change them: they are the very files.
#![allow(dead_code, reason = "init uses what is not used here")]

#[path = "../../../../init/src/install/limits.rs"]
mod limits;
#[path = "../../../../init/src/install/tarball.rs"]
mod tarball;
#[path = "../../../../init/src/install/unpack.rs"]
mod unpack;
#[path = "../../../../init/src/install/zipped.rs"]
mod zipped;

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use anymetal_contract::plan::{Format, Member};
use anymetal_supply::failure::Failure;

/// What `limits` takes from init's own room of that name.
mod record {
    pub(super) const NAME: &str = ".anymetal";
}

/// What was taken out, by where it goes.
#[derive(Default)]
struct Taken(BTreeMap<String, usize>);

impl unpack::Sink for Taken {
    fn file(&mut self, member: &Member, from: &mut dyn Read) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|error| unpack::unreadable(&error))?;
        assert!(self.0.insert(member.file.clone(), bytes.len()).is_none(), "{} came twice", member.file);
        Ok(())
    }
}

/// Takes one member, or a whole folder, out of an archive; where each file would go.
pub fn taken(format: Format, archive: &[u8]) -> Option<BTreeMap<String, usize>> {
    let members = [
        Member { member: "a".into(), file: "program".into(), executable: true },
        Member { member: "d/".into(), file: "folder".into(), executable: false },
    ];
    let mut taken = Taken::default();
    unpack::unpack(Cursor::new(archive), format, &members, &mut taken).ok().map(|()| taken.0)
}
