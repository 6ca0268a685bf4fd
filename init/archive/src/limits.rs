//! What an artefact's archive may not do, whoever reads it: names, links, kinds, sizes.
//! May not read an archive: it judges what readers meet.

use std::collections::BTreeSet;

use anymetal_contract::Reason;
use anymetal_contract::plan::Member;

use anymetal_supply::failure::Failure;

/// The name of the record that a node keeps of what it has unpacked. No member may have it.
pub const RECORD: &str = ".anymetal";
/// Members of one archive. The largest of the field, a self-contained .NET publication (Hippo), has about 600.
pub(crate) const MOST_ENTRIES: usize = 10_000;
/// Bytes one archive may unpack to; ten times the largest program of the field.
pub(crate) const MOST_UNPACKED: u64 = 4 << 30;
/// How many times its compressed size an archive may unpack to, past [`FREE_UNPACKED`]. Programs compress three to five times.
pub(crate) const MOST_RATIO: u64 = 200;
/// What may be unpacked before the ratio counts: small files of one letter are harmless.
pub(crate) const FREE_UNPACKED: u64 = 10 << 20;
/// Bytes of a member's name: the kernel's own limit of a path (`PATH_MAX`).
pub(crate) const MOST_NAME: usize = 4096;
/// Bytes of what stands before a member's content, long names and extended attributes included: room for two names and more.
pub(crate) const MOST_HEADER: u64 = 64 << 10;
/// Names of an archive's members that a message lists.
const LISTED: usize = 10;
/// Letters of a name that a message shows.
const LISTED_LENGTH: usize = 200;

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A link by name, resolved from the member's own folder.
    Symbolic(Vec<u8>),
    /// A link to another member, named from the archive's root.
    Hard(Vec<u8>),
    /// Anything else, in words.
    Other(String),
}

/// What has been met of one archive.
pub(crate) struct Census<'a> {
    members: &'a [Member],
    /// Their names as components.
    asked: Vec<Vec<String>>,
    taken: Vec<bool>,
    listed: Vec<String>,
    count: usize,
    files: usize,
    /// Files below folders that were taken.
    met: BTreeSet<String>,
}

/// Whether every file below it is asked for, rather than one file.
pub fn is_folder(member: &Member) -> bool {
    member.member.ends_with('/')
}

/// Where a file of a folder that is asked for goes.
fn within(folder: &Member, rest: &[String]) -> String {
    let rest = rest.join("/");
    if folder.file == "." { rest } else { format!("{}/{rest}", folder.file) }
}

/// Where the plan's members put a member of the archive of that name; `None` when nothing asks for it.
pub fn place_of(members: &[Member], name: &str) -> Option<String> {
    let path = plain_of(name);
    members.iter().find_map(|member| {
        let asked = plain_of(&member.member);
        if !is_folder(member) {
            return (asked == path).then(|| member.file.clone());
        }
        (path.len() > asked.len() && path.starts_with(&asked)).then(|| within(member, &path[asked.len()..]))
    })
}

pub(crate) fn hostile(message: impl Into<String>) -> Failure {
    Failure::new(Reason::ArchiveHostile, message.into())
}

pub(crate) fn broken(message: impl Into<String>) -> Failure {
    Failure::new(Reason::ArchiveBroken, message.into())
}

/// Whether so many bytes out of so many compressed ones are more than an honest archive has.
pub(crate) fn bomb(unpacked: u64, compressed: u64) -> Option<String> {
    if unpacked > MOST_UNPACKED {
        return Some(format!("the archive unpacks to more than {} GiB", MOST_UNPACKED >> 30));
    }
    (unpacked.saturating_sub(FREE_UNPACKED) > compressed.saturating_mul(MOST_RATIO))
        .then(|| format!("the archive unpacks to more than {MOST_RATIO} times its size"))
}

impl<'a> Census<'a> {
    pub(crate) fn of(members: &'a [Member]) -> Self {
        let asked = members.iter().map(|member| plain_of(&member.member)).collect();
        Self {
            members,
            asked,
            taken: vec![false; members.len()],
            listed: Vec::new(),
            count: 0,
            files: 0,
            met: BTreeSet::new(),
        }
    }

