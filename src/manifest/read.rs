//! Typed reading of nodes by serde: a scalar that is asked for as text gives its source text.

use std::fmt;

use serde::de::{self, Deserializer, IntoDeserializer as _, Visitor};

use super::node::{Key, Meaning, Node, Span, Value};

/// Why a node is not what a type expects, and the innermost node that is at fault.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ReadError {
    pub message: String,
    pub span: Option<Span>,
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

impl ReadError {
    fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }
}

pub(super) fn read<T: de::DeserializeOwned>(node: &Node) -> Result<T, ReadError> {
    T::deserialize(node)
}

impl Node {
    fn scalar(&self, wanted: &str) -> Result<&str, ReadError> {
        self.text().ok_or_else(|| ReadError {
            message: format!("expected {wanted}"),
            span: Some(self.span),
        })
    }

    fn visit_any<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.value {
            Value::List(items) => visitor.visit_seq(de::value::SeqDeserializer::new(items.iter())),
            Value::Map(entries) => visitor.visit_map(de::value::MapDeserializer::new(
                entries.iter().map(|(key, node)| (key, node)),
            )),
            Value::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => visitor.visit_unit(),
                Meaning::Bool(value) => visitor.visit_bool(value),
                Meaning::Integer(text) => match text.parse::<i64>() {
                    Ok(number) => visitor.visit_i64(number),
                    Err(_) => visitor.visit_borrowed_str(text),
                },
                Meaning::Float(text) | Meaning::Text(text) => visitor.visit_borrowed_str(text),
            },
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $number:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let text = self.scalar("a number")?;
            let number = text.parse::<$number>().map_err(|error| {
                ReadError { message: format!("`{text}` is not a number that fits here: {error}"), span: Some(self.span) }
            })?;
            visitor.$visit(number).map_err(|error: ReadError| error.at(self.span))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.visit_any(visitor).map_err(|error| error.at(self.span))
    }

    numbers! {
        deserialize_i8 visit_i8 i8; deserialize_i16 visit_i16 i16; deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64; deserialize_u8 visit_u8 u8; deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32; deserialize_u64 visit_u64 u64;
        deserialize_f32 visit_f32 f32; deserialize_f64 visit_f64 f64;
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor
            .visit_borrowed_str(self.scalar("a text")?)
            .map_err(|error: ReadError| error.at(self.span))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor
            .visit_enum(self.scalar("a word")?.into_deserializer())
            .map_err(|error: ReadError| error.at(self.span))
    }

    serde::forward_to_deserialize_any! {
        bool bytes byte_buf unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

impl<'de> de::IntoDeserializer<'de, ReadError> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::IntoDeserializer<'de, ReadError> for &'de Key {
    type Deserializer = de::value::BorrowedStrDeserializer<'de, ReadError>;

    fn into_deserializer(self) -> Self::Deserializer {
        de::value::BorrowedStrDeserializer::new(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn node(text: &str) -> Node {
        super::super::yaml::parse(text).documents.remove(0).root
    }

    #[test]
    fn text_keeps_the_digits_of_its_source() {
        let read_texts = |text| read::<BTreeMap<String, String>>(&node(text)).unwrap();
        assert_eq!(read_texts("a: 0.000001")["a"], "0.000001");
        assert_eq!(read_texts("a: -12345678")["a"], "-12345678");
        assert_eq!(read_texts("a: 1e400")["a"], "1e400");
        assert_eq!(read::<Vec<u32>>(&node("[1, '2']")).unwrap(), [1, 2]);
        assert_eq!(read::<Vec<Option<u32>>>(&node("[1, ~]")).unwrap(), [Some(1), None]);
    }

    #[test]
    fn an_error_names_the_innermost_place() {
        let error = read::<BTreeMap<String, Vec<u32>>>(&node("a: [1]\nb: [2, x]")).unwrap_err();
        let span = error.span.unwrap();
        assert_eq!((span.line, span.column), (2, 8));
    }
}
