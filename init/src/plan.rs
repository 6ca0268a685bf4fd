//! The phase `plan`: the release is here and counts, its plan is read, its digest known, and this init able to do what it asks.
//! May not repair a plan: the builder makes them.

use std::fmt;
use std::path::{Component as Part, Path};

use anymetal_contract::plan::{Arch, Delivery, Format, KIND, Plan, Source, VERSION};
use anymetal_contract::{Abilities, Digest, Phase, Reason, facts, place, secrets};
use serde::Deserialize;

use crate::phase::{Answer, Steps};
use crate::release::{Found, Released};
use crate::secrets::Secrets;
use crate::sys::{fs, medium};
use crate::wake::digest;
use crate::world::{Planned, World};
use crate::{abilities, files, release, trust};
use anymetal_supply::failure::{Because as _, Failure};

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let (bytes, released) = match release::plan(world, steps)? {
        Found::Plan(bytes, released) => (bytes, released),
        Found::Waiting(answer) => return Ok(answer),
    };
    let plan = read(&bytes)?;
    check(&plan, world.arch)?;
    let digest = digest(&bytes);
    if let Some(why) = read_secrets(world, &plan)? {
        return Ok(why);
    }
    if let Some(Released { release, digest: of, .. }) = released.as_deref() {
        if release.site != plan.site {
            let what = format!("the release is of the site {}, and its plan of {}", release.site, plan.site);
            return Err(Failure::new(Reason::ReleaseUnreadable, what));
        }
        trust::keep(world, release, of)?;
    }
    if let Some(ledger) = world.ledger.get() {
        ledger.change(|ledger| ledger.plan = Some(digest.clone())).because(Reason::HostFault)?;
    }
    let sentence = sentence(&plan, &digest, released.as_deref());
    if let Some(released) = released {
        let _only_plan_makes_it = world.released.set(*released);
    }
    let _only_plan_makes_it = world.plan.set(Planned { plan, digest });
    Ok(Answer::Done(sentence))
}

fn sentence(plan: &Plan, digest: &Digest, released: Option<&Released>) -> String {
    let by_whom = released.map_or_else(String::new, |Released { release, digest, signer }| {
        let signer = signer.map(|key| format!(", signed by the key {key}")).unwrap_or_default();
        format!(", release {} serial {}{signer}", digest.short(), release.serial)
    });
    format!(
        "plan {} of site {}{by_whom}: {}, {}, {}",
        digest.short(),
        plan.site,
        count(plan.components.len(), "component"),
        count(plan.files.len(), "file"),
        count(plan.services.len(), "service"),
    )
}

