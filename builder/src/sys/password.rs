//! A password: from a variable of the environment, or from whoever sits at the terminal.
//! May not keep it, and may not take it from an argument, which every user of the machine can read.

use anyhow::{Context as _, Result, anyhow, bail};

use super::private;

/// What the variable of that name holds.
pub fn variable(name: &str) -> Result<String> {
    match private::variable(name) {
        Some(password) => {
            let password = password.into_string();
            let password = password.map_err(|_| anyhow!("the password in the variable {name} is no text"))?;
            // whoever reads a file into a variable has its last line end, too
            let bare = password.strip_suffix('\n').unwrap_or(&password);
            let bare = bare.strip_suffix('\r').unwrap_or(bare);
            if let Some(c) = bare.chars().find(|c| c.is_control()) {
                bail!(
                    "the password in the variable {name} has the control character U+{:04X}\nhint: leave it out",
                    u32::from(c)
                );
            }
            Ok(bare.to_owned())
        }
        None => bail!("there is no variable {name} in the environment\nhint: `export {name}` after setting it"),
    }
}

/// What is typed, unseen, after this question.
pub fn asked(question: &str) -> Result<String> {
    rpassword::prompt_password(question)
        .context("asking for the key's password on the terminal")
        .map_err(|error| anyhow!("{error:#}\nhint: `--password-env NAME` takes it from a variable of the environment"))
}
