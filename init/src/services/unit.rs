//! A unit as systemd sees it, and what is to be done about it.
//! May not do it, nor ask systemd.

use crate::ledger::Applied;

/// The properties [`Unit::read`] wants, as `systemctl show` names them (org.freedesktop.systemd1(5)).
pub(super) const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,NRestarts,MainPID,UnitFileState,Job";

/// How often systemd may restart a unit by itself before we call it failed: once may be a race at boot, three times is a pattern.
const RESTARTS: u32 = 3;

/// A unit, as far as we look at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) load: String,
    pub(super) active: String,
    pub(super) sub: String,
    pub(super) result: String,
    pub(super) restarts: u32,
    pub(super) main_pid: u32,
    pub(super) file_state: String,
    /// Whether something is queued for it.
    pub(super) job: bool,
}

/// What is to be done with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Start,
    Restart,
    Reload,
}

/// Where a unit stands once it has been acted upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Up,
    Coming(String),
    Down(String),
}

impl Unit {
    /// Reads the answer of `systemctl show`; what systemd leaves out is empty.
    pub(super) fn read(shown: &str) -> Self {
        let value = |name: &str| {
            let value = shown.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().to_owned()
        };
        Self {
            load: value("LoadState"),
            active: value("ActiveState"),
            sub: value("SubState"),
            result: value("Result"),
            restarts: value("NRestarts").parse().unwrap_or(0),
            main_pid: value("MainPID").parse().unwrap_or(0),
            file_state: value("UnitFileState"),
            job: !matches!(value("Job").as_str(), "" | "0"),
        }
    }

    /// Whether systemd has the unit's file and understands it.
    pub(super) fn is_loaded(&self) -> bool {
        self.load == "loaded"
    }

    /// Whether `systemctl enable` has something to do: `static`, `generated` and the like cannot be enabled.
    pub(super) fn wants_enabling(&self) -> bool {
        matches!(self.file_state.as_str(), "disabled" | "enabled-runtime" | "linked" | "linked-runtime" | "")
    }

    /// Whether it has failed, for good or to be started again. One that is starting, reloading or stopping has not, and may hold its data.
    pub(super) fn has_failed(&self) -> bool {
        // systemd 254 and later also say `auto-restart-queued`.
        let again = self.active == "activating" && self.sub.starts_with("auto-restart");
        self.active == "failed" || (again && self.result != "success")
    }

    /// What is to be done, given what the unit was last started with and what it should run with. Without a record of the former nobody
    /// knows (Debian starts bird with its stock file when it installs it), so a unit that runs is restarted.
    pub(super) fn action(&self, applied: Option<&Applied>, wanted: &Applied, reload_will_do: bool) -> Action {
        match (self.active.as_str(), applied) {
            ("active" | "activating" | "reloading", Some(applied)) if applied == wanted => Action::Nothing,
            ("active", Some(applied)) if applied.program == wanted.program && reload_will_do => Action::Reload,
            // Nothing of it runs, so nothing of it is old, and a restart would take along whoever requires it.
            ("active", _) if reload_will_do && self.main_pid == 0 => Action::Reload,
            ("active" | "activating" | "reloading" | "deactivating", _) => Action::Restart,
            _ => Action::Start,
        }
    }

    /// Where it stands, when systemd has restarted it `restarts` times by itself since we looked first.
    pub(super) fn standing(&self, restarts: u32) -> Standing {
        if restarts >= RESTARTS {
            return Standing::Down(format!("keeps dying ({}): systemd has restarted it {restarts} times", self.result));
        }
        if self.job {
            return Standing::Coming(format!("systemd has work queued for it ({})", self.active));
        }
        match self.active.as_str() {
            "active" | "reloading" => Standing::Up,
            "failed" => Standing::Down(format!("has failed ({})", self.result)),
            "inactive" => Standing::Down(format!("has ended by itself ({})", self.result)),
            other => Standing::Coming(format!("{other}, {}", self.sub)),
        }
    }
}

