//! The table of the AI's faults: what a word makes it do.

use crate::domain::word::words;

words! {
    /// What goes wrong, or is only unusual.
    AiFault {
        TooMany = "too many",
        Quota = "quota",
        ServerError = "server error",
        Unavailable = "unavailable",
        Slow = "slow",
        AnswerWithheld = "answer withheld",
        Empty = "empty",
        CutOff = "cut off",
        Refusal = "refusal",
        Filtered = "filtered",
        QuestionFiltered = "question filtered",
        TooLong = "too long",
        NoUsage = "no usage",
        Garbage = "garbage",
        UnknownModel = "unknown model",
        NoTools = "no tools",
        SilentTools = "silent tools",
        NewerModel = "newer model",
    }
}

/// A fault of every call in which the person's last message, or the model's name, has the word.
#[derive(Clone, Copy, Debug)]
pub struct AiFaultRow {
    pub word: &'static str,
    pub fault: AiFault,
    /// Only the first call with these last words fails; whoever asks again, is answered.
    pub once: bool,
    pub about: &'static str,
}

const fn first(word: &'static str, fault: AiFault, about: &'static str) -> AiFaultRow {
    AiFaultRow { word, fault, once: true, about }
}

const fn every(word: &'static str, fault: AiFault, about: &'static str) -> AiFaultRow {
    AiFaultRow { word, fault, once: false, about }
}

/// The faults by a word; where several are said, the first of the table.
#[rustfmt::skip]
pub const AI_FAULTS: &[AiFaultRow] = &[
    first("ai-429", AiFault::TooMany, "the first call is answered with \"too many\", and a wait"),
    every("ai-quota", AiFault::Quota, "the account has nothing left: the other meaning of 429"),
    first("ai-500", AiFault::ServerError, "the first call fails"),
    first("ai-503", AiFault::Unavailable, "the first call is turned away"),
    every("ai-slow", AiFault::Slow, "the answer takes 5 s"),
    first("ai-withheld", AiFault::AnswerWithheld, "the first call is billed and never answered"),
    every("ai-empty", AiFault::Empty, "the answer is empty"),
    every("ai-cut-off", AiFault::CutOff, "the answer ends within a sentence"),
    every("ai-refusal", AiFault::Refusal, "the model declines"),
    every("ai-filtered", AiFault::Filtered, "a filter takes the answer"),
    every("ai-question-filtered", AiFault::QuestionFiltered, "a filter takes the question"),
    every("ai-too-long", AiFault::TooLong, "the dialogue is too long for the model"),
    every("ai-no-usage", AiFault::NoUsage, "the answer does not say what was used"),
    first("ai-garbage", AiFault::Garbage, "the first answer is billed and no JSON"),
    every("ai-unknown", AiFault::UnknownModel, "the model is unknown"),
    every("ai-no-tools", AiFault::NoTools, "the model takes no tools"),
    every("ai-silent-tools", AiFault::SilentTools, "tools are called without a word"),
    every("ai-newer", AiFault::NewerModel, "`max_tokens` and a temperature are refused"),
];

pub(super) fn of(last_words: &str, model: &str) -> Option<&'static AiFaultRow> {
    AI_FAULTS.iter().find(|row| last_words.contains(row.word) || model.contains(row.word))
}
