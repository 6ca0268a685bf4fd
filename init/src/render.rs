//! A template, facts and secrets to text.
//! May not write it anywhere, and gives a template only the facts and secrets its front matter declares.

use std::error::Error as _;

use anymetal_contract::Reason;
use anymetal_contract::plan::{File, Job};
use tera::{Kwargs, State, Tera, TeraResult, Value};

use crate::facts::Facts;
use crate::secret::Hidden;
use crate::secrets::Secrets;
use crate::wake::digest;
use anymetal_supply::failure::Failure;

/// Stands in a template for the beginning of the digest of the text that it becomes, so that whatever is made of the text can be known by it.
const GENERATION: &str = "@GENERATION@";
/// What a template calls the map of its secrets.
const SECRETS: &str = "secrets";

/// Something of the plan that is rendered on the node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Template<'a> {
    /// For messages.
    pub(crate) name: &'a str,
    /// The facts it needs.
    pub(crate) needs: &'a [String],
    /// The secrets it needs.
    pub(crate) secrets: &'a [String],
    pub(crate) body: &'a str,
}

impl<'a> From<&'a File> for Template<'a> {
    fn from(file: &'a File) -> Self {
        Self { name: &file.name, needs: &file.needs, secrets: &file.secrets, body: &file.body }
    }
}

impl<'a> From<&'a Job> for Template<'a> {
    fn from(job: &'a Job) -> Self {
        Self { name: &job.name, needs: &job.needs, secrets: &job.secrets, body: &job.body }
    }
}

/// Renders one template of the plan. What it uses without declaring it, or declares without it being there, is an error, even where the
/// text would come out without it.
pub(crate) fn render<'a>(
    template: impl Into<Template<'a>>,
    facts: &Facts,
    secrets: &Secrets,
) -> Result<String, Failure> {
    let file = template.into();
    let broken = |what: String| {
        let hidden = Hidden::default();
        hidden.add(facts.passwords().chain(secrets.all()));
        Failure::new(Reason::TemplateBroken, hidden.hide(&format!("rendering {}: {what}", file.name)))
    };
    let mut tera = Tera::new();
    // Configurations are not HTML.
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("json_encode", json_encode);
    tera.add_raw_template(file.name, file.body).map_err(|error| broken(causes(&error)))?;
    let mut undeclared: Vec<&str> = tera
        .get_template_variables(file.name)
        .map_err(|error| broken(causes(&error)))?
        .into_iter()
        .filter(|name| !file.needs.iter().any(|need| need == name) && (*name != SECRETS || file.secrets.is_empty()))
        .collect();
    undeclared.sort_unstable();
    if !undeclared.is_empty() {
        return Err(broken(format!("it uses {}, which its front matter does not need", undeclared.join(", "))));
    }
    let mut context = facts.context(file.needs);
    let absent: Vec<&str> = file.needs.iter().map(String::as_str).filter(|name| !context.contains_key(name)).collect();
    if !absent.is_empty() {
        return Err(broken(format!("it needs {}, which this node does not have", absent.join(", "))));
    }
    if !file.secrets.is_empty() {
        let (known, unknown) = secrets.exposed(file.secrets);
        if !unknown.is_empty() {
            let unknown: Vec<_> = unknown.into_iter().collect();
            return Err(broken(format!("it needs the secrets {}, which this node does not have", unknown.join(", "))));
        }
        context.insert(SECRETS.to_owned(), &known);
    }
    let text = tera.render(file.name, &context).map_err(|error| broken(causes(&error)))?;
    Ok(if text.contains(GENERATION) { text.replace(GENERATION, &generation(&text)) } else { text })
}

/// The beginning of the digest of the text, as it was before this stands in it.
fn generation(text: &str) -> String {
    digest(text.as_bytes()).to_string()[..16].to_owned()
}

/// Any value as JSON, so that a text with quotes or line ends cannot end the string it stands in.
fn json_encode(value: &Value, _: Kwargs, _: &State) -> TeraResult<String> {
    serde_json::to_string(value).map_err(|error| tera::Error::chain("writing JSON", error))
}

fn causes(error: &tera::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
