//! How this node reaches the world outside: through which proxies, and whose certificates are believed there.
//! May not ask anybody. What is near, the metadata service, peers and this node's own APIs, has clients of its own, without any of this.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anymetal_contract::Plan;
use anymetal_supply::http::{Authority, Outside};
use anymetal_supply::proxy::{EXEMPT, HTTP, HTTPS, Proxies};
use serde::{Deserialize, Serialize};

use crate::metadata::Machine;
use crate::secret::Secret;
use crate::sys::{link, process};
use crate::world::World;

/// What is known of the way before anybody is asked. No `Debug`: there may be a password in it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Way {
    /// Those of [`HTTP`], [`HTTPS`] and [`EXEMPT`] that are set.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    proxies: BTreeMap<String, String>,
    /// Certificates of the site's own authorities, PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ca: Vec<String>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Way({:?}, {} authorities)", self.proxies.keys(), self.ca.len())
    }
}

impl Way {
    /// The way that this process's environment names.
    pub(crate) fn of_environment() -> Self {
        let names = HTTP.into_iter().chain(HTTPS).chain(EXEMPT);
        let set = names.filter_map(|name| Some((name.to_owned(), process::variable(name)?)));
        Self { proxies: set.collect(), ca: Vec::new() }
    }

    /// The same with what a plan says: the authorities that are believed too, and the proxy, unless the environment names one.
    pub(crate) fn by(&self, plan: &Plan) -> Self {
        let mut way = Self { ca: plan.ca.clone(), ..self.clone() };
        if let (true, Some(proxy)) = (way.proxies.is_empty(), &plan.proxy) {
            way.proxies = proxy.variables().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        }
        way
    }

    /// Whether nothing is said.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// For clients: never through a proxy to these networks, nor to others of this machine's own links that are private.
    pub(crate) fn outside(&self, near: impl IntoIterator<Item = (IpAddr, u8)>) -> Outside {
        let ca = self.ca.iter().filter_map(|text| Authority::all_from_pem(text.as_bytes()).ok());
        let proxies = Proxies::of(|name| self.proxies.get(name).cloned());
        let links = if proxies.is_empty() { Vec::new() } else { link::private_networks() };
        Outside::new(proxies.sparing(near.into_iter().chain(links)), ca.flatten().collect())
    }

    /// For programs of the system, as variables in lower case: what they read of the others differs.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let first = |names: &[&str]| {
            names.iter().find_map(|name| self.proxies.get(*name).filter(|value| !value.is_empty()).cloned())
        };
        let http = first(&HTTP);
        let https = first(&HTTPS);
        if http.is_none() && https.is_none() {
            return Vec::new();
        }
        let exempt = first(&EXEMPT).into_iter().chain(["localhost,127.0.0.1,::1".to_owned()]);
        let exempt = exempt.collect::<Vec<_>>().join(",");
        let all = [("http_proxy", http), ("https_proxy", https), ("no_proxy", Some(exempt))];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Passwords of proxies, to be hidden in what is told.
    pub(crate) fn hidden(&self) -> Vec<Secret> {
        let users = self.proxies.values().filter_map(|value| {
            let authority = value.split_once("://").map_or(value.as_str(), |(_, rest)| rest);
            authority.rsplit_once('@')?.0.split_once(':').map(|(_, password)| password)
        });
        users.filter(|password| !password.is_empty()).map(Secret::new).collect()
    }
}

impl World {
    /// The way out of this node, by all that is known of it by now.
    pub(crate) fn way(&self) -> Way {
        self.plan.get().map_or_else(|| self.way.clone(), |planned| self.way.by(&planned.plan))
    }

    /// The same, for clients.
    pub(crate) fn outside(&self) -> Outside {
        self.way().outside(self.machine.get().into_iter().flat_map(near))
    }
}

/// What of a machine's description is near: its metadata service and its private network.
fn near(machine: &Machine) -> impl Iterator<Item = (IpAddr, u8)> {
    let service = machine.service.iter().map(|socket| (socket.ip(), if socket.is_ipv4() { 32 } else { 128 }));
    let link = machine.private4.iter().map(|private| (IpAddr::V4(private.address), private.length));
    let subnets = machine.private_subnets.iter().map(|subnet| (IpAddr::V4(subnet.addr()), subnet.prefix_len()));
    service.chain(link).chain(subnets)
}

#[cfg(test)]
mod tests {
    use anymetal_contract::plan::Proxy;

    use super::*;

    fn way(variables: &[(&str, &str)]) -> Way {
        let proxies = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Way { proxies, ca: Vec::new() }
    }

    #[test]
    fn programs_of_the_system_get_in_lower_case_what_curl_would_read() {
        assert_eq!(way(&[("no_proxy", "a.example")]).variables(), []);
        assert_eq!(
            way(&[("ALL_PROXY", "http://p:1"), ("https_proxy", "http://q:2"), ("NO_PROXY", "a.example")]).variables(),
            [
                ("http_proxy", "http://p:1".to_owned()),
                ("https_proxy", "http://q:2".to_owned()),
                ("no_proxy", "a.example,localhost,127.0.0.1,::1".to_owned()),
            ]
        );
    }

    #[test]
    fn a_plan_adds_what_the_environment_does_not_say() {
        let proxy = Proxy { url: "http://p:1".into(), no_proxy: vec!["a.example".into()] };
        let plan = Plan { proxy: Some(proxy), ca: vec!["PEM".into()], ..Plan::default() };
        let variables = |way: &Way| way.by(&plan).proxies.into_iter().collect::<Vec<_>>();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            variables(&Way::default()),
            [pair("http_proxy", "http://p:1"), pair("https_proxy", "http://p:1"), pair("no_proxy", "a.example")]
        );
        assert_eq!(variables(&way(&[("all_proxy", "http://q:2")])), [pair("all_proxy", "http://q:2")]);
        assert_eq!(Way::default().by(&plan).ca, ["PEM"]);
    }

    #[test]
    fn a_password_is_hidden_and_a_way_is_told_by_its_names_alone() {
        let way = way(&[("http_proxy", "http://user:hunter2@p:1"), ("https_proxy", "p:2")]);
        assert_eq!(way.hidden().iter().map(Secret::expose).collect::<Vec<_>>(), ["hunter2"]);
        assert_eq!(format!("{way:?}"), r#"Way(["http_proxy", "https_proxy"], 0 authorities)"#);
    }
}
