//! What a unit should run with, as two digests: what needs a restart when it changes, and what may do with a reload.
//! May not know what it runs with: the ledger does. Compared, the two survive a kill between a file's change and the unit's restart.

use anymetal_contract::plan::{Ready, Service, Source};
use anymetal_contract::{Digest, place};
use sha2::{Digest as _, Sha256};

use crate::cluster_tls;
use crate::ledger::Applied;
use crate::sys::fs;
use crate::world::World;

/// Where unit files are. A change there needs a restart, for systemd applies most of it only then.
pub(super) const UNITS: &str = "/etc/systemd/";

/// What `service` should run with, by the plan and by the files as they lie on disk.
pub(super) fn wanted(world: &World, service: &Service) -> anyhow::Result<Applied> {
    let plan = world.plan();
    let (mut program, mut config) = (Sha256::new(), Sha256::new());
    for component in plan.components.iter().filter(|component| component.name == service.component) {
        add(&mut program, component.version.as_bytes());
        if let Source::Artefacts(artefacts) = &component.source
            && let Some(artefact) = artefacts.get(&world.arch)
        {
            add(&mut program, artefact.sha256.as_str().as_bytes());
        }
    }
    for file in plan.files.iter().filter(|file| service.files.contains(&file.name)) {
        let digest = if file.path.starts_with(UNITS) { &mut program } else { &mut config };
        add(digest, file.path.as_bytes());
        add(digest, &fs::read(&world.at(&file.path))?);
    }
    for certificate in plan.certificates.iter().filter(|certificate| certificate.name == service.component) {
        for path in cluster_tls::paths(certificate).iter().map(String::as_str).chain([place::CA]) {
            add(&mut config, &fs::read(&world.at(path))?);
        }
    }
    if service.ready == Ready::Announced {
        // The guard is this very program, and what it keeps watch by is written later than the plan's files.
        add(&mut program, &fs::read_if_there(&world.at(place::INIT))?.unwrap_or_default());
        add(&mut config, &fs::read_if_there(&world.at(place::GUARD))?.unwrap_or_default());
        add(&mut config, &fs::read_if_there(&world.at(place::CA))?.unwrap_or_default());
    }
    let text = |digest: Sha256| Digest::of(digest.finalize().into()).to_string();
    Ok(Applied { program: text(program), config: text(config) })
}

/// Each piece with its length before it, so that two pieces never look like one.
fn add(digest: &mut Sha256, piece: &[u8]) {
    digest.update((piece.len() as u64).to_le_bytes());
    digest.update(piece);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::{Overrides, Planned};
    use anymetal_contract::plan::Arch;

    fn world(folder: &std::path::Path, version: &str) -> World {
        let world = World::new(folder, Arch::X86_64, Overrides::default());
        let file = |name: &str, path: &str| json!({"name": name, "path": path, "mode": "0644", "owner": "root:root", "needs": [], "body": ""});
        let plan = serde_json::from_value(json!({
            "kind": "anymetal.plan", "version": 1, "site": "demo", "platform": "equinix-metal", "os": "debian-12",
            "domain": "example.org", "anycast": {"v4": [], "v6": []}, "bgp": {}, "phases": [], "origins": [],
            "components": [{"name": "consul", "version": version, "source": {"artefacts": {}}}],
            "files": [file("conf", "/etc/consul.json"), file("unit", "/etc/systemd/system/consul.service"), file("other", "/etc/x")],
            "services": [{"unit": "consul.service", "component": "consul", "files": ["conf", "unit"], "reload": true, "ready": "active"}],
            "jobs": [], "settings": {"hippo": {"registration": "Closed", "administrator": "a"}, "tls": {"mode": "none"},
                "firewall": {"ssh4": [], "ssh6": [], "tcp": [], "udp": []}},
            "deadlines": {}, "reports": []
        }))
        .unwrap();
        world.plan.set(Planned { plan, digest: "a".repeat(64).parse().unwrap() }).unwrap();
        for (path, text) in [("/etc/consul.json", "c"), ("/etc/systemd/system/consul.service", "u"), ("/etc/x", "x")] {
            fs::replace(&world.at(path), text.as_bytes(), 0o644).unwrap();
        }
        world
    }

    #[test]
    fn each_change_shows_in_the_digest_it_belongs_to() {
        let folder = tempfile::tempdir().unwrap();
        let world_one = world(folder.path(), "1.8.7");
        let of = |world: &World| wanted(world, &world.plan().services[0]).unwrap();
        let before = of(&world_one);
        for (path, program_changes, config_changes) in [
            ("/etc/consul.json", false, true),
            ("/etc/systemd/system/consul.service", true, false),
            ("/etc/x", false, false),
        ] {
            let world = world(folder.path(), "1.8.7");
            fs::replace(&world.at(path), b"changed", 0o644).unwrap();
            let after = of(&world);
            assert_eq!(
                (after.program != before.program, after.config != before.config),
                (program_changes, config_changes),
                "{path}"
            );
        }
        let newer = of(&world(folder.path(), "1.9.0"));
        assert_eq!((newer.program != before.program, newer.config == before.config), (true, true));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let world = world(&folder.path().join("a"), "1");
        fs::rename(&world.at("/etc/consul.json"), &world.at("/etc/gone")).unwrap();
        let error = wanted(&world, &world.plan().services[0]).unwrap_err();
        assert!(format!("{error:#}").contains("etc/consul.json"), "{error:#}");
    }
}
