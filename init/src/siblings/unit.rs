//! The unit that gives blobs to siblings once the boot is over. It is made anew at every boot, where no reboot keeps it.
//! May not give anything itself.

use anymetal_contract::{Outcome, place};

use super::STEP;
use crate::phase::Steps;
use crate::services::systemd;
use crate::sys::fs;
use crate::world::World;

/// The unit's name.
pub(crate) const NAME: &str = "anymetal-share.service";
const FIREWALL: &str = "anymetal-firewall.service";
/// Where units are that last until the next boot (systemd.unit(5)).
const FOLDER: &str = "/run/systemd/system";
const TEXT: &str = include_str!("../../../templates/host/anymetal-share.service");

/// Lets the unit go on where this process ends. Its port becomes free then; until that, systemd tries again.
pub(crate) fn hand_over(world: &World, steps: &dyn Steps) {
    let Some(Some(siblings)) = world.siblings.get() else { return };
    let own = &siblings.shared.place;
    let address = format!("{}/{}", own.address, own.networks.first().map_or(32, ipnet::Ipv4Net::prefix_len));
    let has_firewall = world.plan().services.iter().any(|service| service.unit == FIREWALL);
    let text = text(&address, has_firewall);
    // The folders above are root's alone; what is mounted for the unit is this one.
    let begun = fs::set_mode(&world.at(place::STORE), 0o755)
        .and_then(|()| fs::replace_lightly(&world.at(FOLDER).join(NAME), text.as_bytes(), 0o644))
        .and_then(|()| systemd::daemon_reload())
        .and_then(|()| systemd::queue("start", NAME));
    if let Err(error) = begun {
        let words = format!("{error:#}; siblings that boot later get nothing from this node");
        steps.step(STEP, Outcome::Progress, &words);
    }
}

/// The unit. It requires the firewall's where the plan has one.
fn text(address: &str, has_firewall: bool) -> String {
    let requires = |line: &&str| has_firewall || !line.ends_with(FIREWALL);
    let lines = TEXT.lines().filter(requires).map(|line| line.replace("ADDRESS", address) + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_told_its_address_and_may_do_nothing_else() {
        let without = text("10.70.17.11/24", false);
        assert!(!without.contains("firewall"), "{without}");
        let text = text("10.70.17.11/24", true);
        assert!(text.contains("\nRequires=anymetal-firewall.service\nAfter=anymetal-firewall.service\n"), "{text}");
        assert!(text.contains("ExecStart=/opt/anymetal/bin/anymetal-init share --address 10.70.17.11/24\n"), "{text}");
        assert!(
            text.contains("\nDynamicUser=yes\n")
                && text.contains("\nBindReadOnlyPaths=/var/lib/anymetal/store/sha256\n")
        );
        assert!(text.contains("\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\n") && !text.contains("ADDRESS"), "{text}");
    }
}
