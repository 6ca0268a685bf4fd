//! What a platform needs in a cloud-config, what its cloud-init leaves undone, and what its metadata can hold. The only room of the builder's
//! that knows one by name. May not decide: `merge` adds, `rules` refuses, `userdata` and `site` say what does not fit.

use serde_yaml::{Mapping, Value};

/// How a platform treats a cloud-config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    /// Top-level keys every user-data gets, YAML.
    keys: &'static str,
    /// Top-level keys whose modules its cloud-init does not run, though it accepts them.
    pub idle: &'static [&'static str],
    /// Whether its metadata tells the password of the BGP sessions, where they have one.
    pub tells_password: bool,
    /// Whether its metadata has custom data, which the operator sets for each machine.
    pub customdata: bool,
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
    tells_password: true,
    customdata: true,
};

/// cloud-init knows Vultr by name. Its BGP always has a password, which only the panel shows.
const VULTR: Platform = Platform { keys: "{}", idle: &[], tells_password: false, customdata: false };

/// The machine's own document tells what there is to tell.
const FILE: Platform = Platform { keys: "{}", idle: &[], tells_password: true, customdata: false };

/// Every platform, by name.
pub const ALL: [(&str, Platform); 3] = [("equinix-metal", EQUINIX_METAL), ("vultr", VULTR), ("file", FILE)];

/// The platform of that name; one that is not known needs nothing and is trusted to run everything.
pub fn named(name: &str) -> Platform {
    let any = Platform { keys: "{}", idle: &[], tells_password: true, customdata: true };
    ALL.into_iter().find(|(known, _)| *known == name).map_or(any, |(_, platform)| platform)
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
        for name in ["vultr", "file", "moonbase"] {
            assert!(named(name).document().is_empty(), "{name}");
        }
    }
}
