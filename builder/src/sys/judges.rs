//! BIRD and nft, asked what they think of a file that is for them. Neither changes anything on this machine.
//! May not know what is in the file.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::interrupt;
use super::rehearsal::{runtime, temporary};
use super::stage::Stage;
use super::tools::{self, Tool};

/// The routing daemon.
pub const BIRD: Tool = Tool { program: "bird", package: "bird2" };
/// The firewall's program.
pub const NFT: Tool = Tool { program: "nft", package: "nftables" };
/// Gives a program a network of its own.
const UNSHARE: Tool = Tool { program: "unshare", package: "util-linux" };

/// What a program thinks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A node would take it.
    Accepted,
    /// A node would refuse it, with these words.
    Refused(String),
    /// The program is not installed here.
    NotInstalled,
    /// It cannot be asked here, and why.
    NotAsked(String),
}

/// Asks BIRD: it only parses.
pub fn bird(file: &Path) -> Result<Verdict> {
    if tools::find(BIRD).is_none() {
        return Ok(Verdict::NotInstalled);
    }
    let (accepted, _, said) = asked(tools::command(BIRD.program).arg("-p").arg("-c").arg(file))?;
    Ok(if accepted { Verdict::Accepted } else { Verdict::Refused(said) })
}

/// What nft looks up when it checks rules, as a node has it: users, a cgroup, and the kernel, of a network of its own. The word is said when all
/// is there, so that a machine that does not allow it is told from a file that is refused.
const NODE: &str = "mount --bind \"$0\" /etc/passwd; mount -t tmpfs tmpfs /sys/fs/cgroup; mkdir /sys/fs/cgroup/nomad.slice; echo ready; \
                    exec nft --check --file \"$1\"";
/// The users that its rules may name.
const USERS: &str = "root:x:0:0::/:/bin/false\ntraefik:x:990:990::/:/bin/false\nbindle:x:991:991::/:/bin/false\n\
                     hippo:x:992:992::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n";

/// Asks nft: it asks the kernel too, so it runs in a network of its own.
pub fn nft(file: &Path) -> Result<Verdict> {
    if tools::find(NFT).is_none() {
        return Ok(Verdict::NotInstalled);
    }
    if tools::find(UNSHARE).is_none() {
        return Ok(Verdict::NotAsked(format!("there is no {}", UNSHARE.program)));
    }
    let stage = Stage::within(&runtime())?;
    let users = temporary(&stage, "passwd", USERS.as_bytes())?;
    let mut command = tools::command(UNSHARE.program);
    command.args(["--map-root-user", "--net", "--mount", "sh", "-euc", NODE]).arg(users).arg(file);
    let (accepted, ready, said) = asked(&mut command)?;
    Ok(match (accepted, ready.trim() == "ready") {
        (true, _) => Verdict::Accepted,
        (false, true) => Verdict::Refused(said),
        (false, false) => Verdict::NotAsked(said),
    })
}

/// Runs it to its end. Returns whether it ended well, and what it said on stdout and stderr.
fn asked(command: &mut Command) -> Result<(bool, String, String)> {
    let running = format!("running {}", command.get_program().display());
    let output = interrupt::let_through(|| command.output()).context(running)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}
