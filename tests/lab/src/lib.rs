//! The lab: fake servers, doubles and namespaces the suites run against; never shipped.
//! May not hold an assertion: suites judge, the lab only plays.

pub mod archive;
pub mod authority;
pub mod bgp;
mod cgroup;
pub mod cloud_init;
pub mod debian;
pub mod disk;
pub mod elsewhere;
pub mod http;
pub mod init_double;
pub mod namespace;
pub mod node;
pub mod openpgp;
pub mod openssl;
pub mod outside;
pub mod program;
pub mod scan;
pub mod shipped;
pub mod speaker;
pub mod switch;
pub mod systemd;
pub mod tenant;
pub mod thief;
pub mod tls;
pub mod topology;
pub mod wait;
