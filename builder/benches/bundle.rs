//! `cargo bench --bench bundle`: `anymetal build` of a bundle and `anymetal verify` of it, beside `tar` and `sha256sum` of the same files, one after the
//! other in the same run. May not judge: it prints how long each took, and the ratios.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a bench: writes files and starts programs")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anymetal::component;
use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;
use anymetal_lab::init_double::Double;
use anymetal_lab::program;
use sha2::{Digest as _, Sha256};

/// How many bytes the archive of each component has: what upstreams' have, about. For two architectures it is 480 MB.
const SIZES: [(&str, usize); 6] = [
    ("bindle", 6_000_000),
    ("consul", 57_000_000),
    ("hippo", 45_000_000),
    ("nomad", 47_000_000),
    ("spin", 40_000_000),
    ("traefik", 45_000_000),
];
/// Rounds, of which the median counts.
const ROUNDS: usize = 7;

fn main() {
    let folder = tempfile::Builder::new().prefix("bench-bundle.").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let desk = folder.path();
    lay(desk);
    let anymetal = "bin/anymetal build site.yaml -o out --form bundle --cache cache";
    let tar = "cd cache && tar -cf ../plain.tar sha256";
    let sums = "cd cache/sha256 && sha256sum *";
    let verify = "bin/anymetal verify out/bundle.tar";
    let list = "tar -tf plain.tar";
    run(desk, "cat cache/sha256/* && sync"); // all in memory, nothing under way
    let mut took = [const { Vec::new() }; 6];
    for _ in 0..ROUNDS {
        run(desk, "rm -rf out plain.tar && sync");
        for (nth, command) in [anymetal, tar, sums, verify, list].into_iter().enumerate() {
            took[nth].push(run(desk, command));
        }
        took[5].push(run(desk, anymetal));
    }
    let [build, tar, sums, verify, list, again] = took.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    let ratio = |theirs: Duration, ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "build   {build:.2?}, tar {tar:.2?} + sha256sum {sums:.2?}: {:.2} of their speed",
        ratio(tar + sums, build)
    );
    println!(
        "verify  {verify:.2?}, tar -t {list:.2?} + sha256sum {sums:.2?}: {:.2} of their speed",
        ratio(list + sums, verify)
    );
    println!("both    {:.2} of their speed", ratio(tar + sums + list + sums, build + verify));
    println!("build again with nothing changed: {again:.2?}");
}

/// A site, its secrets, doubles of its inits and what stands for its archives.
fn lay(desk: &Path) {
    fs::create_dir_all(desk.join("cache/sha256")).unwrap();
    fs::create_dir(desk.join("bin")).unwrap();
    program::copy(env!("CARGO_BIN_EXE_anymetal"), desk.join("bin/anymetal"));
    let mut site =
        "version: 1\nsite: bench\nplatform: equinix-metal\nos: debian-12\narchitectures: [x86_64, aarch64]\n\
                    anycast: {v4: [192.0.2.1/32]}\norigins: [http://192.0.2.80/anymetal]\ncomponents:\n"
            .to_owned();
    for (name, size) in SIZES {
        let version = component::named(name).unwrap().default;
        write!(site, "  {name}: {{version: {version}, artefacts: {{").unwrap();
        for arch in Arch::ALL {
            let bytes = noise(&format!("{name} {arch}"), size);
            let sha256 = Digest::of(Sha256::digest(&bytes).into());
            fs::write(desk.join(format!("cache/sha256/{sha256}")), bytes).unwrap();
            write!(site, "{arch}: {{sha256: {sha256}, size: {size}}}, ").unwrap();
        }
        site.push_str("}}\n");
    }
    for arch in Arch::ALL {
        program::put(desk.join(format!("bin/anymetal-init-{arch}")), Double::of(arch).elf());
    }
    fs::write(desk.join("site.yaml"), site).unwrap();
    run(desk, "bin/anymetal secrets new site.yaml");
}

/// Bytes that do not pack, the same in every run.
fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut state =
        Sha256::digest(seed).iter().fold(1_u64, |state, byte| state << 7 ^ state >> 57 ^ u64::from(*byte)) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(size).collect()
}

/// How long a line of sh takes; it has to end well.
fn run(desk: &Path, line: &str) -> Duration {
    let begin = Instant::now();
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(desk).stdout(Stdio::null());
    let output = command.output().unwrap();
    let took = begin.elapsed();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    took
}
