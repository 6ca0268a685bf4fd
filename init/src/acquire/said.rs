//! What is said of each blob that is wanted, and of all of them together: how many bytes, and where they came from.
//! May not fetch one.

use anymetal_contract::{Outcome, Reason};

use anymetal_supply::amount::Amount;
use anymetal_supply::failure::Failure;
use anymetal_supply::origin::Missed;
use anymetal_supply::transfer::Got;

use super::blob::{Blob, Kind};
use crate::phase::{Answer, Steps};
use crate::plan::count;

/// How one blob came, or why it did not.
pub(super) fn tell(blob: &Blob, result: &Result<Got, Missed>, steps: &dyn Steps) {
    match result {
        Ok(Got::Same) => steps.step(blob.name, Outcome::Same, &format!("{} is in the store already", blob.title)),
        Ok(Got::Fetched { bytes, base }) => {
            steps.step(blob.name, Outcome::Done, &format!("{}, {} from {base}", blob.title, Amount(*bytes)));
        }
        Err(Missed::NotYet { message, .. }) => steps.step(blob.name, Outcome::Waiting, message),
        Err(Missed::Never(failure)) => steps.step(blob.name, Outcome::Failed, &failure.chain()),
    }
}

/// One answer from all: a failure if there is one, else a wait if there is one.
pub(super) fn sum_up(results: impl Iterator<Item = (Kind, Result<Got, Missed>)>) -> Result<Answer, Failure> {
    let (mut failed, mut waiting) = (Vec::new(), Vec::new());
    let (mut artefacts, mut packages, mut sources) = (0, 0, Vec::<(String, u64)>::new());
    for (kind, result) in results {
        match result {
            Ok(Got::Same) => {}
            Ok(Got::Fetched { bytes, base }) => {
                match kind {
                    Kind::Artefact => artefacts += 1,
                    Kind::Package => packages += 1,
                    Kind::List => {}
                }
                match sources.iter_mut().find(|(known, _)| *known == base) {
                    Some((_, sum)) => *sum += bytes,
                    None => sources.push((base, bytes)),
                }
            }
            Err(Missed::Never(failure)) => failed.push(failure),
            Err(Missed::NotYet { reason, message, .. }) => waiting.push((reason, message)),
        }
    }
    if failed.len() == 1 {
        return Err(failed.remove(0));
    }
    if let Some(first) = failed.first() {
        let reason = first.reason;
        let all: Vec<_> = failed.iter().map(Failure::chain).collect();
        return Err(Failure::new(reason, all.join("; ")));
    }
    if let Some((reason, _)) = waiting.first() {
        let reason: Reason = *reason;
        let all: Vec<_> = waiting.iter().map(|(_, message)| message.as_str()).collect();
        return Ok(Answer::waiting(reason, all.join("; ")));
    }
    if sources.is_empty() {
        return Ok(Answer::Same("all artefacts already in the store".into()));
    }
    let counts = [(artefacts, "artefact"), (packages, "package")].into_iter().filter(|(number, _)| *number > 0);
    let counts: Vec<_> = counts.map(|(number, what)| count(number, what)).collect();
    let what = if counts.is_empty() { "the list of packages".to_owned() } else { counts.join(" and ") };
    Ok(Answer::Done(format!("{what}, {}", sum(&sources))))
}

/// How many bytes came from where: `61.3 MB from a`, `61.3 MB: 41.0 MB from a, 20.3 MB from b`.
fn sum(sources: &[(String, u64)]) -> String {
    let each = |(base, bytes): &(String, u64)| format!("{} from {base}", Amount(*bytes));
    let each: Vec<_> = sources.iter().map(each).collect();
    match each.as_slice() {
        [one] => one.clone(),
        all => format!("{}: {}", Amount(sources.iter().map(|(_, bytes)| bytes).sum()), all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(kind: Kind, bytes: u64, base: &str) -> (Kind, Result<Got, Missed>) {
        (kind, Ok(Got::Fetched { bytes, base: base.into() }))
    }

    #[test]
    fn the_sum_says_how_many_bytes_came_from_where() {
        let (here, there) = ("the bundle /var/lib/anymetal/bundle.tar", "http://a");
        for (results, said) in [
            (
                vec![fetched(Kind::Artefact, 41_300_000, here)],
                "1 artefact, 41.3 MB from the bundle /var/lib/anymetal/bundle.tar",
            ),
            (
                vec![
                    fetched(Kind::List, 500, there),
                    fetched(Kind::Artefact, 2_000_000, here),
                    fetched(Kind::Package, 1_000_000, there),
                    (Kind::Package, Ok(Got::Same)),
                    fetched(Kind::Artefact, 3_000_000, here),
                ],
                "2 artefacts and 1 package, 6.0 MB: 1.0 MB from http://a, 5.0 MB from the bundle /var/lib/anymetal/bundle.tar",
            ),
            (vec![fetched(Kind::List, 500, there)], "the list of packages, 500 bytes from http://a"),
        ] {
            assert_eq!(sum_up(results.into_iter()).unwrap(), Answer::Done(said.into()));
        }
    }
}
