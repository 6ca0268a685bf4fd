//! The firewall, put in force again by a thread of its own: `nft` takes longer than the guard's loop may be held up.
//! May not decide when.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::tell::Teller;
use crate::sys::nftables;

/// How the last repair went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Done,
    UnderWay,
    Failed(String),
}

/// One repair at a time.
#[derive(Debug, Default)]
pub(super) struct Repair(Arc<Mutex<Last>>);

impl Repair {
    /// Begins to load this file, unless that is under way. Returns why the last try was in vain, when it was.
    pub(super) fn begin(&self, file: PathBuf, teller: &Arc<Teller>) -> Option<String> {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), Last::UnderWay);
        if before == Last::UnderWay {
            return None;
        }
        let (last, teller) = (Arc::clone(&self.0), Arc::clone(teller));
        let started = super::thread("firewall", move || {
            let result = match nftables::load(&file) {
                Ok(()) => {
                    teller.note(format!("the firewall of {} is in force again", file.display()));
                    Last::Done
                }
                Err(error) => Last::Failed(format!("{error:#}")),
            };
            *last.lock().unwrap_or_else(PoisonError::into_inner) = result;
        });
        if let Err(error) = started {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Last::Failed(format!("{error:#}"));
        }
        match before {
            Last::Failed(why) => Some(why),
            Last::Done | Last::UnderWay => None,
        }
    }
}
