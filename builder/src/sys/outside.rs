//! How this desk reaches the world outside: by the environment's proxies, with the system's authorities and those of a site.
//! May not judge what comes.

use std::collections::BTreeSet;
use std::env;
use std::sync::{Mutex, PoisonError};

use anymetal_supply::http::{Answered, Certificates, Http, Limits, Outside, Stream};
use anymetal_supply::origin::shown;
use anymetal_supply::proxy::Proxies;
use anymetal_supply::tls::{Authority, Refused};

/// The variables that name authorities, as openssl reads them.
const STORES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// What a sentence for the operator is told by.
pub type Tell = fn(&str);

/// The way outside from here, where these authorities, in PEM, are believed too. What of the environment cannot be used is told.
pub fn outside(ca: &[String], tell: Tell) -> Outside {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let named: Vec<_> = STORES.into_iter().filter(|name| set(name)).collect();
    let store = rustls_native_certs::load_native_certs();
    if !named.is_empty() {
        let named = named.join(" and ");
        store.errors.iter().for_each(|error| tell(&format!("reading what {named} of the environment says: {error}")));
        if store.certs.is_empty() {
            tell(&format!("{named} of the environment brings no certificate"));
        }
    }
    let system = store.certs.iter().map(|certificate| Authority::from_der(certificate));
    let own = ca.iter().filter_map(|text| Authority::all_from_pem(text.as_bytes()).ok()).flatten();
    let proxies = Proxies::of(|name| env::var_os(name)?.into_string().ok());
    Outside::new(proxies, system.chain(own).collect())
}

/// Who vouches for the bytes that come, when it is not the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// A signature or a digest, in these words: `its signature vouches for it`.
    Otherwise(&'static str),
    /// Nobody.
    Not,
}

/// A client that goes on without a certificate where something else vouches for the bytes, and says so once for each server.
pub struct Asker {
    checked: Http,
    ignoring: Http,
    tell: Tell,
    told: Mutex<BTreeSet<String>>,
}

impl Asker {
    /// One with these limits, on this way.
    pub fn new(limits: Limits, outside: &Outside, tell: Tell) -> Self {
        let one = |certificates| Http::outward(limits, certificates, outside);
        let (checked, ignoring) = (one(Certificates::Checked), one(Certificates::Ignored));
        Self { checked, ignoring, tell, told: Mutex::default() }
    }

    /// Asks for a document of at most `most` bytes.
    pub fn get(&self, url: &str, most: u64, vouched: Vouched) -> anyhow::Result<Answered> {
        self.ask(url, vouched, |http| http.get(url, most))
    }

    /// Opens a file.
    pub fn open(&self, url: &str, vouched: Vouched) -> anyhow::Result<Stream> {
        self.ask(url, vouched, |http| http.open(url, 0))
    }

    fn ask<T>(&self, url: &str, vouched: Vouched, ask: impl Fn(&Http) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let error = match ask(&self.checked) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(refused) = Refused::of(&error) else { return Err(error) };
        let Vouched::Otherwise(by) = vouched else {
            let hint = hint(refused);
            return Err(anyhow::anyhow!("{error:#}\nhint: {hint}"));
        };
        let server = server(url);
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone()) {
            (self.tell)(&format!("{server}: {refused}; going on without it, since {by}"));
        }
        ask(&self.ignoring)
    }
}

/// Scheme and host of a URL.
fn server(url: &str) -> String {
    let shown = shown(url);
    let host = shown.find("://").map_or(0, |at| at + 3);
    let end = shown[host..].find('/').map_or(shown.len(), |slash| host + slash);
    shown[..end].to_owned()
}

/// What to do about a certificate that is not believed.
fn hint(refused: &Refused) -> &'static str {
    if refused.is_of_a_stranger() {
        "name its authority's certificate, in SSL_CERT_FILE or under `ca` of the site; or carry the files in, with `--from DIR`"
    } else if refused.is_of_another_time() {
        "look at the clock of this machine; if that is right, the server needs a new certificate, and until then `--from DIR` takes files that you carry in"
    } else {
        "use the name that its certificate is for; or carry the files in, with `--from DIR`"
    }
}
