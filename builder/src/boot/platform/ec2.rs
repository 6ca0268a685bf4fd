//! The tree of the EC2 form, of one API date, in plain text.
//! May not answer for another date: cloud-init asks for newer ones first and takes 404 for "not here".

use crate::boot::lan;
use crate::boot::platform::device;

/// The only API date there is.
pub const DATE: &str = "2009-04-04";

/// A name and, below it, either text or further names.
enum Node {
    Text(&'static str),
    Names(&'static [(&'static str, Node)]),
}

/// No BGP here: the EC2 form has no word for it.
const META_DATA: &[(&str, Node)] = &[
    ("instance-id", Node::Text(device::ID)),
    ("hostname", Node::Text(lan::HOSTNAME)),
    ("iqn", Node::Text(device::IQN)),
    ("plan", Node::Text(device::PLAN)),
    ("facility", Node::Text(device::FACILITY)),
    ("tags", Node::Text("anymetal")),
    (
        "operating-system",
        Node::Names(&[
            ("slug", Node::Text("debian_12")),
            ("distro", Node::Text("debian")),
            ("version", Node::Text("12")),
            ("license_activation", Node::Names(&[("state", Node::Text("unlicensed"))])),
            ("image_tag", Node::Text("")),
        ]),
    ),
    ("public-keys", Node::Text("")),
    ("public-ipv4", Node::Text(lan::PUBLIC)),
    ("public-ipv6", Node::Text(lan::PUBLIC6)),
    ("local-ipv4", Node::Text(lan::PRIVATE)),
];

/// The text at a path below `meta-data`, when there is something: a value, or the names one per line.
pub fn meta_data(path: &str) -> Option<String> {
    let mut names = META_DATA;
    let mut rest = path.trim_matches('/').split('/').filter(|name| !name.is_empty());
    while let Some(name) = rest.next() {
        match &names.iter().find(|(known, _)| *known == name)?.1 {
            Node::Text(text) => return rest.next().is_none().then(|| (*text).to_owned()),
            Node::Names(below) => names = below,
        }
    }
    Some(names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_one_name_per_line_and_a_leaf_is_its_text() {
        assert_eq!(meta_data("/operating-system/").unwrap(), "slug\ndistro\nversion\nlicense_activation\nimage_tag");
        assert_eq!(meta_data("operating-system/license_activation/state").unwrap(), "unlicensed");
        assert_eq!(meta_data("/instance-id").unwrap(), device::ID);
        assert!(meta_data("/").unwrap().starts_with("instance-id\nhostname\n"));
        for nothing in ["/spot", "/instance-id/more", "/operating-system/mood", "/bgp_neighbors"] {
            assert_eq!(meta_data(nothing), None, "{nothing}");
        }
    }
}
