//! A specification as named fields: what is compared, digested, stored and shown.

use std::{collections::BTreeMap, fmt};

use sha2::{Digest as _, Sha256};

/// A content digest (SHA-256).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The value of one field. Numbers keep their exact text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    Text(String),
    Number(String),
    List(Vec<String>),
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Number(text) => f.write_str(text),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
        }
    }
}

/// The fields of one specification by their path in the manifest below `spec`, such as
/// `outgoing.workingHours`, with every default filled in.
///
/// Two manifests that mean the same have the same fields, however they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, FieldValue>);

impl Fields {
    #[must_use]
    pub fn text(mut self, path: &str, value: impl fmt::Display) -> Self {
        self.0.insert(path.to_owned(), FieldValue::Text(value.to_string()));
        self
    }

    #[must_use]
    pub fn number(mut self, path: &str, value: impl fmt::Display) -> Self {
        self.0.insert(path.to_owned(), FieldValue::Number(value.to_string()));
        self
    }

    #[must_use]
    pub fn list<T: fmt::Display>(
        mut self,
        path: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let items = values.into_iter().map(|value| value.to_string()).collect();
        self.0.insert(path.to_owned(), FieldValue::List(items));
        self
    }

    #[must_use]
    pub fn text_if(self, path: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.text(path, value),
            None => self,
        }
    }

    pub fn insert(&mut self, path: String, value: FieldValue) {
        self.0.insert(path, value);
    }

    pub fn get(&self, path: &str) -> Option<&FieldValue> {
        self.0.get(path)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(path, value)| (path.as_str(), value))
    }

    /// The digest of the meaning. Lengths stand before texts, so that no two sets of fields share
    /// their bytes.
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        let mut put = |tag: u8, text: &str| {
            hasher.update([tag]);
            hasher.update((text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        for (path, value) in &self.0 {
            put(b'p', path);
            match value {
                FieldValue::Text(text) => put(b't', text),
                FieldValue::Number(text) => put(b'n', text),
                FieldValue::List(items) => items.iter().for_each(|item| put(b'i', item)),
            }
        }
        Digest(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_tells_fields_apart() {
        let sets = [
            Fields::default(),
            Fields::default().text("a", "bc"),
            Fields::default().text("ab", "c"),
            Fields::default().number("a", "bc"),
            Fields::default().list("a", ["bc"]),
            Fields::default().list("a", ["b", "c"]),
            Fields::default().list("a", ["", "bc"]),
        ];
        for (i, one) in sets.iter().enumerate() {
            for (j, other) in sets.iter().enumerate() {
                assert_eq!(i == j, one.digest() == other.digest(), "{one:?} {other:?}");
            }
        }
    }
}
