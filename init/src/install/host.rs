//! A program the operating system must have: which version it says it is, and whether that will do.
//! May not install anything: the image or cloud-init does.

use std::ffi::OsStr;
use std::time::Duration;

use anymetal_contract::Reason;
use anymetal_contract::plan::{Component, HostPackage};

use crate::sys::process;
use anymetal_supply::failure::Failure;

/// How long a program may take to print its version; a cold disk under software emulation needs a second or two.
const PATIENCE: Duration = Duration::from_secs(20);

/// The version of the host's program, when it is at least the component's.
pub(super) fn check(component: &Component, host: &HostPackage, path: &OsStr) -> Result<String, Failure> {
    let HostPackage { package, program, version_argument } = host;
    let lowest = &component.version;
    let missing = |words: String| Failure::new(Reason::HostPackageMissing, words);
    let Some(found) = process::find(program, path) else {
        return Err(missing(format!(
            "the package {package} is needed, at least {lowest}: there is no program {program}"
        )));
    };
    let printed = process::run(&found, &[version_argument], PATIENCE)
        .map_err(|error| Failure { reason: Reason::HostPackageMissing, error })?
        .output;
    let shown = found.display();
    let Some(version) = version_in(&printed) else {
        let first =
            printed.lines().find(|line| !line.trim().is_empty()).unwrap_or("").chars().take(200).collect::<String>();
        return Err(missing(format!(
            "the package {package} is needed, at least {lowest}: {shown} {version_argument} names no version, it prints {first:?}"
        )));
    };
    if numbers(&version) < numbers(lowest) {
        return Err(missing(format!(
            "the package {package} is too old: {shown} is {version}, at least {lowest} is needed"
        )));
    }
    Ok(version)
}

/// The first `x.y` or `x.y.z…` in a text.
fn version_in(text: &str) -> Option<String> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '.')).find_map(|word| {
        let word = word.strip_prefix('v').unwrap_or(word);
        let end = word.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(word.len());
        let version = word[..end].trim_end_matches('.');
        let parts = version.split('.').count();
        (parts >= 2 && version.split('.').all(|part| !part.is_empty())).then(|| version.to_owned())
    })
}

/// A version's numbers, without zeros at the end: `2.0` and `2.0.0` are the same.
fn numbers(version: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = version
        .split('.')
        .map(|part| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0))
        .collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_version_in_what_programs_print_is_found() {
        for (text, version) in [
            ("BIRD version 2.0.12\n", Some("2.0.12")),
            ("Consul v1.8.7\nRevision abc", Some("1.8.7")),
            ("\nnginx version: nginx/1.22.1", Some("1.22.1")),
            ("systemd 252 (252.39-1~deb12u1)", Some("252.39")),
            ("tool 3.1.\n", Some("3.1")),
            ("GNU bash, version 5.2.15(1)-release", Some("5.2.15")),
            ("program 7", None),
            ("..", None),
            ("", None),
        ] {
            assert_eq!(version_in(text).as_deref(), version, "{text:?}");
        }
    }

    #[test]
    fn versions_are_compared_by_number() {
        for (lower, higher) in [("2.0.7", "2.0.12"), ("2.0", "2.0.1"), ("1.99", "2.0"), ("2.9.1", "2.10")] {
            assert!(numbers(lower) < numbers(higher), "{lower} {higher}");
        }
        assert_eq!(numbers("2.0"), numbers("2.0.0"));
    }
}
