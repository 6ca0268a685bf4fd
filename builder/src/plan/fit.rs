//! Whether an init can carry a plan out, by what it says of itself.
//! May not run one.

use anyhow::{Result, bail};
use anymetal_contract::Abilities;
use anymetal_contract::plan::{self, Plan};

/// Whether an init with these abilities can carry the plan out; names everything it cannot.
pub fn fit(plan: &Plan, abilities: &Abilities) -> Result<()> {
    let mut beyond = Vec::new();
    let mut need = |what: &str, thing: &str, has: &[String]| {
        if !has.iter().any(|able| able == thing) {
            beyond.push(format!("{what} {thing}"));
        }
    };
    if !abilities.plans.contains(&plan.version) {
        need("plan version", &plan.version.to_string(), &[]);
    }
    need("platform", &plan.platform, &abilities.platforms);
    for phase in &plan.phases {
        need("phase", phase.id(), &abilities.phases);
    }
    for component in &plan.components {
        let plan::Source::Artefacts(artefacts) = &component.source else { continue };
        for artefact in artefacts.values() {
            need("archive format", word(artefact.format), &abilities.formats);
        }
    }
    if !plan.packages.is_empty() {
        need("archive format", PACKAGE, &abilities.formats);
    }
    for supply in &plan.supplies {
        need("supply", supply.id(), &abilities.supplies);
    }
    for service in &plan.services {
        need("readiness", service.ready.id(), &abilities.ready);
    }
    if let Some(delivery) = plan.secrets {
        need("secrets by", delivery.id(), &abilities.secrets);
    }
    judge(beyond, abilities)
}

/// Whether an init with these abilities reads releases: one that does not would take no plan that a release pins.
pub fn fit_release(abilities: &Abilities) -> Result<()> {
    let version = anymetal_contract::release::VERSION;
    let able = abilities.releases.contains(&version);
    judge(if able { Vec::new() } else { vec![format!("release version {version}")] }, abilities)
}

/// Whether an init with these abilities checks signatures: one that does not would take any plan.
pub fn fit_signed(abilities: &Abilities) -> Result<()> {
    let able = abilities.signatures.iter().any(|form| form == "minisign");
    judge(if able { Vec::new() } else { vec!["signatures by minisign".to_owned()] }, abilities)
}

fn judge(mut beyond: Vec<String>, abilities: &Abilities) -> Result<()> {
    if beyond.is_empty() {
        return Ok(());
    }
    beyond.dedup();
    bail!(
        "anymetal-init {} cannot carry out this plan: it does not know {}\nhint: use the init that belongs to this anymetal, {}",
        abilities.release,
        beyond.join(", "),
        env!("CARGO_PKG_VERSION")
    )
}

/// The word in [`Abilities::formats`] of an init that installs pinned packages.
const PACKAGE: &str = "deb";

/// The word in [`Abilities::formats`]: what the plan writes.
const fn word(format: plan::Format) -> &'static str {
    match format {
        plan::Format::Zip => "zip",
        plan::Format::TarGz => "tar.gz",
    }
}

#[cfg(test)]
mod tests {
    use anymetal_contract::Digest;
    use anymetal_contract::plan::{Arch, Listed, Supply};

    use super::super::make;
    use super::*;
    use crate::sample::{abilities, site as sample};

    #[test]
    fn an_init_that_knows_neither_packages_nor_supplies_is_refused_only_a_plan_that_names_some() {
        let mut plan = make(&sample(), &abilities()).unwrap();
        let older = Abilities { formats: vec!["zip".into(), "tar.gz".into()], supplies: vec![], ..abilities() };
        fit(&plan, &older).unwrap();
        plan.packages = [(Arch::X86_64, Listed { sha256: Digest::of([1; 32]), size: 9 })].into();
        plan.supplies = vec![Supply::Upstream];
        fit(&plan, &abilities()).unwrap();
        let error = fit(&plan, &older).unwrap_err().to_string();
        assert!(error.contains("does not know archive format deb, supply upstream\nhint: "), "{error}");
    }

    #[test]
    fn an_init_that_checks_no_signatures_gets_no_list_of_signers() {
        fit_signed(&abilities()).unwrap();
        let without = Abilities { signatures: vec![], ..abilities() };
        let error = fit_signed(&without).unwrap_err().to_string();
        assert!(error.contains("does not know signatures by minisign\nhint: "), "{error}");
    }

    #[test]
    fn each_ability_init_lacks_is_named() {
        type Without = fn(&mut Abilities);
        let cases: [(Without, &str); 8] = [
            (|able| able.plans = vec![2], "plan version 1"),
            (|able| able.platforms.clear(), "platform equinix-metal"),
            (|able| able.phases.retain(|phase| phase != "services"), "phase services"),
            (|able| able.phases.retain(|phase| phase != "prove"), "phase prove"),
            (|able| able.formats = vec!["tar.gz".into()], "archive format zip"),
            (|able| able.ready.retain(|ready| ready != "consul-leader"), "readiness consul-leader"),
            (|able| able.ready.retain(|ready| ready != "announced"), "readiness announced"),
            (|able| able.secrets = vec!["medium".into()], "secrets by user-data"),
        ];
        for (without, what) in cases {
            let mut abilities = abilities();
            without(&mut abilities);
            let error = make(&sample(), &abilities).unwrap_err().to_string();
            assert!(error.contains(&format!("does not know {what}\nhint: ")), "{error}");
        }
    }
}
