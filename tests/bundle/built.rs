//! What `anymetal build --form user-data,bundle` writes, and when it does not.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, SystemTime};

use anymetal_contract::bundle::Index;
use anymetal_lab::elsewhere;

use crate::desk::{Desk, archives, cached, digest, names, other, site, stderr, stdout};

#[test]
fn plain_tar_lists_and_unpacks_it_and_what_comes_out_is_an_origin() {
    let desk = Desk::built();
    let mut blobs: Vec<_> = archives().iter().map(|(_, bytes)| digest(bytes).to_string()).collect();
    blobs
        .extend(["aarch64", "x86_64"].map(|arch| digest(&desk.read(&format!("bin/anymetal-init-{arch}"))).to_string()));
    blobs.extend(["plan.json", "release.json"].map(|file| digest(&desk.read(&format!("out/{file}"))).to_string()));
    blobs.sort();
    let expected: Vec<_> = ["index.json".to_owned(), "release.json".to_owned()]
        .into_iter()
        .chain(blobs.iter().map(|blob| format!("sha256/{blob}")))
        .collect();
    let listed = other("tar", &["tf", "out/bundle.tar"], &desk.path(""));
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);

    fs::create_dir(desk.path("origin")).unwrap();
    other("tar", &["xf", "../out/bundle.tar"], &desk.path("origin"));
    assert_eq!(names(&desk.path("origin/sha256")), blobs);
    for blob in &blobs {
        let sum = other("sha256sum", &[blob], &desk.path("origin/sha256"));
        assert_eq!(sum, format!("{blob}  {blob}\n"));
    }
    assert_eq!(desk.read("origin/release.json"), desk.read("out/release.json"));
    let index: Index = serde_json::from_slice(&desk.read("origin/index.json")).unwrap();
    assert_eq!((index.site.as_str(), &index.plan), ("demo", &digest(&desk.read("out/plan.json"))));
    assert_eq!(index.release, digest(&desk.read("out/release.json")));
    let mut named: Vec<_> = index.blobs.iter().map(|blob| blob.name.as_str()).collect();
    named.sort_unstable();
    let all = [
        "anymetal-init aarch64",
        "anymetal-init x86_64",
        "consul 1.21.5 aarch64",
        "consul 1.21.5 x86_64",
        "the plan",
        "the release",
    ];
    assert_eq!(named, all);
}

#[test]
fn plain_tar_makes_the_very_same_bytes_of_the_same_files() {
    let desk = Desk::built();
    fs::create_dir(desk.path("origin")).unwrap();
    other("tar", &["xf", "../out/bundle.tar"], &desk.path("origin"));
    let listed = other("tar", &["tf", "out/bundle.tar"], &desk.path(""));
    let how = [
        "--format=ustar",
        "--numeric-owner",
        "--owner=0",
        "--group=0",
        "--mode=0644",
        "--mtime=@0",
        "-b1",
        "-cf",
        "../again.tar",
    ];
    other("tar", &how.into_iter().chain(listed.lines()).collect::<Vec<_>>(), &desk.path("origin"));
    assert!(desk.read("again.tar") == desk.read("out/bundle.tar"));
}

#[test]
fn another_folder_user_zone_locale_umask_time_and_order_change_no_byte() {
    let (desk, other) = (Desk::built(), Desk::new());
    // the cache filled in another order, at another time, by another user
    let mut archives = archives();
    archives.reverse();
    fs::remove_dir_all(other.path("cache")).unwrap();
    for (nth, (_, bytes)) in archives.iter().enumerate() {
        other.cache(&[7; 99][..=nth]);
        other.cache(bytes);
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400 * 365 * (nth as u64 + 1));
        fs::File::options().append(true).open(other.path(&cached(bytes))).unwrap().set_modified(then).unwrap();
    }
    fs::set_permissions(other.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(other.path("secrets.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = elsewhere::command(other.path("bin/anymetal"));
    command.args(["build", "../site.yaml", "-o", "../far/out", "--form", "bundle,user-data"]);
    let cache = other.path("cache");
    command.arg("--cache").arg(cache).current_dir(other.path("bin"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), desk.build(&[]));
    assert!(desk.read("out/bundle.tar") == other.read("far/out/bundle.tar"));
    for path in [desk.path("out/bundle.tar"), other.path("far/out/bundle.tar")] {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o644);
    }
    for folder in ["far", "far/out", "far/out/sha256"] {
        assert_eq!(fs::metadata(other.path(folder)).unwrap().mode() & 0o7777, 0o755, "{folder}");
    }
    assert_eq!(names(&other.path("far")), ["out"]);
    assert_eq!(names(&other.path("far/out")), ["bundle.tar", "plan.json", "release.json", "sha256", "user-data"]);
}

#[test]
fn building_again_touches_nothing_and_what_is_not_as_it_was_is_made_anew() {
    let desk = Desk::new();
    let first = desk.build(&[]);
    let whole = desk.read("out/bundle.tar");
    let last = format!("bundle {} bytes, 6 blobs", whole.len());
    assert_eq!(first.lines().last(), Some(last.as_str()));
    let inode = || fs::metadata(desk.path("out/bundle.tar")).unwrap().ino();
    let before = inode();
    assert_eq!(desk.build(&[]), first);
    assert_eq!(inode(), before, "it was written again");

    let damage: [&dyn Fn(); 4] = [
        &|| fs::set_permissions(desk.path("out/bundle.tar"), fs::Permissions::from_mode(0o600)).unwrap(),
        &|| desk.put("out/bundle.tar", &whole[..whole.len() - 512]),
        &|| desk.put("out/bundle.tar", [&whole[..107], b"1", &whole[108..]].concat()),
        &|| desk.put("out/bundle.tar", "nothing of the kind"),
    ];
    for harm in damage {
        harm();
        assert_eq!(desk.build(&[]), first);
        assert!(desk.read("out/bundle.tar") == whole);
        assert_eq!(fs::metadata(desk.path("out/bundle.tar")).unwrap().mode() & 0o7777, 0o644);
    }
    desk.put("site.yaml", site().replace("192.0.2.1/32", "192.0.2.2/32"));
    assert_ne!(desk.build(&[]), first);
    assert!(desk.read("out/bundle.tar") != whole);
    assert_eq!(names(&desk.path("out")), ["bundle.tar", "plan.json", "release.json", "sha256", "user-data"]);
}

#[test]
fn all_that_is_missing_is_named_at_once_and_nothing_is_written() {
    let desk = Desk::new();
    fs::remove_dir_all(desk.path("cache")).unwrap();
    let output = desk.try_build(&[]);
    assert_eq!(output.status.code(), Some(1));
    let mut lines: Vec<_> = archives()
        .iter()
        .map(|(arch, bytes)| {
            (digest(bytes), format!("consul 1.21.5 {arch} is not in the cache, sha256 {}", digest(bytes)))
        })
        .collect();
    lines.sort();
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line).collect();
    let said = format!("anymetal: {}\nhint: `anymetal fetch SITE` brings what is missing\n", lines.join("\n"));
    assert_eq!((stderr(&output), stdout(&output)), (said, String::new()));
    assert!(!desk.path("out").exists());
}

