//! Where an artefact can be had, what each place said, and what follows from that.
//! May not ask anybody: it takes answers as values and decides.

use std::fmt;
use std::time::Duration;

use anymetal_contract::{Digest, Reason, place};

use crate::amount::Amount;
use crate::failure::Failure;

/// One place to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The full URL.
    pub url: String,
    /// What a success is said to have come from: the origin, or scheme and host of a full URL.
    pub base: String,
}

/// What a place said instead of giving the artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A whole file, and another one.
    OtherBytes(Digest),
    /// That the file is so long, while the plan pins another length.
    OtherLength {
        /// What it says, in bytes.
        claimed: u64,
        /// What it must be, in bytes.
        pinned: u64,
    },
    /// More bytes than the file may have.
    TooMuch {
        /// That many, in bytes.
        most: u64,
    },
    /// A page for people, with a good status: a portal to log in at, a notice of maintenance.
    Page,
    /// This status.
    Status(u16),
    /// Bytes, and too slowly for the time there was.
    Slow {
        /// Bytes that came.
        came: u64,
        /// In that time.
        within: Duration,
    },
    /// Nothing, or not all; the words say how it ended.
    Broke(String),
}

/// Why an artefact is not in the store.
#[derive(Debug)]
pub enum Missed {
    /// It will not get there.
    Never(Failure),
    /// It may get there when it is tried again.
    NotYet {
        /// The stable word.
        reason: Reason,
        /// What every place said.
        message: String,
        /// Whether none said that it is only for now, so that asking soon would bring the same.
        settled: bool,
    },
}

/// All places to ask for an artefact, in order, each once.
pub fn candidates<'a>(origins: impl Iterator<Item = &'a str>, sha256: &Digest, urls: &[String]) -> Vec<Candidate> {
    let addressed = origins.map(|origin| {
        let origin = origin.trim_end_matches('/');
        Candidate { url: format!("{origin}/{}", place::blob(sha256)), base: shown(origin) }
    });
    let full = urls.iter().map(|url| Candidate { url: url.clone(), base: host_of(&shown(url)).to_owned() });
    let mut all: Vec<Candidate> = Vec::new();
    for candidate in addressed.chain(full) {
        if !all.iter().any(|other| other.url == candidate.url) {
            all.push(candidate);
        }
    }
    all
}

/// What follows when no place gave the artefact: final when every one of them has another file, else worth another try.
pub fn judge(title: &str, digest: &Digest, said: &[(&Candidate, Said)]) -> Missed {
    let each: Vec<_> = said.iter().map(|(asked, said)| format!("{} {said}", shown(&asked.url))).collect();
    let message = format!("no origin gave {title} (sha256 {}…): {}", digest.short(), each.join("; "));
    let wrong = said.iter().filter(|(_, said)| said.is_wrong()).count();
    if said.is_empty() {
        let message = format!("the plan names no origin and no URL for {title}");
        Missed::Never(Failure::new(Reason::ArtefactUnreachable, message))
    } else if wrong == said.len() {
        Missed::Never(Failure::new(Reason::ArtefactMismatch, message))
    } else {
        let reason = if wrong > 0 { Reason::ArtefactMismatch } else { Reason::ArtefactUnreachable };
        let settled = said.iter().all(|(_, said)| said.is_wrong() || said.is_refusal());
        Missed::NotYet { reason, message, settled }
    }
}

/// A URL for people: without user, password, query and fragment, which may be secret.
pub fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or(url);
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// A URL whose scheme and host are in lower case, in whatever case they were written (RFC 3986, section 6.2.2.1).
pub fn lower(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    format!("{}://{}{}", scheme.to_ascii_lowercase(), rest[..end].to_ascii_lowercase(), &rest[end..])
}

fn host_of(shown: &str) -> &str {
    let start = shown.find("://").map_or(0, |at| at + 3);
    shown[start..].find('/').map_or(shown, |slash| &shown[..start + slash])
}

