//! Routers and the servers behind them, made of the tags of instances.
//! May not connect to anything.

use std::collections::BTreeMap;

use super::catalogue::Instance;
use super::rule::{self, Rule};
use super::settings::Catalogue;

/// All routers, the longest rule first.
#[derive(Debug, Clone, Default)]
pub struct Table(Vec<Router>);

/// A router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    pub name: String,
    pub rule: Rule,
    length: usize,
    entries: Vec<String>,
    tls: bool,
    /// Addresses and ports.
    pub servers: Vec<(String, u16)>,
}

impl Table {
    /// The router of a plain request.
    pub fn route(&self, entry: &str, host: &str, path: &str) -> Option<&Router> {
        self.0.iter().find(|router| {
            !router.tls
                && (router.entries.is_empty() && entry != "traefik" || router.entries.iter().any(|name| name == entry))
                && router.rule.fits(host, path)
        })
    }
}

/// The table of these instances, and what is wrong with tags.
pub fn of(instances: &[Instance], catalogue: &Catalogue) -> (Table, Vec<String>) {
    let mut routers: BTreeMap<String, Router> = BTreeMap::new();
    let mut wrong = Vec::new();
    for instance in instances {
        let front = format!("{}.", catalogue.prefix);
        let tags: Vec<(&str, &str)> =
            instance.tags.iter().filter_map(|tag| tag.strip_prefix(&front)?.split_once('=')).collect();
        let enabled = tags.iter().find(|(key, _)| *key == "enable").map(|(_, value)| *value == "true");
        if !enabled.unwrap_or(catalogue.exposed) {
            continue;
        }
        let port = tags
            .iter()
            .find(|(key, _)| key.starts_with("http.services.") && key.ends_with(".loadbalancer.server.port"))
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(instance.port);
        match made(&tags) {
            Ok(made) => {
                for router in made {
                    let entry = routers.entry(router.name.clone()).or_insert(router);
                    entry.servers.push((instance.address.clone(), port));
                }
            }
            Err(error) => wrong.push(format!("service {:?} error: {error}", instance.service)),
        }
    }
    let mut all: Vec<Router> = routers.into_values().collect();
    all.sort_by_key(|router| std::cmp::Reverse(router.length));
    (Table(all), wrong)
}

/// The routers that tags describe.
fn made(tags: &[(&str, &str)]) -> Result<Vec<Router>, String> {
    let mut named: BTreeMap<&str, BTreeMap<String, &str>> = BTreeMap::new();
    for (key, value) in tags {
        if let Some((name, field)) = key.strip_prefix("http.routers.").and_then(|key| key.split_once('.')) {
            named.entry(name).or_default().insert(field.to_lowercase(), value);
        }
    }
    named
        .into_iter()
        .map(|(name, fields)| {
            let known = ["rule", "entrypoints", "tls", "service", "priority"];
            if let Some(strange) =
                fields.keys().find(|field| !known.contains(&field.as_str()) && !field.starts_with("tls."))
            {
                return Err(format!("the double knows no field {strange} of router {name}"));
            }
            let text = fields.get("rule").copied().ok_or_else(|| format!("router {name} has no rule"))?;
            let entries = fields.get("entrypoints").copied().unwrap_or_default();
            Ok(Router {
                name: name.to_owned(),
                rule: rule::parse(text)?,
                length: fields.get("priority").and_then(|priority| priority.parse().ok()).unwrap_or(text.len()),
                entries: entries
                    .split(',')
                    .filter(|part| !part.is_empty())
                    .map(|part| part.trim().to_lowercase())
                    .collect(),
                tls: fields.get("tls").is_some_and(|value| *value == "true")
                    || fields.keys().any(|field| field.starts_with("tls.")),
                servers: Vec::new(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(port: u16, tags: &[&str]) -> Instance {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Instance { service: "s".into(), tags, address: "10.0.0.2".into(), port }
    }

    fn catalogue() -> Catalogue {
        Catalogue { prefix: "traefik".into(), ..Catalogue::default() }
    }

    #[test]
    fn instances_of_one_router_share_its_requests_and_the_longest_rule_wins() {
        let hippo = [
            "traefik.enable=true",
            "traefik.http.routers.hippo.rule=Host(`h.a`) || Host(`h.b`)",
            "traefik.http.routers.hippo.entrypoints=web",
        ];
        let path =
            ["traefik.enable=true", "traefik.http.routers.path.rule=Host(`h.a`) && PathPrefix(`/deep/deep/deep`)"];
        let hidden = ["traefik.http.routers.x.rule=Host(`x`)"];
        let (table, wrong) =
            of(&[instance(1, &hippo), instance(2, &hippo), instance(3, &path), instance(4, &hidden)], &catalogue());
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(table.route("web", "h.b", "/").unwrap().servers.len(), 2);
        assert_eq!(table.route("web", "h.a", "/deep/deep/deep").unwrap().name, "path");
        assert_eq!(table.route("other", "h.b", "/"), None);
        assert_eq!(table.route("web", "x", "/"), None);
        assert_eq!(table.route("traefik", "h.a", "/deep/deep/deep"), None);
    }

    #[test]
    fn a_router_with_tls_is_not_served_plain_and_a_strange_tag_is_said() {
        let tls = ["traefik.enable=true", "traefik.http.routers.s.rule=Host(`s`)", "traefik.http.routers.s.tls=true"];
        let strange =
            ["traefik.enable=true", "traefik.http.routers.m.rule=Host(`m`)", "traefik.http.routers.m.middlewares=x"];
        let (table, wrong) = of(&[instance(1, &tls), instance(2, &strange)], &catalogue());
        assert_eq!(table.route("web", "s", "/"), None);
        assert_eq!(wrong, ["service \"s\" error: the double knows no field middlewares of router m"]);
    }
}
