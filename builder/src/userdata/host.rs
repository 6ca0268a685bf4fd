//! What every node of every site gets besides its pins: the lines that fetch anymetal-init, and the unit that runs both. Constant texts.
//! May not drop anything: `userdata` puts them into the cloud-config.

use anyhow::{Result, ensure};
use anymetal_contract::plan::{File, Proxy};

use crate::template;

/// `/etc/anymetal/fetch-init`: POSIX sh that fetches the init that `/etc/anymetal/pins` pins, from the first origin that has it.
pub fn fetch_init() -> Result<File> {
    template::file("host/fetch-init.sh", include_str!("../../../templates/host/fetch-init.sh"))
}

/// `anymetal.service`, which fetches and runs it at every boot: through this proxy, when there is one.
pub fn unit(proxy: Option<&Proxy>) -> Result<File> {
    let mut unit = template::file("host/anymetal.service", include_str!("../../../templates/host/anymetal.service"))?;
    if let Some(proxy) = proxy {
        // A percent sign begins a specifier (systemd.unit(5)).
        let variables: Vec<_> = proxy.variables().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let line = format!("\n[Service]\nEnvironment={}\n", variables.join(" ").replace('%', "%%"));
        unit.body = unit.body.replacen("\n[Service]\n", &line, 1);
    }
    Ok(unit)
}

/// Fails when the script, which splits at spaces, could take this origin for something else (RFC 3986 section 2, less `'$` and `` ` ``).
pub fn judge(origin: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!&()+,;=%".contains(c);
    let good = !origin.is_empty() && origin.chars().all(plain);
    ensure!(good, "the origin {origin:?} has characters that a URL writes as %XX\nhint: write them so");
    Ok(())
}

#[cfg(test)]
mod tests {
    use anymetal_contract::place;

    use super::*;

    #[test]
    fn the_files_go_where_the_contract_says_and_name_what_it_names() {
        let (fetch, unit) = (fetch_init().unwrap(), unit(None).unwrap());
        assert_eq!((fetch.path.as_str(), fetch.mode.as_str()), (place::FETCH, "0755"));
        assert_eq!((unit.path.as_str(), unit.mode.as_str()), (place::UNIT, "0644"));
        assert!(unit.body.contains(&format!("\nExecStartPre={}\nExecStart={} run\n", place::FETCH, place::INIT)));
        assert!(fetch.body.starts_with("#!/bin/sh\n"), "{}", fetch.body);
        for part in [
            format!("\ninit=$root{}\n", place::INIT),
            format!("<\"$root{}\"\n", place::PINS),
            format!("case $word in {}=?*) ", place::ARG_ORIGIN),
        ] {
            assert!(fetch.body.contains(&part), "{part:?} is not in\n{}", fetch.body);
        }
    }

    #[test]
    fn a_proxy_is_one_line_of_the_unit_and_none_costs_nothing() {
        let proxy = Proxy { url: "http://proxy.example:3128".into(), no_proxy: vec!["a.example".into(), "*".into()] };
        let (with, without) = (unit(Some(&proxy)).unwrap().body, unit(None).unwrap().body);
        let line = "Environment=http_proxy=http://proxy.example:3128 https_proxy=http://proxy.example:3128 no_proxy=a.example,*\n";
        assert_eq!(with.replace(line, ""), without);
        assert!(with.contains(&format!("\n[Service]\n{line}")), "{with}");
    }

    #[test]
    fn an_origin_that_is_no_plain_url_is_refused() {
        judge("https://user:pass@o.example:8443/a,b?c=%20").unwrap();
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
            let error = judge(origin).unwrap_err().to_string();
            assert!(error.contains("writes as %XX"), "{error}");
        }
    }
}
