//! Amounts of bytes as people read them.
//! May not be used where a program reads: events carry plain numbers.

use std::fmt;

/// So many bytes, written in decimal units with one digit after the point: `41.3 MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount(pub u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
        for (unit, name) in UNITS {
            if self.0 >= unit {
                let tenths = u128::from(self.0) * 10 / u128::from(unit);
                return write!(f, "{}.{} {name}", tenths / 10, tenths % 10);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_decimal_with_one_digit_after_the_point() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (41_399_999, "41.3 MB"),
            (2_147_483_648, "2.1 GB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(Amount(bytes).to_string(), text);
        }
    }
}
