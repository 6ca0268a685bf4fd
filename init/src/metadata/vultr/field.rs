//! Fields of Vultr's document as Vultr writes them: every number between quotes, empty for what there is not, a list for an empty object.
//! May not judge a value: `convert` does.

use super::super::findings::Findings;
use super::super::node::Node;

/// An object of the document, with its place in it.
pub(super) struct Object<'n> {
    pub(super) at: String,
    node: &'n Node,
}

impl<'n> Object<'n> {
    /// The document itself.
    pub(super) fn whole(node: &'n Node) -> Self {
        Self { at: String::new(), node }
    }

    /// The object below a key. One without members is written as an empty list now and then, as PHP does; one that is not there has no
    /// fields either.
    pub(super) fn object(&self, key: &str, findings: &mut Findings) -> Self {
        Self::of(self.place(key), self.node.get(key), findings)
    }

    /// The objects of a list below a key.
    pub(super) fn objects(&self, key: &str, findings: &mut Findings) -> Vec<Self> {
        match self.node.get(key) {
            Node::List(items) => {
                let one = |(i, node)| Self::of(format!("{}[{i}]", self.place(key)), node, findings);
                items.iter().enumerate().map(one).collect()
            }
            Node::Nothing => Vec::new(),
            _ => {
                findings.problem(self.place(key), "is not a list");
                Vec::new()
            }
        }
    }

    /// A text, or a number taken for one: the platform need not quote its numbers for ever. Empty means not told.
    pub(super) fn word(&self, key: &str, findings: &mut Findings) -> Option<String> {
        match self.node.get(key) {
            Node::Nothing => None,
            Node::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Node::Number(number) => Some(number.to_string()),
            Node::List(_) | Node::Map(_) | Node::Other => {
                findings.problem(self.place(key), "is neither a text nor a number");
                None
            }
        }
    }

    /// Where the value of a key is.
    pub(super) fn place(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    fn of(at: String, node: &'n Node, findings: &mut Findings) -> Self {
        match node {
            Node::Map(_) | Node::Nothing => {}
            Node::List(items) if items.is_empty() => {}
            _ => findings.problem(&at, "is not an object"),
        }
        Self { at, node }
    }
}
