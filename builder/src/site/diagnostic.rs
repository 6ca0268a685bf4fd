//! What is wrong with a site, where it stands, and what to do about it.
//! May not print: the command does. May not know what a site is.

use std::fmt;
use std::path::Path;

use anymetal_contract::terminal;

/// A place in a text. Both count from one; columns count characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Mark {
    /// Where every text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Whether it stops the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It stops.
    Mistake,
    /// It goes on, and has said so.
    Warning,
}

/// One finding. Its `Display` is one line: `path:line:col: what; hint: what to do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as the author named it.
    pub path: String,
    /// The place in it; `None` when the file as a whole is meant.
    pub at: Option<Mark>,
    /// Whether it stops the command.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        if let Some(at) = self.at {
            write!(f, "{at}:")?;
        }
        if self.severity == Severity::Warning {
            write!(f, " warning:")?;
        }
        write!(f, " {}; hint: {}", terminal::one_line(&self.what), terminal::one_line(&self.hint))
    }
}

/// What is wrong with one value, before anybody knows where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Complaint {
    /// This is wrong, and that is what to do.
    pub fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

/// The findings in one file, as they come.
#[derive(Debug)]
pub struct Findings {
    path: String,
    list: Vec<Diagnostic>,
}

impl Findings {
    /// Nothing found yet in this file.
    pub fn of(path: &Path) -> Self {
        Self { path: terminal::one_line(&path.display().to_string()), list: Vec::new() }
    }

    /// Something that stops the command.
    pub fn mistake(&mut self, at: Mark, what: impl Into<String>, hint: impl Into<String>) {
        self.add(Some(at), Severity::Mistake, what.into(), hint.into());
    }

    /// Something that the author should know, and may want.
    pub fn warning(&mut self, at: Mark, what: impl Into<String>, hint: impl Into<String>) {
        self.add(Some(at), Severity::Warning, what.into(), hint.into());
    }

    /// A complaint about the value that stands there.
    pub fn complain(&mut self, at: Mark, complaint: Complaint) {
        self.add(Some(at), Severity::Mistake, complaint.what, complaint.hint);
    }

    /// The file as a whole cannot be used.
    pub fn unusable(&mut self, complaint: Complaint) {
        self.add(None, Severity::Mistake, complaint.what, complaint.hint);
    }

    /// The file as a whole can be used, but is not as it should be.
    pub fn doubtful(&mut self, complaint: Complaint) {
        self.add(None, Severity::Warning, complaint.what, complaint.hint);
    }

    /// The value, or `None` when there is a complaint about it.
    pub fn keep<T>(&mut self, at: Mark, value: Result<T, Complaint>) -> Option<T> {
        value.map_err(|complaint| self.complain(at, complaint)).ok()
    }

    /// Whether something stops the command.
    pub fn stops(&self) -> bool {
        self.list.iter().any(|found| found.severity == Severity::Mistake)
    }

    /// Everything found, in the order of the text. What an alias repeats is said once.
    pub fn sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by_key(|found| (found.at, found.severity));
        self.list.dedup();
        self.list
    }

    fn add(&mut self, at: Option<Mark>, severity: Severity, what: String, hint: String) {
        self.list.push(Diagnostic { path: self.path.clone(), at, severity, what, hint });
    }
}

/// What an author wrote, between backticks, on one line and not too long.
pub fn quoted(text: &str) -> String {
    /// Enough to recognise a line of one's own; a digest (64) fits.
    const LONGEST: usize = 72;
    let cut: String = text.chars().take(LONGEST).collect();
    let rest = if cut.len() < text.len() { "…" } else { "" };
    let mut shown = String::new();
    for c in terminal::one_line(&cut).chars() {
        // a blank that is none would be taken for one
        if c.is_whitespace() && !c.is_ascii() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    format!("`{shown}{rest}`")
}

/// The one of `known` that is probably meant.
pub fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let written = written.to_lowercase();
    let longest = 2 + written.chars().count() / 5;
    let distance = |word: &str| match word.strip_prefix(&written) {
        Some(rest) if written.len() >= 3 => usize::from(!rest.is_empty()),
        _ => strsim::damerau_levenshtein(&written, word),
    };
    known
        .into_iter()
        .map(|word| (distance(word), word))
        .filter(|(distance, word)| *distance <= longest && *distance < word.len())
        .min()
        .map(|(_, word)| word)
}

/// Words as a sentence lists them: `a`, `b` or `c`.
pub fn either<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<_> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_whatever_the_author_wrote() {
        let mut findings = Findings::of(Path::new("a\nb.yaml"));
        findings.warning(Mark { line: 2, column: 5 }, format!("bad {}", quoted("x\ny\u{202e}\u{a0} z")), "mend it");
        assert_eq!(
            findings.sorted()[0].to_string(),
            r"a\nb.yaml:2:5: warning: bad `x\ny\u{202e}\u{a0} z`; hint: mend it"
        );
    }

    #[test]
    fn findings_come_in_the_order_of_the_text_and_once() {
        let mut findings = Findings::of(Path::new("s"));
        for (line, column) in [(2, 1), (1, 9), (1, 2), (2, 1)] {
            findings.mistake(Mark { line, column }, "w", "h");
        }
        findings.unusable(Complaint::new("w", "h"));
        let lines: Vec<_> = findings.sorted().iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["s: w; hint: h", "s:1:2: w; hint: h", "s:1:9: w; hint: h", "s:2:1: w; hint: h"]);
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["architectures", "anycast", "bgp", "os", "domain"];
        for (written, meant) in [
            ("architecture", Some("architectures")),
            ("anycats", Some("anycast")),
            ("Domain", Some("domain")),
            ("bpg", Some("bgp")),
            ("arch", Some("architectures")),
            ("x", None),
            ("entirely", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(quoted(&"é".repeat(100)), format!("`{}…`", "é".repeat(72)));
    }
}
