//! What is wrong in manifests, where, and how it is shown.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::domain::{kind::KINDS, place::Place, word::words};

/// Characters of a source line that are shown: what a terminal holds without wrapping.
const LINE_SHOWN_MAX: usize = 120;

/// Characters before the marked place that stay visible in a line that is too long.
const LINE_BEFORE_MARK: usize = 40;

/// Characters of a message: a value that is quoted in it may be of any length.
const MESSAGE_MAX: usize = 600;

words! {
    /// Whether a finding keeps its document from being used.
    Severity { Error = "error", Warning = "warning" }

    /// The kind of a finding: `explain` knows each by this word.
    Code {
        Syntax = "syntax", NotUtf8 = "not-utf8", TooLarge = "too-large", TooDeep = "too-deep",
        TooManyNodes = "too-many-nodes", AliasLimit = "alias-limit",
        DuplicateKey = "duplicate-key", Unreadable = "unreadable", SymlinkLoop = "symlink-loop",
        UnknownApiVersion = "unknown-api-version", UnknownKind = "unknown-kind",
        UnknownField = "unknown-field", MissingField = "missing-field", WrongType = "wrong-type",
        BadValue = "bad-value", ForbiddenField = "forbidden-field", LiteralSecret = "literal-secret",
        DuplicateName = "duplicate-name", UnknownReference = "unknown-reference",
        FallbackCycle = "fallback-cycle", NoDisclosure = "no-disclosure",
        UnsuitableChannel = "unsuitable-channel", TemplateNeeded = "template-needed",
        TemplateForbidden = "template-forbidden", BadTemplate = "bad-template",
        UnknownVariable = "unknown-variable", EmptyVariable = "empty-variable",
        NobodyMayEmbed = "nobody-may-embed", NothingHeard = "nothing-heard",
        CappedByChannel = "capped-by-channel",
        RiskyLimit = "risky-limit", PortfolioLimit = "portfolio-limit",
        AudienceEmpty = "audience-empty", AudienceFile = "audience-file",
        AudienceFormat = "audience-format", BadAddress = "bad-address",
        DuplicateAddress = "duplicate-address", MixedSigns = "mixed-signs",
        SharedAudience = "shared-audience",
        ChannelRefused = "channel-refused", NotExamined = "not-examined",
    }
}

/// One finding. The message is in the field's own words; the hint names the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub code: Code,
    pub place: Place,
    /// Characters that are marked from the place on: 0 where the file as a whole is meant, and
    /// [`u32::MAX`] for the rest of the line.
    pub length: u32,
    pub message: String,
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn error(code: Code, place: Place, length: u32, message: impl Into<String>) -> Self {
        let (severity, message) = (Severity::Error, clean(&message.into()));
        Self { severity, code, place, length, message, hint: None }
    }

    pub fn warning(code: Code, place: Place, length: u32, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, place, length, message) }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(clean(&hint.into()));
        self
    }

    #[must_use]
    pub fn hint_if(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    fn order(&self) -> impl Ord + '_ {
        (&self.place, self.severity, self.code, &self.message)
    }
}

impl PartialOrd for Diagnostic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Diagnostic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order()).then_with(|| self.hint.cmp(&other.hint))
    }
}

/// Sorts by place and drops repeats: an alias shows one mistake at each of its uses.
pub(super) fn settle(diagnostics: &mut Vec<Diagnostic>) {
    diagnostics.sort();
    diagnostics.dedup();
}

/// The texts of the files, for the lines that diagnostics show.
#[derive(Clone, Debug, Default)]
pub struct Sources(BTreeMap<Arc<str>, Arc<str>>);

impl Sources {
    pub fn insert(&mut self, file: Arc<str>, text: Arc<str>) {
        self.0.insert(file, text);
    }

    pub fn text(&self, file: &str) -> Option<&str> {
        self.0.get(file).map(AsRef::as_ref)
    }

