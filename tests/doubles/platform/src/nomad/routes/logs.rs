//! The logs of tasks.
//! May not follow one: the double answers with what there is.

use base64::Engine as _;
use serde_json::json;

use super::resolve;
use crate::http::{Reply, Request};
use crate::nomad::state::text;
use crate::nomad::task;
use crate::nomad::world::World;

/// `/v1/client/fs/logs/<alloc>`.
pub fn answer(world: &World, request: &Request, alloc: &str) -> Reply {
    let Some(task) = request.asked("task") else { return Reply::text(400, "must provide task name") };
    let Some(stream @ ("stdout" | "stderr")) = request.asked("type") else {
        return Reply::text(400, "must provide log type (stdout/stderr)");
    };
    let offset = match request.asked("offset").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(offset)) => offset,
        Some(Err(_)) => {
            let given = request.asked("offset").unwrap_or_default();
            return Reply::text(
                400,
                format!("error parsing offset: strconv.ParseInt: parsing {given:?}: invalid syntax"),
            );
        }
    };
    let end = match request.asked("origin") {
        None | Some("start") => false,
        Some("end") => true,
        Some(_) => return Reply::text(400, "origin must be start or end"),
    };
    let plain = request.asked("plain") == Some("true");
    let kind = if plain { "text/plain" } else { "application/json" };
    let coded = |status: u16, text: String| Reply { kind: Some(kind), ..Reply::text(status, text) };
    if alloc.len() != 36 {
        return coded(500, "alloc lookup failed: index error: UUID must be 36 characters".into());
    }
    let Some(document) = world.read(|state| state.allocs.get(alloc).cloned()) else {
        return coded(404, format!("Unknown allocation {alloc:?}"));
    };
    let namespace = text(&document, "Namespace");
    match resolve(world, request, "") {
        Ok(asked) if asked.rights.may(namespace, "read-logs") || asked.rights.may(namespace, "read-fs") => {}
        Ok(_) => return coded(500, "Permission denied".into()),
        // What would be a 403 elsewhere comes over the client's RPC, where only the text is left.
        Err(refused) => return coded(500, String::from_utf8_lossy(&refused.body).into_owned()),
    }
    let state = &document["TaskStates"][task];
    if state.is_null() {
        return coded(400, format!("unknown task name {task:?}"));
    }
    if state["StartedAt"].is_null() {
        return coded(404, format!("task {task:?} not started yet. No logs available"));
    }
    let bytes = std::fs::read(task::log(world, alloc, task, stream)).unwrap_or_default();
    let from = if end { bytes.len().saturating_sub(offset) } else { offset.min(bytes.len()) };
    let part = &bytes[from..];
    if plain {
        return Reply { kind: Some("text/plain"), body: part.to_vec(), ..Reply::empty(200) };
    }
    if part.is_empty() {
        return Reply { kind: Some("application/json"), ..Reply::empty(200) };
    }
    Reply::json(&json!({"Data": base64::engine::general_purpose::STANDARD.encode(part),
        "File": format!("alloc/logs/{task}.{stream}.0"), "Offset": bytes.len()}))
}
