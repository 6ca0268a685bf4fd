//! Whether every form that carries a release carries a signature of it by one of these keys.
//! May not judge anything else.

use anyhow::{Context as _, Result, ensure};

use crate::form::{Form, Kind};
use crate::sign::{self, PublicKey};

/// An error names the first form that is not signed by any of the keys. A site, a lock, a list and a blob have no signature of their own.
pub fn signed(forms: &[Form], keys: &[PublicKey]) -> Result<()> {
    ensure!(
        judge(forms, keys)? > 0,
        "none of the forms has a signature that a key could be for\nhint: name a bundle, a user-data, a release or a folder"
    );
    Ok(())
}

/// How many forms are signed.
fn judge(forms: &[Form], keys: &[PublicKey]) -> Result<usize> {
    let mut signed = 0;
    for form in forms {
        let carried = match &form.kind {
            Kind::Folder(folder) => {
                signed += judge(&folder.forms, keys)?;
                continue;
            }
            Kind::Bundle(_, carried) | Kind::UserData(carried) | Kind::Release(carried) | Kind::Plan(carried) => {
                carried
            }
            Kind::Site(_) | Kind::Lock(_) | Kind::List(_) | Kind::Blob(_) => continue,
        };
        let path = form.path.display();
        let missing = |what: &str| {
            format!(
                "{path} carries no {what}\nhint: `anymetal build --sign FILE` makes one; beside a plan it is release.json with its .minisig"
            )
        };
        let (release, _) = carried.release.as_ref().with_context(|| missing("release"))?;
        let text = carried.signature.as_deref().with_context(|| missing("signature of its release"))?;
        sign::verify(release, text, keys).with_context(|| path.to_string())?;
        signed += 1;
    }
    Ok(signed)
}
