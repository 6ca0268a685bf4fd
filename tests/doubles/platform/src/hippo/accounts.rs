//! Accounts and the tokens they get.
//! May not keep a password: only what it can be checked against.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::settings::Settings;
use crate::{clock, id};

/// How long a token holds, in seconds.
const LIFE: i64 = 30 * 60;

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Account {
    id: String,
    salt: String,
    hash: String,
    administrator: bool,
}

/// All accounts, by name; kept where the database would be.
pub struct Accounts {
    path: Option<PathBuf>,
    all: Mutex<BTreeMap<String, Account>>,
}

impl Accounts {
    /// With what was kept, and the administrators; one that is there already keeps its password, whatever the settings say now.
    pub fn open(settings: &Settings) -> Result<Self, String> {
        let path = settings.database.clone();
        let all = match path.as_deref().map(std::fs::read) {
            Some(Ok(bytes)) if !bytes.is_empty() => {
                serde_json::from_slice(&bytes).map_err(|_| "SQLite Error 26: 'file is not a database'.".to_owned())?
            }
            _ => BTreeMap::new(),
        };
        let accounts = Self { path, all: Mutex::new(all) };
        for (name, password) in &settings.administrators {
            accounts.create(name, password, true)?;
        }
        accounts.keep()?;
        Ok(accounts)
    }

    /// A new account, unless there is one of this name; its id.
    pub fn create(&self, name: &str, password: &str, administrator: bool) -> Result<Option<String>, String> {
        {
            let mut all = self.lock();
            if all.contains_key(name) {
                return Ok(None);
            }
            let salt = id::make();
            let account = Account { id: id::make(), hash: hash(&salt, password), salt, administrator };
            all.insert(name.to_owned(), account);
        }
        self.keep()?;
        Ok(self.lock().get(name).map(|account| account.id.clone()))
    }

    /// The id of who has this name and password.
    pub fn login(&self, name: &str, password: &str) -> Option<String> {
        let all = self.lock();
        let account = all.get(name)?;
        (hash(&account.salt, password) == account.hash).then(|| account.id.clone())
    }

    /// Whether an id is an administrator's.
    pub fn administers(&self, id: &str) -> bool {
        self.lock().values().any(|account| account.id == id && account.administrator)
    }

    /// Whether accounts can be read and written.
    pub fn works(&self) -> bool {
        self.keep().is_ok()
    }

    fn keep(&self) -> Result<(), String> {
        let Some(path) = &self.path else { return Ok(()) };
        let text = serde_json::to_vec(&*self.lock()).map_err(|error| error.to_string())?;
        write(path, &text).map_err(|_| {
            "Microsoft.Data.Sqlite.SqliteException (0x80004005): SQLite Error 14: 'unable to open database file'."
                .to_owned()
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Account>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beside and renamed: as with a database's journal, it is the folder that must be writable.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("journal");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(beside, path)
}

fn hash(salt: &str, password: &str) -> String {
    let mut hash = Sha256::digest(format!("{salt}{password}").as_bytes());
    // Slow enough that nobody takes this for an example; fast enough for a suite.
    for _ in 0..10_000 {
        hash = Sha256::digest(hash);
    }
    URL_SAFE_NO_PAD.encode(hash)
}

/// A token for an account: the token and when it ends. A key of less than 16 bytes signs nothing.
pub fn token(settings: &Settings, account: &str) -> Result<Value, String> {
    if settings.jwt_key.len() < 16 {
        let bits = settings.jwt_key.len() * 8;
        return Err(format!(
            "System.ArgumentOutOfRangeException: IDX10653: The encryption algorithm 'HS256' requires a key size of at \
             least '128' bits. Key is of size: '{bits}'."
        ));
    }
    let expires = clock::now() / 1_000_000_000 + LIFE;
    let claims = json!({"sub": account, "unique_name": account, "jti": id::make(), "exp": expires,
        "iss": settings.jwt_issuer, "aud": settings.jwt_audience});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256", "typ": "JWT"})), part(&claims));
    let token = format!("{signed}.{}", signature(&settings.jwt_key, &signed));
    Ok(json!({"token": token, "expiration": format!("{}Z", &clock::text(expires * 1_000_000_000)[..19])}))
}

/// Whose token it is, while it holds.
pub fn owner(settings: &Settings, token: &str) -> Option<String> {
    let (signed, given) = token.rsplit_once('.')?;
    if signature(&settings.jwt_key, signed) != given {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let holds = claims["exp"].as_i64()? > clock::now() / 1_000_000_000;
    if holds { claims["sub"].as_str().map(str::to_owned) } else { None }
}

fn signature(key: &str, signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length will do");
    mac.update(signed.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: Option<&Path>, password: &str) -> Settings {
        Settings {
            database: path.map(Path::to_owned),
            administrators: vec![("admin".into(), password.into())],
            jwt_key: "0123456789abcdef".into(),
            ..Settings::default()
        }
    }

    #[test]
    fn an_administrator_that_is_there_keeps_its_password() {
        let folder = std::env::temp_dir().join(id::make());
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("hippo.db");
        Accounts::open(&settings(Some(&path), "first")).unwrap();
        let again = Accounts::open(&settings(Some(&path), "second")).unwrap();
        assert!(again.login("admin", "first").is_some() && again.login("admin", "second").is_none());
        assert!(!std::fs::read_to_string(&path).unwrap().contains("first"));
        std::fs::remove_dir_all(&folder).unwrap();
        let error = Accounts::open(&settings(Some(&path), "x")).err().unwrap();
        assert!(error.contains("unable to open database file"), "{error}");
    }

    #[test]
    fn a_token_tells_its_owner_only_with_its_key() {
        let mut settings = settings(None, "x");
        let made = token(&settings, "me").unwrap();
        let made = made["token"].as_str().unwrap();
        assert_eq!(owner(&settings, made).as_deref(), Some("me"));
        settings.jwt_key = "another key, of 32 bytes or more".into();
        assert_eq!(owner(&settings, made), None);
        settings.jwt_key = "CHANGEME".into();
        assert!(token(&settings, "me").unwrap_err().contains("'128' bits"));
    }
}
