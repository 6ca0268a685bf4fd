//! Several pieces of work at a time, each by whoever is free.
//! May not know what the work is.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Does the work of each place from 0 up to `count`, at most so many at a time, begun in order. Results are in the order of places.
pub(super) fn each<T: Send>(at_once: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut mine = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return mine;
            }
            mine.push((place, work(place)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once.min(count)).map(|_| scope.spawn(worker)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once_and_results_keep_their_order() {
        let done = AtomicUsize::new(0);
        let squares = each(3, 100, |place| {
            done.fetch_add(1, Ordering::Relaxed);
            place * place
        });
        assert_eq!(squares, (0..100).map(|place| place * place).collect::<Vec<_>>());
        assert_eq!(done.into_inner(), 100);
        assert_eq!(each(4, 0, |place| place), [0_usize; 0]);
    }
}
