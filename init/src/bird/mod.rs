//! BIRD, the BGP speaker: what has to be known of it besides its own words.
//! May not write its configuration: the template does.

mod password;

pub(crate) use password::unusable;
