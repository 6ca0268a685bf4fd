//! `anymetal-init status`: where this node stands, from `status.json`.
//! May not change anything, nor ask the phases: what they have told is all there is.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::plan::Arch;
use anymetal_contract::{Outcome, Phase, Unit, place};

use super::{Status as Typed, Trouble, print};
use crate::guard::{self, GuardStatus};
use crate::report::words::{amount, one_line};
use crate::status::{Row, State, Status};
use crate::sys::{fs, lock};
use crate::world::{Overrides, World};

/// How often `--wait` looks.
const LOOK: Duration = Duration::from_millis(500);
/// For how many looks in a row a boot may lie cut off before `--wait` ends: systemd starts it again within seconds, if at all.
const CUT_OFF: u32 = 60;

/// Where a node stands, and what the document says.
enum Stands {
    NotBegun,
    /// It runs, or has ended; `holder` is the process that runs it.
    Told {
        status: Box<Status>,
        text: String,
        holder: Option<u32>,
    },
}

pub(crate) fn run(typed: &Typed) -> Result<ExitCode, Trouble> {
    let world = World::new(&typed.root, Arch::own().unwrap_or(Arch::X86_64), Overrides::default());
    let mut cut_off = 0;
    let stands = loop {
        let stands = look(&world).map_err(|error| Trouble::ours(&error))?;
        cut_off = if stands.is_cut_off() { cut_off + 1 } else { 0 };
        if !typed.wait || stands.has_ended() || cut_off > CUT_OFF {
            break stands;
        }
        std::thread::sleep(LOOK);
    };
    match &stands {
        Stands::NotBegun => {
            return Err(Trouble::ours(&anyhow::anyhow!("there is no {}: no boot has begun here", place::STATUS)));
        }
        Stands::Told { text, .. } if typed.json => print(text)?,
        Stands::Told { status, .. } => {
            let guard = guard::status(&world).map_err(|error| Trouble::ours(&error))?;
            print(&table(status, stands.is_cut_off()))?;
            print(&guard.map(|(status, lives)| guards(&status, lives)).unwrap_or_default())?;
        }
    }
    Ok(ExitCode::from(if stands.is_good(typed.wait) { 0 } else { 2 }))
}

