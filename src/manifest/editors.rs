//! Rules that only the published schema has: what an editor can tell while somebody writes.
//!
//! The loader tells the same mistakes in better words, from the domain's own types, so its schemas
//! go without.

use serde_json::{Value, json};

use super::schema::DocumentKind;
use crate::domain::kind::{MessengerType, Opens};

/// Adds to the schema of a document what editors can check besides.
pub(super) fn tighten(kind: DocumentKind, document: &mut Value) {
    if kind != DocumentKind::Task {
        return;
    }
    let spec = &mut document["properties"]["spec"];
    let fields = &mut spec["properties"];
    fields["channels"]["uniqueItems"] = json!(true);
    fields["managers"]["uniqueItems"] = json!(true);
    // Numbers have no exact decimals in JSON, so the count of decimals is left to the loader.
    fields["spendingLimitPerDialogue"]["minimum"] = json!(0.000_001);
    fields["spendingLimitPerDialogue"]["pattern"] = json!(r"^\s*\d*[.]?\d{0,6}0*\s*$");
    let outgoing = &mut fields["outgoing"]["properties"];
    let below_three_seconds = r"^\s*0*[0-2]\s*s\s*$";
    outgoing["pauseBetweenDialogues"]["not"] =
        json!({"type": "string", "pattern": below_three_seconds});
    outgoing["targetAudience"]["properties"]["file"]["pattern"] = json!("^[^/]");
    let rules = spec["allOf"].as_array_mut().expect("tasks have rules by type and format");
    rules.push(templates_where_they_are_known());
    rules.push(ids_of_vkontakte());
}

fn templates_where_they_are_known() -> Value {
    let without: Vec<&str> = MessengerType::ALL
        .iter()
        .filter(|messenger| !messenger.kinds().any(|facts| facts.opens == Opens::WithTemplate))
        .map(|messenger| messenger.as_str())
        .collect();
    json!({
        "if": {"properties": {"type": {"enum": without}}, "required": ["type"]},
        "then": {"properties": {"outgoing": {"properties": {"opening": {"properties": {
            "template": false,
        }}}}}},
    })
}

/// Phones and names have rules that no pattern can hold; a VKontakte id is a number other than 0.
fn ids_of_vkontakte() -> Value {
    let messenger = MessengerType::Vkontakte.as_str();
    json!({
        "if": {"properties": {"type": {"const": messenger}}, "required": ["type"]},
        "then": {"properties": {"outgoing": {"properties": {"targetAudience": {
            "items": {"pattern": r"^\s*(-?0*[1-9]\d*|#.*)?\s*$", "not": {"const": 0}},
        }}}}},
    })
}
