//! Nomad's configuration in its JSON form, as far as the double heeds it; blocks may be objects or lists of them, as HCL's JSON has it.
//! May not open a port.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Map, Value};

use super::blocks::{block, flag, named, number, text_of};

/// What the double heeds.
#[expect(clippy::struct_excessive_bools, reason = "they are Nomad's")]
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    pub region: String,
    pub datacenter: String,
    pub name: Option<String>,
    pub data_dir: PathBuf,
    pub bind: Option<IpAddr>,
    /// By `http`, `rpc`, `serf`.
    pub addresses: BTreeMap<String, IpAddr>,
    pub advertise: BTreeMap<String, String>,
    pub ports: BTreeMap<String, u16>,
    pub server: bool,
    pub bootstrap_expect: u64,
    pub encrypt: Option<String>,
    pub client: bool,
    pub interface: Option<String>,
    /// By name: prefixes and an interface.
    pub host_networks: BTreeMap<String, HostNetwork>,
    pub chroot: Option<BTreeMap<String, String>>,
    pub dynamic_ports: (u16, u16),
    pub meta: BTreeMap<String, String>,
    pub acl: bool,
    pub consul: Consul,
    pub tls: Tls,
    pub raw_exec: bool,
    /// Which capabilities `exec` may give a task, when that is said.
    pub allow_caps: Option<Vec<String>>,
}

/// The block `tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub http: bool,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A `client.host_network`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostNetwork {
    pub cidr: Vec<String>,
    pub interface: Option<String>,
}

/// The block `consul`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Consul {
    pub address: String,
    /// The CA of its servers, when it is asked by TLS.
    pub ca: Option<PathBuf>,
    pub ssl: bool,
    pub token: Option<String>,
    pub auto_advertise: bool,
    pub checks_use_advertise: bool,
}

/// Known keys, by block; what is not here is an error, as in Nomad.
const KEYS: &[(&str, &str)] = &[
    (
        "",
        "acl addresses advertise audit autopilot bind_addr client consul data_dir datacenter \
         disable_anonymous_signature disable_update_check enable_debug enable_syslog \
         http_api_response_headers leave_on_interrupt leave_on_terminate limits log_file log_json log_level \
         log_rotate_bytes log_rotate_duration log_rotate_max_files name plugin plugin_dir ports region \
         sentinel server syslog_facility telemetry tls ui vault",
    ),
    (
        "server",
        "acl_token_gc_threshold authoritative_region bootstrap_expect csi_plugin_gc_threshold \
         csi_volume_claim_gc_threshold data_dir default_scheduler_config deploy_query_rate_limit \
         deployment_gc_threshold enable_event_broker enabled enabled_schedulers encrypt eval_gc_threshold \
         event_buffer_size failover_heartbeat_ttl heartbeat_grace job_gc_interval job_gc_threshold \
         license_path max_heartbeats_per_second min_heartbeat_ttl node_gc_threshold non_voting_server \
         num_schedulers plan_rejection_tracker protocol_version raft_boltdb raft_multiplier raft_protocol \
         redundancy_zone rejoin_after_leave retry_interval retry_join retry_max root_key_gc_interval \
         root_key_gc_threshold root_key_rotation_threshold search server_join start_join upgrade_version",
    ),
    (
        "client",
        "alloc_dir artifact bind_wildcard_default_host_network bridge_network_name bridge_network_subnet \
         cgroup_parent chroot_env client_max_port client_min_port cni_config_dir cni_path cpu_total_compute \
         disable_remote_exec enabled gc_disk_usage_threshold gc_inode_usage_threshold gc_interval \
         gc_max_allocs gc_parallel_destroys host_network host_volume max_dynamic_port max_kill_timeout \
         memory_total_mb meta min_dynamic_port network_interface network_speed no_host_uuid node_class \
         nomad_service_discovery options reservable_cores reserved server_join servers state_dir stats \
         template",
    ),
    ("acl", "enabled policy_ttl replication_token token_max_expiration_ttl token_min_expiration_ttl token_ttl"),
    (
        "consul",
        "address allow_unauthenticated auth auto_advertise ca_file cert_file checks_use_advertise \
         client_auto_join client_http_check_name client_service_name grpc_address key_file namespace \
         server_auto_join server_http_check_name server_rpc_check_name server_serf_check_name \
         server_service_name share_ssl ssl tags timeout token verify_ssl",
    ),
    (
        "tls",
        "ca_file cert_file http key_file rpc rpc_upgrade_mode tls_cipher_suites tls_min_version \
         tls_prefer_server_cipher_suites verify_https_client verify_server_hostname",
    ),
    ("addresses", "http rpc serf"),
    ("advertise", "http rpc serf"),
    ("ports", "http rpc serf"),
];