    /// The names of the files, sorted.
    pub fn files(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// The line of a place. It may hold a secret.
    pub fn line(&self, place: &Place) -> Option<&str> {
        let index = usize::try_from(place.line).ok()?.checked_sub(1)?;
        self.text(&place.file)?.lines().nth(index)
    }
}

/// The long form: the message, the source line with the place marked, and the hint.
pub fn render_human(diagnostics: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    let secret_lines: BTreeSet<(&Arc<str>, u32)> = diagnostics
        .iter()
        .filter(|found| found.code == Code::LiteralSecret)
        .map(|found| (&found.place.file, found.place.line))
        .collect();
    for diagnostic in diagnostics {
        let Diagnostic { severity, code, place, length, message, hint } = diagnostic;
        let level = match severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let file = clean(&place.file);
        // A secret that stands in a manifest must not reach a log by way of an error.
        let hidden = secret_lines.contains(&(&place.file, place.line));
        let line = (*length > 0 && !hidden)
            .then(|| sources.line(place))
            .flatten()
            .filter(|line| !may_hold_secret(line));
        let shown = line.map(|line| window(line, place.column as usize - 1, *length as usize));
        let mut group = Group::with_title(level.primary_title(message.as_str()).id(code.as_str()));
        let whole_line = line.is_some_and(|line| line.chars().count() <= LINE_SHOWN_MAX);
        if !whole_line {
            // A place in a part of a line cannot be reckoned from the part.
            let mut origin = Origin::path(file.as_str());
            if *length > 0 {
                origin = origin.line(place.line as usize).char_column(place.column as usize);
            }
            group = group.element(origin);
        }
        if let Some((line, mark)) = &shown {
            group = group.element(
                Snippet::source(line.as_str())
                    .path(whole_line.then_some(file.as_str()))
                    .line_start(place.line as usize)
                    .annotation(AnnotationKind::Primary.span(mark.clone())),
            );
        }
        if let Some(hint) = hint {
            group = group.element(Level::HELP.message(hint.as_str()));
        }
        out.push_str(&renderer.render(&[group]));
        out.push_str("\n\n");
    }
    out
}

/// One line each, for the tests of what is found.
#[cfg(test)]
pub(super) fn render_concise(diagnostics: &[Diagnostic]) -> String {
    let line = |Diagnostic { code, place, message, .. }: &_| format!("{place}: {code} {message}\n");
    diagnostics.iter().map(line).collect()
}

/// The visible part of a line, and the bytes of it that are marked.
fn window(line: &str, start: usize, length: usize) -> (String, std::ops::Range<usize>) {
    let total = line.chars().count();
    let end = start.saturating_add(length).min(line.trim_end().chars().count());
    let blank = line.chars().take_while(|c| c.is_whitespace()).count();
    // A line is marked without its indentation.
    let start = if end > blank { start.max(blank) } else { start }.min(total);
    let first = if total > LINE_SHOWN_MAX { start.saturating_sub(LINE_BEFORE_MARK) } else { 0 };
    let mut shown = String::new();
    if first > 0 {
        shown.push('…');
    }
    let mut mark = shown.len()..shown.len();
    for (index, c) in line.chars().enumerate().skip(first).take(LINE_SHOWN_MAX) {
        if index == start {
            mark.start = shown.len();
        }
        shown.push(visible(c));
        if (start..end).contains(&index) {
            mark.end = shown.len();
        }
    }
    if first + LINE_SHOWN_MAX < total {
        shown.push('…');
    }
    // In the blank end of a line nothing is marked.
    mark.end = mark.end.max(mark.start);
    // A place behind the last character: an error at the end of a line.
    if start >= total {
        mark = shown.len()..shown.len();
    }
    (shown, mark)
}

/// Whether a credential's name is followed by something else than a reference. Syntax errors and keys
/// that stand twice show lines that nobody could read as a reference or a literal.
fn may_hold_secret(line: &str) -> bool {
    let names = KINDS.iter().flat_map(|facts| facts.credentials).map(|credential| credential.name);
    names.chain(["secret", "apiKey", "url", "env"]).any(|name| {
        line.match_indices(name).any(|(at, _)| {
            let rest = line[at + name.len()..].trim_start_matches(['"', '\'']).trim_start();
            let value = rest.strip_prefix(':').map(str::trim_start);
            match name {
                "env" => value.is_some_and(|value| !value.is_empty() && !is_variable(value)),
                _ => value.is_some_and(|value| {
                    !value.is_empty() && !value.starts_with(['{', '#', '|', '>'])
                }),
            }
        })
    })
}

/// The name of an environment variable, up to the end of the map or the line.
fn is_variable(value: &str) -> bool {
    let name = value.split(['}', ',', ' ', '#']).next().unwrap_or_default();
    let name = name.trim_matches(['"', '\'']);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A terminal must not be steered by what stands in a file: no escapes, no turned direction.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A text that may be shown: of bearable length, and without what would steer a terminal.
pub fn clean(text: &str) -> String {
    let mut out: String =
        text.chars().take(MESSAGE_MAX).map(|c| if c == '\n' { c } else { visible(c) }).collect();
    if text.chars().nth(MESSAGE_MAX).is_some() {
        out.push('…');
    }
    out
}

/// The known word nearest to a mistaken one, if it is near enough to have been meant.
pub fn nearest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Comparing costs the product of the lengths; no word of ours is longer.
    if text.len() > 128 {
        return None;
    }
    let lower = text.to_lowercase();
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&lower, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= 1 + word.chars().count() / 4)
        .min()
        .map(|(_, word)| word)
}

