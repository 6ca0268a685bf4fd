//! THE LIST: every phase of a first boot, what it needs, how long it may take, who does it.
//! May not run it: the runner does.

use anymetal_contract::Phase::{
    Acquire, Announce, Facts, Files, Install, Jobs, Metadata, Plan, Prove, Services, Settle, Wake,
};

use crate::phase::Entry;
use crate::phase::Late::{Fails, GoesOn};
use crate::{acquire, announce, facts, files, install, jobs, metadata, plan, prove, services, settle, wake};

/// The boot. A phase starts when all it needs has ended well; `settle` runs at the end of a failed boot too. Deadlines in seconds.
#[rustfmt::skip]
pub(crate) static LIST: [Entry; 12] = [
    Entry { phase: Wake,     needs: &[],               deadline:   60, late: Fails,  work: Some(wake::work) },
    Entry { phase: Plan,     needs: &[Wake],           deadline:  900, late: Fails,  work: Some(plan::work) },
    Entry { phase: Metadata, needs: &[Plan],           deadline:  900, late: Fails,  work: Some(metadata::work) },
    Entry { phase: Acquire,  needs: &[Plan],           deadline: 1800, late: Fails,  work: Some(acquire::work) },
    Entry { phase: Install,  needs: &[Acquire],        deadline:  600, late: Fails,  work: Some(install::work) },
    Entry { phase: Facts,    needs: &[Metadata],       deadline:   60, late: Fails,  work: Some(facts::work) },
    Entry { phase: Files,    needs: &[Facts, Install], deadline:  300, late: Fails,  work: Some(files::work) },
    Entry { phase: Services, needs: &[Files],          deadline:  900, late: Fails,  work: Some(services::work) },
    Entry { phase: Jobs,     needs: &[Services],       deadline:  900, late: Fails,  work: Some(jobs::work) },
    Entry { phase: Prove,    needs: &[Jobs],           deadline:  300, late: Fails,  work: Some(prove::work) },
    Entry { phase: Announce, needs: &[Prove],          deadline:  120, late: GoesOn, work: Some(announce::work) },
    Entry { phase: Settle,   needs: &[Announce],       deadline:   60, late: Fails,  work: Some(settle::work) },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use anymetal_contract::Phase;

    use super::*;

    #[test]
    fn the_list_has_every_phase_once_and_in_order() {
        assert_eq!(LIST.each_ref().map(|entry| entry.phase), Phase::ALL);
    }

    #[test]
    fn a_phase_needs_only_earlier_ones_and_settle_needs_all() {
        let mut behind: Vec<BTreeSet<Phase>> = Vec::new();
        for (place, entry) in LIST.iter().enumerate() {
            let mut all = BTreeSet::new();
            for need in entry.needs {
                assert!(need.number() <= place, "{} needs {need}, which comes later", entry.phase);
                all.insert(*need);
                all.extend(&behind[need.number() - 1]);
            }
            behind.push(all);
        }
        assert_eq!(behind[11], Phase::ALL[..11].iter().copied().collect());
    }

    #[test]
    fn downloads_do_not_wait_for_metadata() {
        assert_eq!(LIST[Acquire.number() - 1].needs, LIST[Metadata.number() - 1].needs);
    }
}
