//! Where a boot happens: root, kernel command line, and what earlier phases have made.

pub(crate) struct World;
