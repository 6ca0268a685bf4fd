//! The size limit of user-data: where it is, why, and what is said when it is passed.
//! May not make a part smaller.

use std::fmt::Write as _;

/// What a user-data may have unless its author allows more, in bytes. No platform of ours documents a limit of its own; EC2 refuses more than
/// this, and every other we know takes it.
pub const LIMIT: usize = 16 * 1024;

/// From here on a platform may refuse it or provision slowly: Hetzner, Exoscale and NVIDIA's infra-controller end here, in bytes.
const RISKY: usize = 32 * 1024;

/// From here on Equinix Metal took minutes longer (64 kB: five) or gave up (128 kB), as lokomotive-kubernetes measured, in bytes.
const PERILOUS: usize = 64 * 1024;

/// A part of the user-data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is: `plan.json`, `cloud_config[0]`.
    pub name: String,
    /// How many bytes of the text it takes.
    pub bytes: usize,
}

/// Whether the text may be as long as it is. `allowed` is what the author said with `--max-size`. `Ok` may carry a warning.
pub fn judge(total: usize, parts: &[Part], allowed: Option<usize>) -> Result<Option<String>, String> {
    let limit = allowed.unwrap_or(LIMIT);
    if total > limit {
        return Err(refusal(total, limit, parts));
    }
    Ok(match total {
        _ if total > PERILOUS => Some(format!(
            "user-data is {total} bytes: over {PERILOUS} few platforms take it, and Equinix Metal needed minutes longer or gave up"
        )),
        _ if total > RISKY => {
            Some(format!("user-data is {total} bytes: several platforms take no more than {RISKY}, try it on yours"))
        }
        _ => None,
    })
}

fn refusal(total: usize, limit: usize, parts: &[Part]) -> String {
    let mut text = format!("user-data is {total} bytes, {} over the limit of {limit}", total - limit);
    let counted: usize = parts.iter().map(|part| part.bytes).sum();
    let rest = Part { name: "the rest".to_owned(), bytes: total.saturating_sub(counted) };
    let width = parts.iter().map(|part| part.name.len()).max().unwrap_or_default().max(rest.name.len());
    for Part { name, bytes } in parts.iter().chain([&rest]) {
        let _infallible = write!(text, "\n  {name:width$}  {bytes:>7}");
    }
    let _infallible = write!(
        text,
        "\nhint: make a part smaller, or allow it with `--max-size {total}` if your platform takes that much"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Vec<Part> {
        let part = |name: &str, bytes| Part { name: name.into(), bytes };
        vec![part("plan.json", 9120), part("cloud_config[0]", 8000)]
    }

    #[test]
    fn sixteen_kibibytes_pass_and_one_byte_more_is_refused_with_the_sizes_of_the_parts() {
        assert_eq!(judge(16_384, &parts(), None), Ok(None));
        let lines = [
            "user-data is 17200 bytes, 816 over the limit of 16384",
            "  plan.json           9120",
            "  cloud_config[0]     8000",
            "  the rest              80",
            "hint: make a part smaller, or allow it with `--max-size 17200` if your platform takes that much",
        ];
        assert_eq!(judge(17_200, &parts(), None), Err(lines.join("\n")));
        assert!(judge(16_385, &[], None).is_err());
    }

    #[test]
    fn the_author_may_allow_more_or_less_and_is_warned_of_much() {
        assert_eq!(judge(32_768, &[], Some(32_768)), Ok(None));
        assert!(
            judge(32_769, &[], Some(40_000)).unwrap().unwrap().contains("several platforms take no more than 32768")
        );
        assert!(judge(65_537, &[], Some(70_000)).unwrap().unwrap().contains("over 65536 few platforms take it"));
        assert!(
            judge(1001, &[], Some(1000)).unwrap_err().starts_with("user-data is 1001 bytes, 1 over the limit of 1000")
        );
    }
}
