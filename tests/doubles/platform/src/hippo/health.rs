//! Hippo's health: its database, Bindle and Nomad, asked as Hippo asks them.
//! May not remember: every request asks anew.

use serde_json::{Value, json};

use super::accounts::Accounts;
use super::settings::Settings;
use crate::http;

/// The document of `/healthz`, and whether all is well.
pub fn report(settings: &Settings, accounts: &Accounts) -> (bool, Value) {
    document(accounts.works(), bindle(settings), nomad(settings))
}

fn bindle(settings: &Settings) -> bool {
    let headers: Vec<(&str, &str)> =
        settings.bindle.authorization.as_deref().map(|value| ("Authorization", value)).into_iter().collect();
    answers(settings, &format!("{}/_q", settings.bindle.url), &headers)
}

fn nomad(settings: &Settings) -> bool {
    let headers = [("X-Nomad-Token", settings.nomad.secret.as_str())];
    answers(settings, &format!("{}/status/leader", settings.nomad.url), &headers)
}

fn answers(settings: &Settings, url: &str, headers: &[(&str, &str)]) -> bool {
    http::ask_by(settings.nomad.ca.as_deref(), "GET", url, headers, None)
        .is_ok_and(|(status, _)| (200..300).contains(&status))
}

fn document(database: bool, bindle: bool, nomad: bool) -> (bool, Value) {
    let word = |well: bool| if well { "Healthy" } else { "Unhealthy" };
    let one = |name: &str, well: bool, described: bool| {
        let description = match (described, well) {
            (false, _) => "",
            (true, true) => "A healthy result.",
            (true, false) => "An unhealthy result.",
        };
        json!({"ServiceName": name, "Description": description, "Status": word(well), "Subservices": null})
    };
    let all = database && bindle && nomad;
    let parts = [one("ApplicationDbContext", database, false), one("Bindle", bindle, true), one("Nomad", nomad, true)];
    (all, json!({"ServiceName": "Hippo", "Description": null, "Status": word(all), "Subservices": parts}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ill_part_makes_the_whole_ill_and_is_named() {
        let (well, document) = document(true, false, true);
        assert!(!well);
        assert_eq!(document["Status"], "Unhealthy");
        let parts: Vec<String> = document["Subservices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| format!("{}:{}", part["ServiceName"], part["Status"]).replace('"', ""))
            .collect();
        assert_eq!(parts, ["ApplicationDbContext:Healthy", "Bindle:Unhealthy", "Nomad:Healthy"]);
    }
}
