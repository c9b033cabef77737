//! Reads YAML into nodes, within limits: refused are tags, keys that stand twice and alias bombs.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span as RawSpan, Tag};

use super::{
    diagnostic::Code,
    node::{Key, Node, Scalar, Span, Style, Value},
};

/// A manifest of this size holds an audience of a hundred thousand lines; a larger one belongs in a
/// file of its own, which is streamed.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// No field lies deeper than 8 levels. Recursion over nodes relies on this bound.
pub const DEPTH_MAX: usize = 48;

/// Nodes of one file: every line of the largest file may be one.
pub const NODES_MAX: usize = 500_000;

/// Nodes that all aliases of one file may stand for: "a billion laughs" is refused before it grows.
pub const ALIAS_NODES_MAX: usize = 20_000;

/// Keys of one map: the longest are labels. Looking a key up walks over all of them.
pub const KEYS_MAX: usize = 1_000;

/// What the loader objects to.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub code: Code,
    pub span: Span,
    pub message: String,
    pub hint: Option<String>,
}

/// One document and the keys that stand in it twice (the first of them counts).
#[derive(Debug)]
pub(super) struct Document {
    pub root: Node,
    pub problems: Vec<Problem>,
}

/// The documents of one text, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub documents: Vec<Document>,
    /// Reading stopped here.
    pub stopped: Option<Problem>,
}

pub(super) fn parse(text: &str) -> Parsed {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    let mut parsed = Parsed::default();
    // Found by the scanner on its own, but at the wrong place or in the wrong words.
    for event in Parser::new_from_str(text) {
        let done = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                let mark = error.marker();
                Err(Problem {
                    code: Code::Syntax,
                    span: span_of(&RawSpan::empty(*mark)),
                    message: error.info().to_owned(),
                    hint: None,
                })
            }
        };
        match done {
            Ok(Some(document)) => parsed.documents.push(document),
            Ok(None) => {}
            Err(problem) => {
                parsed.stopped = Some(problem);
                break;
            }
        }
    }
    parsed
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    problems: Vec<Problem>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    alias_nodes: usize,
}