/// Takes in the secrets, when they come by a way that this phase can look at. The answer when they have not come yet.
fn read_secrets(world: &World, plan: &Plan) -> Result<Option<Answer>, Failure> {
    let path = world.at(place::SECRETS);
    let found = match plan.secrets {
        None | Some(Delivery::Customdata) => return Ok(None),
        Some(Delivery::UserData | Delivery::Medium) => fs::read_if_there(&path).because(Reason::SecretsMissing)?,
    };
    if let Some(bytes) = found {
        world.learn(Secrets::read(&bytes, &format!("in {}", place::SECRETS), plan)?);
        return Ok(None);
    }
    if plan.secrets == Some(Delivery::UserData) {
        let what = format!("reading the secrets: there is no {}, which cloud-init should have dropped", place::SECRETS);
        return Err(Failure::new(Reason::SecretsMissing, what));
    }
    match medium::read(&place::MEDIUM, place::MEDIUM_SECRETS).because(Reason::SecretsMissing)? {
        medium::Found::File { label, bytes } => {
            let secrets = Secrets::read(&bytes, &format!("on the volume {label}"), plan)?;
            // The volume may be taken out after the first boot.
            fs::replace(&path, &bytes, 0o600).because(Reason::HostFault)?;
            world.learn(secrets);
            Ok(None)
        }
        medium::Found::Nothing(why) => Ok(Some(Answer::waiting(Reason::SecretsMissing, format!("secrets: {why}")))),
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A plan's bytes. Kind and version are looked at first: what has another version need not look like ours.
pub(crate) fn read(bytes: &[u8]) -> Result<Plan, Failure> {
    #[derive(Deserialize)]
    struct Peek {
        kind: String,
        version: u32,
    }
    let unreadable = |what: String| Failure::new(Reason::PlanUnreadable, what);
    let peek: Peek = serde_json::from_slice(bytes).map_err(|error| unreadable(format!("reading the plan: {error}")))?;
    if peek.kind != KIND {
        return Err(unreadable(format!("reading the plan: it is of kind {:?}, not {KIND:?}", peek.kind)));
    }
    if peek.version != VERSION {
        return Err(unreadable(format!(
            "reading the plan: it has version {}, this init ({}) reads version {VERSION}",
            peek.version,
            env!("CARGO_PKG_VERSION")
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(format!("reading the plan: {error}")))
}

/// Whether this init can do what the plan asks, on a machine of this architecture. Everything it cannot do is named.
pub(crate) fn check(plan: &Plan, arch: Arch) -> Result<(), Failure> {
    let abilities = &abilities::own();
    let judged = [
        (Reason::PlanUnreadable, "the plan is not sound", unsound(plan)),
        (Reason::PlanBeyondInit, "the plan asks for what this init cannot do", beyond(plan, abilities)),
        (Reason::NoArtefact, "the plan does not fit this machine", without(plan, arch)),
    ];
    match judged.into_iter().find(|(_, _, complaints)| !complaints.is_empty()) {
        Some((reason, what, complaints)) => Err(Failure::new(reason, format!("{what}: {}", complaints.join("; ")))),
        None => Ok(()),
    }
}

fn beyond(plan: &Plan, abilities: &Abilities) -> Vec<String> {
    let knows = |words: &[String], word: &str| words.iter().any(|known| known == word);
    let mut complaints = Vec::new();
    if !knows(&abilities.platforms, &plan.platform) {
        complaints.push(format!("platform {}", plan.platform));
    }
    for phase in plan.phases.iter().filter(|phase| !abilities::has_work(abilities, **phase)) {
        complaints.push(format!("phase {phase}"));
    }
    for component in &plan.components {
        let Source::Artefacts(artefacts) = &component.source else { continue };
        for (arch, artefact) in artefacts {
            let format = match artefact.format {
                Format::Zip => "zip",
                Format::TarGz => "tar.gz",
            };
            if !knows(&abilities.formats, format) {
                complaints.push(format!("{} for {arch} in a {format} archive", component.name));
            }
        }
    }
    if let Some(delivery) = plan.secrets.filter(|delivery| !knows(&abilities.secrets, delivery.id())) {
        complaints.push(format!("secrets by {}", delivery.id()));
    }
    for service in plan.services.iter().filter(|service| !knows(&abilities.ready, service.ready.id())) {
        complaints.push(format!("readiness {} of {}", service.ready.id(), service.unit));
    }
    complaints
}

fn without(plan: &Plan, arch: Arch) -> Vec<String> {
    let lacking = plan.components.iter().filter(|component| match &component.source {
        Source::Artefacts(artefacts) => !artefacts.contains_key(&arch),
        Source::HostPackage(_) => false,
    });
    let unlisted = !plan.packages.is_empty() && !plan.packages.contains_key(&arch);
    let list = unlisted.then(|| format!("no list of packages for {arch}"));
    lacking.map(|component| format!("no artefact of {} for {arch}", component.name)).chain(list).collect()
}

fn unsound(plan: &Plan) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |what: &dyn fmt::Display| complaints.push(what.to_string());
    let named = |phase| plan.phases.contains(&phase);
    for (phase, need) in [
        (Phase::Facts, Phase::Metadata),
        (Phase::Files, Phase::Facts),
        (Phase::Prove, Phase::Facts),
        (Phase::Announce, Phase::Prove),
    ] {
        if named(phase) && !named(need) {
            complain(&format!("phase {phase} without phase {need}"));
        }
    }
    for file in &plan.files {
        if !is_plain(&file.path) {
            complain(&format!("file {}: {:?} is not an absolute, plain path", file.name, file.path));
        }
        if files::mode(&file.mode).is_none() {
            complain(&format!("file {}: {:?} is not a mode of four octal digits", file.name, file.mode));
        }
    }
    for service in &plan.services {
        for name in &service.files {
            if !plan.files.iter().any(|file| file.name == *name) {
                complain(&format!("service {}: the plan has no file {name:?}", service.unit));
            }
        }
        // A unit's name becomes an argument of systemctl.
        if service.unit.is_empty() || service.unit.starts_with('-') || service.unit.contains(char::is_whitespace) {
            complain(&format!("service {:?}: not a unit's name", service.unit));
        }
    }
    for certificate in &plan.certificates {
        let name = &certificate.name;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if !is_name || name == "ca" || certificate.names.is_empty() {
            complain(&format!("certificate {name:?}: not a component's name, or good for no name"));
        }
    }
    // They become arguments of programs and part of paths.
    let word = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
    };
    for component in &plan.components {
        for name in component.packages.iter().chain(&component.user).filter(|name| !word(name)) {
            complain(&format!("component {}: {name:?} is no name of a package or user", component.name));
        }
    }
    for job in &plan.jobs {
        for name in job.files.iter().filter(|name| !plan.files.iter().any(|file| file.name == **name)) {
            complain(&format!("job {}: the plan has no file {name:?}", job.name));
        }
        for name in job.needs.iter().filter(|name| facts::named(name).is_none()) {
            complain(&format!("job {}: no fact is named {name:?}", job.name));
        }
    }
    if plan.secrets.is_none() && !plan.wanted_secrets().is_empty() {
        complain(&"secrets are wanted, and no way is named by which they come");
    }
    for name in plan.wanted_secrets().into_iter().filter(|name| secrets::named(name).is_none()) {
        complain(&format!("no secret is named {name:?}"));
    }
    complaints
}

/// Absolute, naming a file, without `.` or `..`.
fn is_plain(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    path.starts_with('/')
        && !path.ends_with('/')
        && parts.next() == Some(Part::RootDir)
        && parts.all(|part| matches!(part, Part::Normal(_)))
        && path.len() > 1
        && !path.contains("/./")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sound() -> Value {
        json!({
            "kind": "anymetal.plan", "version": 1, "site": "demo", "platform": "equinix-metal", "os": "debian-12",
            "domain": "example.org", "anycast": {"v4": ["192.0.2.1/32"], "v6": []}, "bgp": {},
            "phases": ["metadata", "facts", "files", "services"], "origins": [],
            "components": [{"name": "consul", "version": "1.8.7", "source": {"artefacts": {"x86_64": {
                "sha256": "a".repeat(64), "format": "zip", "members": [], "urls": []}}}}],
            "files": [{"name": "consul/consul.json", "path": "/etc/anymetal/consul/consul.json", "mode": "0640",
                "owner": "root:consul", "needs": [], "body": "{}"}],
            "services": [{"unit": "consul.service", "component": "consul", "files": ["consul/consul.json"], "reload": false,
                "ready": {"consul-leader": "http://127.0.0.1:8500"}}],
            "jobs": [], "settings": {"hippo": {"registration": "Closed", "administrator": "a"}, "tls": {"mode": "none"},
                "firewall": {"ssh4": [], "ssh6": [], "tcp": [], "udp": []}},
            "deadlines": {}, "reports": ["platform"]
        })
    }

    fn judge(plan: &Value, arch: Arch) -> Result<(), Failure> {
        check(&read(plan.to_string().as_bytes())?, arch)
    }

    #[test]
    fn a_sound_plan_within_our_abilities_passes() {
        judge(&sound(), Arch::X86_64).unwrap();
    }

    #[test]
    fn each_complaint_has_its_reason_and_names_its_object() {
        for (pointer, value, reason, said) in [
            (
                "/kind",
                json!("anymetal.event"),
                Reason::PlanUnreadable,
                "it is of kind \"anymetal.event\", not \"anymetal.plan\"",
            ),
            ("/version", json!(2), Reason::PlanUnreadable, "it has version 2, this init (0.1.0) reads version 1"),
            ("/mood", json!("fine"), Reason::PlanUnreadable, "unknown field `mood`"),
            ("/platform", json!("moonbase"), Reason::PlanBeyondInit, "cannot do: platform moonbase"),
            ("/phases", json!(["files"]), Reason::PlanUnreadable, "phase files without phase facts"),
            ("/files/0/path", json!("etc/x"), Reason::PlanUnreadable, "\"etc/x\" is not an absolute, plain path"),
            (
                "/files/0/path",
                json!("/etc/../x"),
                Reason::PlanUnreadable,
                "\"/etc/../x\" is not an absolute, plain path",
            ),
            ("/files/0/mode", json!("640"), Reason::PlanUnreadable, "\"640\" is not a mode"),
            ("/services/0/files/0", json!("nomad/x"), Reason::PlanUnreadable, "the plan has no file \"nomad/x\""),
            ("/files/0/secrets", json!(["mood"]), Reason::PlanUnreadable, "no secret is named \"mood\""),
            ("/files/0/secrets", json!(["hippo_jwt"]), Reason::PlanUnreadable, "no way is named by which they come"),
            (
                "/components/0/packages",
                json!(["-o=x"]),
                Reason::PlanUnreadable,
                "component consul: \"-o=x\" is no name of a package",
            ),
            (
                "/jobs",
                json!([{"name": "x", "component": "consul", "namespace": "n", "api": "http://a", "token": "nomad_management",
                    "files": ["x/y"], "needs": ["mood"], "answers": [], "body": ""}]),
                Reason::PlanUnreadable,
                "job x: the plan has no file \"x/y\"; job x: no fact is named \"mood\"",
            ),
            (
                "/certificates",
                json!([{"name": "../x", "names": ["localhost"]}]),
                Reason::PlanUnreadable,
                "certificate \"../x\": not a component's name",
            ),
            ("/services/0/unit", json!("--now"), Reason::PlanUnreadable, "\"--now\": not a unit's name"),
        ] {
            let mut plan = sound();
            let (above, key) = pointer.rsplit_once('/').unwrap();
            let above = plan.pointer_mut(above).unwrap();
            match key.parse::<usize>() {
                Ok(place) if above.is_array() => above[place] = value,
                _ => above[key] = value,
            }
            let failure = judge(&plan, Arch::X86_64).expect_err(pointer);
            assert_eq!(failure.reason, reason, "{pointer}: {}", failure.chain());
            assert!(failure.chain().contains(said), "{:?} does not say {said:?}", failure.chain());
        }
    }

    #[test]
    fn a_machine_the_plan_has_no_artefact_for_is_told() {
        let failure = judge(&sound(), Arch::Aarch64).unwrap_err();
        assert_eq!(failure.reason, Reason::NoArtefact);
        assert_eq!(failure.chain(), "the plan does not fit this machine: no artefact of consul for aarch64");
        let mut plan = sound();
        plan["components"] = json!([]);
        plan["packages"] = json!({"x86_64": {"sha256": "b".repeat(64), "size": 7}});
        judge(&plan, Arch::X86_64).unwrap();
        let failure = judge(&plan, Arch::Aarch64).unwrap_err();
        assert_eq!(failure.chain(), "the plan does not fit this machine: no list of packages for aarch64");
    }

    #[test]
    fn paths_are_plain_only_when_nothing_in_them_moves() {
        assert!(is_plain("/etc/bird/bird.conf"));
        for bad in ["", "/", "etc", "/etc/", "/etc/../x", "/etc/./x", "../x"] {
            assert!(!is_plain(bad), "{bad:?} passed");
        }
    }
}
