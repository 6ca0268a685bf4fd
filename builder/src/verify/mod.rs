//! Whether forms are whole, untouched and of one plan. The first thing that is not so is the error, in words.
//! May not open a form: `form` does. May not mend one.

mod hashes;
mod papers;
mod same;
mod signed;

use std::collections::BTreeMap;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use anymetal_contract::bundle::{Blob, INDEX};
use anymetal_contract::plan::{Arch, Plan, Source};
use anymetal_contract::{Digest, place};
use anymetal_supply::bundle::Bundle;

use crate::form::{Carried, Folder, Form, Kind};
use crate::{bundle, plan, sign};
use hashes::{Bytes, Claim};

pub use signed::signed;

/// Proves each of the forms, then that all carry the same; a line for each says what it is.
pub fn prove(forms: &[Form]) -> Result<Vec<String>> {
    let lines = forms.iter().map(|form| whole(form).map(|what| format!("{} {what}", form.path.display())));
    let lines = lines.collect::<Result<Vec<_>>>()?;
    same::judge(forms)?;
    Ok(lines)
}

/// Proves one form by itself, and says what it is.
fn whole(form: &Form) -> Result<String> {
    let path = form.path.display();
    let named = |error: Error| error.context(path.to_string());
    if let Some(carried) = form.carried() {
        released(form, carried).map_err(named)?;
    }
    Ok(match &form.kind {
        Kind::Bundle(bundle, carried) => {
            complete(bundle, carried).map_err(named)?;
            hashes::judge(claims(bundle)).map_err(named)?;
            format!("bundle plan sha256:{} {} whole", carried.digest(), blobs(bundle.index().blobs.len()))
        }
        Kind::Folder(folder) => {
            within(form, folder)?;
            format!("folder plan sha256:{} {} whole", folder.carried.digest(), blobs(folder.blobs.len()))
        }
        Kind::UserData(carried) => {
            inits_for(&carried.plan, carried).map_err(named)?;
            format!("user-data plan sha256:{}", carried.digest())
        }
        Kind::Plan(carried) => format!("plan sha256:{}", carried.digest()),
        Kind::Release(carried) => {
            inits_for(&carried.plan, carried).map_err(named)?;
            let (serial, plan) = (carried.host.as_ref().map_or(0, |host| host.serial), carried.digest());
            let release = carried.release_digest().context("it has no release").map_err(named)?;
            format!("release sha256:{release} serial {serial} plan sha256:{plan}")
        }
        Kind::Site(carried) => format!("site plan sha256:{}", carried.digest()),
        Kind::Lock(site) => format!("lock of {site} whole"),
        Kind::List(digest) => format!("packages sha256:{digest}"),
        Kind::Blob(digest) => {
            hashes::judge(vec![Claim { name: path.to_string(), wanted: digest, bytes: Bytes::File(&form.path) }])?;
            format!("blob sha256:{digest} whole")
        }
    })
}

/// Fails when the form is not what its release makes, or carries a signature that no node would take. A user-data and a bundle have to carry one
/// when there are signers.
fn released(form: &Form, carried: &Carried) -> Result<()> {
    if let Some(wrong) = &carried.wrong {
        return Err(anyhow!("{wrong}"));
    }
    let Some((text, release)) = &carried.release else { return Ok(()) };
    let keys = crate::release::signers(release)?;
    match &carried.signature {
        Some(signature) if !keys.is_empty() => sign::verify(text, signature, &keys).map(drop),
        None if !keys.is_empty() && matches!(form.kind, Kind::UserData(_) | Kind::Bundle(..)) => Err(anyhow!(
            "its release names signers, and it carries no signature\nhint: build it again with `--sign FILE`"
        )),
        _ => Ok(()),
    }
}

fn blobs(count: usize) -> String {
    if count == 1 { "1 blob".to_owned() } else { format!("{count} blobs") }
}

