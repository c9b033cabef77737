//! Puts single keys into a text, replaces their values and takes them out.

use std::ops::Range;

use yaml_parser::{SyntaxElement, SyntaxKind, SyntaxNode};

use super::{
    edit::EditError,
    order::rank,
    scalar::{Around, Wish, write_text},
    schema::DocumentKind,
    tree::{
        column_of, contains, documents, entries, entry_of, key_of, kind_of_document, map_of,
        scalar_of, tree, value_of,
    },
    values::{Map, Value, write_entry, write_flow, write_flow_entry, write_items, write_value},
};

/// The `spec` of one document, and the field that is about to be changed.
pub(super) struct Spot<'a> {
    text: &'a str,
    path: &'a str,
    kind: DocumentKind,
    spec: SyntaxNode,
    line_break: &'static str,
}

impl<'a> Spot<'a> {
    pub(super) fn find(
        text: &'a str,
        kind: DocumentKind,
        name: &str,
        path: &'a str,
    ) -> Result<Self, EditError> {
        let not_kept = || EditError::NotKept { path: path.to_owned() };
        let root = tree(text).ok_or_else(not_kept)?;
        let named = |document: &SyntaxNode| {
            let metadata = value_of(&entry_of(&map_of(document)?, "metadata")?)?;
            scalar_of(&value_of(&entry_of(&map_of(&metadata)?, "name")?)?)
        };
        let document = documents(&root)
            .find(|document| {
                kind_of_document(document) == Some(kind) && named(document).as_deref() == Some(name)
            })
            .ok_or_else(not_kept)?;
        let entry = map_of(&document).and_then(|map| entry_of(&map, "spec"));
        let spec = entry.and_then(|entry| value_of(&entry)).ok_or_else(not_kept)?;
        let has_crlf = text.split_once('\n').is_some_and(|(line, _)| line.ends_with('\r'));
        let line_break = if has_crlf { "\r\n" } else { "\n" };
        Ok(Self { text, path, kind, spec, line_break })
    }

    fn not_kept(&self) -> EditError {
        EditError::NotKept { path: self.path.to_owned() }
    }

    fn column(&self, node: &SyntaxNode) -> usize {
        column_of(self.text, range_of(node).start)
    }

    fn replaced(&self, range: Range<usize>, with: &str) -> String {
        let with = with.replace('\n', self.line_break);
        [&self.text[..range.start], &with, &self.text[range.end..]].concat()
    }

    /// The map or the item of a list that a value is, which nothing else must share.
    fn below(&self, value: &SyntaxNode, part: &str) -> Result<SyntaxNode, EditError> {
        let inner = value.first_child().ok_or_else(|| self.not_kept())?;
        let is_shared = inner
            .children()
            .any(|child| matches!(child.kind(), SyntaxKind::PROPERTIES | SyntaxKind::ALIAS));
        let map = map_of(value);
        let merges = map.as_ref().is_some_and(|map| entry_of(map, "<<").is_some());
        if is_shared || merges {
            return Err(EditError::Shared { path: self.path.to_owned() });
        }
        let item = part.parse::<usize>().ok().and_then(|index| {
            let list = inner.children().find(|child| child.kind() == SyntaxKind::BLOCK_SEQ)?;
            list.children().nth(index)
        });
        map.or(item).ok_or_else(|| self.not_kept())
    }

    /// The innermost map that is there, and how many parts lead to it.
    fn walk(&self, parts: &[&str]) -> Result<(SyntaxNode, usize), EditError> {
        let mut value = self.spec.clone();
        let mut depth = 0;
        loop {
            let found = self.below(&value, parts.get(depth).copied().unwrap_or_default())?;
            if found.kind() == SyntaxKind::BLOCK_SEQ_ENTRY {
                value = found;
                depth += 1;
                continue;
            }
            if depth + 1 >= parts.len() {
                return Ok((found, depth));
            }
            match entry_of(&found, parts[depth]).and_then(|entry| value_of(&entry)) {
                Some(inside) => value = inside,
                None => return Ok((found, depth)),
            }
            depth += 1;
        }
    }

    /// Refuses what holds a comment, an anchor or an alias.
    fn check_own(&self, node: &SyntaxNode) -> Result<(), EditError> {
        let path = || self.path.to_owned();
        if contains(node, SyntaxKind::ALIAS) || contains(node, SyntaxKind::ANCHOR_PROPERTY) {
            return Err(EditError::Shared { path: path() });
        }
        if contains(node, SyntaxKind::COMMENT) {
            return Err(EditError::Commented { path: path() });
        }
        Ok(())
    }
}

fn range_of(node: &SyntaxNode) -> Range<usize> {
    node.text_range().into()
}

