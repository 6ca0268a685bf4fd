//! The bill of materials and the provenance: the same wherever they are made, true of what lies beside them, and without a secret.
//! May not judge their forms but by what reads them elsewhere.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use anymetal_lab::elsewhere;
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::validation::Validate as _;
use serde_json::Value;

use super::{new_key, signers};
use crate::desk::{Desk, SECRETS, SITE, VALUE, sha256, stderr, stdout};

const FORMS: &[&str] = &["--form", "user-data,sbom,provenance", "--sign", "key"];

fn read(desk: &Desk, file: &str) -> Value {
    serde_json::from_slice(&fs::read(desk.path("out").join(file)).unwrap()).unwrap()
}

#[test]
fn another_folder_user_zone_locale_home_umask_and_clock_change_no_byte_of_what_is_signed_and_said() {
    let (desk, other) = (Desk::new(), Desk::new());
    let key = new_key(&desk, "key");
    for desk in [&desk, &other] {
        signers(desk, &[&key]);
    }
    fs::copy(desk.path("key"), other.path("key")).unwrap();
    let said = desk.built(FORMS);
    fs::set_permissions(other.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    for file in ["secrets.yaml", "key"] {
        fs::set_permissions(other.path(file), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut command = elsewhere::command(other.path("bin/anymetal"));
    command.args(["build", "../site.yaml", "--output", "../far/out"]);
    command.args(["--form", "user-data,sbom,provenance", "--sign", "../key"]);
    let output = command.current_dir(other.path("bin")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), said);
    for file in
        ["user-data", "plan.json", "release.json", "release.json.minisig", "sbom.cdx.json", "provenance.intoto.json"]
    {
        let (here, there) = (desk.path("out").join(file), other.path("far/out").join(file));
        assert!(fs::read(&here).unwrap() == fs::read(&there).unwrap(), "{file}");
        let mode = if file == "user-data" { 0o600 } else { 0o644 };
        for path in [here, there] {
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode, "{}", path.display());
        }
    }
}

#[test]
fn the_provenance_has_the_digests_of_what_went_in_and_of_what_lies_beside_it() {
    let desk = Desk::new();
    new_key(&desk, "key");
    desk.put("extra.yaml", "#cloud-config\ntimezone: UTC\n");
    desk.put("site.yaml", &format!("{SITE}cloud_config: [extra.yaml, {{runcmd: [[sync]]}}]\n"));
    desk.built(FORMS);
    let statement = read(&desk, "provenance.intoto.json");
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    let digests = |list: &Value| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        list.as_array().unwrap().iter().map(|one| (text(&one["name"]), text(&one["digest"]["sha256"]))).collect()
    };
    let init = sha256(&desk.path("bin/anymetal-init-x86_64"));
    let out = |file: &str| (file.to_owned(), sha256(&desk.path("out").join(file)));
    let (plan, release) = (out("plan.json"), out("release.json"));
    let mut blobs = [&plan.1, &release.1, &init].map(|sha256| (format!("sha256/{sha256}"), sha256.clone()));
    blobs.sort();
    let mut expected = vec![plan, release, out("release.json.minisig"), out("sbom.cdx.json")];
    expected.extend(blobs);
    expected.push(out("user-data"));
    assert_eq!(digests(&statement["subject"]), expected);
    let definition = &statement["predicate"]["buildDefinition"];
    let beside = |file: &str| (file.to_owned(), sha256(&desk.path(file)));
    let read = digests(&definition["resolvedDependencies"]);
    assert_eq!(read[..2], [beside("site.yaml"), beside("extra.yaml")]);
    // the digest that Consul's description has
    let consul = "2dfb63fcabe9f15b956cf408248d9ebe36cfd662ca182352942a3bd4e5d5faca";
    assert_eq!(read[2..], [("consul 1.21.5 x86_64".to_owned(), consul.to_owned())]);
    let url = "https://releases.hashicorp.com/consul/1.21.5/consul_1.21.5_linux_amd64.zip";
    assert_eq!(definition["resolvedDependencies"][2]["uri"], url);
    assert_eq!(definition["externalParameters"]["forms"], serde_json::json!(["user-data", "sbom", "provenance"]));
}

