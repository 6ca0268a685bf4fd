//! The closed list of secrets, and the document they travel in: one JSON object, apart from the plan, for root's eyes alone.
//! May not print a value: [`Secrets`] has no `Debug` that shows one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The `kind` of the document.
pub const KIND: &str = "anymetal.secrets";
/// The `version` of the form described here.
pub const VERSION: u32 = 1;
/// The secret that is the password of every BGP session, when the plan says that it is one.
pub const BGP_PASSWORD: &str = "bgp_password";
/// The secret that is the private key of the site's certificate authority.
pub const CLUSTER_CA: &str = "cluster_ca";
/// The secret that is the URL of the plan's webhook, when it has one: what stands in such a URL is as good as a password.
pub const WEBHOOK: &str = "webhook";
/// The key of the platform's custom data ([`crate::plan::Delivery::Customdata`]) that holds the document.
pub const CUSTOMDATA: &str = "anymetal";

/// The document. Its values by name; a name with no place in [`NAMES`] is an error.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The site they belong to; a plan of another site does not take them.
    pub site: String,
    /// By name, each in the shape [`NAMES`] gives it.
    pub values: BTreeMap<String, String>,
    /// Variables for the DNS provider of an ACME challenge, as Traefik's documentation names them. The secret `acme` of templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub acme: BTreeMap<String, String>,
}

/// One secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// As plans and templates write it.
    pub name: &'static str,
    /// What it must look like.
    pub shape: Shape,
    /// What it is for.
    pub what: &'static str,
}

/// What a secret must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// 32 bytes in standard base64: a gossip key of Consul or Nomad, or the seed of an Ed25519 key (RFC 8032).
    Bytes32,
    /// A UUID in lower case with dashes: a token of Consul or Nomad.
    Uuid,
    /// 8 to 200 printable ASCII characters without spaces, quotes, backslashes and `$`: it passes through shells, URLs and configurations.
    Password,
    /// 1 to 80 printable ASCII characters without double quotes, chosen by somebody else: what a TCP MD5 signature (RFC 2385) and a string of
    /// BIRD's both take.
    Session,
    /// At least 32 characters of a [`Shape::Password`]: a signing key.
    Key,
    /// `user:$2y$…`, a line of an htpasswd file with bcrypt; Bindle takes no other prefix than `$2y$`.
    Htpasswd,
    /// An http or https URL of at most 2000 printable ASCII characters, without spaces, quotes and backslashes.
    Url,
    /// A map of variables.
    Variables,
    /// Made on the node by a program that gives nobody a choice.
    MadeOnTheNode,
}

impl Name {
    /// Whether somebody has to bring it.
    pub fn from_outside(&self) -> bool {
        self.shape != Shape::MadeOnTheNode
    }
}

const fn name(name: &'static str, shape: Shape, what: &'static str) -> Name {
    Name { name, shape, what }
}

/// All secrets.
pub const NAMES: &[Name] = &[
    name("acme", Shape::Variables, "what the DNS provider of an ACME challenge wants"),
    name(BGP_PASSWORD, Shape::Session, "BGP: the password of the sessions, as the network gave it"),
    name("bindle_htpasswd", Shape::Htpasswd, "who may push to Bindle"),
    name(
        CLUSTER_CA,
        Shape::Bytes32,
        "the site's CA: signs the certificates by which Consul and Nomad know one another",
    ),
    name("consul_agent", Shape::Uuid, "Consul: the agent's own token"),
    name("consul_gossip", Shape::Bytes32, "Consul: encrypts what its agents tell each other"),
    name("consul_guard", Shape::Uuid, "Consul: the guard's token, to look at this node"),
    name("consul_management", Shape::Uuid, "Consul: may do everything"),
    name("consul_nomad", Shape::Uuid, "Consul: Nomad's token, to register services"),
    name("consul_traefik", Shape::Uuid, "Consul: Traefik's token, to read the catalogue"),
    name("hippo_jwt", Shape::Key, "Hippo: signs the tokens of those who are logged in"),
    name("hippo_password", Shape::Password, "Hippo: the administrator's password"),
    name("nomad_gossip", Shape::Bytes32, "Nomad: encrypts what its servers tell each other"),
    name("nomad_guard", Shape::MadeOnTheNode, "Nomad: the guard's token, to look at this node"),
    name("nomad_hippo", Shape::MadeOnTheNode, "Nomad: Hippo's token, to run applications"),
    name("nomad_management", Shape::Uuid, "Nomad: may do everything"),
    name(WEBHOOK, Shape::Url, "the URL of the webhook that hears of every event"),
];

/// The secret of that name, when it is one of ours.
pub fn named(name: &str) -> Option<&'static Name> {
    NAMES.iter().find(|secret| secret.name == name)
}