impl Action {
    /// What has been done, in a word.
    pub(super) const fn past(self) -> &'static str {
        match self {
            Self::Nothing => "left running",
            Self::Start => "started",
            Self::Restart => "restarted",
            Self::Reload => "reloaded",
        }
    }

    /// The verb of systemctl.
    pub(super) const fn verb(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Start => Some("start"),
            Self::Restart => Some("restart"),
            Self::Reload => Some("reload"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_systemctl_show_is_read_and_gaps_are_empty() {
        let unit = Unit::read(
            "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nNRestarts=2\nJob=417\n",
        );
        assert_eq!(
            unit,
            Unit {
                load: "loaded".into(),
                active: "activating".into(),
                sub: "auto-restart".into(),
                result: "exit-code".into(),
                restarts: 2,
                job: true,
                ..Unit::default()
            }
        );
        assert!(!Unit::read("Job=0\n").job && !Unit::read("Job=\n").job && !Unit::read("").is_loaded());
    }

    #[test]
    fn what_is_done_depends_on_what_runs_and_with_what() {
        let applied = |program: &str, config: &str| Applied { program: program.into(), config: config.into() };
        let wanted = applied("p", "c");
        for (active, before, reload, action) in [
            ("inactive", None, false, Action::Start),
            ("failed", Some(applied("p", "c")), false, Action::Start),
            ("active", Some(applied("p", "c")), false, Action::Nothing),
            ("activating", Some(applied("p", "c")), true, Action::Nothing),
            ("active", Some(applied("p", "old")), true, Action::Reload),
            ("active", Some(applied("p", "old")), false, Action::Restart),
            ("active", Some(applied("old", "c")), true, Action::Restart),
            ("activating", Some(applied("p", "old")), true, Action::Restart),
            ("active", None, true, Action::Restart),
        ] {
            let unit = Unit { active: active.into(), main_pid: 7, ..Unit::default() };
            assert_eq!(
                unit.action(before.as_ref(), &wanted, reload),
                action,
                "{active} with {before:?}, reload {reload}"
            );
        }
    }

    #[test]
    fn a_unit_of_which_nothing_runs_is_never_restarted() {
        let applied = |program: &str| Applied { program: program.into(), config: "c".into() };
        let remains = Unit { active: "active".into(), ..Unit::default() };
        for before in [None, Some(applied("old"))] {
            assert_eq!(remains.action(before.as_ref(), &applied("p"), true), Action::Reload, "{before:?}");
        }
        assert_eq!(remains.action(Some(&applied("p")), &applied("p"), true), Action::Nothing);
        assert_eq!(remains.action(None, &applied("p"), false), Action::Restart, "it cannot be reloaded");
    }

    #[test]
    fn only_a_unit_that_has_ended_in_failure_has_failed() {
        for (active, sub, result, failed) in [
            ("failed", "failed", "exit-code", true),
            ("activating", "auto-restart", "exit-code", true),
            ("activating", "auto-restart-queued", "core-dump", true),
            ("activating", "auto-restart", "success", false),
            ("activating", "start", "exit-code", false),
            ("activating", "start-pre", "success", false),
            ("deactivating", "stop-sigterm", "timeout", false),
            ("reloading", "reload", "success", false),
            ("inactive", "dead", "success", false),
            ("active", "running", "exit-code", false),
        ] {
            let unit = Unit { active: active.into(), sub: sub.into(), result: result.into(), ..Unit::default() };
            assert_eq!(unit.has_failed(), failed, "{active}, {sub}, {result}");
        }
    }

    #[test]
    fn a_unit_stands_where_systemd_says_unless_it_keeps_dying() {
        let unit = |active: &str, job| Unit {
            active: active.into(),
            sub: "start".into(),
            result: "exit-code".into(),
            job,
            ..Unit::default()
        };
        let coming = |why: &str| Standing::Coming(why.into());
        let down = |why: &str| Standing::Down(why.into());
        for (unit, restarts, standing) in [
            (unit("active", false), 0, Standing::Up),
            (unit("active", true), 0, coming("systemd has work queued for it (active)")),
            (unit("inactive", true), 0, coming("systemd has work queued for it (inactive)")),
            (unit("activating", false), 2, coming("activating, start")),
            (unit("activating", false), 3, down("keeps dying (exit-code): systemd has restarted it 3 times")),
            (unit("active", false), 4, down("keeps dying (exit-code): systemd has restarted it 4 times")),
            (unit("failed", false), 0, down("has failed (exit-code)")),
            (unit("inactive", false), 0, down("has ended by itself (exit-code)")),
        ] {
            assert_eq!(unit.standing(restarts), standing);
        }
    }
}
