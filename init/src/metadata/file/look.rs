//! Where a machine's own document is looked for: on the machine, then on the volumes that somebody put into it.
//! May not know what the document means; a volume is only read.

use anymetal_contract::{Reason, place};

use super::super::fetch::{accept, keep};
use super::PLATFORM;
use crate::phase::{Answer, Steps};
use crate::sys::fs::{self, Found};
use crate::sys::medium;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// One look. Nothing found is final: the document or the volume may still be brought, and a mistake corrected.
pub(in super::super) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let path = world.at(place::MACHINE);
    let (whence, bytes, label) = match fs::read_if_there(&path).because(Reason::MetadataUnreachable)? {
        Some(bytes) => (place::MACHINE.to_owned(), bytes, None),
        None => match medium::read(&place::MEDIUM, place::MEDIUM_MACHINE) {
            Ok(medium::Found::File { label, bytes }) => {
                (format!("{} on the volume {label}", place::MEDIUM_MACHINE), bytes, Some(label))
            }
            Ok(medium::Found::Nothing(why)) => {
                let message = format!("the machine's own document: there is no {}, and {why}", place::MACHINE);
                return Ok(Answer::waiting(Reason::MetadataUnreachable, message));
            }
            Err(error) => return Ok(Answer::waiting(Reason::MetadataUnreachable, format!("{error:#}"))),
        },
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut machine = match PLATFORM.machine(&bytes) {
        Ok(machine) => machine,
        Err(failure) => {
            return Ok(Answer::waiting(failure.reason, format!("looking at {whence}: {}", failure.chain())));
        }
    };
    let secret = machine.neighbours.iter().any(|neighbour| neighbour.password.is_some());
    if let Found::File { mode, .. } = fs::look(&path).because(Reason::HostFault)?
        && secret
        && mode & 0o077 != 0
    {
        let hint = format!("it holds a password and its mode is {mode:04o}, so others may read it: `chmod 600` it");
        machine.warnings.push(hint);
    }
    let answer = match accept(world, steps, &whence, machine, PLATFORM.remedy) {
        Ok(answer) => answer,
        Err(failure) => {
            return Ok(Answer::waiting(failure.reason, format!("looking at {whence}: {}", failure.chain())));
        }
    };
    // The volume may be taken out after the first boot.
    if label.is_some() && matches!(answer, Answer::Done(_)) {
        fs::replace(&path, &bytes, 0o600).because(Reason::HostFault)?;
    }
    keep(world, steps, &PLATFORM, &whence, &text, &answer);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use anymetal_contract::plan::Arch;
    use anymetal_contract::{Digest, Outcome, Unit};

    use super::*;
    use crate::goldens;
    use crate::metadata;
    use crate::world::{Overrides, Planned};

    #[derive(Default)]
    struct Told(std::sync::Mutex<Vec<String>>);

    impl Steps for Told {
        fn step(&self, step: &str, _: Outcome, message: &str) {
            self.0.lock().unwrap().push(format!("{step}: {message}"));
        }
        fn progress(&self, _: &str, _: u64, _: Option<u64>, _: Unit) {}
    }

    fn document(name: &str) -> Vec<u8> {
        fs::read(&goldens::documents().join(name)).unwrap()
    }

    /// A site of machines in racks, below some folder.
    fn world(root: &std::path::Path) -> World {
        let overrides = Overrides { metadata: Some("http://127.0.0.1:1".into()), ..Overrides::default() };
        let world = World::new(root, Arch::X86_64, overrides);
        let mut plan = goldens::plan(vec![]);
        plan.platform = "file".into();
        plan.anycast.v4 = vec!["198.51.100.7/32".into()];
        assert!(world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).is_ok());
        world
    }

    fn put(world: &World, bytes: &[u8], mode: u32) {
        fs::replace(&world.at(place::MACHINE), bytes, mode).unwrap();
    }

    fn waiting(world: &World) -> (Reason, String) {
        match metadata::work(world, &Told::default()).unwrap() {
            Answer::Waiting { reason, message, .. } => (reason, message),
            other => panic!("{other:?} is not a wait"),
        }
    }

    #[test]
    fn the_document_is_waited_for_until_it_is_there_and_right() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let (reason, message) = waiting(&world);
        assert_eq!(reason, Reason::MetadataUnreachable);
        let begins =
            "the machine's own document: there is no /etc/anymetal/machine.json, and there is no volume labelled";
        assert!(message.starts_with(begins), "{message}");

        put(&world, b"{\"kind\":", 0o600);
        let (reason, message) = waiting(&world);
        assert_eq!(reason, Reason::MetadataInvalid);
        assert!(
            message.starts_with("looking at /etc/anymetal/machine.json: reading the metadata: it is cut off"),
            "{message}"
        );

        put(&world, br#"{"kind":"anymetal.machine","version":1,"hostname":"r1","addresses":{}}"#, 0o600);
        let expected = "/etc/anymetal/machine.json knows the machine r1, but no BGP session of it for IPv4 yet: \
                        add a neighbour of that family to the document";
        assert_eq!(waiting(&world), (Reason::MetadataNoBgp, expected.to_owned()));

        put(&world, &document("file-rack.json"), 0o600);
        let told = Told::default();
        let sentence = "rack7-u12 in ams1, private 10.7.0.5, 2 BGP neighbours".to_owned();
        assert_eq!(metadata::work(&world, &told).unwrap(), Answer::Done(sentence.clone()));
        assert_eq!(metadata::work(&world, &told).unwrap(), Answer::Same(sentence));
        assert_eq!(*told.0.lock().unwrap(), [""; 0]);
        assert!(world.machine().service.is_empty(), "nobody can be asked for this document");
    }

    #[test]
    fn a_document_that_an_editor_saved_is_the_same_document() {
        let plain = String::from_utf8(document("file-rack.json")).unwrap();
        let saved = [
            format!("\u{FEFF}{plain}"),
            plain.replace('\n', "\r\n"),
            format!("\u{FEFF}{}", plain.replace('\n', "\r\n")),
        ];
        for text in saved {
            let folder = tempfile::tempdir().unwrap();
            let world = world(folder.path());
            put(&world, text.as_bytes(), 0o600);
            let sentence = "rack7-u12 in ams1, private 10.7.0.5, 2 BGP neighbours".to_owned();
            assert_eq!(metadata::work(&world, &Told::default()).unwrap(), Answer::Done(sentence));
        }
    }

    #[test]
    fn a_character_that_looks_like_another_is_said_before_all_else() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        let plain = String::from_utf8(document("file-rack.json")).unwrap();
        let wide: Vec<u8> = plain.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (line, _) = plain.lines().enumerate().find(|(_, line)| line.contains("10.7.0.5/24")).unwrap();
        let line = line + 1;
        let column = |text: &str| text.lines().nth(line - 1).unwrap().chars().position(|c| !c.is_ascii()).unwrap() + 1;
        let blank = plain.replacen("10.7.0.5/24\"", "10.7.\u{A0}0.5/24\"", 1);
        let quote = plain.replacen("\"10.7.0.5/24\"", "\u{201C}10.7.0.5/24\u{201D}", 1);
        let at = |text: &str| format!("{line}:{}", column(text));
        for (bytes, said) in [
            (wide, "it is not UTF-8 at 1:1: this looks like UTF-16: save it as UTF-8".to_owned()),
            (
                blank.clone().into(),
                format!("the character U+00A0 no-break space stands at {}: write an ordinary blank: ", at(&blank)),
            ),
            (
                quote.clone().into(),
                format!("the character U+201C typographic double quote stands at {}: write an ordinary \"", at(&quote)),
            ),
        ] {
            put(&world, &bytes, 0o600);
            let (reason, message) = waiting(&world);
            assert_eq!(reason, Reason::MetadataInvalid);
            let found = message.strip_prefix("looking at /etc/anymetal/machine.json: ").unwrap();
            let found = found.strip_prefix("reading the metadata: ").unwrap_or(found);
            assert!(found.starts_with(&said), "{message}");
        }
    }

    #[test]
    fn a_password_that_others_may_read_is_warned_of_and_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(folder.path());
        put(&world, &document("file-rack.json"), 0o644);
        let told = Told::default();
        assert!(matches!(metadata::work(&world, &told).unwrap(), Answer::Done(_)));
        let expected = "warning: /etc/anymetal/machine.json: it holds a password and its mode is 0644, so others may read it: `chmod 600` it";
        assert_eq!(*told.0.lock().unwrap(), [expected]);
        assert_eq!(world.without_secrets("not-a-real-secret"), crate::secret::DOTS);
    }
}
