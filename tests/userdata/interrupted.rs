//! A build that is ended at any point, and what it leaves in the project's folder.
//! May not expect that a point is met: which one it is, the clock decides.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::desk::{Desk, SITE, names, stderr};

/// What the desk has besides the output.
const THERE: [&str; 3] = ["bin", "secrets.yaml", "site.yaml"];

/// Starts a build and sends it that signal after so long. Whether it was ended by it.
fn ended(desk: &Desk, signal: &str, after: Duration) -> bool {
    let mut child = Command::new(desk.path("bin/anymetal"))
        .args(["build", "site.yaml", "-o", "out"])
        .current_dir(desk.path(""))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(after);
    Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).stderr(Stdio::null()).status().unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal().is_some(), "{status}");
    status.signal().is_some()
}

/// What lies there that should not; what is hidden is staged.
fn left(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| name.starts_with('.')).collect()
}

#[test]
fn nothing_is_left_however_and_whenever_a_build_is_ended() {
    let desk = Desk::new();
    let began = Instant::now();
    desk.built(&[]);
    let whole = began.elapsed();
    let mut cut = 0;
    for round in 0..60_u32 {
        // half of them make the folder, half change it
        if round % 2 == 0 {
            fs::remove_dir_all(desk.path("out")).unwrap_or_default();
        } else {
            desk.put("site.yaml", &format!("{SITE}domain: n{round}.example.org\n"));
        }
        let signal = ["INT", "TERM", "HUP", "KILL"][usize::try_from(round / 15).unwrap()];
        cut += u32::from(ended(&desk, signal, whole * (round % 15 + 1) / 14));
        if signal != "KILL" {
            assert_eq!(left(&desk.path("")), [""; 0], "{signal} left something in round {round}");
            let out = desk.path("out");
            assert!(!out.exists() || left(&out).is_empty(), "{signal} left something in out in round {round}");
        }
    }
    assert!(cut > 10, "only {cut} of 60 builds were ended");
    desk.put("site.yaml", &format!("{SITE}domain: last.example.org\n"));
    desk.built(&[]);
    assert_eq!(names(&desk.path("")), [&THERE[..1], &["out"], &THERE[1..]].concat());
    assert_eq!(left(&desk.path("out")), [""; 0]);
    let verified = desk.run(&["verify", "out"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

#[test]
fn a_left_over_goes_and_a_build_that_is_under_way_stays() {
    let desk = Desk::new();
    desk.built(&[]);
    let (old, busy) = (desk.path("out/.anymetal-old"), desk.path("out/.anymetal-busy"));
    for folder in [&old, &busy] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("user-data"), "hunter2").unwrap();
    }
    let lock = fs::File::open(&busy).unwrap();
    lock.lock().unwrap();
    desk.built(&[]);
    assert!(!old.exists() && busy.exists(), "{:?}", left(&desk.path("out")));
    drop(lock);
    desk.built(&[]);
    assert!(!busy.exists());
}
