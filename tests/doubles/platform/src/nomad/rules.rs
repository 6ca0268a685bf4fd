//! The rules of an ACL policy, in HCL or in its JSON form.
//! May not decide who may do what: `acl` does.

use serde_json::{Map, Value};

/// Reads rules into the JSON form: blocks by kind, and those that have a name by that name.
pub fn parse(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim_start().starts_with('{') {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return value.as_object().cloned().ok_or_else(|| "no object".to_owned());
    }
    let tokens = tokens(text)?;
    let mut at = 0;
    let map = body(&tokens, &mut at, true)?;
    Ok(map)
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '#' => while rest.next_if(|c| *c != '\n').is_some() {},
            '/' if rest.next_if_eq(&'/').is_some() => while rest.next_if(|c| *c != '\n').is_some() {},
            '{' | '}' | '[' | ']' | '=' | ',' => tokens.push(Token::Mark(c)),
            '"' => {
                let mut value = String::new();
                loop {
                    match rest.next().ok_or("literal not terminated")? {
                        '"' => break,
                        '\\' => value.extend(rest.next()),
                        c => value.push(c),
                    }
                }
                tokens.push(Token::Text(value));
            }
            c if c.is_whitespace() => {}
            c if c.is_alphanumeric() || c == '_' || c == '-' => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
            c => return Err(format!("illegal character '{c}'")),
        }
    }
    Ok(tokens)
}

/// The items of a block up to its brace, or of the whole text.
fn body(tokens: &[Token], at: &mut usize, top: bool) -> Result<Map<String, Value>, String> {
    let mut map = Map::new();
    loop {
        let key = match tokens.get(*at) {
            None if top => return Ok(map),
            None => return Err("object expected closing RBRACE got: EOF".into()),
            Some(Token::Mark('}')) if !top => {
                *at += 1;
                return Ok(map);
            }
            Some(Token::Mark(',')) => {
                *at += 1;
                continue;
            }
            Some(Token::Word(key) | Token::Text(key)) => key.clone(),
            Some(other) => return Err(format!("unexpected token while parsing: {other:?}")),
        };
        *at += 1;
        let mut path = vec![key];
        while let Some(Token::Text(label) | Token::Word(label)) = tokens.get(*at) {
            path.push(label.clone());
            *at += 1;
        }
        let value = match tokens.get(*at) {
            Some(Token::Mark('=')) => {
                *at += 1;
                value(tokens, at)?
            }
            Some(Token::Mark('{')) => {
                *at += 1;
                Value::Object(body(tokens, at, false)?)
            }
            _ => return Err(format!("key '{}' expected start of object ('{{') or assignment ('=')", path[0])),
        };
        put(&mut map, &path, value);
    }
}

fn value(tokens: &[Token], at: &mut usize) -> Result<Value, String> {
    let token = tokens.get(*at).ok_or("expected a value got: EOF")?;
    *at += 1;
    match token {
        Token::Text(text) => Ok(Value::String(text.clone())),
        Token::Word(word) => Ok(serde_json::from_str(word).unwrap_or_else(|_| Value::String(word.clone()))),
        Token::Mark('{') => Ok(Value::Object(body(tokens, at, false)?)),
        Token::Mark('[') => {
            let mut list = Vec::new();
            loop {
                match tokens.get(*at) {
                    Some(Token::Mark(']')) => {
                        *at += 1;
                        return Ok(Value::Array(list));
                    }
                    Some(Token::Mark(',')) => *at += 1,
                    Some(_) => list.push(value(tokens, at)?),
                    None => return Err("error parsing list, expected comma or list end, got: EOF".into()),
                }
            }
        }
        Token::Mark(mark) => Err(format!("unexpected {mark}")),
    }
}

/// Puts a value below a path; blocks of the same path become one.
fn put(map: &mut Map<String, Value>, path: &[String], value: Value) {
    let (key, below) = path.split_first().expect("a path has a key");
    if below.is_empty() {
        match (map.get_mut(key), value) {
            (Some(Value::Object(have)), Value::Object(more)) => have.extend(more),
            (_, value) => {
                map.insert(key.clone(), value);
            }
        }
        return;
    }
    let entry = map.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inner) = entry {
        put(inner, below, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hcl_and_its_json_form_read_alike() {
        let hcl = r#"
            # of Hippo
            namespace "default" { capabilities = ["list-jobs", "read-job",] }
            namespace "platform" { policy = "read" }
            node { policy = "read" } // of nodes
        "#;
        let json = r#"{"namespace":{"default":{"capabilities":["list-jobs","read-job"]},"platform":{"policy":"read"}},
            "node":{"policy":"read"}}"#;
        assert_eq!(parse(hcl).unwrap(), parse(json).unwrap());
        assert_eq!(parse(hcl).unwrap()["node"], json!({"policy": "read"}));
    }

    #[test]
    fn a_block_without_an_end_is_an_error() {
        assert_eq!(parse("namespace {").unwrap_err(), "object expected closing RBRACE got: EOF");
        assert!(parse("junk").unwrap_err().starts_with("key 'junk' expected start of object"));
    }
}
