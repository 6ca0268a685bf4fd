//! Certificates that the proofs have seen: until when they are valid, and when that is worth a warning.
//! May not fail a proof: a canary that verifies does that.

use std::collections::BTreeMap;

/// Seconds in a day.
const DAY: i64 = 86_400;
/// So many days before its end an operator should hear of a certificate: renewal, which ACME clients begin a month before, has failed.
const DAYS: i64 = 14;

/// A certificate that has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The name that was asked for.
    pub(crate) name: String,
    /// When it expires, in seconds of Unix time.
    pub(crate) expires: i64,
}

/// What has been said of each name's certificate.
#[derive(Debug, Default)]
pub(super) struct Warnings(BTreeMap<String, Stage>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Soon,
    Expired,
}

impl Warnings {
    /// Takes in a certificate seen at `now`, in seconds of Unix time. Returns what is to be said of it: once when its end comes near, and
    /// once when it has come; again only after it has been renewed.
    pub(super) fn seen(&mut self, certificate: &Certificate, now: i64) -> Option<String> {
        let Certificate { name, expires } = certificate;
        let left = expires - now;
        let stage = if left <= 0 {
            Stage::Expired
        } else if left < DAYS * DAY {
            Stage::Soon
        } else {
            self.0.remove(name);
            return None;
        };
        if self.0.get(name).is_some_and(|said| *said >= stage) {
            return None;
        }
        self.0.insert(name.clone(), stage);
        Some(match (stage, left / DAY) {
            (Stage::Expired, _) => format!("the certificate of {name} has expired"),
            (Stage::Soon, 0) => format!("the certificate of {name} expires within a day"),
            (Stage::Soon, 1) => format!("the certificate of {name} expires in 1 day"),
            (Stage::Soon, days) => format!("the certificate of {name} expires in {days} days"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_is_said_once_until_the_certificate_is_renewed() {
        let mut warnings = Warnings::default();
        let mut said = |name: &str, days: i64| {
            let certificate = Certificate { name: name.into(), expires: 1_800_000_000 + days * DAY };
            warnings.seen(&certificate, 1_800_000_000)
        };
        assert_eq!(said("a.example", 90), None);
        assert_eq!(said("a.example", 14), None);
        assert_eq!(said("a.example", 13).as_deref(), Some("the certificate of a.example expires in 13 days"));
        assert_eq!(said("a.example", 13), None);
        assert_eq!(said("a.example", 1), None);
        assert_eq!(said("a.example", 0).as_deref(), Some("the certificate of a.example has expired"));
        assert_eq!(said("a.example", -3), None);
        assert_eq!(said("b.example", 1).as_deref(), Some("the certificate of b.example expires in 1 day"));
        assert_eq!(said("a.example", 90), None);
        assert_eq!(said("a.example", 7).as_deref(), Some("the certificate of a.example expires in 7 days"));
    }
}
