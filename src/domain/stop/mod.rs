//! The words by which a person asks not to be written to any more: recognised without any AI.
//!
//! A wish to be left alone by us counts, however it is worded. What does not: a refusal of the offer (`not
//! interested`), of a time (`not before nine`) or of one way while another is offered (`do not call, write`).
//! Those are for the conversation. The words and phrases stand in `words/`, one file a language;
//! `tests/phrases/stop.tsv` says what people write and what it means.

mod lexicon;
mod pattern;
mod recogniser;
mod text;

#[cfg(test)]
mod tests;

pub use recogniser::{StopLanguage, asks_to_stop};
