//! `anymetal verify A B C…`: whether forms are whole, untouched and of one plan, and on stdout what they are.
//! May not decide it: `verify` does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Failed, Outcome, say};
use crate::form::Form;
use crate::sign::{self, PublicKey};
use crate::verify;

/// What `verify --help` says of its arguments.
const FORMS: &str = "A form is a bundle, a user-data, a plan.json, a folder that `anymetal build`
wrote, a site (of which a plan is made), a lock, a list of packages, or a blob
that is named by its sha256.

All that is pinned is hashed. Of a user-data, the operator's own parts are not:
nothing pins them. On stdout a line for each form; the first thing that is not
as it should be is said on stderr, with the file and the member.";

/// The longest name of a key's file that is repeated, in bytes: a secret key has 212 characters.
const LONGEST: usize = 200;

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = FORMS)]
pub struct Args {
    /// What has to be whole, and to carry the same plan and the same init
    #[arg(required = true, value_name = "FORM")]
    forms: Vec<PathBuf>,
    /// Want each form signed by this key, or one of a file
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
}

/// Opens all forms, proves them, and says what they are.
pub fn run(args: &Args) -> Outcome {
    let forms = args.forms.iter().map(|path| Form::open(path)).collect::<Result<Vec<_>>>().map_err(Failed::Input)?;
    let lines = verify::prove(&forms).map_err(Failed::Input)?;
    let keys = args.key.iter().map(|key| keys(key)).collect::<Result<Vec<_>>>().map_err(Failed::Input)?.concat();
    if !keys.is_empty() {
        verify::signed(&forms, &keys).map_err(Failed::Input)?;
    }
    lines.iter().try_for_each(say)
}

/// The keys that were named: a key itself, or the file it is in.
fn keys(named: &str) -> Result<Vec<PublicKey>> {
    if let Some(key) = PublicKey::read(named) {
        return Ok(vec![key]);
    }
    if named.len() > LONGEST {
        // not repeated: it may be a secret key
        bail!(
            "what `--key` says is neither a public key nor a file's name\nhint: a key begins with RW and has 56 characters"
        );
    }
    let reading = || format!("reading the public key {named}");
    let text = super::sign::text(Path::new(named), sign::LARGEST).with_context(reading)?;
    sign::keys(&text).with_context(reading)
}
