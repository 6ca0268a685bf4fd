//! The lab: fake servers, doubles and namespaces the suites run against; never shipped.
//! May not hold an assertion: suites judge, the lab only plays.

pub mod cloud_init;
pub mod http;
pub mod node;
pub mod shipped;
pub mod archive;
pub mod disk;
pub mod http;
pub mod tls;
pub mod init_double;
pub mod openssl;
