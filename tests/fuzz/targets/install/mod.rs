//! The readers of upstream's archives, as both programs have them.
//! May not write what they give.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use anymetal_archive::{Sink, unpack, unreadable};
use anymetal_contract::plan::{Format, Member};
use anymetal_supply::failure::Failure;

/// What was taken out, by where it goes.
#[derive(Default)]
struct Taken(BTreeMap<String, usize>);

impl Sink for Taken {
    fn file(&mut self, member: &Member, from: &mut dyn Read) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
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
    unpack(Cursor::new(archive), format, &members, &mut taken).ok().map(|()| taken.0)
}