/// Reads a file.
pub fn read(path: &Path) -> Result<Config, String> {
    let wrap = |error: String| {
        format!("1 error occurred:\n\t* Error loading configuration from {}: {error}\n\n", path.display())
    };
    let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => wrap(format!("stat {}: no such file or directory", path.display())),
        _ => wrap(format!("Error loading {}: {error}", path.display())),
    })?;
    parse(&text).map_err(|error| wrap(format!("Error loading {}: {error}", path.display())))
}

/// Reads a text.
pub fn parse(text: &str) -> Result<Config, String> {
    let top: Value = serde_json::from_str(text)
        .map_err(|error| format!("failed to decode HCL file: {error} (the double reads the JSON form only)"))?;
    let top = top.as_object().ok_or("failed to decode HCL file: the top is no object")?;
    let (server, client, acl, consul) =
        (block(top, "server"), block(top, "client"), block(top, "acl"), block(top, "consul"));
    known("", top)?;
    let tls = block(top, "tls");
    for (name, keys) in [("server", &server), ("client", &client), ("acl", &acl), ("consul", &consul), ("tls", &tls)] {
        known(name, keys)?;
    }
    let (addresses, ports, advertise) = (block(top, "addresses"), block(top, "ports"), block(top, "advertise"));
    for (name, keys) in [("addresses", &addresses), ("ports", &ports), ("advertise", &advertise)] {
        known(name, keys)?;
    }
    let port = |map: &Map<String, Value>, key: &str| number(map, key).map(|n| n.and_then(|n| u16::try_from(n).ok()));
    let allow_caps = named(top.get("plugin")).into_iter().find(|(name, _)| name == "exec").and_then(|(_, plugin)| {
        let config = block(&plugin, "config");
        let names = config.get("allow_caps")?.as_array()?;
        Some(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    });
    Ok(Config {
        allow_caps,
        region: text_of(top, "region").unwrap_or_else(|| "global".into()),
        datacenter: text_of(top, "datacenter").unwrap_or_else(|| "dc1".into()),
        name: text_of(top, "name"),
        data_dir: text_of(top, "data_dir").unwrap_or_default().into(),
        bind: text_of(top, "bind_addr").map(|text| ip(&text)).transpose()?,
        addresses: addresses
            .keys()
            .filter_map(|key| text_of(&addresses, key).map(|text| Ok((key.clone(), ip(&text)?))))
            .collect::<Result<_, String>>()?,
        advertise: advertise.keys().filter_map(|key| Some((key.clone(), text_of(&advertise, key)?))).collect(),
        ports: ports
            .keys()
            .filter_map(|key| port(&ports, key).transpose().map(|port| Ok((key.clone(), port?))))
            .collect::<Result<_, String>>()?,
        server: flag(&server, "enabled")?.unwrap_or(false),
        bootstrap_expect: number(&server, "bootstrap_expect")?.unwrap_or(0),
        encrypt: text_of(&server, "encrypt"),
        client: flag(&client, "enabled")?.unwrap_or(false),
        interface: text_of(&client, "network_interface"),
        host_networks: named(client.get("host_network"))
            .into_iter()
            .map(|(name, keys)| {
                let cidr = text_of(&keys, "cidr").unwrap_or_default();
                let cidr = cidr.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
                (name, HostNetwork { cidr, interface: text_of(&keys, "interface") })
            })
            .collect(),
        chroot: client.contains_key("chroot_env").then(|| {
            let entries = block(&client, "chroot_env");
            entries.keys().filter_map(|key| Some((key.clone(), text_of(&entries, key)?))).collect()
        }),
        dynamic_ports: (
            port(&client, "min_dynamic_port")?.unwrap_or(20_000),
            port(&client, "max_dynamic_port")?.unwrap_or(32_000),
        ),
        meta: {
            let meta = block(&client, "meta");
            meta.keys().filter_map(|key| Some((key.clone(), text_of(&meta, key)?))).collect()
        },
        acl: flag(&acl, "enabled")?.unwrap_or(false),
        consul: Consul {
            address: text_of(&consul, "address").unwrap_or_else(|| "127.0.0.1:8500".into()),
            ca: text_of(&consul, "ca_file").map(PathBuf::from),
            ssl: flag(&consul, "ssl")?.unwrap_or(false),
            token: text_of(&consul, "token"),
            auto_advertise: flag(&consul, "auto_advertise")?.unwrap_or(true),
            checks_use_advertise: flag(&consul, "checks_use_advertise")?.unwrap_or(false),
        },
        tls: Tls {
            http: flag(&tls, "http")?.unwrap_or(false),
            certificate: text_of(&tls, "cert_file").unwrap_or_default().into(),
            key: text_of(&tls, "key_file").unwrap_or_default().into(),
        },
        raw_exec: match named(top.get("plugin")).into_iter().find(|(name, _)| name == "raw_exec") {
            Some((_, plugin)) => flag(&block(&plugin, "config"), "enabled")?.unwrap_or(false),
            None => text_of(&block(&client, "options"), "driver.raw_exec.enable").is_some_and(|value| value == "true"),
        },
    })
}

impl Config {
    /// What Nomad refuses before it starts.
    pub fn validate(&self) -> Result<(), String> {
        let invalid = |text: String| Err(format!("{text}\nConfiguration is invalid"));
        if !self.server && !self.client {
            return invalid("Must specify either server, client or dev mode for the agent.".into());
        }
        if self.data_dir.as_os_str().is_empty() {
            return invalid("Must specify \"data_dir\" config option or \"data-dir\" CLI flag".into());
        }
        if !self.data_dir.is_absolute() {
            return invalid(format!("data-dir must be given as an absolute path: got {}", self.data_dir.display()));
        }
        if let Some(key) = &self.encrypt {
            match base64::engine::general_purpose::STANDARD.decode(key) {
                Ok(bytes) if matches!(bytes.len(), 16 | 24 | 32) => {}
                Ok(_) => return invalid("Invalid encryption key: key size must be 16, 24 or 32 bytes".into()),
                Err(error) => return invalid(format!("Invalid encryption key: {error}")),
            }
        }
        Ok(())
    }

    /// The port of `http`, `rpc` or `serf`.
    pub fn port(&self, of: &str) -> u16 {
        let default = match of {
            "http" => 4646,
            "rpc" => 4647,
            _ => 4648,
        };
        self.ports.get(of).copied().unwrap_or(default)
    }

    /// Where `http`, `rpc` or `serf` listens.
    pub fn address(&self, of: &str) -> IpAddr {
        self.addresses.get(of).copied().or(self.bind).unwrap_or(IpAddr::from([0, 0, 0, 0]))
    }

    /// What others are told of `http`, `rpc` or `serf`: an address and a port. A loopback address must be advertised in so many words.
    pub fn advertised(&self, of: &str) -> Result<String, String> {
        let port = self.port(of);
        if let Some(said) = self.advertise.get(of) {
            return Ok(if said.contains(':') && !said.starts_with('[') && said.matches(':').count() == 1 {
                said.clone()
            } else {
                format!("{said}:{port}")
            });
        }
        let address = self.address(of);
        if address.is_loopback() {
            return Err(format!(
                "Failed to parse {} advertise address (, {address}, {port}, false): Defaulting advertise to localhost \
                 is unsafe, please set advertise manually",
                of.to_uppercase().replace("SERF", "Serf")
            ));
        }
        Ok(format!("{address}:{port}"))
    }
}

fn known(name: &str, keys: &Map<String, Value>) -> Result<(), String> {
    let all = KEYS.iter().find(|(block, _)| *block == name).map_or("", |(_, keys)| keys);
    let strange: Vec<&str> =
        keys.keys().map(String::as_str).filter(|key| !all.split(' ').any(|known| known == *key)).collect();
    match (strange.is_empty(), name) {
        (true, _) => Ok(()),
        (false, "") => Err(format!("unexpected keys {}", strange.join(", "))),
        (false, _) => Err(format!("{name} unexpected keys {}", strange.join(", "))),
    }
}

fn ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("the double takes literal addresses only, not {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_may_be_objects_or_lists() {
        let listed = r#"{"data_dir":"/d","server":[{"enabled":true,"bootstrap_expect":1}],"client":[{"enabled":true,
            "host_network":[{"default":[{"cidr":"10.0.0.0/8"}]},{"public":{"interface":"bond0"}}]}],
            "plugin":[{"raw_exec":[{"config":[{"enabled":true}]}]}],"acl":{"enabled":"true"}}"#;
        let plain = r#"{"data_dir":"/d","server":{"enabled":true,"bootstrap_expect":1},"client":{"enabled":true,
            "host_network":{"default":{"cidr":"10.0.0.0/8"},"public":{"interface":"bond0"}}},
            "plugin":{"raw_exec":{"config":{"enabled":true}}},"acl":{"enabled":true}}"#;
        let config = parse(listed).unwrap();
        assert_eq!(config, parse(plain).unwrap());
        assert!(config.raw_exec && config.acl && config.server);
        assert_eq!(config.host_networks["default"].cidr, ["10.0.0.0/8"]);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn tls_is_read_of_both_blocks() {
        let config = parse(
            r#"{"tls":{"http":true,"rpc":true,"ca_file":"/ca","cert_file":"/c","key_file":"/k","verify_server_hostname":true},
            "consul":{"address":"127.0.0.1:8501","ssl":true,"ca_file":"/ca"}}"#,
        )
        .unwrap();
        assert_eq!(config.tls, Tls { http: true, certificate: "/c".into(), key: "/k".into() });
        assert_eq!((config.consul.ssl, config.consul.ca), (true, Some("/ca".into())));
        assert_eq!(parse(r#"{"tls":{"foo":1}}"#).unwrap_err(), "tls unexpected keys foo");
    }

    #[test]
    fn an_unknown_key_is_an_error_in_nomads_words() {
        assert_eq!(parse(r#"{"foo":1}"#).unwrap_err(), "unexpected keys foo");
        assert_eq!(parse(r#"{"server":{"foo":1}}"#).unwrap_err(), "server unexpected keys foo");
    }

    #[test]
    fn what_nomad_refuses_is_refused() {
        let error = |text: &str| parse(text).unwrap().validate().unwrap_err();
        assert!(error("{}").starts_with("Must specify either server, client or dev mode"));
        assert!(error(r#"{"data_dir":"rel","client":{"enabled":true}}"#).contains("got rel"));
        let short = r#"{"data_dir":"/x","server":{"enabled":true,"encrypt":"short"}}"#;
        assert!(error(short).starts_with("Invalid encryption key"));
        let local = parse(r#"{"data_dir":"/x","bind_addr":"127.0.0.1","client":{"enabled":true}}"#).unwrap();
        assert!(local.advertised("http").unwrap_err().contains("Defaulting advertise to localhost is unsafe"));
    }
}