    /// One more entry of the archive, whatever it is.
    pub(crate) fn count(&mut self) -> Result<(), Failure> {
        self.count += 1;
        if self.count > MOST_ENTRIES {
            return Err(hostile(format!("the archive has more than {MOST_ENTRIES} members")));
        }
        Ok(())
    }

    /// One more member of the archive: refused, to be passed over (`None`), or the one that is asked for.
    /// `runs` is whether the archive says that it is a program.
    pub(crate) fn meet(&mut self, name: &[u8], kind: &Kind, runs: bool) -> Result<Option<Member>, Failure> {
        self.count()?;
        let path = plain(name)?;
        let shown = path.join("/");
        let out = match kind {
            Kind::File | Kind::Directory => None,
            Kind::Symbolic(target) => Some((&path[..path.len().saturating_sub(1)], target)),
            Kind::Hard(target) => Some((&path[..0], target)),
            Kind::Other(words) => return Err(hostile(format!("the member {shown:?} is {words}"))),
        };
        if let Some((folder, target)) = out
            && !stays_inside(folder, target)
        {
            let target = quoted(target);
            return Err(hostile(format!("the member {shown:?} is a link out of the archive, to {target}")));
        }
        if *kind != Kind::Directory {
            self.files += 1;
            if self.listed.len() < LISTED {
                self.listed.push(shown.escape_debug().take(LISTED_LENGTH).collect());
            }
        }
        let Some(place) = self.asked.iter().position(|asked| *asked == path) else {
            return self.below_a_folder(&path, kind, runs);
        };
        if is_folder(&self.members[place]) {
            return match kind {
                Kind::Directory => Ok(None),
                _ => Err(broken(format!("{shown:?} is not a folder in the archive"))),
            };
        }
        match kind {
            Kind::File if self.taken[place] => Err(hostile(format!("the member {shown:?} is in the archive twice"))),
            Kind::File => {
                self.taken[place] = true;
                Ok(Some(self.members[place].clone()))
            }
            Kind::Directory => Err(broken(format!("{shown:?} is a folder in the archive, not a file"))),
            _ => Err(broken(format!("{shown:?} is a link in the archive, not a file"))),
        }
    }

    /// A member below a folder that is asked for as a whole.
    fn below_a_folder(&mut self, path: &[String], kind: &Kind, runs: bool) -> Result<Option<Member>, Failure> {
        let folders = self.members.iter().zip(&self.asked).enumerate().filter(|(_, (member, _))| is_folder(member));
        let mut found = folders.filter(|(_, (_, asked))| path.len() > asked.len() && path.starts_with(asked));
        let Some((place, (folder, asked))) = found.next() else { return Ok(None) };
        let shown = path.join("/");
        match kind {
            Kind::Directory => return Ok(None),
            Kind::File => {}
            _ => return Err(broken(format!("{shown:?} is a link in the archive, not a file"))),
        }
        if !self.met.insert(shown.clone()) {
            return Err(hostile(format!("the member {shown:?} is in the archive twice")));
        }
        let file = within(folder, &path[asked.len()..]);
        if file == RECORD {
            return Err(broken(format!("the member {shown:?} has the name of our own record")));
        }
        self.taken[place] = true;
        Ok(Some(Member { member: shown, file, executable: runs }))
    }

    /// After the last member: whether all that is asked for was met.
    pub(crate) fn close(self) -> Result<(), Failure> {
        let missing: Vec<_> = self.members.iter().zip(&self.taken).filter(|(_, taken)| !**taken).collect();
        let Some((first, _)) = missing.first() else { return Ok(()) };
        let more = self.files - self.listed.len();
        let listing = match (self.listed.is_empty(), more) {
            (true, _) => "no files".to_owned(),
            (false, 0) => self.listed.join(", "),
            (false, more) => format!("{} and {more} more", self.listed.join(", ")),
        };
        let others = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
        Err(broken(format!("{:?}{others} is not in the archive, which has {listing}", first.member)))
    }
}

