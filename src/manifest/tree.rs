//! The lossless tree of a text: where its keys, values and comments are, byte for byte.

use yaml_parser::{SyntaxElement, SyntaxKind, SyntaxNode};

use super::{
    node::{Scalar, Value},
    schema::DocumentKind,
    yaml,
};

/// The parser keeps the columns that it is in as the bits of a word.
const COLUMNS_MAX: usize = 60;

/// The tree of a text that the loader has read already: this bounds its depth. `None` where it cannot be
/// made, as for lines that begin too far to the right.
pub(super) fn tree(text: &str) -> Option<SyntaxNode> {
    is_within_columns(text).then(|| yaml_parser::parse(text).ok()).flatten()
}

/// Whether every line begins, with its dashes, where the parser can follow.
pub(super) fn is_within_columns(text: &str) -> bool {
    let begins = |line: &str| {
        let mut rest = line;
        while let Some(next) = rest
            .strip_prefix(' ')
            .or_else(|| rest.strip_prefix("- "))
            .or_else(|| rest.strip_prefix("? "))
        {
            rest = next;
        }
        line.len() - rest.len()
    };
    text.lines().all(|line| begins(line) < COLUMNS_MAX)
}

pub(super) fn documents(root: &SyntaxNode) -> impl Iterator<Item = SyntaxNode> {
    root.children().filter(|node| node.kind() == SyntaxKind::DOCUMENT)
}

/// The map that a document or a value is.
pub(super) fn map_of(node: &SyntaxNode) -> Option<SyntaxNode> {
    let inner = node
        .children()
        .find(|child| matches!(child.kind(), SyntaxKind::BLOCK | SyntaxKind::FLOW))?;
    inner
        .children()
        .find(|child| matches!(child.kind(), SyntaxKind::BLOCK_MAP | SyntaxKind::FLOW_MAP))
}

/// The entries of a map, of either style.
pub(super) fn entries(map: &SyntaxNode) -> Vec<SyntaxNode> {
    match map.kind() {
        SyntaxKind::FLOW_MAP => map
            .children()
            .filter(|child| child.kind() == SyntaxKind::FLOW_MAP_ENTRIES)
            .flat_map(|entries| entries.children())
            .filter(|child| child.kind() == SyntaxKind::FLOW_MAP_ENTRY)
            .collect(),
        _ => map.children().filter(|c| c.kind() == SyntaxKind::BLOCK_MAP_ENTRY).collect(),
    }
}

pub(super) fn key_of(entry: &SyntaxNode) -> Option<String> {
    let is_key = |node: &SyntaxNode| {
        matches!(node.kind(), SyntaxKind::BLOCK_MAP_KEY | SyntaxKind::FLOW_MAP_KEY)
    };
    scalar_of(&entry.children().find(is_key)?)
}

pub(super) fn value_of(entry: &SyntaxNode) -> Option<SyntaxNode> {
    entry.children().find(|node| {
        matches!(node.kind(), SyntaxKind::BLOCK_MAP_VALUE | SyntaxKind::FLOW_MAP_VALUE)
    })
}

pub(super) fn entry_of(map: &SyntaxNode, key: &str) -> Option<SyntaxNode> {
    entries(map).into_iter().find(|entry| key_of(entry).is_some_and(|found| found == key))
}

/// The text of a scalar that stands on one line, as it is meant.
pub(super) fn scalar_of(node: &SyntaxNode) -> Option<String> {
    let root = yaml::parse(&node.text().to_string()).documents.pop()?.root;
    match root.value {
        Value::Scalar(Scalar { text, .. }) => Some(text),
        Value::List(_) | Value::Map(_) => None,
    }
}

pub(super) fn kind_of_document(document: &SyntaxNode) -> Option<DocumentKind> {
    let entry = entry_of(&map_of(document)?, "kind")?;
    scalar_of(&value_of(&entry)?)?.parse().ok()
}

/// Whether a node holds a token or a node of a kind.
pub(super) fn contains(node: &SyntaxNode, kind: SyntaxKind) -> bool {
    node.descendants_with_tokens().any(|element| element.kind() == kind)
}

/// The comments of a text, in their order.
pub(super) fn comments(root: &SyntaxNode) -> Vec<String> {
    root.descendants_with_tokens()
        .filter_map(SyntaxElement::into_token)
        .filter(|token| token.kind() == SyntaxKind::COMMENT)
        .map(|token| token.text().trim_end().to_owned())
        .collect()
}

/// The characters before a place in its line.
pub(super) fn column_of(text: &str, offset: usize) -> usize {
    let line = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    text[line..offset].chars().count()
}
