//! Hippo's settings: `appsettings.json`, and over it environment variables with `__` between their parts.
//! May not read the environment: it is given.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

/// What the double heeds.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where it listens: `http://ip:port`.
    pub urls: Vec<String>,
    /// Where accounts are kept; nowhere when the driver is `inmemory`.
    pub database: Option<PathBuf>,
    pub bindle: Bindle,
    pub nomad: Nomad,
    pub spin: String,
    pub domain: String,
    /// `Open`, `Closed`, `AdministratorOnly`.
    pub registration: String,
    /// Names and passwords.
    pub administrators: Vec<(String, String)>,
    pub jwt_key: String,
    pub jwt_issuer: String,
    pub jwt_audience: String,
}

/// How Bindle is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bindle {
    pub url: String,
    /// As it is sent, which is not as Bindle wants it.
    pub authorization: Option<String>,
}

/// How Nomad is reached, and what jobs are like.
#[derive(Debug, Clone, Default)]
pub struct Nomad {
    pub url: String,
    /// Whom Hippo's runtime trusts (`SSL_CERT_FILE`, as .NET on Linux heeds it).
    pub ca: Option<PathBuf>,
    pub secret: String,
    pub datacenters: Vec<String>,
    pub driver: String,
    pub provider: String,
    pub entrypoint: String,
    pub resolver: String,
}

impl Settings {
    /// Reads the file's text and the variables.
    pub fn read(file: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let file: Value = serde_json::from_str(file).map_err(|error| {
            format!(
                "System.IO.InvalidDataException: Failed to load configuration from file 'appsettings.json': {error}"
            )
        })?;
        let mut values = BTreeMap::new();
        flatten(&mut values, "", &file);
        for (name, value) in variables {
            values.insert(name.replace("__", ":").to_lowercase(), value);
        }
        let value =
            |key: &str, default: &str| values.get(&key.to_lowercase()).cloned().unwrap_or_else(|| default.to_owned());
        let list = |key: &str, below: &str| -> Vec<String> {
            (0..).map_while(|at| values.get(&format!("{key}:{at}{below}").to_lowercase()).cloned()).collect()
        };
        let mut urls: Vec<String> = values
            .iter()
            .filter(|(key, _)| key.starts_with("kestrel:endpoints:") && key.ends_with(":url"))
            .map(|(_, url)| url.clone())
            .collect();
        if urls.is_empty() {
            urls = value("ASPNETCORE_URLS", "http://localhost:5000").split(';').map(str::to_owned).collect();
        }
        let jwt_key = value("Jwt:Key", "");
        if jwt_key.is_empty() {
            return Err(
                "System.ArgumentException: IDX10703: Cannot create a 'SymmetricSecurityKey', key length is zero."
                    .into(),
            );
        }
        let names = list("Hippo:Administrators", ":Username");
        let passwords = list("Hippo:Administrators", ":Password");
        Ok(Self {
            urls,
            database: database(&value("Database:Driver", "inmemory"), &value("ConnectionStrings:Database", ""))?,
            bindle: bindle(&value("ConnectionStrings:Bindle", "Address=http://127.0.0.1:8080/v1"))?,
            nomad: Nomad {
                url: value("Nomad:Url", "http://localhost:4646/v1"),
                ca: values.get("ssl_cert_file").map(PathBuf::from),
                secret: value("Nomad:Secret", ""),
                datacenters: list("Nomad:Datacenters", ""),
                driver: value("Nomad:Driver", "exec"),
                provider: value("Nomad:ServiceProvider", "consul"),
                entrypoint: value("Nomad:Traefik:Entrypoint", ""),
                resolver: value("Nomad:Traefik:CertResolver", ""),
            },
            spin: value("Spin:BinaryPath", "spin"),
            domain: value("Hippo:PlatformDomain", "hippofactory.io"),
            registration: registration(&value("Hippo:RegistrationMode", "Open"))?,
            administrators: names.into_iter().zip(passwords).collect(),
            jwt_key,
            jwt_issuer: value("Jwt:Issuer", ""),
            jwt_audience: value("Jwt:Audience", ""),
        })
    }
}

fn flatten(values: &mut BTreeMap<String, String>, path: &str, value: &Value) {
    let below = |key: &str| if path.is_empty() { key.to_lowercase() } else { format!("{path}:{}", key.to_lowercase()) };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(values, &below(key), value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, value)| flatten(values, &below(&at.to_string()), value));
        }
        Value::String(text) => {
            values.insert(path.to_owned(), text.clone());
        }
        other => {
            values.insert(path.to_owned(), other.to_string());
        }
    }
}

fn registration(mode: &str) -> Result<String, String> {
    let known = ["Open", "Closed", "AdministratorOnly"].into_iter().find(|known| known.eq_ignore_ascii_case(mode));
    known.map(str::to_owned).ok_or_else(|| {
        format!("System.InvalidOperationException: Failed to convert configuration value at 'Hippo:RegistrationMode' to type 'RegistrationMode': {mode}")
    })
}

