//! The double of Hippo: its configuration, its health, its accounts, and the job an application becomes.
//! May not be more: channels, revisions and pages are not here; `POST /double/run` stands for them.

mod accounts;
mod health;
mod job;
mod routes;
mod settings;

use std::process::ExitCode;
use std::sync::Arc;

use self::accounts::Accounts;
use self::settings::Settings;
use crate::http::{self, Request};

/// The version it answers like.
pub const VERSION: &str = "0.20.2";

/// Runs; there is no command line.
pub fn main(_arguments: &[String]) -> ExitCode {
    // What .NET says before anything else when it has neither ICU nor leave to do without; then it aborts.
    let invariant = std::env::var("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT").unwrap_or_default();
    if invariant != "1" && !invariant.eq_ignore_ascii_case("true") {
        eprintln!(
            "Process terminated. Couldn't find a valid ICU package installed on the system. Please install libicu (or \
             icu-libs) using your package manager and try again. Alternatively you can set the configuration flag \
             System.Globalization.Invariant to true if you want to run with no globalization support."
        );
        std::process::abort();
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // .NET aborts on what nobody catches.
            eprintln!("Unhandled exception. {error}");
            std::process::abort();
        }
    }
}

fn run() -> Result<(), String> {
    println!("info: {}", crate::banner(&format!("hippo-double {VERSION}"), "Hippo"));
    let text = std::fs::read_to_string("appsettings.json").map_err(|error| {
        let here = std::env::current_dir().unwrap_or_default();
        format!("no appsettings.json in the content root {} (the double insists on one): {error}", here.display())
    })?;
    let settings = Settings::read(&text, std::env::vars())?;
    let accounts = Accounts::open(&settings)?;
    let mut listeners = Vec::new();
    for url in &settings.urls {
        let address = settings::address(url)?;
        let listener = http::listen(address).map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("System.IO.IOException: Failed to bind to address {url}: address already in use.")
            }
            _ => format!("System.Net.Sockets.SocketException: Failed to bind to address {url}: {error}"),
        })?;
        println!("info: Microsoft.Hosting.Lifetime[14]\n      Now listening on: {url}");
        listeners.push(listener);
    }
    println!("info: Microsoft.Hosting.Lifetime[0]\n      Application started. Press Ctrl+C to shut down.");
    let hippo = Arc::new(routes::Hippo { settings, accounts });
    for listener in listeners {
        let hippo = Arc::clone(&hippo);
        let own = listener.local_addr().ok();
        std::thread::spawn(move || {
            let answer: Arc<http::Answer> = Arc::new(move |request: &Request| hippo.answer(request, own));
            if let Err(error) = http::serve(listener, &answer) {
                eprintln!("fail: serving: {error}");
            }
        });
    }
    let signals = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
    let mut signals = signal_hook::iterator::Signals::new(signals).map_err(|error| error.to_string())?;
    signals.forever().next();
    println!("info: Microsoft.Hosting.Lifetime[0]\n      Application is shutting down...");
    Ok(())
}
