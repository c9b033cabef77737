//! Whether a message asks us to stop, and in which language.

use std::sync::LazyLock;

use super::{lexicon::Lexicon, text};
use crate::domain::word::words;

words! {
    /// The languages in which a person's wish to be left alone is understood.
    StopLanguage {
        English = "en", Russian = "ru", Ukrainian = "uk", Kazakh = "kk", German = "de", Spanish = "es",
        Portuguese = "pt", Turkish = "tr",
    }
}

static LEXICONS: LazyLock<Vec<(StopLanguage, Lexicon)>> = LazyLock::new(|| {
    let read = |language: &StopLanguage| (*language, Lexicon::read(language.file()));
    StopLanguage::ALL.iter().map(read).collect()
});

impl StopLanguage {
    fn file(self) -> &'static str {
        match self {
            Self::English => include_str!("words/english.txt"),
            Self::Russian => include_str!("words/russian.txt"),
            Self::Ukrainian => include_str!("words/ukrainian.txt"),
            Self::Kazakh => include_str!("words/kazakh.txt"),
            Self::German => include_str!("words/german.txt"),
            Self::Spanish => include_str!("words/spanish.txt"),
            Self::Portuguese => include_str!("words/portuguese.txt"),
            Self::Turkish => include_str!("words/turkish.txt"),
        }
    }
}

/// Whether a message asks not to be written to any more. Where words are the same in several languages
/// (`stop`), the first one is told.
pub fn asks_to_stop(message: &str) -> Option<StopLanguage> {
    let sentences = text::sentences(message);
    LEXICONS
        .iter()
        .find(|(_, lexicon)| lexicon.is_met_by(&sentences))
        .map(|(language, _)| *language)
}
