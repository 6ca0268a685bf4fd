//! The units that bring a renewed certificate to Traefik. They are made anew at every boot, where no reboot keeps them.
//! May not bring anything themselves.

use std::path::Path;

use crate::services::systemd;
use crate::sys::fs;

const PATH: &str = "anymetal-certificates.path";
const SERVICE: &str = "anymetal-certificates.service";
/// Where units are that last until the next boot (systemd.unit(5)).
const FOLDER: &str = "/run/systemd/system";
const PATH_TEXT: &str = include_str!("../../../templates/host/anymetal-certificates.path");
const SERVICE_TEXT: &str = include_str!("../../../templates/host/anymetal-certificates.service");

/// Watches these two files from now on.
pub(super) fn watch(certificate: &str, key: &str) -> anyhow::Result<()> {
    let mut changed = false;
    for (name, text) in texts(certificate, key) {
        let path = Path::new(FOLDER).join(name);
        if fs::read_if_there(&path)?.as_deref() != Some(text.as_bytes()) {
            fs::replace_lightly(&path, text.as_bytes(), 0o644)?;
            changed = true;
        }
    }
    if changed {
        systemd::daemon_reload()?;
    }
    systemd::queue(if changed { "restart" } else { "start" }, PATH)
}

fn texts(certificate: &str, key: &str) -> [(&'static str, String); 2] {
    let of = |text: &str| text.replace("CERTIFICATE", certificate).replace("KEY", key);
    [(SERVICE, of(SERVICE_TEXT)), (PATH, of(PATH_TEXT))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_are_watched_and_named_to_the_command() {
        let [(_, service), (_, path)] = texts("/etc/ssl/site.crt", "/etc/ssl/private/site.key");
        assert!(path.contains("\nPathChanged=/etc/ssl/site.crt\nPathChanged=/etc/ssl/private/site.key\n"), "{path}");
        let command = "anymetal-init renew --certificate /etc/ssl/site.crt --key /etc/ssl/private/site.key\n";
        assert!(service.contains(command), "{service}");
        assert!(!service.contains("CAP_SYS") && service.contains("\nProtectSystem=strict\n"), "{service}");
    }
}
