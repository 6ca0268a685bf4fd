//! The double of Spin: an application's server that asks Bindle for its invoice and says which it is.
//! May not run an application.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use crate::http::{self, Reply, Request};

/// The version it answers like.
pub const VERSION: &str = "0.10.1";

/// Runs the command line.
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--version" | "-V"] => {
            println!("spin {VERSION} {}", crate::banner("spin-double", "Spin"));
            ExitCode::SUCCESS
        }
        ["up", flags @ ..] => up(flags).unwrap_or_else(|error| {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }),
        _ => {
            eprintln!("usage: spin up --listen ADDRESS --bindle ID\n{}", crate::banner("spin-double", "Spin"));
            ExitCode::from(2)
        }
    }
}

/// What `up` was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Up {
    listen: String,
    bindle: String,
}

fn told(flags: &[&str]) -> Result<Up, String> {
    let mut up = Up { listen: "127.0.0.1:3000".into(), bindle: String::new() };
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let mut value = || flags.next().map(|value| (*value).to_owned()).ok_or(format!("{flag} wants a value"));
        match *flag {
            "--listen" => up.listen = value()?,
            "--bindle" | "--from-bindle" => up.bindle = value()?,
            // Gone since 0.10; Hippo up to 0.20.1 passes it.
            other => {
                return Err(format!("Found argument '{other}' which wasn't expected, or isn't valid in this context"));
            }
        }
    }
    if up.bindle.is_empty() { Err("the double runs bindles only: --bindle ID".into()) } else { Ok(up) }
}

fn up(flags: &[&str]) -> Result<ExitCode, String> {
    let up = told(flags)?;
    let address: SocketAddr = up.listen.parse().map_err(|_| format!("{} is no address to listen on", up.listen))?;
    let base = std::env::var("BINDLE_URL").map_err(|_| "BINDLE_URL is not set".to_owned())?;
    let url = format!("{}/_i/{}", base.trim_end_matches('/'), up.bindle);
    let (status, body) = http::ask("GET", &url, &[], None)
        .map_err(|error| format!("Failed to load invoice '{}' from '{base}': {error}", up.bindle))?;
    if status != 200 {
        let said = String::from_utf8_lossy(&body);
        return Err(format!("Failed to load invoice '{}' from '{base}': {status} {}", up.bindle, said.trim()));
    }
    let listener = http::listen(address).map_err(|error| format!("Failed to listen on {address}: {error}"))?;
    println!("{}", crate::banner("spin-double", "Spin"));
    println!("Serving http://{address} of {}", up.bindle);
    let bindle = up.bindle;
    let answer: Arc<http::Answer> = Arc::new(move |request: &Request| answer(&bindle, &request.path));
    http::serve(listener, &answer).map_err(|error| error.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn answer(bindle: &str, path: &str) -> Reply {
    match path {
        "/" => Reply::text(200, format!("double of spin: {bindle}")),
        "/.well-known/spin/health" | "/health" | "/healthz" => Reply::text(200, "OK"),
        "/.well-known/spin/info" => {
            let (name, version) = bindle.rsplit_once('/').unwrap_or((bindle, ""));
            Reply::json(&json!({"name": name, "version": version, "bindle_version": version, "double": true}))
        }
        _ => Reply::empty(404),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_those_of_its_version() {
        let up = Up { listen: "127.0.0.1:1".into(), bindle: "a/1.0.0".into() };
        assert_eq!(told(&["--listen", "127.0.0.1:1", "--bindle", "a/1.0.0"]), Ok(up));
        assert!(told(&["--follow-all", "--bindle", "a"]).unwrap_err().contains("wasn't expected"));
        assert!(told(&[]).is_err());
    }
}
