//! What a platform needs in a cloud-config, and what its cloud-init leaves undone. The only room of the builder's that knows one by name.
//! May not decide: `merge` adds, `rules` refuses, `userdata` warns.

use serde_yaml::{Mapping, Value};

/// How a platform treats a cloud-config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// Top-level keys every user-data gets, YAML.
    keys: &'static str,
    /// Top-level keys whose modules its cloud-init does not run, though it accepts them.
    pub idle: &'static [&'static str],
}

/// Equinix Metal's installer replaces `/etc/cloud/cloud.cfg`, and with it the lists of modules (its osie.sh, October 2021). Its EC2-like
/// source is no cloud that cloud-init knows by name, of which it warns at every login unless told not to.
const EQUINIX_METAL: Platform = Platform {
    keys: "datasource: {Ec2: {strict_id: false}}",
    idle: &[
        "ansible",
        "apk_repos",
        "ca-certs",
        "ca_certs",
        "disk_setup",
        "fan",
        "fs_setup",
        "keyboard",
        "landscape",
        "lxd",
        "ntp",
        "power_state",
        "random_seed",
        "resolv_conf",
        "rh_subscription",
        "snap",
        "spacewalk",
        "ssh_import_id",
        "ubuntu_advantage",
        "ubuntu_pro",
        "wireguard",
        "zypper",
    ],
};

const ANY: Platform = Platform { keys: "{}", idle: &[] };

/// The platform of that name; one that is not known needs nothing and is trusted to run everything.
pub fn named(name: &str) -> Platform {
    if name == "equinix-metal" { EQUINIX_METAL } else { ANY }
}

impl Platform {
    /// The keys, as a document.
    pub fn document(self) -> Mapping {
        let keys: Value = serde_yaml::from_str(self.keys).expect("the constants above are YAML: a test reads them");
        keys.as_mapping().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equinix_metal_gets_its_data_source_and_others_nothing() {
        assert_eq!(
            serde_yaml::to_string(&named("equinix-metal").document()).unwrap(),
            "datasource:\n  Ec2:\n    strict_id: false\n"
        );
        assert!(named("file").document().is_empty());
    }
}
