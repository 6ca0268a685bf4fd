//! Who may push to Bindle, as one line of an htpasswd file: the node gets a hash, never the password.
//! May not ask for random bytes: the salt is the author's, so that the same secrets make the same line every time.

use super::secret::Secret;

/// bcrypt's rounds, as a power of two: what `htpasswd -B` and most libraries take for a default of today.
const COST: u32 = 10;
/// bcrypt looks at no more bytes of a password than these.
pub(super) const LONGEST: usize = 72;

/// `user:$2y$…`. Bindle's own reader takes no other prefix than `$2y$`.
pub(super) fn line(user: &str, password: &Secret, salt: [u8; 16]) -> Secret {
    let parts = bcrypt::hash_with_salt(password.expose(), COST, salt).expect("the cost is one that bcrypt has");
    Secret::new(format!("{user}:{}", parts.format_for_version(bcrypt::Version::TwoY)))
}

#[cfg(test)]
mod tests {
    use anymetal_contract::secrets::Shape;

    use super::*;

    #[test]
    fn the_line_is_the_same_every_time_and_verifies() {
        let made = || line("admin", &Secret::new("correct-horse"), *b"0123456789abcdef");
        let line = made();
        assert_eq!(line, made());
        assert_eq!(Shape::Htpasswd.judge(line.expose()), Ok(()));
        let hash = line.expose().strip_prefix("admin:").unwrap();
        assert!(hash.starts_with("$2y$10$"), "{hash}");
        assert!(bcrypt::verify("correct-horse", hash).unwrap() && !bcrypt::verify("correct-house", hash).unwrap());
    }

    #[test]
    fn it_is_the_one_that_others_make_of_the_same_salt() {
        // Made with libxcrypt: crypt("correct-horse", "$2y$10$KBCwKxOzLha2MUDgW0PjXe") in Python on Debian 12.
        let expected = "admin:$2y$10$KBCwKxOzLha2MUDgW0PjXeCT5CIl4cY2YnyxnIzwxuwuliD4rXHBC";
        let salt = *b"0123456789abcdef";
        assert_eq!(line("admin", &Secret::new("correct-horse"), salt).expose(), expected);
    }
}
