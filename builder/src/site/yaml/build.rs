//! Parser events to nodes, on a stack of our own and within the budgets.
//! May not know what the keys mean.

use std::collections::BTreeMap;
use std::mem;

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::{DEPTH, Key, Kind, NODES, Node, Scalar, TEXT, too_deep};
use crate::site::diagnostic::{Findings, Mark, quoted};

/// What part of the budgets something takes.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

/// A collection that has begun and not ended.
struct Open {
    at: Mark,
    anchor: usize,
    /// What had been spent when it began.
    before: Weight,
    /// How deep its deepest node lies in it.
    depth: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<(Key, Node)>, seen: BTreeMap<String, Mark>, key: Option<Key> },
}

/// Something anchored, complete.
struct Anchored {
    node: Node,
    weight: Weight,
    depth: usize,
}

/// A document being built.
pub(super) struct Builder<'f> {
    pub(super) findings: &'f mut Findings,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    spent: Weight,
    root: Option<Node>,
}

/// `None` ends the reading: what is wrong has been said.
pub(super) type Going = Option<()>;

impl<'f> Builder<'f> {
    /// Nothing yet.
    pub(super) fn new(findings: &'f mut Findings) -> Self {
        Self { findings, open: vec![], anchors: BTreeMap::new(), spent: Weight::default(), root: None }
    }

    /// The finished document, when there is one.
    pub(super) fn root(self) -> Option<Node> {
        self.root
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, event: Event<'_>, at: Mark) -> Going {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = text.into_owned();
                let plain = style == ScalarStyle::Plain && !self.is_text(tag.as_deref(), at);
                self.spend(Weight { nodes: 1, bytes: text.len() }, at, false)?;
                let weight = Weight { nodes: 1, bytes: text.len() };
                let node = Node { at, kind: Kind::Scalar(Scalar { text, plain }) };
                self.complete(node, anchor, weight, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", at);
                self.begin(at, anchor, Content::Sequence(vec![]))
            }
            Event::MappingStart(anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", at);
                self.begin(at, anchor, Content::Mapping { entries: vec![], seen: BTreeMap::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                Some(())
            }
        }
    }

    fn begin(&mut self, at: Mark, anchor: usize, content: Content) -> Going {
        let before = self.spent;
        self.spend(Weight { nodes: 1, bytes: 0 }, at, false)?;
        self.deep(self.open.len() + 1, at)?;
        self.open.push(Open { at, anchor, before, depth: 0, content });
        Some(())
    }

    fn end(&mut self) -> Going {
        let Some(Open { at, anchor, before, depth, content }) = self.open.pop() else { return Some(()) };
        let kind = match content {
            Content::Sequence(items) => Kind::Sequence(items),
            Content::Mapping { entries, .. } => Kind::Mapping(entries),
        };
        let weight = Weight { nodes: self.spent.nodes - before.nodes, bytes: self.spent.bytes - before.bytes };
        self.complete(Node { at, kind }, anchor, weight, depth + 1)
    }

    fn alias(&mut self, anchor: usize, at: Mark) -> Going {
        let Some(Anchored { weight, depth, .. }) = self.anchors.get(&anchor) else {
            self.findings.mistake(at, "this alias stands inside the very thing it names", "write out what is meant");
            return None;
        };
        let (weight, depth) = (*weight, *depth);
        self.spend(weight, at, true)?;
        self.deep(self.open.len() + depth, at)?;
        let node = Node { at, kind: self.anchors[&anchor].node.kind.clone() };
        self.complete(node, 0, weight, depth)
    }

    /// Puts a complete node where it belongs.
    fn complete(&mut self, node: Node, anchor: usize, weight: Weight, depth: usize) -> Going {
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), weight, depth });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        open.depth = open.depth.max(depth);
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, seen, key } => match mem::take(key) {
                None => *key = Some(as_key(node, self.findings)?),
                Some(key) => {
                    if admitted(&key, seen, self.findings) {
                        entries.push((key, node));
                    }
                }
            },
        }
        Some(())
    }

    fn spend(&mut self, weight: Weight, at: Mark, alias: bool) -> Going {
        self.spent.nodes += weight.nodes;
        self.spent.bytes += weight.bytes;
        let (limit, unit) = match self.spent {
            Weight { nodes, .. } if nodes > NODES => (NODES, "nodes"),
            Weight { bytes, .. } if bytes > TEXT => (TEXT, "bytes of text"),
            Weight { .. } => return Some(()),
        };
        let (what, hint) = if alias {
            ("aliases expand to more than", "write fewer aliases of aliases")
        } else {
            ("the document has more than", "a site is far smaller: check that this is the right file")
        };
        self.findings.mistake(at, format!("{what} {limit} {unit}"), hint);
        None
    }

    fn deep(&mut self, depth: usize, at: Mark) -> Going {
        if depth <= DEPTH {
            return Some(());
        }
        too_deep(at, self.findings);
        None
    }

    /// Whether the tag makes a plain scalar text; any other tag is refused.
    fn is_text(&mut self, tag: Option<&Tag>, at: Mark) -> bool {
        let Some(tag) = tag else { return false };
        let text = (tag.is_yaml_core_schema() && tag.suffix == "str") || (tag.handle.is_empty() && tag.suffix == "!");
        if !text {
            self.refuse_tag(tag, at);
        }
        text
    }

    fn collection_tag(&mut self, tag: Option<&Tag>, own: &str, at: Mark) {
        if let Some(tag) = tag.filter(|tag| !(tag.is_yaml_core_schema() && tag.suffix == own)) {
            self.refuse_tag(tag, at);
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, at: Mark) {
        let written = if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        };
        let hint = if written == "!!binary" { "in `write_files`, use `encoding: b64`" } else { "remove the tag" };
        self.findings.mistake(at, format!("the tag {} is not understood here", quoted(&written)), hint);
    }
}

fn as_key(node: Node, findings: &mut Findings) -> Option<Key> {
    match node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() => Some(Key { at: node.at, scalar }),
        Kind::Scalar(_) => {
            findings.mistake(
                node.at,
                "a key is missing before the colon",
                "write the key, or put the text between quotes",
            );
            None
        }
        Kind::Sequence(_) | Kind::Mapping(_) => {
            findings.mistake(
                node.at,
                "a key must be text, found a list or a mapping",
                "put text that begins with a bracket between quotes",
            );
            None
        }
    }
}

/// Whether the entry may stay: no key twice, no merge key.
fn admitted(key: &Key, seen: &mut BTreeMap<String, Mark>, findings: &mut Findings) -> bool {
    let Key { at, scalar } = key;
    if scalar.plain && scalar.text == "<<" {
        findings.mistake(
            *at,
            "merge keys (`<<`) are not supported",
            "write the keys out; an alias may stand for a whole value",
        );
        return false;
    }
    if let Some(first) = seen.get(&scalar.text) {
        let what = format!("the key {} is given twice, first at {first}", quoted(&scalar.text));
        findings.mistake(*at, what, "keep one of them");
        return false;
    }
    seen.insert(scalar.text.clone(), *at);
    true
}