/// The pairs of a connection string: `key=value;…`, keys without case.
fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.split(';').filter_map(|part| part.split_once('='));
    parts.map(|(key, value)| (key.trim().to_lowercase(), value.trim().to_owned())).collect()
}

fn database(driver: &str, connection: &str) -> Result<Option<PathBuf>, String> {
    match driver.to_lowercase().as_str() {
        "inmemory" => Ok(None),
        "sqlite" => {
            let source = pairs(connection).into_iter().find(|(key, _)| key == "data source" || key == "datasource");
            let source = source.map(|(_, path)| path).ok_or_else(|| {
                format!("System.ArgumentException: no data source in ConnectionStrings:Database: {connection}")
            })?;
            Ok(Some(source.into()))
        }
        "postgresql" => Err("Npgsql.NpgsqlException: Failed to connect (the double has no postgresql)".into()),
        other => Err(format!("System.ArgumentException: {other} is not a valid database driver")),
    }
}

fn bindle(connection: &str) -> Result<Bindle, String> {
    let mut url = None;
    let (mut user, mut password) = (None, None);
    for (key, value) in pairs(connection) {
        match key.as_str() {
            "server" | "host" | "data source" | "datasource" | "address" | "addr" | "network address" => {
                url = Some(value);
            }
            "user" | "username" => user = Some(value),
            "pass" | "passwd" | "password" => password = Some(value),
            _ => {}
        }
    }
    let url = url.ok_or("System.ArgumentException: no server in ConnectionStrings:Bindle")?;
    // Hippo's client does not encode them; Bindle then refuses everything.
    let authorization = user.zip(password).map(|(user, password)| format!("Basic {user}:{password}"));
    Ok(Bindle { url: url.trim_end_matches('/').to_owned(), authorization })
}

/// The address in a URL to listen at.
pub fn address(url: &str) -> Result<SocketAddr, String> {
    let wrong = || format!("System.FormatException: Invalid url: '{url}'");
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        if url.starts_with("https://") {
            "System.InvalidOperationException: Unable to configure HTTPS endpoint. No server certificate was specified."
                .to_owned()
        } else {
            wrong()
        }
    })?;
    let rest = rest.trim_end_matches('/');
    let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "80"));
    let host = match host {
        "localhost" => "127.0.0.1",
        "*" | "+" => "0.0.0.0",
        host => host.trim_start_matches('[').trim_end_matches(']'),
    };
    let ip = host.parse().map_err(|_| wrong())?;
    Ok(SocketAddr::new(ip, port.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        r#"{"Database": {"Driver": "inmemory"}, "Nomad": {"Datacenters": ["dc1"]}, "Jwt": {"Key": "CHANGEME"}}"#;

    fn of(variables: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(FILE, variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn variables_outweigh_the_file() {
        let settings = of(&[
            ("Kestrel__Endpoints__Https__Url", "http://10.0.0.2:5000"),
            ("Database__Driver", "sqlite"),
            ("ConnectionStrings__Database", "Data Source=/var/lib/hippo/hippo.db;Cache=Shared"),
            ("ConnectionStrings__Bindle", "Address=http://10.0.0.2:8080/v1"),
            ("Nomad__Secret", "s"),
            ("Hippo__RegistrationMode", "AdministratorOnly"),
            ("Hippo__Administrators__0__Username", "admin"),
            ("Hippo__Administrators__0__Password", "p;w=d"),
            ("Jwt__Key", "0123456789abcdef"),
            ("Scheduler__Driver", "nomad"),
        ])
        .unwrap();
        assert_eq!(settings.urls, ["http://10.0.0.2:5000"]);
        assert_eq!(settings.database, Some("/var/lib/hippo/hippo.db".into()));
        assert_eq!(settings.bindle, Bindle { url: "http://10.0.0.2:8080/v1".into(), authorization: None });
        assert_eq!(settings.nomad.datacenters, ["dc1"]);
        assert_eq!((settings.nomad.driver.as_str(), settings.spin.as_str()), ("exec", "spin"));
        assert_eq!(settings.administrators, [("admin".to_owned(), "p;w=d".to_owned())]);
    }

    #[test]
    fn credentials_for_bindle_are_sent_as_hippo_sends_them() {
        let bindle = bindle("server=http://b/v1/;username=u;password=p=q").unwrap();
        assert_eq!(bindle, Bindle { url: "http://b/v1".into(), authorization: Some("Basic u:p=q".into()) });
    }

    #[test]
    fn what_hippo_cannot_start_with_is_refused() {
        assert!(of(&[("Jwt__Key", "")]).unwrap_err().contains("IDX10703"));
        assert!(of(&[("Hippo__RegistrationMode", "nobody")]).unwrap_err().contains("RegistrationMode"));
        assert!(of(&[("Database__Driver", "postgresql")]).unwrap_err().contains("Npgsql"));
        assert!(address("https://1.2.3.4:5").unwrap_err().contains("HTTPS"));
        assert_eq!(address("http://*:5000").unwrap(), "0.0.0.0:5000".parse().unwrap());
    }
}
