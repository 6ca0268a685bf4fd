//! Every blob that is sought into the cache: several at a time, asked for again where that may help.
//! May not print: it tells `show`; and gives back what became of each.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use anymetal_supply::amount::Amount;
use anymetal_supply::failure::Failure;
use anymetal_supply::http::{Limits, Outside};
use anymetal_supply::origin::Missed;
use anymetal_supply::transfer::{self, Clients, Got, Pace, Wanted, Watch as _};
use anymetal_supply::{stock, take};

use super::{Cache, Show, Sought, crew};
use crate::sys::{carried as files, clock};

/// The pause before a blob is asked for again for the first time; it doubles with each time that brought nothing.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// How it is gone about.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Transfers at a time.
    pub jobs: usize,
    /// How often in a row a blob is asked for again without a further byte of it coming.
    pub retries: u32,
    /// Whether blobs that are there are read too.
    pub verify: bool,
}

/// What became of a blob: how it got into the cache, or what everybody said.
pub type Had = Result<Got, String>;

/// Gets what is not in the cache. What comes back is in the order of what is sought.
pub fn fetch(cache: &Cache, sought: &[Sought], outside: &Outside, how: How, show: &Show) -> Result<Vec<Had>> {
    let wanted: Vec<Wanted> = sought.iter().map(Sought::wanted).collect();
    let there = |sought: &Sought| !how.verify && cache.trusts(&sought.need);
    let mut had: Vec<Option<Had>> = sought.iter().map(|sought| there(sought).then_some(Ok(Got::Same))).collect();
    let mut open: Vec<usize> = (0..sought.len()).filter(|place| had[*place].is_none()).collect();
    let missing: Vec<_> = open.iter().map(|place| wanted[*place].clone()).collect();
    stock::require_room(cache.store(), missing.iter().map(|wanted| (wanted.sha256, wanted.size)))
        .map_err(|failure| failure.error)?;
    let begun = |wanted: &Wanted| cache.store().part_length(wanted.sha256);
    show.expect(missing.iter().map(|wanted| (wanted.name, wanted.size, begun(wanted))));
    let clients = Clients::new(Limits::TRANSFER, outside);
    let mut patience: Vec<Patience> = sought.iter().map(|_| Patience::default()).collect();
    while !open.is_empty() {
        let results = crew::each(how.jobs, open.len(), |at| {
            let place = open[at];
            show.begin(wanted[place].name);
            let result = obtain(cache, &clients, &sought[place], &wanted[place], show);
            show.end(wanted[place].name, result.as_ref().ok().map(said).as_deref());
            result
        });
        let (mut again, mut pause) = (Vec::new(), Duration::ZERO);
        for (place, result) in open.into_iter().zip(results) {
            match result {
                Ok(got) => had[place] = Some(Ok(got)),
                Err(Missed::Never(failure)) => had[place] = Some(Err(failure.chain())),
                Err(Missed::NotYet { message, settled, .. }) => {
                    let next = patience[place].next(settled, begun(&wanted[place]), how.retries);
                    if let Some(wait) = next {
                        show.word(wanted[place].name, &message);
                        again.push(place);
                        pause = pause.max(wait);
                    } else {
                        had[place] = Some(Err(message));
                    }
                }
            }
        }
        if !again.is_empty() {
            let blobs = if again.len() == 1 { "1 blob".to_owned() } else { format!("{} blobs", again.len()) };
            show.say(&format!("asking again for {blobs}"));
            // Not all who were cut off at once come back at once.
            clock::pause(pause.mul_f64(0.5 + fastrand::f64() / 2.0));
        }
        open = again;
    }
    show.finish();
    Ok(had.into_iter().map(|had| had.expect("a blob is open until something became of it")).collect())
}

/// One blob, from the files that were carried in or else from the net.
fn obtain(cache: &Cache, clients: &Clients, sought: &Sought, wanted: &Wanted, show: &Show) -> Result<Got, Missed> {
    if transfer::is_kept(cache.store(), wanted, show).map_err(Missed::Never)? {
        return Ok(Got::Same);
    }
    for path in &sought.files {
        let wrong = match carried(cache, path, wanted, show).map_err(Missed::Never)? {
            None => continue,
            Some(Ok(bytes)) => return Ok(Got::Fetched { bytes, base: path.display().to_string() }),
            Some(Err(wrong)) => wrong,
        };
        show.word(wanted.name, &format!("{} {wrong}; it is passed over", path.display()));
    }
    transfer::fetch(cache.store(), clients, wanted, Pace::UNHURRIED, show)
}

/// From this file, if there is one: how many bytes, or what is wrong with it.
fn carried(cache: &Cache, path: &Path, wanted: &Wanted, show: &Show) -> Result<Option<Result<u64, String>>, Failure> {
    let (file, length) = match files::open(path) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(error) => return Ok(Some(Err(format!("cannot be read ({error})")))),
    };
    if let Some(pinned) = wanted.size.filter(|pinned| *pinned != length) {
        return Ok(Some(Err(format!("has {length} bytes where {pinned} are pinned"))));
    }
    take::take(cache.store(), wanted, file, show).map(Some)
}

fn said(got: &Got) -> String {
    match got {
        Got::Same => "in the cache".into(),
        Got::Fetched { bytes, base } => format!("{} from {base}", Amount(*bytes)),
    }
}

/// How long a blob is asked for again.
#[derive(Debug, Default)]
struct Patience {
    /// The most bytes of it that have ever been there.
    most: u64,
    /// How often in a row no further byte came.
    vain: u32,
}

impl Patience {
    /// The pause before the next time, after one that left so many bytes; `None` when it is given up.
    fn next(&mut self, settled: bool, length: u64, retries: u32) -> Option<Duration> {
        if length > self.most {
            (self.most, self.vain) = (length, 0);
        } else if settled || self.vain == retries {
            return None;
        } else {
            self.vain += 1;
        }
        Some(FIRST_PAUSE.saturating_mul(1 << self.vain.min(16)).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_asked_for_again_and_what_does_not_a_few_times() {
        let mut patience = Patience::default();
        let mut next = |settled, length| patience.next(settled, length, 3).map(|pause| pause.as_millis());
        assert_eq!(next(false, 10), Some(250));
        assert_eq!(next(false, 11), Some(250));
        assert_eq!([(); 4].map(|()| next(false, 11)), [Some(500), Some(1000), Some(2000), None]);
        assert_eq!(next(false, 12), Some(250), "a byte more, and all patience is there again");
        // a server without ranges: the part begins anew each time
        assert_eq!(
            [next(false, 3), next(false, 12), next(false, 9), next(false, 0)],
            [Some(500), Some(1000), Some(2000), None]
        );
        assert_eq!(next(true, 12), None, "everybody will say the same");
    }

    #[test]
    fn a_pause_has_an_end() {
        let mut patience = Patience::default();
        let last = (0..100).map_while(|_| patience.next(false, 0, 100)).last();
        assert_eq!(last, Some(LONGEST_PAUSE));
        assert_eq!(Patience::default().next(false, 0, 0), None);
    }
}
