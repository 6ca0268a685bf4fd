//! The static configuration, out of environment variables named as Traefik names them.
//! May not read the environment: it is given.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the double heeds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub entries: Vec<Entry>,
    /// The entry point of `/ping`, when there is one.
    pub ping: Option<String>,
    pub catalogue: Option<Catalogue>,
}

/// An entry point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub address: String,
    pub tls: bool,
    /// Where plain requests are sent instead.
    pub redirect: Option<String>,
}

/// Consul's catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    pub prefix: String,
    pub exposed: bool,
    pub url: String,
    /// The CA of who answers there, a file.
    pub ca: Option<PathBuf>,
    pub token: Option<String>,
}

/// The fields there are in the parts the double heeds; `*` is a name, `**` anything, `?` a truth value.
const FIELDS: &[&str] = &[
    "entrypoints.*.address",
    "entrypoints.*.asdefault ?",
    "entrypoints.*.forwardedheaders.**",
    "entrypoints.*.http ?",
    "entrypoints.*.http.**",
    "entrypoints.*.http2.**",
    "entrypoints.*.http3.**",
    "entrypoints.*.proxyprotocol.**",
    "entrypoints.*.reuseport ?",
    "entrypoints.*.transport.**",
    "entrypoints.*.udp.**",
    "ping ?",
    "ping.entrypoint",
    "ping.manualrouting ?",
    "ping.terminatingstatuscode",
    "log ?",
    "log.filepath",
    "log.format",
    "log.level",
    "global.checknewversion ?",
    "global.sendanonymoususage ?",
    "api ?",
    "api.dashboard ?",
    "api.debug ?",
    "api.disabledashboardad ?",
    "api.insecure ?",
    "accesslog ?",
    "accesslog.**",
    "core.**",
    "metrics.**",
    "tracing.**",
    "serverstransport.**",
    "experimental.**",
    "certificatesresolvers.*.acme.**",
    "certificatesresolvers.*.tailscale ?",
    "providers.providersthrottleduration",
    "providers.consulcatalog ?",
    "providers.consulcatalog.cache ?",
    "providers.consulcatalog.connectaware ?",
    "providers.consulcatalog.connectbydefault ?",
    "providers.consulcatalog.constraints",
    "providers.consulcatalog.defaultrule",
    "providers.consulcatalog.endpoint.address",
    "providers.consulcatalog.endpoint.datacenter",
    "providers.consulcatalog.endpoint.endpointwaittime",
    "providers.consulcatalog.endpoint.httpauth.**",
    "providers.consulcatalog.endpoint.scheme",
    "providers.consulcatalog.endpoint.tls.**",
    "providers.consulcatalog.endpoint.token",
    "providers.consulcatalog.exposedbydefault ?",
    "providers.consulcatalog.namespaces",
    "providers.consulcatalog.prefix",
    "providers.consulcatalog.refreshinterval",
    "providers.consulcatalog.requireconsistent ?",
    "providers.consulcatalog.servicename",
    "providers.consulcatalog.stale ?",
    "providers.consulcatalog.strictchecks",
    "providers.consulcatalog.watch ?",
    "providers.file ?",
    "providers.file.debugloggeneratedtemplate ?",
    "providers.file.directory",
    "providers.file.filename",
    "providers.file.watch ?",
];

/// Reads `TRAEFIK_…`. What begins with no part's name is passed over, as Traefik does; an unknown field of a known part is an error.
pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Settings, String> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in variables {
        let Some(path) = name.strip_prefix("TRAEFIK_") else { continue };
        let path = path.to_lowercase().replace('_', ".");
        let part = path.split('.').next().unwrap_or_default();
        if !FIELDS.iter().any(|field| field.split(['.', ' ']).next() == Some(part)) {
            continue;
        }
        known(&path, &value)?;
        values.insert(path, value);
    }
    Ok(settings(&values))
}

fn known(path: &str, value: &str) -> Result<(), String> {
    let parts: Vec<&str> = path.split('.').collect();
    let mut deepest = 0;
    for field in FIELDS {
        let (pattern, truth) = field.strip_suffix(" ?").map_or((*field, false), |pattern| (pattern, true));
        let pattern: Vec<&str> = pattern.split('.').collect();
        let fit = fits(&pattern, &parts);
        if fit == parts.len() && (pattern.len() == parts.len() || pattern.last() == Some(&"**")) {
            if truth && !["true", "false", "1", "0", "t", "f"].contains(&value.to_lowercase().as_str()) {
                return Err(format!("strconv.ParseBool: parsing {value:?}: invalid syntax "));
            }
            return Ok(());
        }
        deepest = deepest.max(fit);
    }
    let strange = parts.get(deepest.min(parts.len() - 1)).copied().unwrap_or_default();
    Err(format!("field not found, node: {strange} "))
}

/// How many parts of a path fit a pattern.
fn fits(pattern: &[&str], parts: &[&str]) -> usize {
    for (at, part) in parts.iter().enumerate() {
        match pattern.get(at) {
            Some(&"**") => return parts.len(),
            Some(&"*") => {}
            Some(wanted) if wanted == part => {}
            _ => return at,
        }
    }
    parts.len()
}