impl Shape {
    /// Whether this text has the shape; if not, what it should be. The text is not repeated.
    pub fn judge(self, text: &str) -> Result<(), &'static str> {
        let plain = |text: &str| text.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && !b"\"'`\\$".contains(&byte));
        let good = match self {
            Self::Bytes32 => is_base64_of_32_bytes(text),
            Self::Uuid => is_uuid(text),
            Self::Password => (8..=200).contains(&text.len()) && plain(text),
            Self::Session => {
                (1..=80).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"')
            }
            Self::Key => (32..=200).contains(&text.len()) && plain(text),
            Self::Htpasswd => is_htpasswd(text),
            Self::Url => is_url(text),
            Self::Variables | Self::MadeOnTheNode => false,
        };
        if good { Ok(()) } else { Err(self.words()) }
    }

    /// What it must look like, as a sentence's end.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Bytes32 => "32 bytes in base64, 44 characters",
            Self::Uuid => "a UUID in lower case, 36 characters",
            Self::Password => "8 to 200 printable characters, without spaces, quotes, backslashes and dollar signs",
            Self::Session => "1 to 80 printable characters without double quotes",
            Self::Key => "32 to 200 printable characters, without spaces, quotes, backslashes and dollar signs",
            Self::Htpasswd => "`user:$2y$…`, a line as `htpasswd -B` writes it",
            Self::Url => "an http or https URL, without spaces, quotes and backslashes",
            Self::Variables => "a map of variables",
            Self::MadeOnTheNode => "made on the node, and brought by nobody",
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

/// 43 digits and one `=`; the last digit has only its four upper bits (RFC 4648 section 4).
fn is_base64_of_32_bytes(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    let last = b"AEIMQUYcgkosw048";
    text.len() == 44
        && text.ends_with('=')
        && text.bytes().take(43).all(digit)
        && text.as_bytes().get(42).is_some_and(|byte| last.contains(byte))
}

/// One line: a user, a colon, `$2y$`, a cost of two digits, `$` and 53 digits of bcrypt's own base64.
fn is_htpasswd(text: &str) -> bool {
    let Some((user, hash)) = text.split_once(':') else { return false };
    let user_is_plain =
        !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let Some(rest) = hash.strip_prefix("$2y$") else { return false };
    let Some((cost, digits)) = rest.split_once('$') else { return false };
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'/';
    user_is_plain
        && cost.len() == 2
        && cost.bytes().all(|byte| byte.is_ascii_digit())
        && digits.len() == 53
        && digits.bytes().all(digit)
}

fn is_url(text: &str) -> bool {
    let is_ours = |scheme: &str| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let rest = text.split_once("://").filter(|(scheme, _)| is_ours(scheme)).map(|(_, rest)| rest).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    !host.trim_start_matches(':').is_empty()
        && text.len() <= 2000
        && text.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && !b"\"'`\\<>".contains(&byte))
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.values.keys().chain(self.acme.keys()).collect();
        f.debug_struct("Secrets").field("site", &self.site).field("names", &names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_distinct() {
        assert!(NAMES.is_sorted_by(|one, other| one.name < other.name));
    }

    #[test]
    fn a_shape_takes_what_it_should_and_nothing_else() {
        let uuid = "0123abcd-0123-4567-89ab-0123456789ab";
        let hash = format!("admin:$2y$10${}", "a".repeat(53));
        let base64 = format!("{}E=", "a".repeat(42));
        for (shape, text, good) in [
            (Shape::Uuid, uuid, true),
            (Shape::Uuid, &uuid.to_uppercase(), false),
            (Shape::Uuid, &uuid.replace('-', "0"), false),
            (Shape::Bytes32, base64.as_str(), true),
            (Shape::Bytes32, &base64.replace("E=", "B="), false),
            (Shape::Bytes32, &base64[1..], false),
            (Shape::Password, "correct-horse", true),
            (Shape::Password, "short", false),
            (Shape::Password, "with space in", false),
            (Shape::Password, "dollar$dollar", false),
            (Shape::Session, "k", true),
            (Shape::Session, "it's $5 #\\", true),
            (Shape::Session, &"k".repeat(80), true),
            (Shape::Session, &"k".repeat(81), false),
            (Shape::Session, "", false),
            (Shape::Session, "a\"b", false),
            (Shape::Session, "a\tb", false),
            (Shape::Session, "ä", false),
            (Shape::Key, "correct-horse", false),
            (Shape::Key, &"k".repeat(32), true),
            (Shape::Htpasswd, &hash, true),
            (Shape::Htpasswd, &hash.replace("$2y$", "$2b$"), false),
            (Shape::Htpasswd, &format!("{hash}\n"), false),
            (Shape::MadeOnTheNode, uuid, false),
            (Shape::Url, "https://hook.example/T0K3N?key=abc", true),
            (Shape::Url, "http://user:pw@[fd00::1]:80/x", true),
            (Shape::Url, "HTTPS://Hook.Example/x", true),
            (Shape::Url, "ftp://hook.example/x", false),
            (Shape::Url, "https://", false),
            (Shape::Url, "https:///x", false),
            (Shape::Url, "https://user@/x", false),
            (Shape::Url, "ftp://hook.example", false),
            (Shape::Url, "https://hook.example/a b", false),
            (Shape::Url, "https://hook.example/\\", false),
        ] {
            assert_eq!(shape.judge(text).is_ok(), good, "{shape:?} {text}");
        }
    }

    #[test]
    fn the_document_never_shows_a_value() {
        let secrets = Secrets {
            kind: KIND.into(),
            version: VERSION,
            site: "demo".into(),
            values: BTreeMap::from([("hippo_password".into(), "hunter2hunter2".into())]),
            acme: BTreeMap::from([("TOKEN".into(), "hunter3".into())]),
        };
        let shown = format!("{secrets:?}");
        assert!(shown.contains("hippo_password") && shown.contains("TOKEN") && !shown.contains("hunter"), "{shown}");
    }
}
