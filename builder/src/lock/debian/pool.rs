//! All packages of an archive's suites, each in its newest version, and who answers what others ask for.
//! May not choose between several answers: `solve` does.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use debian_control::lossy::{Relation, Relations};
use debian_control::relations::VersionConstraint;
use debversion::Version;

use super::archive::Base;
use super::index::{Stanza, shortened};

/// A package's place in the pool. Places are in the order of names.
pub type Place = usize;

/// The packages of all suites.
pub struct Pool<'a> {
    /// Debian's name of the architecture.
    architecture: &'a str,
    /// By place: the newest version, as each suite that has it describes it.
    packages: Vec<Vec<Stanza<'a>>>,
    places: BTreeMap<&'a str, Place>,
    /// Who says `Provides` of a name, by the name as it stands there.
    providers: BTreeMap<String, BTreeSet<Place>>,
}

/// A package and what it asks for.
#[derive(Debug, Clone)]
pub struct Node {
    /// Name and version, for messages.
    pub title: String,
    /// Each of these must be answered.
    pub needs: Vec<Need>,
    /// With none of these can it be installed: where they are, and how it says so.
    pub against: Vec<(Place, String)>,
}

/// One need of a package.
#[derive(Debug, Clone)]
pub struct Need {
    /// As the package writes it, for messages: `default-mta | mail-transport-agent`.
    pub text: String,
    /// Whether it has to be answered before the package is even unpacked.
    pub first: bool,
    /// Who answers it, the preferred one first: in the order of the alternatives; of each, the package of that name before those that provide it.
    pub by: Vec<Place>,
    /// What the archive has instead, when nobody does.
    pub instead: Vec<String>,
}

/// The fields that say what a package needs, and whether it needs that before it is unpacked.
const NEEDS: [(&str, bool); 2] = [("Pre-Depends", true), ("Depends", false)];
/// The fields that say what it cannot be installed with.
const AGAINST: [&str; 2] = ["Conflicts", "Breaks"];
/// Debian's priorities, the highest first.
const PRIORITIES: [&str; 4] = ["required", "important", "standard", "optional"];

impl<'a> Pool<'a> {
    /// Of these stanzas, in whatever order they come, those of this architecture or of all.
    pub fn new(stanzas: Vec<Stanza<'a>>, architecture: &'a str) -> Result<Self> {
        let mut newest: BTreeMap<&str, Vec<Stanza>> = BTreeMap::new();
        for stanza in stanzas {
            if ![architecture, "all"].contains(&stanza.field("Architecture").as_ref()) {
                continue;
            }
            let known = newest.entry(stanza.name).or_default();
            match known.first() {
                Some(first) if first.version != stanza.version => {
                    // Some versions are written in two ways; which is taken must not depend on what comes first.
                    if (stanza.version()?, stanza.version) > (first.version()?, first.version) {
                        *known = vec![stanza];
                    }
                }
                _ => known.push(stanza),
            }
        }
        let places = newest.keys().enumerate().map(|(place, name)| (*name, place)).collect();
        let packages: Vec<Vec<Stanza>> = newest.into_values().map(sorted).collect();
        let mut providers: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
        for (place, package) in packages.iter().enumerate() {
            for provided in package[0].field("Provides").split(',') {
                let end = provided.trim_start().split(|c: char| c.is_whitespace() || c == '(' || c == ':').next();
                providers.entry(end.unwrap_or_default().to_owned()).or_default().insert(place);
            }
        }
        Ok(Self { architecture, packages, places, providers })
    }

    /// Where the package of that name is.
    pub fn place(&self, name: &str) -> Option<Place> {
        self.places.get(name).copied()
    }

    /// Who provides that name without having it.
    pub fn providers(&self, name: &str) -> Vec<&str> {
        self.providers.get(name).into_iter().flatten().map(|place| self.packages[*place][0].name).collect()
    }

    /// The package at a place, as each suite that has its newest version describes it: at least one.
    pub fn package(&self, place: Place) -> &[Stanza<'a>] {
        &self.packages[place]
    }

    /// What every machine has, but for what that needs.
    pub fn base(&self, base: &Base) -> BTreeSet<Place> {
        let is_base = |stanza: &Stanza| {
            (base.essential && stanza.is("Essential"))
                || base.priorities.iter().any(|priority| *priority == stanza.field("Priority"))
        };
        (0..self.packages.len()).filter(|place| self.packages[*place].iter().any(is_base)).collect()
    }

    /// These packages and all that could be chosen for their needs, but nothing behind those given.
    pub fn reach(&self, roots: &BTreeSet<Place>, given: &BTreeMap<Place, Node>) -> Result<BTreeMap<Place, Node>> {
        let mut reached = BTreeMap::new();
        let mut open: Vec<Place> = roots.iter().copied().collect();
        while let Some(place) = open.pop() {
            if given.contains_key(&place) || reached.contains_key(&place) {
                continue;
            }
            let node = self.node(place)?;
            open.extend(node.needs.iter().flat_map(|need| &need.by));
            reached.insert(place, node);
        }
        Ok(reached)
    }

