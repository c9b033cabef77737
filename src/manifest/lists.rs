//! Indents the lists that begin as far left as their keys: a comment below such a list would seem to
//! belong to it, and is about the next key.

use yaml_parser::{SyntaxKind, SyntaxNode};

use super::tree::{column_of, tree};

const INDENT: &str = "  ";

/// The text with every list further right than its key; `None` where its tree cannot be made.
pub(super) fn indent_lists(text: &str) -> Option<String> {
    let root = tree(text)?;
    let starts: Vec<usize> =
        std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let line_of = |offset: usize| starts.partition_point(|start| *start <= offset) - 1;
    // How much deeper the lines from here on are than those before.
    let mut deeper = vec![0_isize; starts.len() + 1];
    for list in root.descendants().filter(|node| node.kind() == SyntaxKind::BLOCK_SEQ) {
        let Some(entry) = list.ancestors().nth(3).filter(is_entry) else { continue };
        let (first, last) = (list.first_child()?, list.last_child()?);
        let start = usize::from(first.text_range().start());
        if column_of(text, start) == column_of(text, entry.text_range().start().into()) {
            deeper[line_of(start)] += 1;
            deeper[line_of(last.text_range().end().into()) + 1] -= 1;
        }
    }
    let mut indented = String::new();
    let mut depth = 0;
    for (line, change) in text.split_inclusive('\n').zip(deeper) {
        depth += change;
        if !line.trim().is_empty() {
            indented.push_str(&INDENT.repeat(depth.unsigned_abs()));
        }
        indented.push_str(line);
    }
    Some(indented)
}

fn is_entry(node: &SyntaxNode) -> bool {
    node.kind() == SyntaxKind::BLOCK_MAP_ENTRY
}
