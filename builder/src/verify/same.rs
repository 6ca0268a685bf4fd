//! Whether forms carry the same plan and the same inits.
//! May not judge a form by itself.

use anyhow::{Result, bail};
use anymetal_contract::terminal;

use super::shown;
use crate::diff;
use crate::form::Form;

/// Compares every form that carries a plan with the first that does.
pub(super) fn judge(forms: &[Form]) -> Result<()> {
    let mut carrying = forms.iter().filter_map(|form| Some((&form.path, form.carried()?)));
    let Some((first_path, first)) = carrying.next() else { return Ok(()) };
    for (path, carried) in carrying.clone() {
        if carried.text != first.text {
            let changes = diff::changes(first, carried);
            bail!(
                "{} carries another plan than {}: sha256 {}, not {}\nthe first difference: {}",
                path.display(),
                first_path.display(),
                carried.digest(),
                first.digest(),
                terminal::one_line(changes.first().map_or("the order of something", String::as_str))
            );
        }
    }
    let released = forms.iter().filter_map(|form| Some((&form.path, form.carried()?)));
    let released: Vec<_> = released.filter(|(_, carried)| carried.release.is_some()).collect();
    if let Some(((first_path, first), others)) = released.split_first()
        && let Some((path, other)) = others.iter().find(|(_, other)| other.release_digest() != first.release_digest())
    {
        let changes = diff::changes(first, other);
        bail!(
            "{} has another release than {}\nthe first difference: {}",
            path.display(),
            first_path.display(),
            terminal::one_line(changes.first().map_or("something that has no word of its own", String::as_str))
        );
    }
    let mut pinning = forms.iter().filter_map(|form| Some((&form.path, form.carried()?.inits.as_ref()?)));
    let Some((first_path, first)) = pinning.next() else { return Ok(()) };
    if let Some((path, inits)) = pinning.find(|(_, inits)| *inits != first) {
        bail!(
            "{} has another anymetal-init than {}: {}, not {}",
            path.display(),
            first_path.display(),
            shown(inits),
            shown(first)
        );
    }
    Ok(())
}
