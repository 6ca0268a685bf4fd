//! Blocks of HCL in its JSON form, where a block may be an object or a list of objects, and a value a text of itself.
//! May not know a key.

use serde_json::{Map, Value};

/// A block that may be an object, or a list of objects which are one.
pub fn block(top: &Map<String, Value>, name: &str) -> Map<String, Value> {
    match top.get(name) {
        Some(Value::Object(map)) => map.clone(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_object).flat_map(Map::clone).collect(),
        _ => Map::new(),
    }
}

/// Labelled blocks: `{"name": {…}}` in any of HCL's JSON forms.
pub fn named(value: Option<&Value>) -> Vec<(String, Map<String, Value>)> {
    let maps: Vec<&Map<String, Value>> = match value {
        Some(Value::Object(map)) => vec![map],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_object).collect(),
        _ => Vec::new(),
    };
    maps.into_iter()
        .flat_map(|map| map.keys().map(|name| (name.clone(), block(map, name))).collect::<Vec<_>>())
        .collect()
}

/// A value as text; nothing when it is empty.
pub fn text_of(map: &Map<String, Value>, key: &str) -> Option<String> {
    match map.get(key)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A truth value.
pub fn flag(map: &Map<String, Value>, key: &str) -> Result<Option<bool>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) => match text.as_str() {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(format!("failed to decode HCL file: decodeBool: Unknown value for boolean: \"{text}\"")),
        },
        Some(other) => Err(format!("failed to decode HCL file: {key} is no boolean: {other}")),
    }
}

/// A whole number.
pub fn number(map: &Map<String, Value>, key: &str) -> Result<Option<u64>, String> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_u64()),
        Some(Value::String(text)) => {
            text.parse().map(Some).map_err(|_| format!("failed to decode HCL file: {key} is no number: \"{text}\""))
        }
        Some(other) => Err(format!("failed to decode HCL file: {key} is no number: {other}")),
    }
}
