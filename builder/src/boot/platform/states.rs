//! What the platform's two reporting endpoints make of a body: the user state, and phoning home.
//! May not keep anything: the platform does.
//!
//! The rules are those of the server that ran behind them (tinkerbell/boots, `cmd/boots/http.go` and `job/events.go`).

use serde_json::{Map, Value};

/// One accepted user state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserState {
    /// `running`, `succeeded` or `failed`, by the documentation.
    pub state: String,
    /// 1000 to 1099, by the documentation.
    pub code: i64,
    /// For people.
    pub message: String,
}

impl UserState {
    /// What the server lets through and the documentation does not.
    pub fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        if !(1000..=1099).contains(&self.code) {
            violations.push(format!("code {} is not within 1000 to 1099", self.code));
        }
        if !["running", "succeeded", "failed"].contains(&self.state.as_str()) {
            violations.push(format!("state {:?} is none of running, succeeded, failed", self.state));
        }
        if self.message.is_empty() {
            violations.push("the message is empty".to_owned());
        }
        violations
    }
}

/// Reads a body of `/events`. `Err` says why the server answers 400.
/// Missing fields become zero and empty, unknown ones are ignored, a wrong type is refused.
pub fn user_state(body: &[u8]) -> Result<UserState, String> {
    if body.is_empty() {
        return Err("the body is empty".to_owned());
    }
    let fields = match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => fields,
        Ok(Value::Null) => Map::new(), // as Go's decoder has it
        Ok(other) => return Err(format!("not an object: {other}")),
        Err(error) => return Err(format!("not JSON: {error}")),
    };
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("{name} is not a string: {other}")),
    };
    let code = match fields.get("code") {
        None | Some(Value::Null) => 0,
        Some(other) => other.as_i64().ok_or_else(|| format!("code is not an integer: {other}"))?,
    };
    Ok(UserState { state: text("state")?, code, message: text("message")? })
}

/// What phoning home says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// The device is up.
    Active,
    /// The device gave up, for this reason.
    Failed(String),
    /// An event of this type.
    Event(String),
    /// Nothing that can be read; the server says 200 all the same.
    Noise,
}

/// Reads a body of `/phone-home`. `Err` says why the server answers 400.
pub fn phone_home(media: Option<&str>, body: &[u8]) -> Result<Call, String> {
    let media = media.map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match media.as_deref() {
        Some("application/x-www-form-urlencoded") => {
            let named = |pair: &str| pair.split('=').next() == Some("instance_id");
            let known = body.is_empty() || String::from_utf8_lossy(body).split('&').any(named);
            Ok(if known { Call::Active } else { Call::Noise })
        }
        None | Some("" | "application/json") => Ok(phone_home_json(body)),
        Some(other) => Err(format!("cannot read {other}")),
    }
}

fn phone_home_json(body: &[u8]) -> Call {
    if body.is_empty() {
        return Call::Active;
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Call::Noise };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    match text("type").as_deref() {
        Some("failure") => Call::Failed(text("reason").unwrap_or_default()),
        Some(other) => Call::Event(other.to_owned()),
        None if fields.contains_key("instance_id") => Call::Active,
        None => Call::Noise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_state_of_the_documented_form_is_taken_without_a_word() {
        let state = user_state(br#"{"state":"running","code":1004,"message":"acquire: done"}"#).unwrap();
        assert_eq!(state, UserState { state: "running".into(), code: 1004, message: "acquire: done".into() });
        assert_eq!(state.violations(), Vec::<String>::new());
    }

    #[test]
    fn ill_typed_bodies_are_refused() {
        for (body, why) in [
            ("", "the body is empty"),
            ("no", "not JSON"),
            ("[]", "not an object"),
            (r#"{"code":"1000"}"#, "code is not an integer"),
            (r#"{"code":1000.5}"#, "code is not an integer"),
            (r#"{"state":7}"#, "state is not a string"),
            (r#"{"message":["a"]}"#, "message is not a string"),
            (r#"{"code":1000} {}"#, "not JSON"),
        ] {
            let refused = user_state(body.as_bytes()).expect_err(body);
            assert!(refused.contains(why), "{body}: {refused}");
        }
    }

    #[test]
    fn missing_fields_are_taken_and_told() {
        let state = user_state(b"{}").unwrap();
        assert_eq!(state.violations().len(), 3, "{:?}", state.violations());
        let state = user_state(br#"{"state":"done","code":1100,"message":"m","mood":"fine"}"#).unwrap();
        assert_eq!(
            state.violations(),
            ["code 1100 is not within 1000 to 1099", "state \"done\" is none of running, succeeded, failed"]
        );
    }

    #[test]
    fn phoning_home_is_read_as_a_form_as_json_and_as_nothing() {
        let form = Some("application/x-www-form-urlencoded");
        for (media, body, call) in [
            (form, "pub_key_rsa=x&instance_id=7", Call::Active),
            (form, "", Call::Active),
            (form, "mood=fine", Call::Noise),
            (Some("application/json"), r#"{"instance_id":"7"}"#, Call::Active),
            (None, "", Call::Active),
            (None, r#"{"type":"failure","reason":"no disk"}"#, Call::Failed("no disk".into())),
            (
                Some("application/json; charset=utf-8"),
                r#"{"type":"provisioning.108"}"#,
                Call::Event("provisioning.108".into()),
            ),
            (None, "not json", Call::Noise),
        ] {
            assert_eq!(phone_home(media, body.as_bytes()).unwrap(), call, "{media:?} {body}");
        }
        assert!(phone_home(Some("text/plain"), b"").is_err());
    }
}