#[test]
fn verify_makes_the_bill_of_materials_anew_and_compares_the_provenance() {
    let desk = Desk::new();
    new_key(&desk, "key");
    desk.built(FORMS);
    let verify = || desk.run(&["verify", "out"]);
    assert!(verify().status.success(), "{}", stderr(&verify()));
    let plan = sha256(&desk.path("out/plan.json"));
    let materials = "out/sbom.cdx.json is not what its release makes";
    let provenance = "out/provenance.intoto.json: plan.json has other bytes than it says: sha256 ";
    for (file, was, is, refused) in [
        ("sbom.cdx.json", "1.21.5", "1.21.6", materials),
        ("provenance.intoto.json", &*plan, &*"0".repeat(64), provenance),
    ] {
        let good = fs::read_to_string(desk.path("out").join(file)).unwrap();
        let bad = good.replacen(was, is, 1);
        assert_ne!(bad, good);
        fs::write(desk.path("out").join(file), bad).unwrap();
        // the provenance has the digest of the bill of materials too
        assert!(stderr(&verify()).contains(refused), "{}", stderr(&verify()));
        fs::write(desk.path("out").join(file), good).unwrap();
    }
}

#[test]
fn no_secret_and_no_digest_of_one_and_no_path_of_the_machine_is_in_them() {
    let desk = Desk::new();
    new_key(&desk, "key");
    for deliver in ["user-data", "customdata", "medium"] {
        desk.put("site.yaml", &format!("{SITE}secrets: {{deliver: {deliver}}}\n"));
        desk.built(FORMS);
        let carriers = ["customdata.json", "anymetal-secrets.json"].map(|file| desk.path("out").join(file));
        let mut hidden = vec![sha256(&desk.path("secrets.yaml")), sha256(&desk.path("key"))];
        hidden.extend(carriers.iter().filter(|path| path.exists()).map(|path| sha256(path)));
        hidden.extend(
            SECRETS
                .lines()
                .filter_map(|line| Some(line.split_once(": ")?.1.to_owned()))
                .filter(|value| value.len() > 20),
        );
        hidden.push(VALUE.to_owned());
        hidden.push(desk.path("").to_str().unwrap().trim_end_matches('/').to_owned());
        for file in ["sbom.cdx.json", "provenance.intoto.json"] {
            let text = fs::read_to_string(desk.path("out").join(file)).unwrap();
            let found = hidden.iter().find(|hidden| text.contains(hidden.as_str()));
            assert_eq!(found, None, "in {file}: {text}");
        }
    }
}

#[test]
fn the_bill_of_materials_is_valid_and_has_all_that_is_run() {
    let desk = Desk::new();
    new_key(&desk, "key");
    let said = desk.built(FORMS);
    assert!(said.contains(&format!("\nsbom.cdx.json sha256:{}\n", sha256(&desk.path("out/sbom.cdx.json")))), "{said}");
    let text = fs::read(desk.path("out/sbom.cdx.json")).unwrap();
    let bom = Bom::parse_from_json_v1_5(&text[..]).unwrap();
    let judged = bom.validate_version(SpecVersion::V1_5);
    assert!(judged.passed(), "{judged:?}");
    let bom = read(&desk, "sbom.cdx.json");
    let refs: Vec<_> =
        bom["components"].as_array().unwrap().iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
    assert_eq!(refs, ["anymetal-init 0.0.0-double x86_64", "bird2", "consul 1.21.5 x86_64", "nftables"]);
    assert_eq!(bom["dependencies"][0]["ref"], bom["metadata"]["component"]["bom-ref"]);
    let digest = sha256(&desk.path("out/plan.json"));
    assert_eq!(bom["metadata"]["component"]["version"], format!("sha256:{digest}"));
}
