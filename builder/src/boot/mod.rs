//! A test boot: QEMU against a simulated platform.
