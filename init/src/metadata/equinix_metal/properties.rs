//! What Equinix Metal's reader survives, by property.
//! May not hold documents: those lie in `tests/metadata`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::mutations::{self, any_changes, any_json};
use super::read;
use super::tests::{PASSWORD, document};

fn any_document() -> impl Strategy<Value = Value> {
    let names = ["v4-v6.json", "v4-multihop-md5.json", "v4-on-link.json", "hollow-instance-a.json"];
    prop::sample::select(names.to_vec()).prop_map(|name| {
        let mut document = document(name);
        if let Some(password) = document.pointer_mut("/bgp_neighbors/0/md5_password") {
            *password = json!(PASSWORD);
        }
        document
    })
}

proptest! {
    #[test]
    fn no_mutation_makes_the_reader_panic_or_tell_the_password(document in any_document(), changes in any_changes()) {
        mutations::survives(read, &changes.made_to(&document), PASSWORD)?;
    }

    #[test]
    fn no_json_and_no_bytes_make_the_reader_panic(value in any_json(), text in any::<String>()) {
        mutations::survives(read, &value.to_string(), PASSWORD)?;
        mutations::survives(read, &text, PASSWORD)?;
    }
}
