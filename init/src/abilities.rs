//! What this init can read and do; the builder refuses to make a plan that goes beyond it.
//! May not do any of it.

use anymetal_contract::abilities::{KIND, VERSION};
use anymetal_contract::plan::{self, Delivery, Supply};
use anymetal_contract::{Abilities, Phase, release};

use crate::{boot, metadata};

/// The record that lies in the binary: the mark, what [`own`] says as JSON, a line feed. Written out, since it must stand there in one piece
/// without being run; a test holds it against [`own`].
#[used]
static RECORD: &str = concat!(
    "anymetal-abilities-v1:",
    r#"{"kind":"anymetal.abilities","version":1,"release":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","plans":[1],"#,
    r#""phases":["wake","plan","metadata","acquire","install","facts","files","services","jobs","prove","announce","settle"],"#,
    r#""platforms":["equinix-metal","vultr","file"],"formats":["zip","tar.gz","deb"],"ready":["active","consul-leader","nomad-node","announced"],"#,
    r#""secrets":["user-data","customdata","medium"],"supplies":["bundle","siblings","origins","upstream"],"releases":[1],"signatures":["minisign"]}"#,
    "\n",
);

/// What this init can read and do.
pub(crate) fn own() -> Abilities {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Abilities {
        kind: KIND.to_owned(),
        version: VERSION,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        plans: vec![plan::VERSION],
        phases: boot::LIST
            .iter()
            .filter(|entry| entry.work.is_some())
            .map(|entry| entry.phase.id().to_owned())
            .collect(),
        platforms: words(&metadata::platforms()),
        formats: words(&["zip", "tar.gz", "deb"]),
        ready: words(&["active", "consul-leader", "nomad-node", "announced"]),
        secrets: words(&Delivery::ALL.map(Delivery::id)),
        supplies: words(&Supply::ALL.map(Supply::id)),
        releases: vec![release::VERSION],
        signatures: words(&["minisign"]),
    }
}

/// Whether this init has work for a phase.
pub(crate) fn has_work(abilities: &Abilities, phase: Phase) -> bool {
    abilities.phases.iter().any(|id| id == phase.id())
}

#[cfg(test)]
mod tests {
    use anymetal_contract::abilities::record;
    use anymetal_contract::plan::{Format, Ready};

    use super::*;

    #[test]
    fn the_record_in_the_binary_says_what_this_init_says() {
        assert_eq!(record(RECORD.as_bytes()), Some(serde_json::to_string(&own()).unwrap().as_str()));
    }

    #[test]
    fn the_words_are_those_of_the_contract() {
        let written = |format: Format| serde_json::to_value(format).unwrap().as_str().unwrap().to_owned();
        assert_eq!(own().formats, [written(Format::Zip), written(Format::TarGz), "deb".to_owned()]);
        let all =
            [Ready::Active, Ready::ConsulLeader(String::new()), Ready::NomadNode(String::new()), Ready::Announced];
        assert_eq!(own().ready, all.map(|ready| ready.id().to_owned()));
    }
}
