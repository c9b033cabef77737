//! The plan as data: what `--output json` prints and `--out` saves, and its published schema.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::fields::Digest;

/// Minor versions only add; an unknown major one is refused.
pub(super) const FORMAT_VERSION: &str = "1.1";

/// A plan as data. Two plans of the same input are the same bytes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct PlanDocument {
    /// `1.0`; minor versions only add.
    pub format_version: String,
    /// Nothing is rejected or blocked, so that `nuncio apply` would write all of it.
    pub applyable: bool,
    /// Applying it leaves nothing to do: nothing is left out by `--target`, held or invalid.
    pub complete: bool,
    pub summary: SummaryDocument,
    /// The commit of the working tree that the manifests came from.
    pub base: Option<BaseDocument>,
    /// Of the schema that the manifests were read by, SHA-256.
    pub schema_digest: String,
    /// Of everything that the manifests say, SHA-256.
    pub manifests_digest: String,
    /// What was allowed beyond an ordinary apply.
    pub wishes: WishesDocument,
    /// What applying does, in its order.
    pub changes: Vec<ChangeDocument>,
    /// What a rule forbids. Nothing of its subject is in `changes`.
    pub rejections: Vec<RejectionDocument>,
    /// Deletions that have to wait for something.
    pub blocked: Vec<BlockedDocument>,
    /// What goes on as it was applied, although its manifest is there.
    pub held: Vec<HeldDocument>,
    /// What was changed by other means since it was applied; `changes` puts it back.
    pub drift: Vec<DriftDocument>,
    /// What will happen afterwards to the tasks that are created, updated or recreated.
    pub forecast: Vec<ForecastDocument>,
    /// Of the document without this field, SHA-256; present in a saved plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// A plan in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct SummaryDocument {
    pub create: usize,
    pub update: usize,
    pub recreate: usize,
    pub delete: usize,
    pub rejected: usize,
    pub blocked: usize,
    pub drifted: usize,
    pub unchanged: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct BaseDocument {
    pub commit: String,
    /// Whether the manifests differ from the commit; null where nobody could say.
    pub dirty: Option<bool>,
}

/// What was allowed beyond an ordinary apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct WishesDocument {
    pub recreate: Vec<String>,
    pub stop_first: bool,
    pub allow_shrink: Vec<String>,
    pub max_delete: Option<usize>,
    pub target: Vec<String>,
}