    fn node(&self, place: Place) -> Result<Node> {
        let stanza = &self.packages[place][0];
        let mut node = Node { title: title(stanza), needs: Vec::new(), against: Vec::new() };
        for (field, first) in NEEDS {
            for alternatives in relations(stanza, field)?.0 {
                let alternatives: Vec<Relation> =
                    alternatives.into_iter().filter(|relation| self.applies(relation)).collect();
                if !alternatives.is_empty() {
                    node.needs.push(self.need(&alternatives, first)?);
                }
            }
        }
        for field in AGAINST {
            for relation in relations(stanza, field)?.0.into_iter().flatten() {
                let found = if self.applies(&relation) { self.answers(&relation)? } else { Vec::new() };
                // Whoever provides what it conflicts with is the only one that does: Debian Policy, section 7.6.2.
                let others = found.into_iter().filter(|other| *other != place);
                node.against.extend(others.map(|other| (other, format!("{field}: {}", plain(&relation)))));
            }
        }
        Ok(node)
    }

    fn need(&self, alternatives: &[Relation], first: bool) -> Result<Need> {
        let mut need = Need { text: String::new(), first, by: Vec::new(), instead: Vec::new() };
        for relation in alternatives {
            for answer in self.answers(relation)? {
                if !need.by.contains(&answer) {
                    need.by.push(answer);
                }
            }
            need.instead.extend(self.place(&relation.name).map(|place| title(&self.packages[place][0])));
        }
        need.text = shortened(&alternatives.iter().map(plain).collect::<Vec<_>>().join(" | ")).into_owned();
        Ok(need)
    }

    /// Whether a relation is meant for this architecture: `[amd64]`, `[!armhf]`, `[linux-any]`.
    fn applies(&self, relation: &Relation) -> bool {
        let Some(architectures) = &relation.architectures else { return true };
        let is_ours = |name: &str| {
            let ours = [self.architecture, "any", "linux-any"];
            ours.contains(&name) || name.strip_prefix("any-") == Some(self.architecture)
        };
        let (excluded, wanted): (Vec<&String>, Vec<&String>) =
            architectures.iter().partition(|name| name.starts_with('!'));
        !excluded.iter().any(|name| is_ours(&name[1..]))
            && (wanted.is_empty() || wanted.iter().any(|name| is_ours(name)))
    }

    /// Who answers a relation: the package of that name, then those that provide it, by priority and name.
    fn answers(&self, relation: &Relation) -> Result<Vec<Place>> {
        let mut answers = Vec::new();
        if let Some(place) = self.place(&relation.name)
            && self.is_here(relation, &self.packages[place][0])
            && fits(relation, Some(&self.packages[place][0].version()?))
        {
            answers.push(place);
        }
        let mut providers: Vec<Place> = Vec::new();
        for place in self.providers.get(&relation.name).into_iter().flatten().copied() {
            if self.provides(place, relation)? && !answers.contains(&place) {
                providers.push(place);
            }
        }
        providers.sort_by_key(|place| {
            let priority = self.packages[*place][0].field("Priority").into_owned();
            (PRIORITIES.iter().position(|known| *known == priority).unwrap_or(PRIORITIES.len()), *place)
        });
        answers.extend(providers);
        Ok(answers)
    }

    /// Whether the relation's qualifier allows the package: `:any` only one that says so, `:native` and no qualifier any that we have.
    fn is_here(&self, relation: &Relation, stanza: &Stanza) -> bool {
        match relation.archqual.as_deref() {
            None | Some("native") => true,
            Some("any") => stanza.field("Multi-Arch") == "allowed",
            Some(other) => other == self.architecture,
        }
    }

    fn provides(&self, place: Place, relation: &Relation) -> Result<bool> {
        let provided = relations(&self.packages[place][0], "Provides")?;
        Ok(provided.0.into_iter().flatten().any(|provided| {
            let version = provided.version.as_ref().map(|(_, version)| version);
            provided.name == relation.name && provided.archqual == relation.archqual && fits(relation, version)
        }))
    }
}

/// The descriptions of one version in an order of their own, each once.
fn sorted(mut package: Vec<Stanza<'_>>) -> Vec<Stanza<'_>> {
    if package.len() > 1 {
        package.sort_by_cached_key(Stanza::all);
        package.dedup_by(|a, b| a.key() == b.key());
    }
    package
}

fn relations(stanza: &Stanza, field: &str) -> Result<Relations> {
    let text = stanza.field(field);
    text.parse().map_err(|error: String| anyhow!("reading {field} of {stanza}: {}", shortened(&error)))
}

/// Whether a version is one that the relation asks for. What is provided without a version answers only who asks for none.
fn fits(relation: &Relation, version: Option<&Version>) -> bool {
    let Some((constraint, asked)) = &relation.version else { return true };
    version.is_some_and(|version| match constraint {
        VersionConstraint::LessThan => version < asked,
        VersionConstraint::LessThanEqual => version <= asked,
        VersionConstraint::Equal => version == asked,
        VersionConstraint::GreaterThanEqual => version >= asked,
        VersionConstraint::GreaterThan => version > asked,
    })
}

/// A relation as a person reads it: what it is restricted to is left out.
fn plain(relation: &Relation) -> String {
    let bare = Relation { architectures: None, profiles: Vec::new(), ..relation.clone() };
    shortened(&bare.to_string()).into_owned()
}

fn title(stanza: &Stanza) -> String {
    format!("{} {}", shortened(stanza.name), shortened(stanza.version))
}
