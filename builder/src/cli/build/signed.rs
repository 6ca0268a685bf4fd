//! Which signature a plan has that is built: made now, or there already.
//! May not judge one: `crate::sign` does.

use anyhow::{Context as _, anyhow};

use super::{Args, Failed};
use crate::cli::{sign as signing, talk};
use crate::plan;
use crate::sign;
use crate::site::Site;
use crate::sys::private;

/// The plan's signature: made now, or the one that lies in OUT. An error when the site names signers and none of them signed what nodes take.
pub(super) fn signature(site: &Site, plan: &[u8], args: &Args) -> Result<Option<String>, Failed> {
    let signers = &site.signers;
    if let Some(path) = &args.sign {
        let key = signing::open(path, args.password_env.as_deref())?;
        if !signers.is_empty() && !signers.contains(key.public()) {
            return Err(Failed::Input(anyhow!(
                "the key in {} is none of the site's `signers`\nhint: add {} to them, or sign with one that is",
                path.display(),
                key.public().text()
            )));
        }
        return Ok(Some(sign::sign(plan, &key)));
    }
    let path = args.output.join(sign::FILE);
    let there = private::is_there(&path).then(|| signing::text(&path, sign::LARGEST));
    let found = there.map(|text| text.and_then(|text| sign::adopted(&text))).transpose();
    let carried = args.form.iter().any(|form| form.is_carrier());
    if signers.is_empty() || !carried {
        // nobody has to sign: what is there stays with the plan it names
        let named = format!("sha256:{}", plan::digest(plan));
        let what = match &found {
            Ok(Some(text)) if !text.contains(&named) => "the signature of another plan".to_owned(),
            Ok(_) => return Ok(found.expect("it was looked at")),
            Err(error) => format!("no signature that can be used: {error:#}"),
        };
        talk(format_args!(
            "warning: {} is {what} and is left as it is\nhint: sign this plan with `anymetal sign`, or remove it",
            path.display()
        ));
        return Ok(None);
    }
    let judged = found.and_then(|found| {
        let text = found.context("it is not there")?;
        sign::verify(plan, &text, signers).map(|_| text)
    });
    judged.map(Some).map_err(|error| {
        let hint = "sign while building with `--sign FILE`, or sign what `anymetal build --form plan` writes, then build again";
        let error = error.context(format!("looking for a signature of this plan in {}", path.display()));
        Failed::Input(anyhow!("the site names `signers`, and none of them signed the plan: {error:#}\nhint: {hint}"))
    })
}
