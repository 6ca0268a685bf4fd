//! The job of Nomad's that a channel becomes.
//! May not send it.

use serde_json::{Value, json};

use super::settings::Settings;

/// The job of a channel that runs a bindle under a domain.
pub fn of(settings: &Settings, id: &str, bindle: &str, domain: &str) -> Value {
    let nomad = &settings.nomad;
    let router = format!("traefik.http.routers.{id}");
    let mut tags = vec!["traefik.enable=true".to_owned(), format!("{router}.rule=Host(`{domain}`)")];
    if !nomad.entrypoint.is_empty() {
        tags.push(format!("{router}.entryPoints={}", nomad.entrypoint));
    }
    if !nomad.resolver.is_empty() {
        tags.push(format!("{router}.tls=true"));
        tags.push(format!("{router}.tls.certresolver={}", nomad.resolver));
        tags.push(format!("{router}.tls.domains[0].main={domain}"));
    }
    let mut service = json!({"Name": id, "PortLabel": "http", "Provider": nomad.provider, "Tags": tags});
    if nomad.provider == "consul" {
        service["Checks"] =
            json!([{"Name": "alive", "Type": "tcp", "Interval": 10_000_000_000_i64, "Timeout": 2_000_000_000_i64}]);
    }
    let task = json!({"Name": "spin", "Driver": nomad.driver,
        "Env": {"RUST_LOG": "warn,spin=debug", "BINDLE_URL": settings.bindle.url, "SPIN_LOG_DIR": "local/log"},
        "Config": {"command": settings.spin, "args": ["up", "--listen", "${NOMAD_ADDR_http}", "--bindle", bindle]}});
    json!({"Job": {"ID": id, "Name": id, "Type": "service", "Datacenters": nomad.datacenters, "TaskGroups": [{"Name": id,
        "Networks": [{"DynamicPorts": [{"Label": "http"}]}], "Services": [service], "Tasks": [task]}]}})
}

#[cfg(test)]
mod tests {
    use super::super::settings::{Bindle, Nomad};
    use super::*;

    #[test]
    fn a_channel_becomes_the_job_hippo_makes_of_it() {
        let nomad =
            Nomad { driver: "exec".into(), provider: "consul".into(), entrypoint: "web".into(), ..Nomad::default() };
        let bindle = Bindle { url: "http://b/v1".into(), authorization: None };
        let settings = Settings { nomad, bindle, spin: "spin".into(), ..Settings::default() };
        let job = of(&settings, "g", "app/1.0.0", "app.example.org");
        let group = &job["Job"]["TaskGroups"][0];
        let tags = json!([
            "traefik.enable=true",
            "traefik.http.routers.g.rule=Host(`app.example.org`)",
            "traefik.http.routers.g.entryPoints=web"
        ]);
        assert_eq!(group["Services"][0]["Tags"], tags);
        assert_eq!(group["Services"][0]["Checks"][0]["Type"], "tcp");
        let arguments = json!(["up", "--listen", "${NOMAD_ADDR_http}", "--bindle", "app/1.0.0"]);
        assert_eq!(group["Tasks"][0]["Config"], json!({"command": "spin", "args": arguments}));
        assert!(group["Tasks"][0]["Resources"].is_null());
    }
}