fn look(world: &World) -> anyhow::Result<Stands> {
    let path = world.at(place::STATUS);
    let Some(bytes) = fs::read_if_there(&path)? else { return Ok(Stands::NotBegun) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    Ok(Stands::Told { status: Box::new(status), text, holder: lock::living_holder(&world.at(place::LOCK)) })
}

impl Stands {
    fn has_ended(&self) -> bool {
        matches!(self, Self::Told { status, .. } if status.state != State::Running)
    }

    /// It says that it runs, and nobody runs it.
    fn is_cut_off(&self) -> bool {
        matches!(self, Self::Told { status, holder: None, .. } if status.state == State::Running)
    }

    fn is_good(&self, at_its_end: bool) -> bool {
        match self {
            Self::NotBegun => false,
            Self::Told { status, .. } => {
                status.state == State::Up || (!at_its_end && status.state == State::Running && !self.is_cut_off())
            }
        }
    }
}

/// The status as a table of all phases.
fn table(status: &Status, cut_off: bool) -> String {
    let state = match status.state {
        State::Running if cut_off => "cut off: nobody runs it",
        State::Running => "on its way",
        State::Up => "up",
        State::Failed => "failed",
        State::Unknown => "in a state of a later version",
    };
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    let plan: String = status.plan.chars().take(12).collect();
    let short: String = status.release.chars().take(12).collect();
    let release = status.serial.map(|serial| format!(", release {short} serial {serial}")).unwrap_or_default();
    let mut text = format!(
        "{} of site {}, plan {}{release}: {state}\n\n",
        or(&status.node, "this node"),
        or(&status.site, "unknown"),
        or(&plan, "unknown")
    );
    for phase in Phase::ALL {
        let row = status.phases.iter().find(|row| row.phase == phase.id());
        text.push_str(line(phase, row).trim_end());
        text.push('\n');
    }
    for warning in &status.warnings {
        text = format!("{text}\nwarning: {}", one_line(warning, 300));
    }
    if !status.warnings.is_empty() {
        text.push('\n');
    }
    let failure = status.failure.as_ref().map(|failure| {
        let why = format!("{} failed ({}): {}", failure.phase, failure.reason, failure.message);
        format!("\n{why}\nhint: {}\n", failure.hint)
    });
    text + &failure.unwrap_or_default()
}

/// Where the guard stands, in a line, and what its latest round stumbled over in another.
fn guards(status: &GuardStatus, lives: bool) -> String {
    let prefixes = status.prefixes.join(", ");
    if !lives {
        return format!("\nguard: does not run, {prefixes} is withdrawn: see `systemctl status anymetal-guard`\n");
    }
    let line = format!("\nguard: {prefixes} {} since {}: {}\n", status.stance, status.since, status.why);
    let wrong = status.proofs.iter().find(|proof| !proof.holds);
    let now = wrong.map(|proof| format!("guard: now {}: {}\n", proof.name, proof.why.as_deref().unwrap_or_default()));
    line + &now.unwrap_or_default()
}

fn line(phase: Phase, row: Option<&Row>) -> String {
    let Some(row) = row else { return format!("{:>2}  {:<8}  -", phase.number(), phase.id()) };
    let seconds = row.seconds.map(|seconds| format!("{seconds} s")).unwrap_or_default();
    let mut message = one_line(&row.message, 200);
    if row.outcome == Outcome::Started {
        message.clear();
    }
    if let (Outcome::Waiting, Some(done), Some(Unit::Seconds)) = (row.outcome, row.done, row.unit) {
        message = format!("{message}, {}", amount(done, row.total, Unit::Seconds));
    }
    format!("{:>2}  {:<8}  {:<8}  {seconds:>6}  {message}", phase.number(), phase.id(), row.outcome.word())
}

#[cfg(test)]
mod tests {
    use anymetal_contract::{Event, Reason};

    use super::*;
    use crate::report::tests::event;

    fn told(events: &[Event]) -> Status {
        let mut status = Status::new("n1");
        for event in events {
            status.take(event, event.ends_phase().then_some(Duration::from_secs(3)));
        }
        status
    }

    fn waiting() -> Event {
        Event {
            message: "no neighbours yet".into(),
            done: Some(12),
            total: Some(900),
            unit: Some(Unit::Seconds),
            plan: "0123456789abcdef".into(),
            ..event(Phase::Metadata, Outcome::Waiting)
        }
    }

    #[test]
    fn the_table_shows_every_phase_with_its_state_and_time() {
        let status = told(&[event(Phase::Wake, Outcome::Done), event(Phase::Acquire, Outcome::Started), waiting()]);
        let expected = "\
n1 of site demo, plan 0123456789ab: on its way

 1  wake      done         3 s  m
 2  plan      -
 3  metadata  waiting           no neighbours yet, 12 s of 900
 4  acquire   started
 5  install   -
 6  facts     -
 7  files     -
 8  services  -
 9  jobs      -
10  prove     -
11  announce  -
12  settle    -
";
        assert_eq!(table(&status, false), expected);
        assert!(table(&status, true).starts_with("n1 of site demo, plan 0123456789ab: cut off: nobody runs it\n"));
    }

    #[test]
    fn the_guard_stands_below_with_what_its_latest_round_stumbled_over() {
        let mut status: GuardStatus = serde_json::from_str(
            r#"{"kind":"anymetal.guard-status","version":1,"site":"demo","node":"n1","pid":1,"prefixes":["198.51.100.7/32"],
            "stance":"withdrawn","since":"2026-11-24T03:00:00Z","why":"hippo has failed twice: it answers 503",
            "proofs":[{"name":"neighbour","holds":true},{"name":"hippo","holds":false,"why":"it answers 502"}]}"#,
        )
        .unwrap();
        assert_eq!(
            guards(&status, true),
            "\nguard: 198.51.100.7/32 withdrawn since 2026-11-24T03:00:00Z: hippo has failed twice: it answers 503\n\
             guard: now hippo: it answers 502\n"
        );
        status.proofs.clear();
        assert_eq!(guards(&status, true).lines().count(), 2);
        assert!(guards(&status, false).contains("does not run, 198.51.100.7/32 is withdrawn"));
    }

    #[test]
    fn a_failure_stands_below_with_its_hint() {
        let failed = Event { reason: Some("disk-full".into()), ..event(Phase::Acquire, Outcome::Failed) };
        let text = table(&told(&[failed, event(Phase::Settle, Outcome::Failed)]), false);
        let tail = format!("\nacquire failed (disk-full): m\nhint: {}\n", Reason::DiskFull.hint());
        assert!(text.starts_with("n1 of site demo, plan unknown: failed\n") && text.ends_with(&tail), "{text}");
    }

    #[test]
    fn the_end_decides_the_exit_code_and_on_its_way_is_good_only_without_wait() {
        let stands =
            |events: &[Event], holder| Stands::Told { status: Box::new(told(events)), text: String::new(), holder };
        let running = stands(&[waiting()], Some(7));
        let cut = stands(&[waiting()], None);
        let up = stands(&[event(Phase::Settle, Outcome::Done)], None);
        let failed = stands(&[event(Phase::Settle, Outcome::Failed)], None);
        let judged =
            |stands: &Stands| (stands.has_ended(), stands.is_cut_off(), stands.is_good(false), stands.is_good(true));
        assert_eq!(judged(&running), (false, false, true, false));
        assert_eq!(judged(&cut), (false, true, false, false));
        assert_eq!(judged(&up), (true, false, true, true));
        assert_eq!(judged(&failed), (true, false, false, false));
        assert_eq!(judged(&Stands::NotBegun), (false, false, false, false));
    }
}
