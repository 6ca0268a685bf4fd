//! One request to one place, in a thread of its own: what it answers and the bytes of its body, told as they come.
//! May not write them, nor decide what follows from an answer: `race` does.

use std::io::Read as _;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::http::{self, Http, Stream};
use crate::origin::Said;
use crate::pump::BUFFER;

/// Buffers under way in one lane: it reads no further ahead of whoever takes them.
const BUFFERS: usize = 4;
/// A thread's stack: a TLS handshake takes most of it.
const STACK: usize = 512 * 1024;

/// What is asked.
pub(crate) struct Question {
    pub(crate) url: String,
    /// The place, for people.
    pub(crate) base: String,
    pub(crate) checked: Http,
    pub(crate) ignoring: Http,
    /// Its certificate has been refused before.
    pub(crate) unchecked: bool,
    /// From this byte on.
    pub(crate) from: u64,
    /// In bytes, when it is known.
    pub(crate) pinned: Option<u64>,
    /// What may come at most, in bytes.
    pub(crate) most: u64,
    /// For words about silence.
    pub(crate) silence: Duration,
}

/// What a lane tells.
pub(crate) enum News {
    /// The certificate is not accepted, and is ignored from here on.
    Unchecked(String),
    /// A body comes, from this byte of the file on; the file has that many, when somebody says so.
    Begins { at: u64, expected: Option<u64> },
    /// The next bytes: so many of the buffer, which is to be given back.
    Bytes(Vec<u8>, usize),
    /// The last that is told.
    Ended(Ended),
}

/// How a request ended.
pub(crate) enum Ended {
    /// The body came to its end. By its looks it may be a page for people.
    Whole { is_page: bool },
    /// What came cannot be right, or does not fit what is there.
    Odd(Said),
    /// The body broke off.
    Cut { words: String, silent: bool },
    /// There was no body for us.
    Said(Said),
}

/// A request under way. Dropped, it ends as soon as it reads again.
pub(crate) struct Lane {
    empty: Sender<Vec<u8>>,
}

impl Lane {
    /// Asks. `tell` is called in the lane's thread, and says whether anybody still listens.
    pub(crate) fn start(question: Question, tell: impl Fn(News) -> bool + Send + 'static) -> std::io::Result<Self> {
        let (empty, emptied) = mpsc::channel();
        for _ in 0..BUFFERS {
            empty.send(vec![0; BUFFER]).expect("the other end is in this function");
        }
        let work = move || {
            let ended = run(&question, &emptied, &tell);
            if let Some(ended) = ended {
                tell(News::Ended(ended));
            }
        };
        std::thread::Builder::new().name("lane".into()).stack_size(STACK).spawn(work)?;
        Ok(Self { empty })
    }

    /// Gives a buffer back.
    pub(crate) fn give_back(&self, buffer: Vec<u8>) {
        // A lane that has ended needs none.
        let _ended = self.empty.send(buffer);
    }
}

/// The request. `None` when nobody listens any more.
fn run(question: &Question, emptied: &Receiver<Vec<u8>>, tell: &impl Fn(News) -> bool) -> Option<Ended> {
    let stream = match open(question, tell) {
        Ok(stream) => stream,
        Err(error) => return Some(Ended::Said(Said::Broke(format!("did not answer ({})", causes(&error))))),
    };
    let at = match begins(&stream, question) {
        Ok(at) => at,
        Err(ended) => return Some(ended),
    };
    let expected = question.pinned.or_else(|| stream.length.map(|length| at.saturating_add(length)));
    tell(News::Begins { at, expected }).then_some(())?;
    body(question, stream, (at, expected), emptied, tell)
}

fn open(question: &Question, tell: &impl Fn(News) -> bool) -> anyhow::Result<Stream> {
    if !question.unchecked {
        match question.checked.open(&question.url, question.from) {
            Err(error) if http::certificate_refused(&error) => {
                let words = format!(
                    "the certificate of {} is not accepted ({}); going on without it, since the digest pins the bytes",
                    question.base,
                    causes(&error)
                );
                tell(News::Unchecked(words));
            }
            other => return other,
        }
    }
    question.ignoring.open(&question.url, question.from)
}

/// Which byte of the file the body begins with, or why it is none that can be used.
fn begins(stream: &Stream, question: &Question) -> Result<u64, Ended> {
    let from = question.from;
    let at = match (stream.status, from) {
        // It may not do ranges; then what is there already is read again, and passed over.
        (200, _) => 0,
        (206, 1..) if stream.first == Some(from) => from,
        (206, 1..) => return Err(Ended::Odd(Said::Broke("answered with another range than was asked for".into()))),
        (416, 1..) => return Err(Ended::Odd(Said::Status(416))),
        (status, _) => return Err(Ended::Said(Said::Status(status))),
    };
    match (stream.length.map(|length| at.saturating_add(length)), question.pinned) {
        (Some(claimed), Some(pinned)) if claimed != pinned => {
            Err(Ended::Said(if stream.is_page { Said::Page } else { Said::OtherLength { claimed, pinned } }))
        }
        (Some(claimed), None) if claimed > question.most => Err(Ended::Said(Said::TooMuch { most: question.most })),
        _ => Ok(at),
    }
}

fn body(
    question: &Question,
    mut stream: Stream,
    (mut at, expected): (u64, Option<u64>),
    emptied: &Receiver<Vec<u8>>,
    tell: &impl Fn(News) -> bool,
) -> Option<Ended> {
    let mut is_page = stream.is_page;
    loop {
        let mut buffer = emptied.recv().ok()?;
        let length = loop {
            match stream.body.read(&mut buffer) {
                Ok(length) => break length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Some(cut(question, &error, at, expected)),
            }
        };
        if length == 0 {
            return Some(match expected {
                Some(expected) if at < expected => {
                    Ended::Cut { words: format!("ended after {at} of {expected} bytes"), silent: false }
                }
                _ => Ended::Whole { is_page },
            });
        }
        is_page |= at == 0 && buffer[..length].trim_ascii_start().starts_with(b"<");
        at += length as u64;
        if at > question.most {
            return Some(Ended::Odd(if is_page { Said::Page } else { Said::TooMuch { most: question.most } }));
        }
        tell(News::Bytes(buffer, length)).then_some(())?;
    }
}

fn cut(question: &Question, error: &std::io::Error, at: u64, expected: Option<u64>) -> Ended {
    let of = expected.map(|expected| format!(" of {expected}")).unwrap_or_default();
    let silent = http::fell_silent(error);
    let words = if silent {
        format!("fell silent for {} s after {at}{of} bytes", question.silence.as_secs())
    } else {
        format!("broke off after {at}{of} bytes ({error})")
    };
    Ended::Cut { words, silent }
}

/// The causes below the outermost sentence, which repeats the URL as it is.
fn causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