impl Said {
    /// Whether the place answered properly, with a file that is not the artefact.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Self::OtherBytes(_) | Self::OtherLength { .. } | Self::TooMuch { .. })
    }

    /// Whether the place does not have it, or not for us (RFC 9110, section 15.5): any status of a client's mistake but those that ask for patience.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Status(status @ 400..=499) if !matches!(status, 408 | 425 | 429))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherBytes(digest) => write!(f, "gave other bytes (sha256 {}…)", digest.short()),
            Self::OtherLength { claimed, pinned } => write!(f, "offers {claimed} bytes where {pinned} are pinned"),
            Self::TooMuch { most } => write!(f, "sends more than {most} bytes ({})", Amount(*most)),
            Self::Page => f.write_str("gave a web page instead of the file"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Slow { came, within } => {
                let rate = u128::from(*came) * 1000 / within.as_millis().max(1);
                let rate = Amount(u64::try_from(rate).unwrap_or(u64::MAX));
                write!(f, "gave only {rate}/s ({} in {} s)", Amount(*came), within.as_secs())
            }
            Self::Broke(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AB: [u8; 32] = [0xab; 32];

    #[test]
    fn origins_go_first_then_full_urls() {
        let blob = format!("sha256/{}", "ab".repeat(32));
        let own = ["https://releases.example/consul/consul_1.8.7.zip".to_owned()];
        let origins = ["http://10.0.2.2:8000/", "https://mirror.example/am"];
        let all = candidates(origins.into_iter(), &Digest::of(AB), &own);
        let urls: Vec<_> = all.iter().map(|candidate| (candidate.url.as_str(), candidate.base.as_str())).collect();
        assert_eq!(
            urls,
            [
                (format!("http://10.0.2.2:8000/{blob}").as_str(), "http://10.0.2.2:8000"),
                (format!("https://mirror.example/am/{blob}").as_str(), "https://mirror.example/am"),
                ("https://releases.example/consul/consul_1.8.7.zip", "https://releases.example"),
            ]
        );
    }

    #[test]
    fn a_place_named_twice_is_asked_once() {
        assert_eq!(candidates(["http://a/", "http://a"].into_iter(), &Digest::of(AB), &[]).len(), 1);
    }

    #[test]
    fn what_is_shown_of_a_url_holds_no_secret() {
        for (url, text) in [
            ("https://user:word@a.example:8443/x/y?token=t#f", "https://a.example:8443/x/y"),
            ("http://[2001:db8::1]:80/x", "http://[2001:db8::1]:80/x"),
            ("http://a", "http://a"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(shown(url), text);
        }
    }

    #[test]
    fn scheme_and_host_are_alike_in_any_case_and_the_rest_is_not() {
        for (url, text) in [
            ("HTTPS://Mirror.Example:8443/A/B?C=D", "https://mirror.example:8443/A/B?C=D"),
            ("Http://A", "http://a"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(lower(url), text);
        }
    }

    #[test]
    fn every_place_is_named_with_what_it_said() {
        let (a, b) = (
            Candidate { url: "https://a/x".into(), base: "https://a".into() },
            Candidate { url: "https://b/x".into(), base: "https://b".into() },
        );
        let other = Said::OtherBytes(Digest::of([0xde; 32]));
        let digest = Digest::of([0xab; 32]);
        let Missed::Never(failure) =
            judge("consul 1.8.7", &digest, &[(&a, other.clone()), (&b, Said::OtherLength { claimed: 9, pinned: 12 })])
        else {
            panic!("two wrong files are final")
        };
        assert_eq!(failure.reason, Reason::ArtefactMismatch);
        assert_eq!(
            failure.chain(),
            "no origin gave consul 1.8.7 (sha256 abababababab…): https://a/x gave other bytes (sha256 dededededede…); \
             https://b/x offers 9 bytes where 12 are pinned"
        );
        let Missed::NotYet { reason, message, settled } =
            judge("consul 1.8.7", &digest, &[(&a, other), (&b, Said::Status(404))])
        else {
            panic!("a place that may come back is waited for")
        };
        assert_eq!((reason, settled), (Reason::ArtefactMismatch, true));
        assert!(message.ends_with("https://b/x answered 404"), "{message}");
        let silent = Said::Broke("sent nothing".into());
        assert!(matches!(
            judge("consul 1.8.7", &digest, &[(&a, Said::Status(503)), (&b, silent)]),
            Missed::NotYet { reason: Reason::ArtefactUnreachable, .. }
        ));
        assert!(matches!(judge("consul 1.8.7", &digest, &[]), Missed::Never(_)));
    }

    #[test]
    fn what_is_said_for_now_is_told_from_what_will_be_said_again() {
        let place = Candidate { url: "https://a/x".into(), base: "https://a".into() };
        for (said, again) in [
            (Said::Status(404), true),
            (Said::Status(403), true),
            (Said::Status(429), false),
            (Said::Status(500), false),
            (Said::Broke("did not answer".into()), false),
        ] {
            let all = [(&place, said.clone()), (&place, Said::Status(410))];
            let Missed::NotYet { settled, .. } = judge("consul 1.8.7", &Digest::of(AB), &all) else {
                panic!("{said} is not final")
            };
            assert_eq!(settled, again, "{said}");
        }
    }
}
