//! A password: from a variable of the environment, or from whoever sits at the terminal.
//! May not keep it, and may not take it from an argument, which every user of the machine can read.

use anyhow::{Context as _, Result, anyhow, bail};

use super::private;

/// What the variable of that name holds.
pub fn variable(name: &str) -> Result<String> {
    match private::variable(name) {
        Some(Ok(password)) => Ok(password),
        Some(Err(_)) => bail!("the password in the variable {name} is no text"),
        None => bail!("there is no variable {name} in the environment\nhint: `export {name}` after setting it"),
    }
}

/// What is typed, unseen, after this question.
pub fn asked(question: &str) -> Result<String> {
    rpassword::prompt_password(question)
        .context("asking for the key's password on the terminal")
        .map_err(|error| anyhow!("{error:#}\nhint: `--password-env NAME` takes it from a variable of the environment"))
}