/// The text with the field set.
pub(super) fn set(spot: &Spot<'_>, parts: &[&str], value: &Value) -> Result<String, EditError> {
    let (map, depth) = spot.walk(parts)?;
    let Some(key) = parts.get(depth) else { return Err(spot.not_kept()) };
    let rest = &parts[depth + 1..];
    match entry_of(&map, key) {
        Some(entry) if rest.is_empty() => replace(spot, &entry, value),
        Some(_) => Err(spot.not_kept()),
        None => {
            let value = if rest.is_empty() {
                value.clone()
            } else {
                let mut around = Map::default();
                around.insert(rest, value.clone());
                Value::Map(around)
            };
            let parent = [&["spec"], &parts[..depth]].concat();
            let parent: Vec<&str> =
                parent.into_iter().filter(|part| part.parse::<usize>().is_err()).collect();
            Ok(insert(spot, &map, &parent.join("."), key, &value))
        }
    }
}

/// Adds a key at its place in the usual order.
fn insert(spot: &Spot<'_>, map: &SyntaxNode, parent: &str, key: &str, value: &Value) -> String {
    let own = rank(spot.kind, parent, key);
    let siblings = entries(map);
    let before = siblings
        .iter()
        .rev()
        .find(|entry| key_of(entry).is_some_and(|key| rank(spot.kind, parent, &key) <= own));
    if map.kind() == SyntaxKind::FLOW_MAP {
        let written = write_flow_entry(key, value);
        let (at, written) = match (before, siblings.first()) {
            (Some(entry), _) => (range_of(entry).end, format!(", {written}")),
            (None, Some(first)) => (range_of(first).start, format!("{written}, ")),
            (None, None) => (range_of(map).start + 1, written),
        };
        return spot.replaced(at..at, &written);
    }
    let column = spot.column(map);
    let indent = " ".repeat(column);
    let written = write_entry(key, value, column);
    if let Some(entry) = before {
        let end = end_of(spot, entry, column);
        return spot.replaced(end..end, &format!("\n{indent}{written}"));
    }
    // First of all: above the comments of the one that was first.
    let start = range_of(map).start;
    let colon = map
        .ancestors()
        .find(|node| node.kind() == SyntaxKind::BLOCK_MAP_ENTRY)
        .and_then(|entry| entry.children_with_tokens().find(|e| e.kind() == SyntaxKind::COLON))
        .map(|colon| line_end(spot.text, colon.text_range().end().into()))
        .filter(|end| *end < start);
    match colon {
        Some(end) => spot.replaced(end..end, &format!("\n{indent}{written}")),
        None => spot.replaced(start..start, &format!("{written}\n{indent}")),
    }
}

/// Where the lines of an entry end, with the comments that are indented below it. A list that begins as
/// far left as its key seems to hold the comments of the next one.
fn end_of(spot: &Spot<'_>, entry: &SyntaxNode, column: usize) -> usize {
    let mut end = range_of(entry).start;
    for token in entry.descendants_with_tokens().filter_map(SyntaxElement::into_token) {
        let range: Range<usize> = token.text_range().into();
        let is_own = match token.kind() {
            SyntaxKind::WHITESPACE => false,
            SyntaxKind::COMMENT => column_of(spot.text, range.start) > column,
            _ => true,
        };
        if is_own {
            end = range.end;
        }
    }
    line_end(spot.text, end)
}

/// Before the line break.
fn line_end(text: &str, from: usize) -> usize {
    let end = text[from..].find('\n').map_or(text.len(), |newline| from + newline);
    if text[from..end].ends_with('\r') { end - 1 } else { end }
}

fn replace(spot: &Spot<'_>, entry: &SyntaxNode, value: &Value) -> Result<String, EditError> {
    let old = value_of(entry).ok_or_else(|| spot.not_kept())?;
    let inner = old.first_child().ok_or_else(|| spot.not_kept())?;
    let is_flow = entry.kind() == SyntaxKind::FLOW_MAP_ENTRY;
    if let Value::List(items) = value
        && let Some(list) = inner.children().find(|child| child.kind() == SyntaxKind::BLOCK_SEQ)
    {
        return replace_items(spot, &list, items);
    }
    spot.check_own(&old)?;
    let written = match value {
        Value::List(items) => match inner.children().find(|c| c.kind() == SyntaxKind::FLOW_SEQ) {
            Some(list) => Some(flow_items(&list, items)),
            None => is_flow.then(|| write_flow(value)),
        },
        Value::Text(text) => {
            let has = |kind| inner.children_with_tokens().any(|element| element.kind() == kind);
            let wish = if has(SyntaxKind::DOUBLE_QUOTED_SCALAR) {
                Wish::DoubleQuoted
            } else if has(SyntaxKind::SINGLE_QUOTED_SCALAR) {
                Wish::SingleQuoted
            } else {
                Wish::Plainest
            };
            let indent = spot.column(entry) + 2;
            let around = if is_flow { Around::Flow } else { Around::Block { indent } };
            Some(write_text(text, around, wish))
        }
        _ if is_flow => Some(write_flow(value)),
        _ => None,
    };
    if let Some(written) = written {
        return Ok(spot.replaced(range_of(&old), &written));
    }
    let colon = entry.children_with_tokens().find(|e| e.kind() == SyntaxKind::COLON);
    let start = colon.map_or(range_of(&old).start, |colon| colon.text_range().end().into());
    let end = range_of(&old).end;
    if !spot.text[start..range_of(&old).start].trim().is_empty() {
        return Err(EditError::Commented { path: spot.path.to_owned() });
    }
    Ok(spot.replaced(start..end, &write_value(value, spot.column(entry))))
}

