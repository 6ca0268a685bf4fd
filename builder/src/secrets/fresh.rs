//! New secrets: the text of the author's file, and who may log in where with them.
//! May not write the file, nor find random bytes itself: it is given where they come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use anymetal_contract::plan::Delivery;
use anymetal_contract::secrets::{self, BGP_PASSWORD, KIND, Shape, VERSION, WEBHOOK};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::htpasswd;
use super::secret::Secret;
use super::written::{ACME, HTPASSWD};
use crate::site::Site;
use crate::site::model::Tls;

/// Where random bytes come from.
pub type Random<'r> = &'r mut dyn FnMut(&mut [u8]) -> Result<()>;

/// Letters and digits that nobody takes for one another; 32 of them, five bits each.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Who may push to Bindle.
const USER: &str = "admin";

/// A file with everything the site wants, and nothing else.
pub fn file(site: &Site, wanted: &BTreeSet<String>, random: Random<'_>) -> Result<String> {
    let name = &site.name;
    let mut text = format!(
        "# The secrets of the site {name}, made by `anymetal secrets new`. Not for a repository; mode 0600.\n\
         # A value may be a text, or come from elsewhere when the site is built: {{env: NAME}} or {{file: PATH}}.\n\
         version: 1\n\
         site: {name}\n"
    );
    entries(&mut text, site, wanted, random)?;
    Ok(text)
}

/// The file as it was, and below it what it lacks.
pub fn added(old: &str, site: &Site, lacking: &BTreeSet<String>, random: Random<'_>) -> Result<String> {
    let mut text = old.to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    entries(&mut text, site, lacking, random)?;
    Ok(text)
}

/// A paragraph for each of the names.
fn entries(text: &mut String, site: &Site, names: &BTreeSet<String>, random: Random<'_>) -> Result<()> {
    for secret in names.iter().filter_map(|name| secrets::named(name)) {
        let _infallible = write!(text, "\n# {}\n", secret.what);
        let _infallible = match secret.shape {
            Shape::Htpasswd => write!(
                text,
                "# Nodes get a hash of the password, made with this salt: the same one every time.\n\
                 bindle:\n  user: {USER}\n  password: {}\n  salt: {}\n",
                value(Shape::Password, random)?,
                STANDARD.encode(bytes::<16>(random)?)
            ),
            Shape::Variables => write!(text, "{}", variables(site)),
            Shape::Session => write!(
                text,
                "# Fill it in: nobody but the network has it. Vultr shows it on the server's page, under BGP.\n{}: ''\n",
                secret.name
            ),
            Shape::Url => write!(
                text,
                "# Fill it in: an http or https URL; what may write there stands in it, so it is a secret.\n{}: ''\n",
                secret.name
            ),
            shape => writeln!(text, "{}: {}", secret.name, value(shape, random)?),
        };
    }
    Ok(())
}

/// The variables of a DNS provider, which nobody but its customer has.
fn variables(site: &Site) -> String {
    let provider = match &site.tls {
        Tls::Acme { dns_provider, .. } => dns_provider,
        Tls::None | Tls::Files { .. } => "the DNS provider",
    };
    format!(
        "# Fill in the variables that Traefik's documentation names for {provider}, `VARIABLE: value`, one a line:\n\
         # https://doc.traefik.io/traefik/https/acme/#providers\n\
         acme: {{}}\n"
    )
}

/// Everything the site wants, for a machine that is thrown away: nobody knows these, and nobody needs to.
pub fn made_up(site: &Site, wanted: &BTreeSet<String>, random: Random<'_>) -> Result<secrets::Secrets> {
    let mut values = BTreeMap::new();
    for secret in wanted.iter().filter_map(|name| secrets::named(name)).filter(|secret| secret.name != ACME) {
        let value = match secret.name {
            HTPASSWD => {
                let password = Secret::new(value(Shape::Password, random)?);
                htpasswd::line(USER, &password, bytes(random)?).expose().to_owned()
            }
            _ => value(secret.shape, random)?,
        };
        values.insert(secret.name.to_owned(), value);
    }
    let nobodys = wanted.contains(ACME).then(|| ("MADE_UP".to_owned(), "nobody's".to_owned()));
    let acme = nobodys.into_iter().collect();
    Ok(secrets::Secrets { kind: KIND.to_owned(), version: VERSION, site: site.name.clone(), values, acme })
}

/// A new value of that shape.
fn value(shape: Shape, random: Random<'_>) -> Result<String> {
    Ok(match shape {
        Shape::Bytes32 => STANDARD.encode(bytes::<32>(random)?),
        Shape::Uuid => uuid(bytes(random)?),
        // 120 and 250 bits
        Shape::Password | Shape::Session => letters(&bytes::<24>(random)?),
        Shape::Key => letters(&bytes::<50>(random)?),
        // nobody listens there: it is for a machine that is thrown away
        Shape::Url => "http://127.0.0.1:9/".to_owned(),
        Shape::Htpasswd | Shape::Variables | Shape::MadeOnTheNode => String::new(),
    })
}

fn bytes<const N: usize>(random: Random<'_>) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    random(&mut bytes)?;
    Ok(bytes)
}

/// Five bits of each byte.
fn letters(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect()
}

/// A random UUID (RFC 9562, section 5.4).
fn uuid(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        let dash = if [4, 6, 8, 10].contains(&place) { "-" } else { "" };
        let _infallible = write!(text, "{dash}{byte:02x}");
    }
    text
}

/// Who may log in where, and with which of the secrets; then what is left to do.
pub fn logins(site: &Site, wanted: &BTreeSet<String>) -> Vec<String> {
    let scheme = if site.tls == Tls::None { "http" } else { "https" };
    let (domain, wants) = (&site.domain, |name: &str| wanted.contains(name));
    let line = |wanted: bool, text: String| wanted.then_some(text);
    let delivery = match site.secrets.deliver {
        Delivery::UserData => "nodes get them in the user-data: whoever reads that has them",
        Delivery::Customdata => "nodes get them in the platform's custom data: `anymetal build` writes customdata.json",
        Delivery::Medium => "nodes get them on a volume: `anymetal build` writes anymetal-secrets.json",
    };
    [
        line(
            wants("hippo_password"),
            format!("Hippo: {} logs in at {scheme}://hippo.{domain} with `hippo_password`", site.hippo.administrator),
        ),
        line(wants(HTPASSWD), format!("Bindle: {USER} pushes to {scheme}://bindle.{domain}/v1 with `bindle.password`")),
        line(
            wants("nomad_management"),
            "Nomad: on a node, `nomad_management` may do everything at https://127.0.0.1:4646".to_owned(),
        ),
        line(
            wants("consul_management"),
            "Consul: on a node, `consul_management` may do everything at https://127.0.0.1:8501".to_owned(),
        ),
        line(
            wants(BGP_PASSWORD),
            format!("to do: fill in `{BGP_PASSWORD}`, the password that the network gave its BGP"),
        ),
        line(wants(WEBHOOK), format!("to do: fill in `{WEBHOOK}`, the URL that hears of every event")),
        line(wants(ACME), "to do: fill in `acme`, what the DNS provider wants of its customer".to_owned()),
        line(true, delivery.to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}