fn settings(values: &BTreeMap<String, String>) -> Settings {
    let value = |path: &str| values.get(path).cloned();
    let on = |path: &str| value(path).is_some_and(|value| ["true", "1", "t"].contains(&value.to_lowercase().as_str()));
    let below = |front: &str| values.keys().any(|path| path.starts_with(front));
    let mut names: Vec<&str> =
        values.keys().filter_map(|path| path.strip_prefix("entrypoints.")?.split('.').next()).collect();
    names.dedup();
    let mut entries: Vec<Entry> = names
        .into_iter()
        .map(|name| Entry {
            name: name.to_owned(),
            address: value(&format!("entrypoints.{name}.address")).unwrap_or_default(),
            tls: on(&format!("entrypoints.{name}.http.tls")) || below(&format!("entrypoints.{name}.http.tls.")),
            redirect: value(&format!("entrypoints.{name}.http.redirections.entrypoint.to")),
        })
        .collect();
    if entries.is_empty() {
        entries.push(Entry { name: "http".into(), address: ":80".into(), ..Entry::default() });
    }
    let ping = (on("ping") || below("ping."))
        .then(|| value("ping.entrypoint").map_or_else(|| "traefik".to_owned(), |name| name.to_lowercase()));
    let internal = ping.as_deref() == Some("traefik") || on("api.insecure");
    if internal && !entries.iter().any(|entry| entry.name == "traefik") {
        entries.push(Entry { name: "traefik".into(), address: ":8080".into(), ..Entry::default() });
    }
    let catalogue = (on("providers.consulcatalog") || below("providers.consulcatalog.")).then(|| {
        let of = |name: &str| value(&format!("providers.consulcatalog.{name}"));
        let address = of("endpoint.address").unwrap_or_else(|| "127.0.0.1:8500".into());
        let scheme = of("endpoint.scheme").unwrap_or_else(|| "http".into());
        Catalogue {
            prefix: of("prefix").unwrap_or_else(|| "traefik".into()),
            exposed: of("exposedbydefault").is_none_or(|value| value.eq_ignore_ascii_case("true")),
            url: if address.contains("://") { address } else { format!("{scheme}://{address}") },
            ca: of("endpoint.tls.ca").map(PathBuf::from),
            token: of("endpoint.token").filter(|token| !token.is_empty()),
        }
    });
    Settings { entries, ping, catalogue }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Settings, String> {
        read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn variables_are_read_as_traefik_names_them() {
        let settings = of(&[
            ("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":80"),
            ("TRAEFIK_ENTRYPOINTS_WEBSECURE_ADDRESS", ":443"),
            ("TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_TLS", "true"),
            ("TRAEFIK_PING", "true"),
            ("TRAEFIK_PING_ENTRYPOINT", "ping"),
            ("TRAEFIK_ENTRYPOINTS_PING_ADDRESS", "127.0.0.1:8082"),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_PREFIX", "traefik"),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_EXPOSEDBYDEFAULT", "false"),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_ENDPOINT_ADDRESS", "127.0.0.1:8501"),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_ENDPOINT_SCHEME", "https"),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_ENDPOINT_TLS_CA", "/ca.pem"),
            ("TRAEFIK_PROVIDERS_CONSULCATALOG_ENDPOINT_TOKEN", "t"),
            ("HOME", "/root"),
        ])
        .unwrap();
        assert_eq!(settings.ping.as_deref(), Some("ping"));
        let entries: Vec<(&str, &str, bool)> =
            settings.entries.iter().map(|e| (e.name.as_str(), e.address.as_str(), e.tls)).collect();
        assert_eq!(entries, [("ping", "127.0.0.1:8082", false), ("web", ":80", false), ("websecure", ":443", true)]);
        let catalogue = settings.catalogue.unwrap();
        assert_eq!((catalogue.url.as_str(), catalogue.exposed), ("https://127.0.0.1:8501", false));
        assert_eq!(catalogue.ca, Some("/ca.pem".into()));
        assert_eq!(catalogue.token.as_deref(), Some("t"));
    }

    #[test]
    fn an_unknown_field_is_an_error_and_an_unknown_part_is_passed_over() {
        assert!(of(&[("TRAEFIK_NOPE", "1")]).is_ok());
        assert_eq!(of(&[("TRAEFIK_PING_NOPE", "1")]).unwrap_err(), "field not found, node: nope ");
        let strange = of(&[("TRAEFIK_PROVIDERS_CONSULCATALOG_EXPOSEDBYDEFAULT", "maybe")]).unwrap_err();
        assert_eq!(strange, "strconv.ParseBool: parsing \"maybe\": invalid syntax ");
    }

    #[test]
    fn ping_has_an_entry_point_of_its_own_unless_told_otherwise() {
        let settings = of(&[("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":80"), ("TRAEFIK_PING", "true")]).unwrap();
        assert_eq!(settings.entries.last().unwrap().address, ":8080");
        assert_eq!(of(&[]).unwrap().entries[0].address, ":80");
    }
}
