//! One outward report: sends what it has not sent yet, in order, until it is taken.
//! May not stop the boot, nor show its URL: there may be a token in it.

use std::path::Path;

use anymetal_contract::Event;
use anymetal_contract::plan::Report;
use anymetal_contract::secrets::WEBHOOK;
use serde::{Deserialize, Serialize};

use super::outbox::backlog;
use super::platform::Told;
use super::{Journal, words};
use crate::retry::Backoff;
use crate::sys::fs;
use crate::wake::digest;
use crate::world::World;
use anymetal_supply::http::{Certificates, Http, Limits, Outside};

/// How often an event that is refused is sent before it is skipped: Equinix answers 400 for passing trouble too.
const REFUSALS: u32 = 3;

/// Where to and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sink {
    name: String,
    label: String,
    url: String,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The event as it is.
    Whole,
    /// As the platform's state endpoint takes it.
    Platform,
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Judged {
    Taken,
    /// Trying again will most likely not help.
    Refused(String),
    /// Trying again may help.
    Trouble(String),
}

/// Who hears of events, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum To {
    Platform(String),
    Webhook(String),
}

/// Who can be reached with what is known by now.
pub(crate) fn known(world: &World) -> Vec<To> {
    let asked = world.overrides.report.iter().map(|url| To::Webhook(url.clone()));
    let planned = world.plan.get().into_iter().flat_map(|planned| &planned.plan.reports);
    let planned = planned.filter_map(|report| match report {
        Report::Webhook => world.secrets().value(WEBHOOK).map(|url| To::Webhook(url.expose().to_owned())),
        Report::Platform => world.machine.get()?.user_state_url.clone().map(To::Platform),
    });
    asked.chain(planned).collect()
}

impl From<&To> for Sink {
    fn from(to: &To) -> Self {
        match to {
            To::Platform(url) => Self::platform(url),
            To::Webhook(url) => Self::webhook(url),
        }
    }
}

impl Sink {
    fn webhook(url: &str) -> Self {
        // The name of its cursor. Part of a digest: a URL makes no file name, and holds what is nobody's business.
        let name = format!("webhook-{}", digest(url.as_bytes()).short());
        Self { name, label: format!("webhook {}", host(url)), url: url.to_owned(), form: Form::Whole }
    }

    fn platform(url: &str) -> Self {
        Self {
            name: "platform".to_owned(),
            label: format!("platform {}", host(url)),
            url: url.to_owned(),
            form: Form::Platform,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// Sends everything above `cursor`, until the journal is closed.
    pub(super) fn deliver(&self, journal: &Journal, mut cursor: u64, outside: &Outside, backoff: Backoff) {
        // The platform is near.
        let direct = || outside.clone().without_proxies();
        let outside = if self.form == Form::Platform { &direct() } else { outside };
        let http = Http::outward(Limits::QUESTION, Certificates::Checked, outside);
        let mut told = Told::default();
        let mut earlier = backlog(&journal.events, cursor, journal.first());
        while let Some(event) = earlier.next().or_else(|| journal.after(cursor)) {
            // It was so long in coming that what is next is in memory no more.
            let event = if event.seq > cursor + 1 {
                earlier = backlog(&journal.events, cursor, event.seq);
                earlier.next().unwrap_or(event)
            } else {
                event
            };
            let body = match self.form {
                Form::Whole => serde_json::to_string(&event).ok(),
                Form::Platform => told.body(&event),
            };
            if let Some(body) = body
                && !self.send(journal, &http, &event, &body, backoff)
            {
                return;
            }
            cursor = event.seq;
            journal.accepted(&self.name, cursor);
        }
    }

    /// Sends one event until it is taken or refused for good. Says whether the journal is still open.
    fn send(&self, journal: &Journal, http: &Http, event: &Event, body: &str, backoff: Backoff) -> bool {
        let (mut refusals, mut troubles) = (0, 0);
        loop {
            let judged = match http.post_json(&self.url, body) {
                Ok(answered) => judge(answered.status, &String::from_utf8_lossy(&answered.body)),
                // Without the outermost words, which hold the URL.
                Err(error) => Judged::Trouble(error.root_cause().to_string().replace(&self.url, host(&self.url))),
            };
            match judged {
                Judged::Taken if troubles > 0 => journal.aside(&format!("{} takes events again", self.label)),
                Judged::Taken => {}
                Judged::Refused(why) => {
                    refusals += 1;
                    if refusals < REFUSALS {
                        if journal.rest(backoff.delay(refusals, fastrand::f64())) {
                            continue;
                        }
                        return false;
                    }
                    journal.aside(&format!("{} refuses event {}: {why}; it is skipped", self.label, event.seq));
                }
                Judged::Trouble(why) => {
                    if troubles == 0 {
                        journal.aside(&format!(
                            "{} does not take events: {why}; they are kept, the boot goes on",
                            self.label
                        ));
                    }
                    troubles += 1;
                    if journal.rest(backoff.delay(troubles, fastrand::f64())) {
                        continue;
                    }
                    return false;
                }
            }
            return true;
        }
    }
}

/// How far a sink was; nothing when its cursor cannot be read.
pub(super) fn read_cursor(path: &Path) -> Option<u64> {
    fs::read_text(path).ok()?.trim().parse().ok()
}

fn judge(status: u16, body: &str) -> Judged {
    let answer = || format!("it answers {status} {}", words::one_line(body, 100)).trim_end().to_owned();
    match status {
        200..=299 => Judged::Taken,
        408 | 429 => Judged::Trouble(answer()),
        300..=499 => Judged::Refused(answer()),
        _ => Judged::Trouble(answer()),
    }
}

/// The host and port of a URL, for lines people read.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_refused_or_trouble_by_its_status() {
        assert_eq!(judge(204, ""), Judged::Taken);
        for refused in [301, 400, 401, 404, 410] {
            assert!(matches!(judge(refused, ""), Judged::Refused(_)), "{refused}");
        }
        for trouble in [408, 429, 500, 502, 503, 100] {
            assert!(matches!(judge(trouble, ""), Judged::Trouble(_)), "{trouble}");
        }
        assert_eq!(judge(400, "bad\nbody"), Judged::Refused("it answers 400 bad | body".into()));
    }

    #[test]
    fn a_label_has_the_host_and_no_secret_and_a_name_is_a_file_name() {
        for (url, label) in [
            ("https://user:pw@hook.example:8443/T0K3N?x=1", "webhook hook.example:8443"),
            ("http://[fd00::1]:80/x", "webhook [fd00::1]:80"),
            ("hook.example", "webhook hook.example"),
        ] {
            let sink = Sink::webhook(url);
            assert_eq!(sink.label(), label);
            assert!(sink.name().len() == 20 && !sink.name().contains('/'), "{}", sink.name());
        }
    }
}
