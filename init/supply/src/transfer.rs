//! One artefact: from the first place that gives the right bytes into the store, verified while it streams, resumed when cut.
//! May not decide what a failed round means: `origin` does.

use std::io::Read as _;

use anymetal_contract::{Digest, Reason};

use crate::failure::{Because as _, Failure};
use crate::http::{self, Certificates, Http, Limits, Stream};
use crate::origin::{Candidate, Missed, Said, judge, shown};
use crate::part::Part;
use crate::pump::Copying;
use crate::stock::{claim, give_up, keep};
use crate::store::Store;

/// What an artefact without a pinned size may have at most: four times the largest of the field's archives (a Nomad with all its
/// drivers is below half a gigabyte), so that a wrong URL cannot fill the disk.
pub const MOST: u64 = 2 << 30;
/// How often one place is asked in a round when its answers break off without having brought much.
const TRIES: u32 = 3;
/// What an answer that broke off must have brought for the next one not to count as a try.
const WORTHWHILE: u64 = 1 << 20;

/// A blob that is wanted, by its digest.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The step's name: the component.
    pub name: &'a str,
    /// Name and version, for messages.
    pub title: String,
    /// What its bytes must have.
    pub sha256: &'a Digest,
    /// In bytes, when it is known; a transfer of another length is refused early.
    pub size: Option<u64>,
    /// Where it may be, in the order in which they are asked.
    pub candidates: Vec<Candidate>,
}

/// Who hears how a transfer goes.
pub trait Watch: Sync {
    /// Something happened that a person may want to know, of the step of that name.
    fn word(&self, name: &str, message: &str);
    /// So many bytes are there, of so many when that is known.
    fn progress(&self, name: &str, done: u64, total: Option<u64>);
    /// Bytes between two words on progress.
    fn step(&self) -> u64 {
        512 * 1024
    }
}

/// How an artefact got into the store.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// It was there.
    Same,
    /// So many bytes came, the last of them from there.
    Fetched {
        /// How long it is.
        bytes: u64,
        /// Which place; see [`Candidate::base`].
        base: String,
    },
}

/// The clients that transfers share: one that checks certificates, one that does not.
pub struct Clients {
    checked: Http,
    ignoring: Http,
    limits: Limits,
}

/// What became of one request.
enum Ended {
    /// The body came to its end.
    Whole,
    /// What came cannot be right, or does not fit what is there.
    Odd(Said),
    /// The body broke off.
    Cut { words: String, silent: bool },
    /// There was no body for us.
    Said(Said),
}

/// One place being asked.
struct Asking<'a> {
    clients: &'a Clients,
    wanted: &'a Wanted<'a>,
    candidate: &'a Candidate,
    watch: &'a dyn Watch,
    /// Its certificate was refused once.
    unchecked: bool,
    /// The bytes in the part began with another answer than the present one.
    resumed: bool,
}

impl Clients {
    /// Both of them, with these limits.
    pub fn new(limits: Limits) -> Self {
        let (checked, ignoring) = (Http::new(limits, Certificates::Checked), Http::new(limits, Certificates::Ignored));
        Self { checked, ignoring, limits }
    }
}

/// Whether the artefact is in the store, whole and right. A copy that is damaged is said and removed.
pub fn is_kept(store: &Store, wanted: &Wanted, watch: &dyn Watch) -> Result<bool, Failure> {
    if !store.has(wanted.sha256) {
        return Ok(false);
    }
    let Some(part) = claim(store, wanted, watch)? else { return Ok(true) };
    if part.length() == 0 {
        part.remove().because(Reason::HostFault)?;
    }
    Ok(false)
}

/// Makes sure that the artefact is in the store.
pub fn fetch(store: &Store, clients: &Clients, wanted: &Wanted, watch: &dyn Watch) -> Result<Got, Missed> {
    let Some(mut part) = claim(store, wanted, watch).map_err(Missed::Never)? else { return Ok(Got::Same) };
    match round(clients, wanted, watch, &mut part) {
        Ok(got) => keep(part, store, wanted).map(|()| got).map_err(Missed::Never),
        Err(Missed::Never(failure)) => Err(Missed::Never(give_up(part, failure, store, wanted))),
        Err(not_yet) => {
            if part.length() == 0 {
                part.remove().because(Reason::HostFault).map_err(Missed::Never)?;
            }
            Err(not_yet)
        }
    }
}

/// Asks each place in order until the part is whole and right.
fn round(clients: &Clients, wanted: &Wanted, watch: &dyn Watch, part: &mut Part) -> Result<Got, Missed> {
    let digest = wanted.sha256;
    if part.length() > 0 {
        if part.digest() == *digest {
            return Ok(Got::Fetched { bytes: part.length(), base: "an earlier run".into() });
        }
        if wanted.size.is_some_and(|size| part.length() >= size) {
            part.clear().because(Reason::HostFault).map_err(Missed::Never)?;
        }
    }
    let mut said: Vec<(&Candidate, Said)> = Vec::new();
    for (place, candidate) in wanted.candidates.iter().enumerate() {
        let mut asking = Asking { clients, wanted, candidate, watch, unchecked: false, resumed: part.length() > 0 };
        match asking.ask(part).map_err(Missed::Never)? {
            None => return Ok(Got::Fetched { bytes: part.length(), base: candidate.base.clone() }),
            Some(words) => {
                if let Some(next) = wanted.candidates.get(place + 1) {
                    let message = format!("{} {words}; asking {}", shown(&candidate.url), next.base);
                    watch.word(wanted.name, &message);
                }
                said.push((candidate, words));
            }
        }
    }
    Err(judge(&wanted.title, digest, &said))
}

