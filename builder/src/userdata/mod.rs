//! A plan to a cloud-config.
