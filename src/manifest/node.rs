//! Values of a document that know where they stand and how they were written.

/// A stretch of text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
}

impl Span {
    /// Characters on the first line, or [`u32::MAX`] for all that follow; what goes over several lines is marked at its beginning only.
    pub fn length(&self) -> u32 {
        if self.end_column == u32::MAX {
            u32::MAX
        } else if self.end_line == self.line {
            self.end_column.saturating_sub(self.column).max(1)
        } else {
            1
        }
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub struct Scalar {
    /// As written, without quotes.
    pub text: String,
    pub style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Unquoted: the only style that may mean something else than text.
    Plain,
    Quoted,
    /// `|`: its lines are those of the text.
    Literal,
    /// `>`.
    Folded,
}

#[derive(Clone, Debug)]
pub struct Key {
    pub text: String,
    pub span: Span,
}

/// What YAML 1.2 (core) takes a scalar for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Meaning<'a> {
    Null,
    Bool(bool),
    Integer(&'a str),
    Float(&'a str),
    Text(&'a str),
}

impl Scalar {
    pub fn meaning(&self) -> Meaning<'_> {
        let text = self.text.as_str();
        if self.style != Style::Plain {
            return Meaning::Text(text);
        }
        match text {
            "" | "~" | "null" => Meaning::Null,
            "true" => Meaning::Bool(true),
            "false" => Meaning::Bool(false),
            _ => number(text).unwrap_or(Meaning::Text(text)),
        }
    }
}

/// `-?(0|[1-9][0-9]*)`, with a fraction or an exponent a float. Anything else (`010`, `+7…`, `0x1F`)
/// stays text.
fn number(text: &str) -> Option<Meaning<'_>> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.starts_with('0')) {
        return None;
    }
    let mut rest = &unsigned[whole..];
    if rest.is_empty() {
        return Some(Meaning::Integer(text));
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if count == 0 {
            return None;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let count = digits(exponent);
        if count == 0 {
            return None;
        }
        rest = &exponent[count..];
    }
    rest.is_empty().then_some(Meaning::Float(text))
}

impl Node {
    /// Where a line of a text stands, counted from 1: the whole text where lines are folded or escaped.
    pub fn line(&self, number: usize) -> Span {
        match &self.value {
            Value::Scalar(Scalar { style: Style::Literal, .. }) => {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let line = self.span.line.saturating_add(number).saturating_sub(1);
                Span { line, end_line: line, end_column: u32::MAX, ..self.span }
            }
            _ => self.span,
        }
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, node)| node)
    }

    pub fn entry(&self, key: &str) -> Option<&(Key, Self)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(found, _)| found.text == key),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The source text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.meaning() == Meaning::Null)
    }

    /// The node at a path such as `outgoing.opening.text` or `reminders.0.after`.
    pub fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').filter(|part| !part.is_empty()).try_fold(self, |node, part| {
            match &node.value {
                Value::List(items) => items.get(part.parse::<usize>().ok()?),
                Value::Map(_) => node.get(part),
                Value::Scalar(_) => None,
            }
        })
    }

    /// Takes the node at a path of keys and indices out of the tree.
    pub fn remove(&mut self, path: &[&str]) {
        let Some((part, rest)) = path.split_first() else { return };
        match (&mut self.value, rest) {
            (Value::Map(entries), []) => entries.retain(|(key, _)| key.text != *part),
            (Value::Map(entries), _) => {
                if let Some((_, node)) = entries.iter_mut().find(|(key, _)| key.text == *part) {
                    node.remove(rest);
                }
            }
            (Value::List(items), _) => {
                let index = part.parse::<usize>().ok();
                match (index.filter(|index| *index < items.len()), rest) {
                    (Some(index), []) => drop(items.remove(index)),
                    (Some(index), _) => items[index].remove(rest),
                    (None, _) => {}
                }
            }
            (Value::Scalar(_), _) => {}
        }
    }

    /// The view that a JSON schema judges.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => Json::Object(
                entries.iter().map(|(key, node)| (key.text.clone(), node.to_json())).collect(),
            ),
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => Json::Null,
                Meaning::Bool(value) => Json::Bool(value),
                Meaning::Integer(text) | Meaning::Float(text) => text
                    .parse::<serde_json::Number>()
                    .map_or_else(|_| Json::from(text), Json::Number),
                Meaning::Text(text) => Json::from(text),
            },
        }
    }
}
