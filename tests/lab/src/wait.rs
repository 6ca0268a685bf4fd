//! Waiting for a condition, with a limit.
//! May not judge: who waits in vain is told so, and decides.

use std::time::{Duration, Instant};

/// Between two looks. Short beside every duration the suites measure, long beside what a look costs.
const LOOK: Duration = Duration::from_millis(20);

/// Whether this came to hold within the limit.
pub fn until(limit: Duration, holds: impl FnMut() -> bool) -> bool {
    until_some(limit, {
        let mut holds = holds;
        move || holds().then_some(())
    })
    .is_some()
}

/// What came to be there within the limit.
pub fn until_some<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}
