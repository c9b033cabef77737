//! The forecast as an operator reads it on a terminal.

use std::fmt::{self, Write as _};

use super::{
    columns::{Columns, columns},
    outlook::Forecast,
    words::{ASSUMPTION, grouped, heading, held_by, sentence, total, usage},
};

/// Lines read badly when they are longer, however wide the terminal is.
const WIDTH_MAX: usize = 80;
/// Below it a chart shows nothing.
const WIDTH_MIN: usize = 40;
const CHART_ROWS: u64 = 3;
/// Eighths of a character's height.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

const BOLD: &str = "1";
const DIM: &str = "2";
const CYAN: &str = "36";

/// Writes a forecast for people, in lines of at most `width` characters.
pub fn render_forecast(forecast: &Forecast, color: bool, width: usize) -> String {
    let width = width.clamp(WIDTH_MIN, WIDTH_MAX);
    let mut page = Page { text: String::new(), width, color };
    // Writing to a string cannot fail.
    let _: fmt::Result = page.forecast(forecast);
    page.text
}

/// A sentence a task, for a plan.
pub fn render_sentences(forecast: &Forecast, at_most: usize) -> Vec<String> {
    let told = forecast.tasks.iter().take(at_most).map(|(name, task)| {
        wrapped(
            &format!("{}: {}", heading(name, task), sentence(name, task, forecast)),
            WIDTH_MAX - 2,
        )
    });
    let more = forecast.tasks.len().saturating_sub(at_most);
    let more =
        (more > 0).then(|| format!("and {more} more: `nuncio forecast` shows them once applied"));
    told.chain(more).collect()
}

struct Page {
    text: String,
    width: usize,
    color: bool,
}

impl Page {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn forecast(&mut self, forecast: &Forecast) -> fmt::Result {
        for (name, task) in &forecast.tasks {
            let heading = heading(name, task);
            let sentence = sentence(name, task, forecast);
            let text = wrapped(&format!("{heading}: {sentence}"), self.width);
            // A long name may itself be broken into two lines: then it goes without its colour.
            match text.strip_prefix(&heading) {
                Some(rest) => writeln!(self.text, "{}{rest}", self.paint(BOLD, &heading))?,
                None => writeln!(self.text, "{text}")?,
            }
            let labels = grouped(task.openings.iter().max().unwrap_or(&0) * 7).len() + 4;
            if let Some(columns) = columns(&task.openings, forecast, self.width - labels) {
                self.chart(&columns)?;
            }
            if let Some(held_by) = held_by(task) {
                let line = wrapped(&format!("  {held_by}"), self.width);
                writeln!(self.text, "{}", self.paint(DIM, &line))?;
            }
            writeln!(self.text)?;
        }
        if forecast.tasks.len() > 1 {
            writeln!(self.text, "{}\n", self.paint(BOLD, &total(forecast)))?;
        }
        for (name, channel) in &forecast.channels {
            let line = format!("channel {name}: {}", usage(channel, forecast));
            writeln!(self.text, "{}", wrapped(&line, self.width))?;
        }
        writeln!(self.text, "{}", self.paint(DIM, ASSUMPTION))
    }

    fn chart(&mut self, columns: &Columns) -> fmt::Result {
        let Columns { first, last, counts, highest, .. } = columns;
        let label = grouped(highest);
        let indent = label.len() + 2;
        for row in (0..CHART_ROWS).rev() {
            let label = if row + 1 == CHART_ROWS { label.as_str() } else { "" };
            let bars: String = counts.iter().map(|n| bar(*n, *highest, row)).collect();
            let bars = self.paint(CYAN, bars.trim_end());
            writeln!(self.text, "{label:>indent$} │{bars}")?;
        }
        let line = "─".repeat(counts.len().max(1));
        writeln!(self.text, "{:>indent$} └{line}", 0)?;
        let days = format!("{first} to {last}");
        let caption = format!("{:>indent$}  {days}, {}", "", columns.unit());
        writeln!(self.text, "{}", self.paint(DIM, &caption))
    }
}

/// A bar's part in one row of the chart. What is not nothing is seen.
fn bar(n: u64, highest: u64, row: u64) -> char {
    let eighths = u128::from(n) * u128::from(CHART_ROWS) * 8 / u128::from(highest.max(1));
    let eighths = if n > 0 { eighths.max(1) } else { 0 };
    let here = eighths.saturating_sub(u128::from(row) * 8).min(8);
    BARS[usize::try_from(here).unwrap_or(0)]
}

/// Breaks a text into lines between words; those that follow are indented.
fn wrapped(text: &str, width: usize) -> String {
    let indent = text.len() - text.trim_start().len();
    let mut lines = " ".repeat(indent);
    let mut length = 0;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if length > 0 && length + 1 + word_length > width {
            lines.push_str("\n  ");
            length = 2;
        } else if length > 0 {
            lines.push(' ');
            length += 1;
        } else {
            length = indent;
        }
        lines.push_str(word);
        length += word_length;
    }
    lines
}