#[test]
fn a_cached_file_that_is_not_what_its_name_says_stops_the_build_and_is_named() {
    let desk = Desk::built();
    let whole = desk.read("out/bundle.tar");
    let bytes = &archives()[0].1;
    let file = cached(bytes);
    let mut wrong = bytes.clone();
    wrong[1000] ^= 1;
    desk.put("site.yaml", site().replace("192.0.2.1/32", "192.0.2.2/32"));
    let plan = desk.read("out/plan.json");
    for (content, code, words) in [
        (&wrong[..], 2, format!("{file} has other bytes than its name says: sha256 {}\nhint: ", digest(&wrong))),
        (&bytes[..100], 1, format!("{file} (consul 1.21.5 x86_64) has 100 bytes, and 3001 are pinned\nhint: ")),
    ] {
        desk.put(&file, content);
        let output = desk.try_build(&[]);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(code), ""), "{}", stderr(&output));
        assert!(stderr(&output).contains(&words), "{}", stderr(&output));
        assert!(desk.read("out/bundle.tar") == whole && desk.read("out/plan.json") == plan, "something was written");
        assert_eq!(names(&desk.path("out")), ["bundle.tar", "plan.json", "release.json", "sha256", "user-data"]);
    }
}

#[test]
fn a_signature_of_this_release_travels_with_it_and_one_of_another_does_not() {
    let desk = Desk::built();
    let key = desk.says(&["sign", "--new-key", "site.key"]).trim_end().replace("key ", "");
    desk.says(&["sign", "out", "--key", "site.key"]);
    let signature = String::from_utf8(desk.read("out/release.json.minisig")).unwrap();
    desk.build(&[]);
    assert_eq!(other("tar", &["xOf", "out/bundle.tar", "release.json.minisig"], &desk.path("")), signature);
    desk.says(&["verify", "--key", &key, "out/bundle.tar"]);
    desk.put("site.yaml", site().replace("192.0.2.1/32", "192.0.2.2/32"));
    let output = desk.try_build(&[]);
    let warned = "warning: out/release.json.minisig is the signature of another release and is left as it is";
    assert!(output.status.success() && stderr(&output).contains(warned), "{}", stderr(&output));
    assert!(!other("tar", &["tf", "out/bundle.tar"], &desk.path("")).contains("minisig"));
    desk.put("out/release.json.minisig", "no signature\n");
    let said = stderr(&desk.try_build(&[]));
    assert!(said.contains("warning: out/release.json.minisig is no signature that can be used: "), "{said}");
}

#[test]
fn a_bundle_alone_needs_no_origin_and_brings_no_user_data() {
    let desk = Desk::new();
    desk.put("site.yaml", site().replace("origins: [http://192.0.2.80/anymetal]\n", ""));
    let said = desk.says(&["build", "site.yaml", "-o", "out", "--form", "bundle", "--cache", "cache"]);
    let first: Vec<_> = said.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(first, ["plan", "release", "init", "init", "bundle"]);
    assert_eq!(names(&desk.path("out")), ["bundle.tar", "plan.json", "release.json", "sha256"]);
    desk.says(&["verify", "out", "out/bundle.tar", "site.yaml"]);
}
