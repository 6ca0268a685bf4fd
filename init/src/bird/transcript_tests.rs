//! The readers of BIRD's words against what BIRD really said, and against what no BIRD ever said.
//! May not start one.

use proptest::prelude::*;
use proptest::sample::Index;

use super::holding::{self, Held, Holding};
use super::reply::{Reader, Reply};
use super::table;

const RECORDED: [(&str, &str); 2] = [
    ("2.0.12", include_str!("../../../tests/bird/bird-2.0.12.txt")),
    ("3.1.8", include_str!("../../../tests/bird/bird-3.1.8.txt")),
];

/// The answers of a transcript, without what was asked.
fn answers(transcript: &str) -> String {
    transcript.lines().filter(|line| !line.starts_with(['>', '#'])).flat_map(|line| [line, "\n"]).collect()
}

/// What was asked, with what was answered; the greeting first.
fn conversation(transcript: &str) -> Vec<(String, Reply)> {
    let asked = transcript.lines().filter_map(|line| line.strip_prefix("> ")).map(str::to_owned);
    let (replies, error) = read(answers(transcript).as_bytes(), &[]);
    assert_eq!(error, None);
    let asked: Vec<_> = std::iter::once(String::new()).chain(asked).collect();
    assert_eq!(asked.len(), replies.len(), "one reply for each command");
    asked.into_iter().zip(replies).collect()
}

/// What a reader makes of the bytes, given in pieces that end there.
fn read(bytes: &[u8], ends: &[usize]) -> (Vec<Reply>, Option<String>) {
    let mut ends: Vec<_> = ends.iter().copied().chain([bytes.len()]).collect();
    ends.sort_unstable();
    let (mut reader, mut replies, mut begin) = (Reader::default(), Vec::new(), 0);
    for end in ends {
        if let Err(error) = reader.feed(&bytes[begin..end], &mut replies) {
            return (replies, Some(error.to_string()));
        }
        begin = end;
    }
    (replies, None)
}

/// The readers take every reply or refuse it, and say no more than a line of it.
fn understand(replies: &[Reply]) -> Result<(), TestCaseError> {
    for reply in replies {
        let rows = table::protocols(reply);
        let said = [rows.as_ref().err().map(ToString::to_string), table::exported(reply).err().map(|e| e.to_string())];
        for said in said.into_iter().flatten() {
            prop_assert!(said.len() < 64 * 1024, "{} bytes: {said}", said.len());
        }
        if let Ok(rows) = rows {
            holding::actual(&rows);
            let commands = holding::commands(Holding::Drain, &rows).unwrap_or_default();
            prop_assert!(commands.len() <= 6, "{commands:?}");
        }
    }
    Ok(())
}

#[test]
fn what_bird_2_and_3_said_is_understood() {
    for (version, transcript) in RECORDED {
        let all = conversation(transcript);
        assert_eq!(all[0].1.words(), format!("0001 BIRD {version} ready."));
        let of = |command: &str| {
            all.iter().filter(|(asked, _)| asked == command).map(|(_, reply)| reply).collect::<Vec<_>>()
        };
        let tables: Vec<_> = of("show protocols").iter().map(|reply| table::protocols(reply).unwrap()).collect();
        assert!(tables.iter().all(|table| table.len() == 11), "{version}: {tables:?}");
        assert_eq!(holding::actual(&tables[0]), Held::All(Holding::Nothing), "{version}");
        let mixed = Held::Mixed { v4: Holding::Drain, v6: Holding::Nothing };
        assert_eq!(holding::actual(&tables[1]), mixed, "{version}");
        let names = ["edge_v4_1", "edge_v4_2", "edge_v6_1"];
        assert_eq!(table::established(&tables[0], &names), ["edge_v4_1", "edge_v6_1"], "{version}");
        let counts: Vec<_> = of("show protocols all edge_v4_1").iter().map(|r| table::exported(r).unwrap()).collect();
        assert_eq!(counts, [Some(0), Some(1)], "{version}");
        assert_eq!(table::exported(of("show protocols all edge_v4_2")[0]).unwrap(), None, "{version}: it is down");
        let twice: Vec<_> = of("enable anycast4").iter().map(|reply| reply.words()).collect();
        let expected = ["0011 anycast4: enabled, 0000 ", "0010 anycast4: already enabled, 0000 ", "8007 Access denied"];
        assert_eq!(twice, expected, "{version}");
        for refused in ["disable nobody", "disable \"nobody*\"", "show nonsense"] {
            of(refused)[0].accepted().expect_err(refused);
        }
        for accepted in ["configure", "configure check", "disable \"anycast*\"", "restrict"] {
            of(accepted)[0].accepted().expect(accepted);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused_alike_however_they_come(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"01289 -+\n".to_vec())], 0..600),
        ends in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let ends: Vec<_> = ends.iter().map(|end| end.index(bytes.len() + 1)).collect();
        let whole = read(&bytes, &[]);
        prop_assert_eq!(&read(&bytes, &ends), &whole);
        understand(&whole.0)?;
    }

    #[test]
    fn a_changed_transcript_is_taken_or_refused_alike_however_it_comes(
        which in 0..RECORDED.len(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..6),
        cut in any::<Index>(),
        ends in prop::collection::vec(any::<Index>(), 0..40),
    ) {
        let mut bytes = answers(RECORDED[which].1).into_bytes();
        for (at, byte) in &changes {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        bytes.truncate(bytes.len() - cut.index(bytes.len()) / 8);
        let ends: Vec<_> = ends.iter().map(|end| end.index(bytes.len() + 1)).collect();
        let whole = read(&bytes, &[]);
        prop_assert_eq!(&read(&bytes, &ends), &whole);
        understand(&whole.0)?;
    }

    #[test]
    fn any_rows_are_read_or_refused(rows in prop::collection::vec("[a-z0-9_ ]{0,12}[ -~äß\t]{0,80}", 0..6)) {
        let text: Vec<_> = rows.iter().map(|row| format!("1002-{row}\n1006-{row}\n")).collect();
        understand(&read(format!("{}0000 \n", text.concat()).as_bytes(), &[]).0)?;
    }
}
