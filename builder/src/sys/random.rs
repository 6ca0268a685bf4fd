//! Random bytes of the kernel.
//! May not know what they become.

use anyhow::Context as _;

/// Fills the bytes from the operating system's own generator.
pub fn fill(bytes: &mut [u8]) -> anyhow::Result<()> {
    getrandom::fill(bytes).context("asking the kernel for random bytes")
}
