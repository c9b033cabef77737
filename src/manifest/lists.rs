//! Indents the lists that begin as far left as their keys: a comment below such a list would seem to
//! belong to it, and is about the next key.

use yaml_parser::{SyntaxKind, SyntaxNode};

use super::tree::{column_of, tree};

const INDENT: &str = "  ";

/// The text with every list further right than its key; `None` where its tree cannot be made.
pub(super) fn indent_lists(text: &str) -> Option<String> {
    let root = tree(text)?;
    let line_of = |offset: usize| text[..offset].matches('\n').count();
    let mut lists = Vec::new();
    for list in root.descendants().filter(|node| node.kind() == SyntaxKind::BLOCK_SEQ) {
        let Some(entry) = list.ancestors().nth(3).filter(is_entry) else { continue };
        let (first, last) = (list.first_child()?, list.last_child()?);
        let start = usize::from(first.text_range().start());
        if column_of(text, start) == column_of(text, entry.text_range().start().into()) {
            lists.push(line_of(start)..=line_of(last.text_range().end().into()));
        }
    }
    let mut indented = String::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if !line.trim().is_empty() {
            let depth = lists.iter().filter(|lines| lines.contains(&number)).count();
            indented.push_str(&INDENT.repeat(depth));
        }
        indented.push_str(line);
    }
    Some(indented)
}

fn is_entry(node: &SyntaxNode) -> bool {
    node.kind() == SyntaxKind::BLOCK_MAP_ENTRY
}
