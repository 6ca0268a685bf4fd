//! `bindle-server`: the server of the registry's crate `bindle`, with the flags its makers' own program has.
//! May not answer for Bindle: every route, right and refusal is the crate's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use bindle::authn::always::AlwaysAuthenticate;
use bindle::authn::http_basic::HttpBasic;
use bindle::authz::always::AlwaysAuthorize;
use bindle::authz::anonymous_get::AnonymousGet;
use bindle::provider::file::FileProvider;
use bindle::search::StrictEngine;
use bindle::signature::{KeyRing, SecretKeyEntry, SecretKeyFile, SignatureRole};
use bindle::{VerificationStrategy, server};
use clap::Parser;
use tracing::{info, warn};

/// Serves bindles (built for test suites from the registry's crate).
#[derive(Debug, Parser)]
#[command(version, group = clap::ArgGroup::new("mode").required(true).multiple(true))]
struct Flags {
    /// Where to listen.
    #[arg(short = 'i', long, env = "BINDLE_IP_ADDRESS_PORT", default_value = "127.0.0.1:8080")]
    address: SocketAddr,
    /// Where bindles are kept.
    #[arg(short, long, env = "BINDLE_DIRECTORY")]
    directory: Option<PathBuf>,
    /// Public keys whose signatures are believed.
    #[arg(short = 'r', long)]
    keyring: Option<PathBuf>,
    /// Private keys to sign with; made when the file is missing.
    #[arg(long, env = "BINDLE_SIGNING_KEYS")]
    signing_keys: Option<PathBuf>,
    /// Which signatures an invoice must have.
    #[arg(long, env = "BINDLE_VERIFICATION_STRATEGY")]
    strategy: Option<String>,
    /// Who may push: a file of names and bcrypt hashes.
    #[arg(long, env = "BINDLE_HTPASSWD_FILE", group = "mode")]
    htpasswd_file: Option<PathBuf>,
    /// Anybody may push.
    #[arg(long, group = "mode")]
    unauthenticated: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| "warn,bindle_server=info,bindle=info".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    match run(Flags::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until SIGINT: the crate listens for no other signal, so SIGTERM ends the process at once.
async fn run(flags: Flags) -> anyhow::Result<()> {
    let directory = match flags.directory {
        Some(directory) => directory,
        None => home("XDG_DATA_HOME", ".local/share")?.join("bindle"),
    };
    let keys = match flags.signing_keys {
        Some(path) => path,
        None => home("XDG_CONFIG_HOME", ".config")?.join("bindle/signing-keys.toml"),
    };
    let keyring = match flags.keyring {
        Some(path) => path,
        None => home("XDG_CONFIG_HOME", ".config")?.join("bindle/keyring.toml"),
    };
    let strategy = match flags.strategy {
        Some(name) => name.parse().map_err(|error| anyhow::anyhow!("reading --strategy {name}: {error}"))?,
        None => VerificationStrategy::default(),
    };
    let keyring = known(&keyring).await?;
    let keys = signing(&keys).await?;
    tokio::fs::create_dir_all(&directory).await.with_context(|| format!("making {}", directory.display()))?;
    let index = StrictEngine::default();
    let store = FileProvider::new(&directory, index.clone()).await;
    info!(address = %flags.address, directory = %directory.display(), "starting bindle-server {}", env!("CARGO_PKG_VERSION"));
    // A file of passwords outweighs --unauthenticated, as in the makers' program.
    if let Some(file) = flags.htpasswd_file {
        let users = HttpBasic::from_file(&file).await.with_context(|| format!("reading {}", file.display()))?;
        server::server(store, index, users, AnonymousGet, flags.address, None, keys, strategy, keyring).await
    } else {
        let (anybody, anything) = (AlwaysAuthenticate, AlwaysAuthorize);
        server::server(store, index, anybody, anything, flags.address, None, keys, strategy, keyring).await
    }
}

/// The folder a variable names, or one below HOME.
fn home(variable: &str, below: &str) -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os(variable).filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let home = std::env::var_os("HOME").with_context(|| {
        format!(
            "finding a folder: neither {variable} nor HOME is set\nhint: give --directory, --keyring and --signing-keys"
        )
    })?;
    Ok(Path::new(&home).join(below))
}

/// The keys of a keyring; none when there is no such file.
async fn known(path: &Path) -> anyhow::Result<KeyRing> {
    match tokio::fs::read(path).await {
        Ok(text) => toml::from_slice(&text).with_context(|| format!("reading {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            warn!("there is no keyring at {}, so no signature is believed", path.display());
            Ok(KeyRing::default())
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

/// The server's own keys, made when there are none.
async fn signing(path: &Path) -> anyhow::Result<SecretKeyFile> {
    if tokio::fs::try_exists(path).await.with_context(|| format!("looking for {}", path.display()))? {
        return SecretKeyFile::load_file(path).await.with_context(|| format!("reading {}", path.display()));
    }
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.with_context(|| format!("making {}", folder.display()))?;
    }
    let mut keys = SecretKeyFile::default();
    keys.key.push(SecretKeyEntry::new("Default host key".to_owned(), vec![SignatureRole::Host]));
    keys.save_file(path).await.with_context(|| format!("writing {}", path.display()))?;
    Ok(keys)
}