struct Open {
    anchor: usize,
    /// Nodes counted before this one.
    nodes_before: usize,
    span: Span,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, seen: HashSet<String>, key: Option<Key> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, raw: RawSpan) -> Result<Option<Document>, Problem> {
        let span = span_of(&raw);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
            Event::DocumentEnd => {
                self.anchors.clear();
                let problems = std::mem::take(&mut self.problems);
                return Ok(self.root.take().map(|root| Document { root, problems }));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal => Style::Literal,
                    ScalarStyle::Folded => Style::Folded,
                };
                let style = match tag {
                    None => style,
                    Some(tag) if is_core(&tag, "str") && style == Style::Plain => Style::Quoted,
                    Some(tag) if is_core(&tag, "str") => style,
                    Some(_) => return Err(tagged(span)),
                };
                // The scanner begins a block at its first line that is not blank.
                let blank = text.chars().take_while(|c| *c == '\n').count();
                let is_block = matches!(style, Style::Literal | Style::Folded);
                let blank = if is_block { u32::try_from(blank).unwrap_or(0) } else { 0 };
                let span = Span { line: span.line.saturating_sub(blank).max(1), ..span };
                self.count(span)?;
                if text.contains('\0') {
                    // No database keeps it, and one such text would hold every other change up.
                    return Err(problem(Code::Syntax, span, "a text must not contain U+0000"));
                }
                let node =
                    Node { value: Value::Scalar(Scalar { text: text.into_owned(), style }), span };
                if anchor > 0 {
                    self.remember(anchor, &node, 1, span)?;
                }
                self.place(node)?;
            }
            Event::SequenceStart(anchor, tag) => {
                if tag.is_some_and(|tag| !is_core(&tag, "seq")) {
                    return Err(tagged(span));
                }
                self.descend(anchor, span, OpenKind::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                if tag.is_some_and(|tag| !is_core(&tag, "map")) {
                    return Err(tagged(span));
                }
                let kind = OpenKind::Map { entries: Vec::new(), seen: HashSet::new(), key: None };
                self.descend(anchor, span, kind)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, nodes_before, span: start, kind }) = self.open.pop() else {
                    return Ok(None);
                };
                let value = match kind {
                    OpenKind::List(items) => Value::List(items),
                    OpenKind::Map { entries, .. } => Value::Map(entries),
                };
                let end = Span { end_line: span.end_line, end_column: span.end_column, ..start };
                let node = Node { value, span: end };
                if anchor > 0 {
                    self.remember(anchor, &node, self.nodes - nodes_before, start)?;
                }
                self.place(node)?;
            }
            Event::Alias(anchor) => {
                let Some((_, size)) = self.anchors.get(&anchor) else {
                    return Err(problem(
                        Code::AliasLimit,
                        span,
                        "the alias stands inside of what it repeats",
                    ));
                };
                self.count_copy(*size, span)?;
                let node = self.anchors[&anchor].0.clone();
                let depth = self.open.len() + depth_of(&node);
                if depth > DEPTH_MAX {
                    return Err(too_deep(span));
                }
                self.place(node)?;
            }
        }
        Ok(None)
    }

    fn descend(&mut self, anchor: usize, span: Span, kind: OpenKind) -> Result<(), Problem> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(span));
        }
        let nodes_before = self.nodes;
        self.count(span)?;
        self.open.push(Open { anchor, nodes_before, span, kind });
        Ok(())
    }

    fn count(&mut self, span: Span) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            let message = format!("the file holds more than {NODES_MAX} values");
            return Err(Problem {
                hint: Some("move the audience to a file of its own".to_owned()),
                ..problem(Code::TooManyNodes, span, message)
            });
        }
        Ok(())
    }

    /// Counts what is copied before it is copied.
    fn count_copy(&mut self, size: usize, span: Span) -> Result<(), Problem> {
        self.nodes += size;
        self.alias_nodes += size;
        if self.alias_nodes > ALIAS_NODES_MAX {
            let message =
                format!("the aliases of this file stand for more than {ALIAS_NODES_MAX} values");
            return Err(problem(Code::AliasLimit, span, message));
        }
        Ok(())
    }

    fn remember(
        &mut self,
        anchor: usize,
        node: &Node,
        size: usize,
        span: Span,
    ) -> Result<(), Problem> {
        let nodes = self.nodes;
        self.count_copy(size, span)?;
        // Only aliases make a document larger; the kept copy does not.
        self.nodes = nodes;
        self.anchors.insert(anchor, (node.clone(), size));
        Ok(())
    }

    fn place(&mut self, node: Node) -> Result<(), Problem> {
        let Some(Open { kind, .. }) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, seen, key } => match key.take() {
                None => match node.value {
                    Value::Scalar(Scalar { text, .. }) => {
                        *key = Some(Key { text, span: node.span });
                    }
                    Value::List(_) | Value::Map(_) => {
                        return Err(problem(Code::Syntax, node.span, "a key must be a text"));
                    }
                },
                Some(key) => {
                    if entries.len() >= KEYS_MAX || self.problems.len() >= KEYS_MAX {
                        let message = format!("a map holds more than {KEYS_MAX} keys");
                        return Err(problem(Code::TooManyNodes, key.span, message));
                    }
                    if seen.insert(key.text.clone()) {
                        entries.push((key, node));
                    } else {
                        let first = entries.iter().find(|(found, _)| found.text == key.text);
                        let line = first.map_or(0, |(found, _)| found.span.line);
                        let message =
                            format!("`{}` stands here twice; first in line {line}", key.text);
                        self.problems.push(problem(Code::DuplicateKey, key.span, message));
                    }
                }
            },
        }
        Ok(())
    }
}

fn problem(code: Code, span: Span, message: impl Into<String>) -> Problem {
    Problem { code, span, message: message.into(), hint: None }
}

fn tagged(span: Span) -> Problem {
    problem(Code::Syntax, span, "manifests know no tags such as `!name`")
}

fn too_deep(span: Span) -> Problem {
    problem(Code::TooDeep, span, format!("the nesting is deeper than {DEPTH_MAX} levels"))
}

fn is_core(tag: &Tag, suffix: &str) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == suffix
}

fn depth_of(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => 1 + items.iter().map(depth_of).max().unwrap_or(0),
        Value::Map(entries) => {
            1 + entries.iter().map(|(_, node)| depth_of(node)).max().unwrap_or(0)
        }
    }
}

