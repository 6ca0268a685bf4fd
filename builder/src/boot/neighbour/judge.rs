//! Whether the neighbour has been told what the site says: its prefixes, all of them, and no other.
//! May not wait: it is asked again.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::Known;

/// What is wrong while the boot goes on: a prefix that is not the site's. In a sentence.
pub fn foreign(wanted: &BTreeSet<IpNet>, known: &Known) -> Option<String> {
    let foreign: Vec<String> =
        known.routes.keys().filter(|prefix| !wanted.contains(prefix)).map(IpNet::to_string).collect();
    (!foreign.is_empty())
        .then(|| format!("the neighbour was told {}, which the site does not announce", foreign.join(", ")))
}

/// What is wrong when the node says that it is up. In a sentence.
pub fn missing(wanted: &BTreeSet<IpNet>, known: &Known) -> Option<String> {
    if !known.established {
        return Some("the node says that it is up, but it has no session with the neighbour".to_owned());
    }
    let missing: Vec<String> =
        wanted.iter().filter(|prefix| !known.routes.contains_key(prefix)).map(IpNet::to_string).collect();
    (!missing.is_empty())
        .then(|| format!("the node says that it is up, but the neighbour was not told {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(established: bool, routes: &[&str]) -> Known {
        let routes = routes.iter().map(|prefix| (prefix.parse().unwrap(), BTreeSet::new())).collect();
        Known { established, routes }
    }

    #[test]
    fn exactly_the_prefixes_of_the_site_have_to_be_known() {
        let wanted: BTreeSet<IpNet> = ["198.51.100.7/32", "198.51.100.8/32"].map(|it| it.parse().unwrap()).into();
        let all = known(true, &["198.51.100.7/32", "198.51.100.8/32"]);
        assert_eq!((foreign(&wanted, &all), missing(&wanted, &all)), (None, None));
        let some = known(true, &["198.51.100.7/32", "198.51.100.0/24"]);
        assert_eq!(
            foreign(&wanted, &some).unwrap(),
            "the neighbour was told 198.51.100.0/24, which the site does not announce"
        );
        assert_eq!(
            missing(&wanted, &some).unwrap(),
            "the node says that it is up, but the neighbour was not told 198.51.100.8/32"
        );
        assert!(missing(&wanted, &known(false, &[])).unwrap().ends_with("no session with the neighbour"));
    }
}
