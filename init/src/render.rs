//! A template and facts to text.
//! May not write it anywhere, and gives a template only the facts its front matter declares.

use std::error::Error as _;

use anymetal_contract::Reason;
use anymetal_contract::plan::File;
use tera::{Kwargs, State, Tera, TeraResult, Value};

use crate::facts::Facts;
use crate::failure::Failure;

/// Renders one file of the plan. What a template uses without declaring it, or declares without it being there, is an error, even
/// where the text would come out without it.
pub(crate) fn render(file: &File, facts: &Facts) -> Result<String, Failure> {
    let broken = |what: String| {
        let message = format!("rendering {}: {what}", file.name);
        Failure::new(Reason::TemplateBroken, facts.hidden_in(&message))
    };
    let mut tera = Tera::new();
    // Configurations are not HTML.
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("json_encode", json_encode);
    tera.add_raw_template(&file.name, &file.body).map_err(|error| broken(causes(&error)))?;
    let mut undeclared: Vec<&str> = tera
        .get_template_variables(&file.name)
        .map_err(|error| broken(causes(&error)))?
        .into_iter()
        .filter(|name| !file.needs.iter().any(|need| need == name))
        .collect();
    undeclared.sort_unstable();
    if !undeclared.is_empty() {
        return Err(broken(format!("it uses {}, which its front matter does not need", undeclared.join(", "))));
    }
    let context = facts.context(&file.needs);
    let absent: Vec<&str> = file.needs.iter().map(String::as_str).filter(|name| !context.contains_key(name)).collect();
    if !absent.is_empty() {
        return Err(broken(format!("it needs {}, which this node does not have", absent.join(", "))));
    }
    tera.render(&file.name, &context).map_err(|error| broken(causes(&error)))
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
