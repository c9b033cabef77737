//! Values of a manifest that are about to be written, and their layout.

use super::{
    order::rank,
    scalar::{Around, Wish, write_number, write_text},
    schema::DocumentKind,
};
use crate::domain::channel::SecretReference;

/// Columns of a line: a row of prices fits.
pub(super) const WIDTH: usize = 120;

/// Characters of a list that still stands on one line.
pub(super) const FLOW_MAX: usize = 80;

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(String),
    Secret(SecretReference),
    List(Vec<String>),
    Map(Map),
    /// A list of maps.
    Items(Vec<Map>),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Map(Vec<(String, Value)>);

impl Map {
    /// Puts a value at a path of keys; a number after a key makes it a list of maps.
    pub(super) fn insert(&mut self, path: &[&str], value: Value) {
        let Some((key, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.0.push(((*key).to_owned(), value));
            return;
        }
        // A credential may be called `1`, but nothing is below it.
        let index = rest.first().filter(|_| rest.len() > 1);
        let index = index.and_then(|part| part.parse::<usize>().ok());
        let position = self.0.iter().position(|(known, _)| known == key);
        let position = position.unwrap_or_else(|| {
            let empty = if index.is_some() {
                Value::Items(Vec::new())
            } else {
                Value::Map(Self::default())
            };
            self.0.push(((*key).to_owned(), empty));
            self.0.len() - 1
        });
        match (&mut self.0[position].1, index) {
            (Value::Items(items), Some(index)) => {
                // Fields come in the order of their paths as text, in which 10 is before 2.
                if items.len() <= index {
                    items.resize_with(index + 1, Self::default);
                }
                items[index].insert(&rest[1..], value);
            }
            (Value::Map(map), _) => map.insert(rest, value),
            _ => {}
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(known, _)| known != key);
    }

    pub(super) fn sort(&mut self, kind: DocumentKind, parent: &str) {
        self.0.sort_by_key(|(key, _)| rank(kind, parent, key));
        for (key, value) in &mut self.0 {
            let inside = format!("{parent}.{key}");
            match value {
                Value::Map(map) => map.sort(kind, &inside),
                Value::Items(items) => items.iter_mut().for_each(|item| item.sort(kind, &inside)),
                _ => {}
            }
        }
    }
}

/// Maps that read best on one line.
fn is_short(key: &str) -> bool {
    matches!(key, "prices" | "protect")
}

/// A map below its key: each entry on a line of its own, indented.
pub(super) fn write_map(map: &Map, indent: usize) -> String {
    let mut written = String::new();
    for (key, value) in &map.0 {
        written.push('\n');
        written.push_str(&" ".repeat(indent));
        written.push_str(&write_entry(key, value, indent));
    }
    if map.0.is_empty() { " {}".to_owned() } else { written }
}

/// A key with its value in a block map whose keys are indented by so many spaces.
pub(super) fn write_entry(key: &str, value: &Value, indent: usize) -> String {
    let name = write_text(key, Around::Flow, Wish::Plainest);
    let flow = format!("{name}: {}", write_flow(value));
    let fits = indent + flow.len() <= WIDTH;
    match value {
        Value::Map(_) if fits && is_short(key) => flow,
        Value::Map(map) => format!("{name}:{}", write_map(map, indent + 2)),
        Value::Secret(reference) if !fits => {
            let (key, text) = source_of(reference);
            let mut map = Map::default();
            map.insert(&[key], Value::Text(text.clone()));
            format!("{name}:{}", write_map(&map, indent + 2))
        }
        _ => format!("{name}:{}", write_value(value, indent)),
    }
}

fn source_of(reference: &SecretReference) -> (&'static str, &String) {
    match reference {
        SecretReference::Environment(name) => ("env", name),
        SecretReference::File(path) => ("file", path),
    }
}

/// A value that is no map, behind the colon of a key that is indented by so many spaces.
pub(super) fn write_value(value: &Value, indent: usize) -> String {
    match value {
        Value::Items(items) => {
            let dash = format!("\n{}- ", " ".repeat(indent + 2));
            let item = |map| write_map(map, indent + 4).trim_start().to_owned();
            items.iter().map(|map| dash.clone() + &item(map)).collect()
        }
        Value::List(items) => {
            let one_line = flow_list(items);
            if one_line.len() <= FLOW_MAX {
                return format!(" {one_line}");
            }
            write_items(items, indent + 2)
        }
        Value::Text(text) => {
            let around = Around::Block { indent: indent + 2 };
            format!(" {}", write_text(text, around, Wish::Plainest))
        }
        other => format!(" {}", write_flow(other)),
    }
}

/// The items of a list, each on a line of its own.
pub(super) fn write_items(items: &[String], indent: usize) -> String {
    let around = Around::Block { indent: indent + 2 };
    let item = |text: &String| {
        format!("\n{}- {}", " ".repeat(indent), write_text(text, around, Wish::Plainest))
    };
    items.iter().map(item).collect()
}

/// A value on one line, as it stands between braces.
pub(super) fn write_flow(value: &Value) -> String {
    match value {
        Value::Text(text) => write_text(text, Around::Flow, Wish::Plainest),
        Value::Number(text) => write_number(text),
        Value::Secret(reference) => {
            let (key, text) = source_of(reference);
            format!("{{{key}: {}}}", write_text(text, Around::Flow, Wish::Plainest))
        }
        Value::List(items) => flow_list(items),
        Value::Map(map) => {
            let entries: Vec<String> =
                map.0.iter().map(|(key, value)| write_flow_entry(key, value)).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Value::Items(items) => {
            let items: Vec<String> =
                items.iter().map(|map| write_flow(&Value::Map(map.clone()))).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

pub(super) fn write_flow_entry(key: &str, value: &Value) -> String {
    format!("{}: {}", write_text(key, Around::Flow, Wish::Plainest), write_flow(value))
}

pub(super) fn flow_list(items: &[String]) -> String {
    let items: Vec<String> =
        items.iter().map(|item| write_text(item, Around::Flow, Wish::Plainest)).collect();
    format!("[{}]", items.join(", "))
}
