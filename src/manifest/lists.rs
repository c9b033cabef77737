//! Lists in their usual places. Those that begin as far left as their keys are indented: a comment below such a list
//! would seem to belong to it, and is about the next key. Those that are too long for their line get one a line for
//! each item.

use yaml_parser::{SyntaxKind, SyntaxNode};

use super::{
    tree::{column_of, tree},
    values::WIDTH,
};

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

/// The text with every list in brackets that does not fit on its line as one of dashes; `None` where its tree cannot be
/// made.
pub(super) fn break_lists(text: &str) -> Option<String> {
    let root = tree(text)?;
    let mut broken = text.to_owned();
    let lists = root.descendants().filter(|node| node.kind() == SyntaxKind::FLOW_SEQ);
    // From the end, so that the places before stay where they are.
    for list in lists.collect::<Vec<_>>().into_iter().rev() {
        let Some(entry) = list.ancestors().nth(3).filter(is_entry) else { continue };
        let (start, end) = (list.text_range().start().into(), list.text_range().end().into());
        let rest = text[end..].lines().next().unwrap_or_default();
        let comment = rest.trim();
        let before = text[..start].trim_end_matches(' ').len();
        let is_alone =
            text[..before].ends_with(':') && (comment.is_empty() || comment.starts_with('#'));
        if !is_alone || text[start..end].contains('\n') || column_of(text, end) <= WIDTH {
            continue;
        }
        let dash = format!(
            "\n{}- ",
            " ".repeat(column_of(text, entry.text_range().start().into()) + INDENT.len())
        );
        let items = list.descendants().filter(|node| {
            node.kind() == SyntaxKind::FLOW_SEQ_ENTRY
                && node.ancestors().nth(2).as_ref() == Some(&list)
        });
        let items: String =
            items.map(|item| dash.clone() + item.text().to_string().trim()).collect();
        let comment = if comment.is_empty() { String::new() } else { format!(" {comment}") };
        broken.replace_range(before..end + rest.len(), &(comment + &items));
    }
    Some(broken)
}

fn is_entry(node: &SyntaxNode) -> bool {
    node.kind() == SyntaxKind::BLOCK_MAP_ENTRY
}
