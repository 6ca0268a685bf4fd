//! What is shipped, built by the very commands a person uses.
//! May not build in another way: the suites must see the same bytes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's top folder.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the lab lies two folders below the top").to_owned()
}

/// The static first-boot binary of that architecture, as `make init` builds it.
pub fn init(arch: &str) -> PathBuf {
    make(&format!("init-{arch}"));
    top().join(format!("target/{arch}-unknown-linux-musl/ship/anymetal-init"))
}

/// The folder with the demo's artefacts, content-addressed, as `make artefacts` fills it.
pub fn artefacts() -> PathBuf {
    make("artefacts");
    top().join("target/demo")
}

/// The folder with the platform's artefacts, content-addressed, and what a site says of them, as `make platform` fills it: doubles, or real
/// programs where `COMPONENTS` in the environment names a folder of them. `ANYMETAL_PLATFORM` says that it was filled a moment ago.
pub fn platform() -> PathBuf {
    if let Some(filled) = std::env::var_os("ANYMETAL_PLATFORM") {
        return filled.into();
    }
    make("platform");
    top().join("target/platform")
}

/// The root below which `make bird3` lays down BIRD 3; `None` when this machine's mirror has none, or nobody has asked for it.
pub fn bird3() -> Option<PathBuf> {
    let root = top().join("target/bird3");
    root.join("usr/sbin/bird").exists().then_some(root)
}

/// The folder with the Python modules of a cloud-init of 2025, as `make cloud-init25` lays it down; `None` as for BIRD 3.
pub fn cloud_init25() -> Option<PathBuf> {
    let modules = top().join("target/cloud-init25/usr/lib/python3/dist-packages");
    modules.join("cloudinit").exists().then_some(modules)
}

fn make(target: &str) {
    let output = Command::new("make")
        .args(["--no-print-directory", target])
        .current_dir(top())
        // Cargo tells its children what it is testing; the cargo below must not hear it.
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("MAKEFLAGS")
        .output()
        .unwrap_or_else(|e| panic!("running make {target}: {e}"));
    assert!(output.status.success(), "make {target} failed:\n{}", String::from_utf8_lossy(&output.stderr));
}