/// Whether every blob of the plan is in the bundle, nothing else is, and the index says of each what it is.
fn complete(bundle: &Bundle, carried: &Carried) -> Result<()> {
    let index = bundle.index();
    let empty = BTreeMap::new();
    let release = (bundle.release_text(), bundle.release());
    let wanted = bundle::blobs(release, &carried.plan, carried.lists.as_ref().unwrap_or(&empty));
    inits_for(&carried.plan, carried)?;
    let there: BTreeMap<&Digest, u64> = index.blobs.iter().map(|blob| (&blob.sha256, blob.size)).collect();
    for (sha256, named) in &wanted {
        let (name, blob) = (&named.name, place::blob(sha256));
        let size = *there.get(sha256).with_context(|| format!("{blob} ({name}) is missing"))?;
        let pinned = named.size.unwrap_or(size);
        ensure!(size == pinned, "{blob} ({name}) has {size} bytes, and {pinned} are pinned");
    }
    if let Some(blob) = index.blobs.iter().find(|blob| !wanted.contains_key(&blob.sha256)) {
        return Err(anyhow!("{} is in it, and the plan does not pin it", place::blob(&blob.sha256)));
    }
    let named = wanted.into_iter().map(|(sha256, named)| {
        let size = there[&sha256];
        Blob { sha256, size, name: named.name }
    });
    let right = bundle::index(release, named.collect());
    ensure!(plan::canonical(&right) == bundle.index_text(), "{INDEX} is not as `anymetal build` writes it");
    Ok(())
}

/// Whether there is an init for every architecture that the plan has archives for.
fn inits_for(plan: &Plan, carried: &Carried) -> Result<()> {
    let archives = plan.components.iter().filter_map(|component| match &component.source {
        Source::Artefacts(artefacts) => Some(artefacts.keys()),
        Source::HostPackage(_) => None,
    });
    let inits = carried.inits.as_ref().context("it pins no anymetal-init")?;
    match archives.flatten().find(|arch| !inits.contains_key(arch)) {
        Some(arch) => Err(anyhow!("its plan has archives for {arch}, and it has no anymetal-init for that")),
        None => Ok(()),
    }
}

/// What the bundle says of its blobs.
fn claims(bundle: &Bundle) -> Vec<Claim<'_>> {
    let claim = |blob: &'_ Blob| {
        let section = bundle.blob(&blob.sha256)?;
        Some((format!("{} ({})", place::blob(&blob.sha256), blob.name), section))
    };
    let claims = bundle.index().blobs.iter().filter_map(|blob| Some((&blob.sha256, claim(blob)?)));
    claims.map(|(wanted, (name, section))| Claim { name, wanted, bytes: Bytes::Section(section) }).collect()
}

/// Whether all forms in a folder are whole and the same, its blobs are what their names say, and what its nodes fetch from there is there.
fn within(form: &Form, folder: &Folder) -> Result<()> {
    for inner in &folder.forms {
        whole(inner)?;
    }
    same::judge(&folder.forms)?;
    papers::judge(&form.path, folder)?;
    let inits = folder.carried.inits.iter().flatten().map(|(arch, sha256)| (sha256, format!("anymetal-init {arch}")));
    let lists = folder.carried.plan.packages.iter().map(|(arch, list)| (&list.sha256, format!("packages {arch}")));
    let (release, plan) = (folder.carried.release_digest(), folder.carried.digest());
    let documents =
        release.iter().map(|sha256| (sha256, "the release".to_owned())).chain([(&plan, "the plan".to_owned())]);
    if let Some((sha256, name)) =
        inits.chain(lists).chain(documents).find(|(sha256, _)| !folder.blobs.contains_key(*sha256))
    {
        let (path, blob) = (form.path.display(), place::blob(sha256));
        return Err(anyhow!("{path}: {blob} ({name}) is missing\nhint: `anymetal build` writes it"));
    }
    let claims = folder.blobs.iter().map(|(wanted, (path, _))| Claim {
        name: path.display().to_string(),
        wanted,
        bytes: Bytes::File(path),
    });
    hashes::judge(claims.collect())
}

/// A digest for each architecture, for a sentence.
fn shown(inits: &BTreeMap<Arch, Digest>) -> String {
    inits.iter().map(|(arch, sha256)| format!("{arch} sha256:{sha256}")).collect::<Vec<_>>().join(", ")
}