/// The items of a list between brackets: those that stay look as they did.
fn flow_items(list: &SyntaxNode, items: &[String]) -> String {
    let old: Vec<(Option<String>, String)> = list
        .descendants()
        .filter(|node| node.kind() == SyntaxKind::FLOW_SEQ_ENTRY)
        .map(|entry| (scalar_of(&entry), entry.text().to_string()))
        .collect();
    let written: Vec<String> = items
        .iter()
        .map(|item| {
            let same = old.iter().find(|(text, _)| text.as_ref() == Some(item));
            match same {
                Some((_, source)) => source.trim().to_owned(),
                None => write_text(item, Around::Flow, Wish::Plainest),
            }
        })
        .collect();
    format!("[{}]", written.join(", "))
}

/// The items of a list on lines of their own: lines of items that stay are not touched.
fn replace_items(
    spot: &Spot<'_>,
    list: &SyntaxNode,
    items: &[String],
) -> Result<String, EditError> {
    let column = spot.column(list);
    let mut added: Vec<&String> = items.iter().collect();
    let mut kept = Vec::new();
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut end = None;
    for entry in list.children() {
        let text = scalar_of_item(&entry);
        match text.and_then(|text| added.iter().position(|item| **item == text)) {
            Some(index) => {
                kept.push(added.remove(index));
                end = Some(end_of(spot, &entry, column));
            }
            None => {
                spot.check_own(&entry)?;
                let lines = lines_of(spot.text, &range_of(&entry));
                edits.push((lines.ok_or_else(|| spot.not_kept())?, String::new()));
            }
        }
    }
    let is_in_order = is_set(spot.path) || kept.iter().chain(&added).copied().eq(items);
    let Some(end) = end.filter(|_| is_in_order) else {
        spot.check_own(list)?;
        return Ok(spot.replaced(range_of(list), write_items_or_none(items, column).trim_start()));
    };
    let added: Vec<String> = added.into_iter().cloned().collect();
    edits.push((end..end, write_items(&added, column)));
    // From the end, so that the places of the others stay right.
    edits.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
    let mut text = spot.text.to_owned();
    for (range, with) in edits {
        text.replace_range(range, &with.replace('\n', spot.line_break));
    }
    Ok(text)
}

fn write_items_or_none(items: &[String], column: usize) -> String {
    if items.is_empty() { "[]".to_owned() } else { write_items(items, column) }
}

fn scalar_of_item(entry: &SyntaxNode) -> Option<String> {
    scalar_of(&entry.first_child()?)
}

/// Lists whose order says nothing.
fn is_set(path: &str) -> bool {
    matches!(path, "channels" | "managers" | "events" | "entries" | "tasks")
}

/// Whole lines, if nothing else stands before the range on its first one.
fn lines_of(text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let start = text[..range.start].rfind('\n').map_or(0, |newline| newline + 1);
    if !text[start..range.start].trim().is_empty() {
        return None;
    }
    match text[range.end..].find('\n') {
        Some(newline) => Some(start..range.end + newline + 1),
        // The last line has no end: the one before it loses its own.
        None => {
            Some(line_end(text, text[..start].trim_end_matches(['\r', '\n']).len())..text.len())
        }
    }
}

/// The text without the field; a map that would be left empty goes with it.
pub(super) fn remove(spot: &Spot<'_>, parts: &[&str]) -> Result<String, EditError> {
    let (map, depth) = spot.walk(parts)?;
    let entry = (depth + 1 == parts.len()).then(|| entry_of(&map, parts[depth])).flatten();
    let Some(entry) = entry else { return Ok(spot.text.to_owned()) };
    let siblings = entries(&map);
    if siblings.len() == 1 && depth > 0 {
        return remove(spot, &parts[..depth]);
    }
    spot.check_own(&entry)?;
    let range = range_of(&entry);
    if map.kind() == SyntaxKind::BLOCK_MAP {
        let lines = lines_of(spot.text, &range).ok_or_else(|| spot.not_kept())?;
        return Ok(spot.replaced(lines, ""));
    }
    let position = siblings.iter().position(|sibling| *sibling == entry).unwrap_or_default();
    let range = match (siblings.get(position + 1), position.checked_sub(1)) {
        (Some(next), _) => range.start..range_of(next).start,
        (None, Some(previous)) => range_of(&siblings[previous]).end..range.end,
        (None, None) => range,
    };
    if spot.text[range.clone()].contains('#') {
        return Err(EditError::Commented { path: spot.path.to_owned() });
    }
    Ok(spot.replaced(range, ""))
}