fn span_of(raw: &RawSpan) -> Span {
    // The size of a file is bounded, so both fit.
    let line = |line: usize| u32::try_from(line).unwrap_or(u32::MAX).max(1);
    let column = |column: usize| u32::try_from(column).unwrap_or(u32::MAX - 1) + 1;
    Span {
        line: line(raw.start.line()),
        column: column(raw.start.col()),
        end_line: line(raw.end.line()),
        end_column: column(raw.end.col()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> Node {
        let mut parsed = parse(text);
        assert!(parsed.stopped.is_none(), "{:?}", parsed.stopped);
        parsed.documents.remove(0).root
    }

    fn stopped(text: &str) -> Problem {
        parse(text).stopped.expect("the text is refused")
    }

    #[test]
    fn only_the_core_of_yaml_is_not_text() {
        for (text, json) in [
            ("a: NO", r#"{"a":"NO"}"#),
            ("a: 010", r#"{"a":"010"}"#),
            ("a: +79123456789", r#"{"a":"+79123456789"}"#),
            ("a: 0x1F", r#"{"a":"0x1F"}"#),
            ("a: -12", r#"{"a":-12}"#),
            ("a: 0.5", r#"{"a":0.5}"#),
            ("a: '12'", r#"{"a":"12"}"#),
            ("a: !!str 12", r#"{"a":"12"}"#),
            ("a: 1.", r#"{"a":"1."}"#),
            ("a: .5", r#"{"a":".5"}"#),
            ("a:", r#"{"a":null}"#),
            ("a: ~", r#"{"a":null}"#),
            ("a: True", r#"{"a":"True"}"#),
            ("[true, 12:30]", r#"[true,"12:30"]"#),
        ] {
            assert_eq!(one(text).to_json().to_string(), json, "{text}");
        }
    }

    #[test]
    fn places_count_characters_from_one() {
        let node = one("ключ:\n  - слово\n  - б: {в: 1}\n");
        let at = |path| {
            let span = node.at(path).unwrap().span;
            (span.line, span.column, span.length())
        };
        assert_eq!(at("ключ.0"), (2, 5, 5));
        assert_eq!(at("ключ.1.б.в"), (3, 12, 1));
        for (text, line) in
            [("a: |  # why\n\n  x\n  y\n", 2), ("a: |\n  x\n", 2), ("a: >-\n\n\n  x", 2)]
        {
            assert_eq!(one(text).at("a").unwrap().span.line, line, "{text}");
        }
        let key = &node.entry("ключ").unwrap().0.span;
        assert_eq!((key.line, key.column, key.length()), (1, 1, 4));
    }

    #[test]
    fn a_key_that_stands_twice_is_found_in_every_map() {
        let parsed = parse("a: {b: 1, c: 2, b: 3}\nd: 1\na: 2\n");
        let lines: Vec<_> =
            parsed.documents[0].problems.iter().map(|p| (p.span.line, p.span.column)).collect();
        assert_eq!(lines, [(1, 17), (3, 1)]);
    }

    #[test]
    fn a_billion_laughs_are_refused_before_they_grow() {
        let mut text = "a0: &a0 [lol, lol]\n".to_owned();
        for level in 1..30 {
            let repeated = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(text, "a{level}: &a{level} [{repeated}]").unwrap();
        }
        assert_eq!(stopped(&text).code, Code::AliasLimit);
        assert_eq!(stopped("a: &a [*a]").code, Code::AliasLimit);
        assert_eq!(stopped("a: *nowhere").code, Code::Syntax);
        assert_eq!(one("a: &x {b: 1}\nc: *x").to_json()["c"]["b"], 1);
    }

    #[test]
    fn deep_and_endless_texts_are_refused() {
        assert_eq!(stopped(&"[".repeat(100)).code, Code::TooDeep);
        assert_eq!(stopped(&"- ".repeat(10_000)).code, Code::TooDeep);
        assert_eq!(stopped(&format!("[{}]", "1,".repeat(NODES_MAX))).code, Code::TooManyNodes);
        let keys: Vec<String> = (0..=KEYS_MAX).map(|key| format!("k{key}: 1")).collect();
        assert_eq!(stopped(&keys.join("\n")).code, Code::TooManyNodes);
        assert_eq!(stopped(&"k: 1\n".repeat(KEYS_MAX + 2)).code, Code::TooManyNodes);
        assert_eq!(stopped("a: !ruby/object 1").code, Code::Syntax);
        assert_eq!(stopped("? [a]\n: b").code, Code::Syntax);
        assert_eq!(stopped("a: 'b").code, Code::Syntax);
        assert_eq!(stopped("a: b\n c: d").code, Code::Syntax);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_loader_panic(text in "\\PC*|[-\\[\\]{}:,?&*!|>'\"#%@` \n\ta0]{0,60}") {
            for document in parse(&text).documents {
                document.root.to_json();
            }
        }
    }
}
