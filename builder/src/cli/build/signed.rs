//! Which signature a release has that is built: made now, or there already.
//! May not judge one: `crate::sign` does.

use anyhow::{Context as _, anyhow};
use anymetal_contract::Release;

use super::{Args, Failed};
use crate::cli::{sign as signing, talk};
use crate::sign;
use crate::site::Site;
use crate::sys::private;

/// The release's signature: made now, or the one that lies in OUT. An error when the site names signers and none of them signed what nodes take.
pub(super) fn signature(site: &Site, text: &[u8], release: &Release, args: &Args) -> Result<Option<String>, Failed> {
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
        return Ok(Some(sign::sign(text, release, &key)));
    }
    let path = args.output.join(sign::FILE);
    let there = private::is_there(&path).then(|| signing::text(&path, sign::LARGEST));
    let found = there.map(|text| text.and_then(|text| sign::adopted(&text))).transpose();
    let carried = args.form.iter().any(|form| form.is_carrier());
    if signers.is_empty() || !carried {
        // nobody has to sign: what is there stays with the release it names
        let what = match &found {
            Ok(Some(signature)) if !signature.contains(&sign::named(text)) => {
                "the signature of another release".to_owned()
            }
            Ok(_) => return Ok(found.expect("it was looked at")),
            Err(error) => format!("no signature that can be used: {error:#}"),
        };
        talk(format_args!(
            "warning: {} is {what} and is left as it is\nhint: sign this release with `anymetal sign`, or remove it",
            path.display()
        ));
        return Ok(None);
    }
    let judged = found.and_then(|found| {
        let signature = found.context("it is not there")?;
        sign::verify(text, &signature, signers).map(|_| signature)
    });
    judged.map(Some).map_err(|error| {
        let hint = "sign while building with `--sign FILE`, or sign what `anymetal build --form plan` writes, then build again";
        let error = error.context(format!("looking for a signature of this release in {}", path.display()));
        Failed::Input(anyhow!("the site names `signers`, and none of them signed the release: {error:#}\nhint: {hint}"))
    })
}
