//! Brings the keys of a manifest into their usual order; comments go with what they stand with.

use std::{cell::RefCell, collections::HashSet};

use yaml_parser::{SyntaxElement, SyntaxKind, SyntaxNode};

use super::{
    order::rank,
    schema::DocumentKind,
    tree::{column_of, contains, key_of, kind_of_document, map_of, tree},
};

/// The text with its keys in order; `None` where its tree cannot be made.
///
/// A document with aliases keeps its order, for an anchor must stand above them; so do maps whose
/// comments cannot move with their keys.
pub(super) fn sort_keys(text: &str) -> Option<String> {
    let root = tree(text)?;
    let mut sorted = String::new();
    let mut sorter = Sorter { text, kind: DocumentKind::Task, taken: RefCell::default() };
    for element in root.children_with_tokens() {
        let document = element.as_node().filter(|node| !contains(node, SyntaxKind::ALIAS));
        match document.and_then(|node| Some((node, kind_of_document(node)?))) {
            Some((document, kind)) => {
                sorter.kind = kind;
                sorted.push_str(&sorter.node(document, ""));
            }
            None => sorted.push_str(&sorter.source(&element)),
        }
    }
    Some(sorted)
}

struct Sorter<'a> {
    text: &'a str,
    kind: DocumentKind,
    /// Where comments stand that went with the entry before them. The tree has them further out.
    taken: RefCell<HashSet<usize>>,
}

/// An entry of a map, with what stands above it.
struct Segment {
    rank: usize,
    above: String,
    body: String,
}

impl Sorter<'_> {
    fn source(&self, element: &SyntaxElement) -> String {
        let start = usize::from(element.text_range().start());
        match (element.as_node(), element.as_token()) {
            (Some(node), _) => node.text().to_string(),
            (None, Some(token)) if !self.taken.borrow().contains(&start) => token.text().to_owned(),
            (None, _) => String::new(),
        }
    }

    /// Takes the comment behind an entry, with the spaces before it.
    fn take_comment(&self, entry: &SyntaxNode) -> String {
        let mut behind = String::new();
        let mut next = entry.last_token().and_then(|token| token.next_token());
        let mut places = Vec::new();
        while let Some(token) = next {
            places.push(usize::from(token.text_range().start()));
            behind.push_str(token.text());
            match token.kind() {
                SyntaxKind::COMMENT
                    if !places.iter().any(|at| self.taken.borrow().contains(at)) =>
                {
                    self.taken.borrow_mut().extend(places);
                    return behind;
                }
                SyntaxKind::WHITESPACE if !token.text().contains('\n') => next = token.next_token(),
                _ => break,
            }
        }
        String::new()
    }

    /// A node, with every map in it sorted. `path` leads to the map that is around or in it.
    fn node(&self, node: &SyntaxNode, path: &str) -> String {
        match node.kind() {
            SyntaxKind::BLOCK_MAP => self.block_map(node, None, path),
            SyntaxKind::FLOW_MAP if !contains(node, SyntaxKind::COMMENT) => {
                self.flow_map(node, path)
            }
            SyntaxKind::BLOCK_MAP_ENTRY | SyntaxKind::FLOW_MAP_ENTRY => self.entry(node, path),
            _ => node
                .children_with_tokens()
                .map(|element| match element.as_node() {
                    Some(child) => self.node(child, path),
                    None => self.source(&element),
                })
                .collect(),
        }
    }

    fn entry(&self, entry: &SyntaxNode, path: &str) -> String {
        let key = key_of(entry).unwrap_or_default();
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        let mut written = String::new();
        // What stands between the colon and the value.
        let mut between = String::new();
        for element in entry.children_with_tokens() {
            let Some(child) = element.as_node() else {
                between.push_str(&self.source(&element));
                continue;
            };
            let map = map_of(child).filter(|map| {
                child.kind() == SyntaxKind::BLOCK_MAP_VALUE
                    && map.kind() == SyntaxKind::BLOCK_MAP
                    && map.text_range() == child.text_range()
            });
            match (map, between.find('\n')) {
                (Some(map), Some(newline)) => {
                    let above = between.split_off(newline);
                    written.push_str(&between);
                    written.push_str(&self.block_map(&map, Some(above), &path));
                }
                _ => {
                    written.push_str(&between);
                    written.push_str(&self.node(child, &path));
                }
            }
            between.clear();
        }
        written + &between
    }

    /// `above`: what stands above the first entry, if that is on a line of its own.
    fn block_map(&self, map: &SyntaxNode, above: Option<String>, path: &str) -> String {
        let starts_line = above.is_some();
        let mut segments: Vec<Segment> = Vec::new();
        let mut pending = above.unwrap_or_default();
        for element in map.children_with_tokens() {
            if let Some(entry) = element.as_node() {
                let key = key_of(entry).unwrap_or_default();
                segments.push(Segment {
                    rank: rank(self.kind, path, &key),
                    above: std::mem::take(&mut pending),
                    body: self.node(entry, path) + &self.take_comment(entry),
                });
                continue;
            }
            pending.push_str(&self.source(&element));
        }
        if !segments.is_sorted_by_key(|segment| segment.rank) {
            if starts_line {
                segments.sort_by_key(|segment| segment.rank);
            } else {
                let start = usize::from(map.text_range().start());
                sort_first_in_line(&mut segments, column_of(self.text, start));
            }
        }
        let written: String = segments.into_iter().map(|part| part.above + &part.body).collect();
        written + &pending
    }

    fn flow_map(&self, map: &SyntaxNode, path: &str) -> String {
        let mut written = String::new();
        for element in map.children_with_tokens() {
            match element.as_node() {
                Some(node) if node.kind() == SyntaxKind::FLOW_MAP_ENTRIES => {
                    let mut bodies: Vec<(usize, String)> = super::tree::entries(map)
                        .iter()
                        .map(|entry| {
                            let key = key_of(entry).unwrap_or_default();
                            (rank(self.kind, path, &key), self.node(entry, path))
                        })
                        .collect();
                    bodies.sort_by_key(|(rank, _)| *rank);
                    let mut bodies = bodies.into_iter();
                    for element in node.children_with_tokens() {
                        let body = element.as_node().and_then(|_| bodies.next());
                        written.push_str(
                            &body.map_or_else(|| self.source(&element), |(_, body)| body),
                        );
                    }
                }
                _ => written.push_str(&self.source(&element)),
            }
        }
        written
    }
}

/// Sorts a map whose first entry does not begin on a line of its own: that of a document, or of an
/// item of a list.
fn sort_first_in_line(segments: &mut [Segment], column: usize) {
    let has_comments = segments.iter().any(|segment| !segment.above.trim().is_empty());
    if column > 0 && has_comments {
        return;
    }
    if let Some(first) = segments.first_mut() {
        first.above = format!("\n{}", " ".repeat(column));
    }
    segments.sort_by_key(|segment| segment.rank);
    if let Some(first) = segments.first_mut() {
        first.above = first.above.trim_start().to_owned();
    }
}
