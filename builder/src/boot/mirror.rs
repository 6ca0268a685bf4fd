//! Which package mirror this machine uses, in the words of its own apt.
//! May not ask apt or know a mirror's name: it is given what apt prints.

/// Suites of Debian's archive proper; its others (updates, security, backports) hold only a part of a system.
const SUITES: &[&str] =
    &["bullseye", "bookworm", "trixie", "forky", "oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"];

/// Mirrors of Debian's archive, likeliest first, from what `apt-get --print-uris update` prints: lines like
/// `'http://host/debian/dists/bookworm/InRelease' name 0`, for each configured source.
/// Other archives may use the same suite names; Debian's is the one that has an updates suite beside it.
pub fn mirrors(uris: &str) -> Vec<String> {
    let releases: Vec<(&str, &str)> = uris
        .lines()
        .filter_map(|line| line.strip_prefix('\'')?.split('\'').next())
        .filter_map(|uri| uri.strip_suffix("/InRelease")?.rsplit_once("/dists/"))
        .collect();
    let has = |base: &str, suite: &str| releases.contains(&(base, suite));
    let mut found: Vec<(bool, &str)> = Vec::new();
    for (base, suite) in &releases {
        let entry = (!has(base, &format!("{suite}-updates")), *base);
        if SUITES.contains(suite) && !found.iter().any(|(_, known)| known == base) {
            found.push(entry);
        }
    }
    found.sort_by_key(|(alone, _)| *alone); // stable: within a rank the order of the configuration
    found.into_iter().map(|(_, base)| base.to_owned()).collect()
}

/// How apt reaches mirrors on this machine (proxies, certificates, checks of dates), from what `apt-config dump` prints:
/// the lines another apt needs to reach the same mirrors.
pub fn settings(dump: &str) -> Vec<String> {
    let transport =
        ["Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::Max-ValidTime"];
    dump.lines()
        .filter(|line| transport.iter().any(|prefix| line.starts_with(prefix)) && !line.ends_with(" \"\";"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_with_an_updates_suite_comes_first() {
        let uris = "\
'https://apps.example/wine/dists/bookworm/InRelease' apps 0 \n\
'http://mirror.example/debian/dists/bookworm/InRelease' a 0 \n\
'http://mirror.example/debian/dists/bookworm-updates/InRelease' b 0 \n\
'http://mirror.example/debian-security/dists/bookworm-security/InRelease' c 0 \n\
'https://node.example/node/dists/nodistro/InRelease' d 0 \n\
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' e 0 \n";
        assert_eq!(mirrors(uris), ["http://mirror.example/debian", "https://apps.example/wine"]);
        assert_eq!(mirrors("'http://other.example/ubuntu/dists/noble/InRelease' a 0"), Vec::<String>::new());
    }

    #[test]
    fn settings_are_those_that_say_how_to_reach_a_mirror() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\nAcquire::https \"\";\n\
                    Acquire::Check-Valid-Until \"false\";\nAcquire::Languages \"none\";\nAPT::Architecture \"amd64\";\n";
        assert_eq!(
            settings(dump),
            ["Acquire::http::Proxy \"http://proxy.example:3128\";", "Acquire::Check-Valid-Until \"false\";"]
        );
    }
}
