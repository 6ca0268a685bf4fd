//! What Consul's catalogue says, with the token it is asked with.
//! May not make routes of it: `table` does.

use serde_json::Value;

use super::settings::Catalogue;
use crate::http;

/// An instance of a service that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub service: String,
    pub tags: Vec<String>,
    pub address: String,
    pub port: u16,
}

/// Every instance that passes or only warns, of services that have a tag of ours.
pub fn services(catalogue: &Catalogue) -> Result<Vec<Instance>, String> {
    let named = ask(catalogue, "/v1/catalog/services")
        .map_err(|error| format!("unable to get consul services list: {error}"))?;
    let mut all = Vec::new();
    for (name, tags) in named.as_object().into_iter().flatten() {
        let mut tags = tags.as_array().into_iter().flatten().filter_map(Value::as_str);
        if !catalogue.exposed && !tags.any(|tag| tag.starts_with(&format!("{}.", catalogue.prefix))) {
            continue;
        }
        let entries = ask(catalogue, &format!("/v1/health/service/{name}"))?;
        all.extend(entries.as_array().into_iter().flatten().filter_map(instance));
    }
    Ok(all)
}

/// An entry of the health API, when its checks allow it.
fn instance(entry: &Value) -> Option<Instance> {
    let mut checks = entry["Checks"].as_array().into_iter().flatten();
    if !checks.all(|check| check["Status"] == "passing" || check["Status"] == "warning") {
        return None;
    }
    let service = &entry["Service"];
    let own = service["Address"].as_str().filter(|address| !address.is_empty());
    Some(Instance {
        service: service["Service"].as_str()?.to_owned(),
        tags: service["Tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        address: own.or(entry["Node"]["Address"].as_str())?.to_owned(),
        port: u16::try_from(service["Port"].as_u64()?).ok()?,
    })
}

fn ask(catalogue: &Catalogue, path: &str) -> Result<Value, String> {
    let headers: Vec<(&str, &str)> =
        catalogue.token.as_deref().map(|token| ("X-Consul-Token", token)).into_iter().collect();
    let (status, body) =
        http::ask_by(catalogue.ca.as_deref(), "GET", &format!("{}{path}", catalogue.url), &headers, None)?;
    if status != 200 {
        return Err(format!("Unexpected response code: {status} ({})", String::from_utf8_lossy(&body).trim()));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_instances_that_are_well_count_and_the_node_lends_its_address() {
        let entry = |status: &str, address: &str| {
            json!({"Node": {"Address": "10.0.0.1"}, "Checks": [{"Status": "passing"}, {"Status": status}],
                "Service": {"Service": "hippo", "Address": address, "Port": 5000, "Tags": ["traefik.enable=true"]}})
        };
        assert_eq!(instance(&entry("critical", "")), None);
        assert_eq!(instance(&entry("warning", "")).unwrap().address, "10.0.0.1");
        assert_eq!(instance(&entry("passing", "10.0.0.2")).unwrap().address, "10.0.0.2");
    }
}