/// One subject that is created, updated, replaced or deleted.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct ChangeDocument {
    /// `Kind/name`.
    pub address: String,
    pub kind: String,
    pub name: String,
    /// The incarnation of a task that is changed; null for a new one.
    pub id: Option<String>,
    /// The manifest; null where it is gone.
    pub file: Option<String>,
    pub line: Option<u32>,
    /// As Terraform writes them: `["delete", "create"]` for a recreation.
    pub actions: Vec<String>,
    /// `drift`, `consented-recreation` or `manifest-gone`; null where the manifest changed.
    pub action_reason: Option<String>,
    /// The whole specification as it is live; null for a new subject. Long lists are shown as a count
    /// and a few examples.
    pub before: Option<Map<String, Value>>,
    /// The whole specification afterwards; null for a deleted subject.
    pub after: Option<Map<String, Value>>,
    /// `true` at each value of `before` that is about people.
    pub before_sensitive: Map<String, Value>,
    /// `true` at each value of `after` that is about people.
    pub after_sensitive: Map<String, Value>,
    /// Fields that force a recreation.
    pub replace_paths: Vec<Vec<String>>,
    /// The fields that change, by path.
    pub changed_paths: Vec<String>,
    /// Differences by line, of each text of several lines that changes.
    pub text_diffs: BTreeMap<String, String>,
    /// A task's phase before (null for a new one) and after; null where it stays.
    pub phase: Option<PhaseDocument>,
    /// What becomes of the people of a task that ends.
    pub consequences: Option<ConsequencesDocument>,
    /// The generation that the plan saw; null for a new subject. A saved plan is bound to it.
    pub from_generation: Option<i64>,
    /// Of the manifest and its audience; null where it is gone. A saved plan is bound to it.
    pub manifest_digest: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct PhaseDocument {
    pub from: Option<String>,
    pub to: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ConsequencesDocument {
    /// Contacts that were not reached yet.
    pub remaining: u64,
    /// Contacts that were written to, or may have been, and are not written to again.
    pub written: u64,
    /// Contacts that were passed without being written to, and are tried by the next incarnation: their opening
    /// failed, or they were suppressed then. Since 1.1.
    #[serde(default)]
    pub passed_over: u64,
    /// Dialogues that are closed with the task. Since 1.1.
    #[serde(default)]
    pub dialogues: u64,
    /// Those of them in which the person waits for an answer. Since 1.1.
    #[serde(default)]
    pub unanswered: u64,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct RejectionDocument {
    /// `nuncio explain` knows it.
    pub code: String,
    pub address: String,
    pub file: String,
    pub line: u32,
    pub column: u32,
    /// The field that is against the rule; null where it is the subject as a whole.
    pub path: Option<String>,
    pub message: String,
    /// The fields that would change, before and after.
    pub fields: Vec<FieldDocument>,
    /// What else would change in the same manifest, and waits with it.
    pub waiting: Vec<FieldDocument>,
    /// The way to it with consent, in its order.
    pub steps: Vec<String>,
    pub consequences: Option<ConsequencesDocument>,
    pub remedies: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct FieldDocument {
    pub path: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct BlockedDocument {
    pub address: String,
    /// Where its manifest stood.
    pub file: String,
    pub message: String,
    pub consequences: Option<ConsequencesDocument>,
    pub remedies: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct HeldDocument {
    pub address: String,
    pub file: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct DriftDocument {
    pub address: String,
    /// From what is live to what was applied and is put back.
    pub fields: Vec<FieldDocument>,
    pub phase: Option<PhaseDocument>,
    /// When it was changed, RFC 3339; null where the database did not see it.
    pub at: Option<String>,
    pub by: Option<String>,
}

/// What will happen to a task, in days: the same for two plans of one day.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct ForecastDocument {
    pub task: String,
    /// Contacts that are not reached yet.
    pub remaining: u64,
    /// The UTC day on which the last of them is written to; null where that cannot be said.
    pub exhausted_on: Option<String>,
    /// Why not: `not-running`, `channel-blocked`, `not-within-a-year` and the like.
    pub never: Option<String>,
    /// Whether the task runs then, or this is what would happen if it were started now.
    pub part: String,
    /// The most openings of one UTC day.
    pub openings_per_day: u64,
    /// The spending limit times every remaining contact, in US dollars; null where no amount can say it.
    pub greatest_cost: Option<String>,
    /// What keeps the task from sending more a day, what binds on most days first.
    pub binds: Vec<String>,
}

impl PlanDocument {
    /// As text, with its digest: what is saved.
    pub fn sealed(&self) -> String {
        let digest = Some(self.own_digest());
        Self { digest, ..self.clone() }.to_json()
    }

    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a plan is maps, lists and texts");
        text.push('\n');
        text
    }

    pub(super) fn own_digest(&self) -> String {
        let unsealed = Self { digest: None, ..self.clone() };
        Digest::of_bytes(unsealed.to_json().as_bytes()).to_string()
    }
}

/// The schema of the JSON plan, draft-07.
pub fn plan_schema() -> Value {
    let mut settings = SchemaSettings::draft07().for_serialize();
    settings.transforms.push(Box::new(RecursiveTransform(without_integer_format)));
    settings.into_generator().into_root_schema_for::<PlanDocument>().to_value()
}

/// `uint32` and the like are no formats of draft-07, and strict validators refuse what they do not know.
pub fn without_integer_format(schema: &mut Schema) {
    let is_of_rust = |format: &Value| {
        format
            .as_str()
            .is_some_and(|format| format.starts_with("uint") || format.starts_with("int"))
    };
    if schema.get("format").is_some_and(is_of_rust) {
        schema.remove("format");
    }
}
