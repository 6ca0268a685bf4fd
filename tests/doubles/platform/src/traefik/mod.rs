//! The double of Traefik: HTTP/1.1 by host name to what Consul's catalogue says is well; configured by environment variables only.
//! May not speak TLS: an entry point with TLS takes connections and answers nothing.

mod catalogue;
mod proxy;
mod rule;
mod settings;
mod table;

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use self::settings::{Entry, Settings};
use self::table::Table;
use crate::{clock, http};

/// The version it answers like.
pub const VERSION: &str = "2.11.55";

/// What everything shares.
struct Shared {
    settings: Settings,
    table: RwLock<Table>,
}

/// Runs the command line.
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["version" | "--version"] => {
            println!("Version:      {VERSION}\n{}", crate::banner("traefik-double", "Traefik"));
            ExitCode::SUCCESS
        }
        ["healthcheck"] | [] => run(),
        [other, ..] => {
            eprintln!("the double takes no flags, not {other}: it reads environment variables only");
            ExitCode::FAILURE
        }
    }
}

/// Says something as Traefik does.
fn log(level: &str, text: &str) {
    let time = clock::text(clock::now());
    println!("time=\"{}Z\" level={level} msg={text:?}", &time[..19]);
}

fn run() -> ExitCode {
    let error = |text: &str| {
        eprintln!("command traefik error: {text}");
        ExitCode::FAILURE
    };
    let settings = match settings::read(std::env::vars()) {
        Ok(settings) => settings,
        Err(text) => return error(&format!("failed to decode configuration from environment variables: {text}")),
    };
    log("info", "Configuration loaded from environment variables.");
    let mut listeners = Vec::new();
    for entry in &settings.entries {
        match listen(&entry.address) {
            Ok(listener) => listeners.push((entry.clone(), listener)),
            Err(text) => {
                return error(&format!(
                    "error while building entryPoint {}: error preparing server: error opening listener: {text}",
                    entry.name
                ));
            }
        }
    }
    log("info", &format!("Traefik version {VERSION} double: {}", crate::banner("traefik-double", "Traefik")));
    if let Some(ping) = settings.ping.as_ref().filter(|ping| !settings.entries.iter().any(|entry| entry.name == **ping))
    {
        log("error", &format!("entryPoint {ping:?} doesn't exist"));
    }
    let shared = Arc::new(Shared { settings, table: RwLock::default() });
    for (entry, listener) in listeners {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || take(&shared, &entry, &listener));
    }
    watch(&shared)
}

/// Opens an address in Go's form, `:80` being every address.
fn listen(address: &str) -> Result<TcpListener, String> {
    let address = address.strip_suffix("/tcp").unwrap_or(address);
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(format!("listen tcp: address {address}: missing port in address"));
    };
    let port: u16 = port.parse().map_err(|_| format!("listen tcp: address {address}: invalid port"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let every = if std::path::Path::new("/proc/net/if_inet6").exists() { "::" } else { "0.0.0.0" };
    let ip = if host.is_empty() { every } else { host };
    let ip = ip.parse().map_err(|_| format!("listen tcp: lookup {host}: no such host"))?;
    http::listen(SocketAddr::new(ip, port)).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!("listen tcp {address}: bind: address already in use"),
        std::io::ErrorKind::PermissionDenied => format!("listen tcp {address}: bind: permission denied"),
        _ => format!("listen tcp {address}: bind: {error}"),
    })
}

/// Serves an entry point's connections.
fn take(shared: &Arc<Shared>, entry: &Entry, listener: &TcpListener) {
    for connection in listener.incoming().flatten() {
        let (shared, entry) = (Arc::clone(shared), entry.clone());
        std::thread::spawn(move || {
            if entry.tls {
                // Here TLS would begin; who waits for it is let go in the end.
                std::thread::sleep(Duration::from_secs(5));
            } else {
                proxy::serve(&shared, &entry, connection);
            }
        });
    }
}

/// Keeps the table as the catalogue says, until the end.
fn watch(shared: &Shared) -> ExitCode {
    let mut said = String::new();
    loop {
        if let Some(catalogue) = &shared.settings.catalogue {
            match catalogue::services(catalogue) {
                Ok(services) => {
                    let (table, wrong) = table::of(&services, catalogue);
                    for text in wrong {
                        if said != text {
                            log("error", &text);
                        }
                        said = text;
                    }
                    if let Ok(mut current) = shared.table.write() {
                        *current = table;
                    }
                }
                Err(text) => {
                    let text = format!(
                        "Provider connection error error unable to get consul catalog data: {text}, retrying in 1s"
                    );
                    if said != text {
                        log("error", &text);
                    }
                    said = text;
                }
            }
        }
        std::thread::sleep(Duration::from_millis(700));
    }
}
