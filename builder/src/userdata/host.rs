//! What cloud-init drops besides the plan: the few lines that fetch anymetal-init, and the unit that runs it.
//! May not drop anything: `userdata` puts them into the cloud-config.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use anymetal_contract::plan::{Arch, File};
use anymetal_contract::{Digest, place};

use crate::template;

/// `/etc/anymetal/fetch-init`: POSIX sh that fetches the init pinned for the machine's architecture from the first origin that has it.
pub fn fetch_init(pins: &BTreeMap<Arch, Digest>, origins: &[String]) -> Result<File> {
    for origin in origins {
        ensure!(is_safe(origin), "the origin {origin:?} has characters that a URL writes as %XX\nhint: write them so");
    }
    let pin =
        |(arch, sha256): (&Arch, &Digest)| BTreeMap::from([("arch", arch.to_string()), ("sha256", sha256.to_string())]);
    let mut context = tera::Context::new();
    context.insert("pins", &pins.iter().map(pin).collect::<Vec<_>>());
    context.insert("origins", &origins.join(" "));
    context.insert("argument", place::ARG_ORIGIN);
    context.insert("init", place::INIT);
    render("host/fetch-init.sh", include_str!("../../../templates/host/fetch-init.sh.tera"), &context)
}

/// `anymetal.service`, which fetches and runs it at every boot.
pub fn unit() -> Result<File> {
    let mut context = tera::Context::new();
    context.insert("fetch", place::FETCH);
    context.insert("init", place::INIT);
    render("host/anymetal.service", include_str!("../../../templates/host/anymetal.service.tera"), &context)
}

/// The file with its body rendered, without the lines that only say why: every node's user-data carries it, and the template has them.
fn render(name: &str, text: &str, context: &tera::Context) -> Result<File> {
    let file = template::file(name, text)?;
    let body =
        tera::Tera::one_off(&file.body, context, false).with_context(|| format!("rendering the template {name}"))?;
    Ok(File { body: without_comments(&body), ..file })
}

/// The text without its comments, but for the first line, by which the kernel knows an interpreter.
fn without_comments(text: &str) -> String {
    let stays = |(place, line): &(usize, &str)| *place == 0 || !line.trim_start().starts_with('#');
    text.split_inclusive('\n').enumerate().filter(stays).map(|(_, line)| line).collect()
}

/// Whether a URL may stand between double quotes in sh, be split at spaces and never mean anything else (RFC 3986 section 2, less `'$` and `` ` ``).
fn is_safe(url: &str) -> bool {
    !url.is_empty() && url.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/?#[]@!&()+,;=%".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins() -> BTreeMap<Arch, Digest> {
        BTreeMap::from([(Arch::Aarch64, Digest::of([1; 32])), (Arch::X86_64, Digest::of([2; 32]))])
    }

    #[test]
    fn the_files_go_where_the_contract_says() {
        let (fetch, unit) = (fetch_init(&pins(), &["http://o".into()]).unwrap(), unit().unwrap());
        assert_eq!((fetch.path.as_str(), fetch.mode.as_str()), (place::FETCH, "0755"));
        assert_eq!((unit.path.as_str(), unit.mode.as_str()), (place::UNIT, "0644"));
        assert!(
            unit.body
                .contains("\nExecStartPre=/etc/anymetal/fetch-init\nExecStart=/opt/anymetal/bin/anymetal-init run\n")
        );
    }

    #[test]
    fn digests_and_origins_stand_in_the_script() {
        let body = fetch_init(&pins(), &["http://o".into(), "https://p/a".into()]).unwrap().body;
        assert!(body.starts_with("#!/bin/sh\n"), "{body}");
        let cases = format!(
            "case $(uname -m) in\naarch64) want={} ;;\nx86_64) want={} ;;\n*) want= ;;\nesac\n",
            "01".repeat(32),
            "02".repeat(32)
        );
        assert!(body.contains(&cases), "{body}");
        assert!(body.contains("\norigins=\"$origins http://o https://p/a\"\n"), "{body}");
        assert!(body.contains("  case $word in anymetal.origin=?*) "), "{body}");
    }

    #[test]
    fn comments_stay_behind_and_nothing_else_does() {
        let text = "#!/bin/sh\n# why\nsay '# not this' # nor this\n  # but this\n\nlast";
        assert_eq!(without_comments(text), "#!/bin/sh\nsay '# not this' # nor this\n\nlast");
    }

    #[test]
    fn an_origin_that_the_shell_would_read_as_more_than_text_is_refused() {
        for origin in [
            "",
            "http://o/$(reboot)",
            "http://o/`id`",
            "http://o/\"",
            "http://o/a b",
            "http://o/\\",
            "http://o/\n",
            "http://o/*",
        ] {
            let error = fetch_init(&pins(), &[origin.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("writes as %XX"), "{error}");
        }
    }
}