/// A member's name as components, `.` left out; refused when it is absolute, climbs, is empty of sense or too long.
fn plain(name: &[u8]) -> Result<Vec<String>, Failure> {
    if name.len() > MOST_NAME {
        return Err(hostile(format!("a member's name is {} bytes long", name.len())));
    }
    if name.is_empty() || name.contains(&0) {
        return Err(hostile(format!("a member's name is {}", quoted(name))));
    }
    let absolute =
        matches!(name[0], b'/' | b'\\') || (name.len() > 1 && name[1] == b':' && name[0].is_ascii_alphabetic());
    if absolute {
        return Err(hostile(format!("the member {} has an absolute path", quoted(name))));
    }
    // Backslashes separate where such an archive would do its harm.
    if name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..") {
        return Err(hostile(format!("the member {} climbs out of its folder", quoted(name))));
    }
    Ok(plain_of(&String::from_utf8_lossy(name)))
}

fn plain_of(name: &str) -> Vec<String> {
    name.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}

/// Whether a link's target, from this folder of the archive, is within the archive all the way.
fn stays_inside(folder: &[String], target: &[u8]) -> bool {
    if target.is_empty() || target[0] == b'/' || target.contains(&0) {
        return false;
    }
    let mut depth = folder.len();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return false,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

/// A name from an archive, made harmless for a terminal.
fn quoted(name: &[u8]) -> String {
    let short = &name[..name.len().min(LISTED_LENGTH)];
    format!("{:?}", String::from_utf8_lossy(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(member: &str) -> Vec<Member> {
        vec![Member { member: member.into(), file: "f".into(), executable: true }]
    }

    fn refusal(name: &[u8], kind: &Kind) -> String {
        let members = asked("consul");
        let failure = Census::of(&members).meet(name, kind, false).expect_err("it is refused");
        format!("{}: {}", failure.reason, failure.chain())
    }

    #[test]
    fn each_trick_is_refused_with_its_sentence() {
        let link = |target: &str| Kind::Symbolic(target.into());
        for (name, kind, sentence) in [
            ("/etc/passwd", Kind::File, r#"archive-hostile: the member "/etc/passwd" has an absolute path"#),
            ("C:\\x", Kind::File, r#"archive-hostile: the member "C:\\x" has an absolute path"#),
            ("a/../../b", Kind::File, r#"archive-hostile: the member "a/../../b" climbs out of its folder"#),
            ("..\\b", Kind::File, r#"archive-hostile: the member "..\\b" climbs out of its folder"#),
            ("", Kind::File, r#"archive-hostile: a member's name is """#),
            ("a\0b", Kind::File, r#"archive-hostile: a member's name is "a\0b""#),
            ("l", link("/etc"), r#"archive-hostile: the member "l" is a link out of the archive, to "/etc""#),
            ("d/l", link("../../x"), r#"archive-hostile: the member "d/l" is a link out of the archive, to "../../x""#),
            (
                "h",
                Kind::Hard("../x".into()),
                r#"archive-hostile: the member "h" is a link out of the archive, to "../x""#,
            ),
            ("n", Kind::Other("a device".into()), r#"archive-hostile: the member "n" is a device"#),
            ("consul", Kind::Directory, r#"archive-broken: "consul" is a folder in the archive, not a file"#),
            ("./consul", link("x"), r#"archive-broken: "consul" is a link in the archive, not a file"#),
        ] {
            assert_eq!(refusal(name.as_bytes(), &kind), sentence);
        }
        assert_eq!(refusal(&[b'x'; 5000], &Kind::File), "archive-hostile: a member's name is 5000 bytes long");
    }

    #[test]
    fn what_honest_archives_have_is_let_through() {
        let members = asked("linux-x64/Hippo.Web");
        let mut census = Census::of(&members);
        for (name, kind) in [
            ("./", Kind::Directory),
            ("linux-x64/lib/libx.so", Kind::Symbolic("libx.so.1".into())),
            ("linux-x64/a..b", Kind::File),
            ("linux-x64/l", Kind::Symbolic("../linux-x64/a..b".into())),
            ("caf\u{e9}", Kind::File),
        ] {
            assert_eq!(census.meet(name.as_bytes(), &kind, false).unwrap(), None, "{name}");
        }
        assert_eq!(census.meet(b"./linux-x64/Hippo.Web", &Kind::File, false).unwrap(), Some(members[0].clone()));
        census.close().unwrap();
    }

    #[test]
    fn a_missing_member_is_named_with_what_is_there() {
        let members = asked("consul");
        let mut census = Census::of(&members);
        for number in 0..12 {
            census.meet(format!("f{number}").as_bytes(), &Kind::File, false).unwrap();
        }
        assert_eq!(
            census.close().unwrap_err().chain(),
            "\"consul\" is not in the archive, which has f0, f1, f2, f3, f4, f5, f6, f7, f8, f9 and 2 more"
        );
        assert_eq!(
            Census::of(&members).close().unwrap_err().chain(),
            "\"consul\" is not in the archive, which has no files"
        );
    }

    #[test]
    fn the_same_member_twice_and_too_many_members_are_hostile() {
        let members = asked("consul");
        let mut census = Census::of(&members);
        census.meet(b"consul", &Kind::File, false).unwrap();
        let failure = census.meet(b"./consul", &Kind::File, false).unwrap_err();
        assert_eq!(failure.chain(), "the member \"consul\" is in the archive twice");
        for _ in 2..MOST_ENTRIES {
            census.meet(b"x", &Kind::File, false).unwrap();
        }
        assert_eq!(
            census.meet(b"x", &Kind::File, false).unwrap_err().chain(),
            "the archive has more than 10000 members"
        );
    }

    #[test]
    fn a_bomb_is_one_by_ratio_past_the_first_ten_mebibytes_or_by_size() {
        assert_eq!(bomb(FREE_UNPACKED, 1), None);
        assert_eq!(bomb(FREE_UNPACKED + 200, 1), None);
        assert!(bomb(FREE_UNPACKED + 201, 1).is_some());
        assert_eq!(bomb(MOST_UNPACKED, MOST_UNPACKED), None);
        assert!(bomb(MOST_UNPACKED + 1, MOST_UNPACKED).is_some());
    }

    #[test]
    fn a_folder_that_is_asked_for_gives_every_file_below_it_and_the_archive_says_what_runs() {
        let members = vec![Member { member: "linux-x64/".into(), file: ".".into(), executable: false }];
        let mut census = Census::of(&members);
        let file =
            |member: &str, file: &str, executable| Member { member: member.into(), file: file.into(), executable };
        for (name, kind, runs, taken) in [
            ("linux-x64/", Kind::Directory, false, None),
            ("./linux-x64/Hippo.Web", Kind::File, true, Some(file("linux-x64/Hippo.Web", "Hippo.Web", true))),
            ("linux-x64/wwwroot/", Kind::Directory, false, None),
            (
                "linux-x64/wwwroot/index.html",
                Kind::File,
                false,
                Some(file("linux-x64/wwwroot/index.html", "wwwroot/index.html", false)),
            ),
            ("linux-x64.txt", Kind::File, false, None),
            ("README.md", Kind::File, false, None),
        ] {
            assert_eq!(census.meet(name.as_bytes(), &kind, runs).unwrap(), taken, "{name}");
        }
        for (name, kind, said) in [
            ("linux-x64/Hippo.Web", Kind::File, "is in the archive twice"),
            ("linux-x64/l", Kind::Symbolic("Hippo.Web".into()), "is a link in the archive, not a file"),
            ("linux-x64/.anymetal", Kind::File, "has the name of our own record"),
            ("linux-x64", Kind::File, "is not a folder in the archive"),
        ] {
            let chain = census.meet(name.as_bytes(), &kind, false).unwrap_err().chain();
            assert!(chain.contains(said), "{chain}");
        }
        census.close().unwrap();
        let chain = Census::of(&members).close().unwrap_err().chain();
        assert_eq!(chain, "\"linux-x64/\" is not in the archive, which has no files");
    }
}
