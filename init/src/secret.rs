//! A secret that prints dots.
//! May not be serialised as it is: the one way out is [`Secret::expose`], and whoever calls it says why.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use serde::{Serialize, Serializer};

/// What is printed in place of a secret, however long the secret is.
pub(crate) const DOTS: &str = "........";

/// A text nobody may see by accident: neither in `Debug`, `Display`, JSON nor an error.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one file or connection it is meant for.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` with every occurrence of this secret replaced by dots: for the words of a program or library that may have quoted it.
    pub(crate) fn hidden_in(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, DOTS) }
    }
}

/// Every secret this process knows, so that none is in what it says: whoever learns one adds it here.
#[derive(Debug, Default)]
pub(crate) struct Hidden(RwLock<Vec<Secret>>);

impl Hidden {
    /// From now on these are dots in whatever goes through [`Self::hide`].
    pub(crate) fn add<'a>(&self, secrets: impl IntoIterator<Item = &'a Secret>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets {
            if !secret.0.is_empty() && !known.contains(secret) {
                known.push(secret.clone());
            }
        }
        // One secret may be part of another: the longer goes first, or its rest would be left.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
    }

    /// `text` with every secret known by now replaced by dots.
    pub(crate) fn hide(&self, text: &str) -> String {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().fold(text.to_owned(), |text, secret| secret.hidden_in(&text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DOTS)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(DOTS)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(DOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_dots_in_every_form() {
        let secret = Secret::new("hunter2");
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert_eq!(shown, r#"........ ........ "........""#);
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn somebody_elses_words_lose_the_secret() {
        assert_eq!(
            Secret::new("hunter2").hidden_in("expected number, got `hunter2`"),
            "expected number, got `........`"
        );
        assert_eq!(Secret::new("").hidden_in("nothing to hide"), "nothing to hide");
    }

    #[test]
    fn all_known_secrets_are_hidden_and_of_two_that_begin_alike_the_longer_one_whole() {
        let hidden = Hidden::default();
        hidden.add(&[Secret::new("hunter"), Secret::new(""), Secret::new("hunter2"), Secret::new("hunter")]);
        assert_eq!(hidden.hide("hunter hunter2 hunt"), "........ ........ hunt");
    }
}