impl Asking<'_> {
    /// `None` when the part is whole and right, else what this place has to say.
    fn ask(&mut self, part: &mut Part) -> Result<Option<Said>, Failure> {
        let (mut restarted, mut poor) = (false, 0);
        loop {
            let before = part.length();
            self.resumed = before > 0;
            let odd = match self.request(part)? {
                Ended::Whole if part.digest() == *self.wanted.sha256 => return Ok(None),
                Ended::Whole => Said::OtherBytes(part.digest()),
                Ended::Odd(said) => said,
                Ended::Said(said) => return Ok(Some(said)),
                Ended::Cut { words, silent } => {
                    poor += u32::from(part.length().saturating_sub(before) < WORTHWHILE);
                    if silent || poor >= TRIES {
                        return Ok(Some(Said::Broke(words)));
                    }
                    continue;
                }
            };
            // Whether the first bytes or the last are wrong nobody can tell: this place gets a fair try from the start.
            part.clear().because(Reason::HostFault)?;
            if !self.resumed || restarted {
                return Ok(Some(odd));
            }
            restarted = true;
        }
    }

    /// One request and its answer.
    fn request(&mut self, part: &mut Part) -> Result<Ended, Failure> {
        let from = part.length();
        let stream = match self.open(from) {
            Ok(stream) => stream,
            Err(error) => return Ok(Ended::Said(Said::Broke(format!("did not answer ({})", causes(&error))))),
        };
        let start = match (stream.status, from) {
            (200, _) => 0,
            (206, 1..) if stream.first == Some(from) => from,
            (206, 1..) => return Ok(Ended::Odd(Said::Broke("answered with another range than was asked for".into()))),
            (416, 1..) => return Ok(Ended::Odd(Said::Status(416))),
            (status, _) => return Ok(Ended::Said(Said::Status(status))),
        };
        let claimed = stream.length.map(|length| start.saturating_add(length));
        let pinned = self.wanted.size;
        match (claimed, pinned) {
            (Some(claimed), Some(pinned)) if claimed != pinned => {
                return Ok(Ended::Said(Said::OtherLength { claimed, pinned }));
            }
            (Some(claimed), None) if claimed > MOST => return Ok(Ended::Said(Said::TooMuch { most: MOST })),
            _ => {}
        }
        if start == 0 && from > 0 {
            // It does not do ranges.
            part.clear().because(Reason::HostFault)?;
            self.resumed = false;
        }
        self.stream(stream, part, claimed)
    }

    fn open(&mut self, from: u64) -> anyhow::Result<Stream> {
        let url = &self.candidate.url;
        if !self.unchecked {
            match self.clients.checked.open(url, from) {
                Err(error) if http::certificate_refused(&error) => {
                    let message = format!(
                        "the certificate of {} is not accepted ({}); going on without it, since the digest pins the bytes",
                        self.candidate.base,
                        causes(&error)
                    );
                    self.watch.word(self.wanted.name, &message);
                    self.unchecked = true;
                }
                other => return other,
            }
        }
        self.clients.ignoring.open(url, from)
    }

    /// The body into the part, up to what may come.
    fn stream(&self, mut stream: Stream, part: &mut Part, claimed: Option<u64>) -> Result<Ended, Failure> {
        let expected = self.wanted.size.or(claimed);
        let (most, step) = (self.wanted.size.unwrap_or(MOST), self.watch.step());
        let (mut length, mut spoken, mut too_much) = (part.length(), part.length(), false);
        let copied = part.extend(|buffer| {
            let read = stream.body.read(buffer)?;
            too_much = length + read as u64 > most;
            if too_much {
                return Ok(0);
            }
            length += read as u64;
            if length - spoken >= step || (read == 0 && length > spoken) {
                spoken = length;
                self.watch.progress(self.wanted.name, length, expected);
            }
            Ok(read)
        });
        match copied {
            Err(Copying::Writing(error)) => Err(error).because(Reason::HostFault),
            Err(Copying::Reading(error)) => Ok(self.cut(&error, part.length(), expected)),
            Ok(()) if too_much => Ok(Ended::Odd(Said::TooMuch { most })),
            Ok(()) => Ok(match expected {
                Some(expected) if length < expected => {
                    Ended::Cut { words: format!("ended after {length} of {expected} bytes"), silent: false }
                }
                _ => Ended::Whole,
            }),
        }
    }

    fn cut(&self, error: &std::io::Error, length: u64, expected: Option<u64>) -> Ended {
        let of = expected.map(|expected| format!(" of {expected}")).unwrap_or_default();
        let silent = http::fell_silent(error);
        let words = if silent {
            format!("fell silent for {} s after {length}{of} bytes", self.clients.limits.silence.as_secs())
        } else {
            format!("broke off after {length}{of} bytes ({error})")
        };
        Ended::Cut { words, silent }
    }
}

/// The causes below the outermost sentence, which repeats the URL as it is.
fn causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