/// "did you mean `x`?", or the list of what is allowed.
pub(super) fn suggestion(text: &str, known: &[&str]) -> Option<String> {
    match nearest(text, known.iter().copied()) {
        Some(word) => Some(format!("did you mean `{word}`?")),
        None if known.is_empty() || known.len() > 24 => None,
        None => Some(format!("known here: {}", listed(known.iter()))),
    }
}

/// `` `a`, `b`, `c` ``
pub(super) fn listed(words: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32, length: u32) -> Diagnostic {
        let place = Place { file: "a.yaml".into(), line, column };
        Diagnostic::error(Code::BadValue, place, length, "wrong")
    }

    fn shown(diagnostic: Diagnostic, text: &str) -> String {
        let mut sources = Sources::default();
        sources.insert("a.yaml".into(), text.into());
        render_human(&[diagnostic], &sources, false)
    }

    #[test]
    fn a_place_is_marked_in_its_line() {
        insta::assert_snapshot!(shown(at(2, 4, 2).hint("try this"), "один\nдва три\n"));
    }

    #[test]
    fn long_lines_and_control_characters_do_no_harm() {
        let text = format!("{}\u{1b}[31mhere{}", "x".repeat(5000), "y".repeat(5000));
        let out = shown(at(1, 5006, 4), &text);
        assert!(
            out.len() < 1000 && !out.contains('\u{1b}') && out.contains("a.yaml:1:5006"),
            "{out}"
        );
        for (line, column) in [(1, 20_000), (1, 10_010), (9, 1), (1, 1)] {
            shown(at(line, column, 5), &text);
        }
        shown(at(1, 1, 1), "");
    }

    #[test]
    fn a_secret_is_not_shown_by_its_own_error() {
        let secret = Diagnostic { code: Code::LiteralSecret, ..at(1, 8, 6) };
        assert!(!shown(secret, "token: s3cr3t").contains("s3cr3t"));
        for line in [
            "token: \"s3cr3t",
            "  apiKey : s3cr3t",
            "a: {'token': s3cr3t}",
            "token: {env: s3-s3cr3t}",
        ] {
            assert!(!shown(at(1, 1, 5), line).contains("s3cr3t"), "{line}");
        }
        assert!(shown(at(1, 1, 5), "token: {env: TOKEN}").contains("TOKEN"));
    }
}
