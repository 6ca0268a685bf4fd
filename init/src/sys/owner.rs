//! Users and groups of the operating system, by name.
//! May not create any.

use anyhow::Context as _;
use nix::unistd::{Group, User, getegid, geteuid};

/// Numeric user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Owner {
    /// Whoever this process runs as.
    pub(crate) fn own() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }
}

/// The numbers of `user:group`.
pub(crate) fn named(owner: &str) -> anyhow::Result<Owner> {
    let (user, group) =
        owner.split_once(':').with_context(|| format!("reading the owner {owner:?}: no colon in it"))?;
    let user_entry = User::from_name(user)
        .with_context(|| format!("looking up the user {user}"))?
        .with_context(|| format!("the system has no user {user}"))?;
    let group_entry = Group::from_name(group)
        .with_context(|| format!("looking up the group {group}"))?
        .with_context(|| format!("the system has no group {group}"))?;
    Ok(Owner { uid: user_entry.uid.as_raw(), gid: group_entry.gid.as_raw() })
}

/// Whether this process may give files away.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_zero_and_a_missing_user_or_group_is_named() {
        assert_eq!(named("root:root").unwrap(), Owner { uid: 0, gid: 0 });
        for (owner, said) in [
            ("nobody-has-this:root", "no user nobody-has-this"),
            ("root:nor-this", "no group nor-this"),
            ("root", "no colon"),
        ] {
            let error = format!("{:#}", named(owner).unwrap_err());
            assert!(error.contains(said), "{owner} gave {error:?}");
        }
    }
}
