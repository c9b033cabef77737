//! The forecast as a picture: one self-contained SVG, in a light and a dark scheme, readable by a screen
//! reader.

use std::fmt::{self, Write as _};

use super::{
    columns::{Columns, columns},
    outlook::{Forecast, TaskForecast},
    words::{ASSUMPTION, grouped, heading, held_by, sentence, total, usage},
};
use crate::domain::id::TaskName;

/// A picture of more is looked at by nobody; the last line says how many are missing.
const TASKS_MAX: usize = 50;
/// Three months by day; what is longer is shown by week.
const COLUMNS_MAX: usize = 92;
/// Characters of a line of the small text that surely fit.
const LINE_MAX: usize = 96;

const WIDTH: u64 = 760;
const MARGIN: u64 = 32;
/// Where the bars begin: the numbers of the axis stand before it.
const PLOT_LEFT: u64 = 88;
const PLOT_WIDTH: u64 = WIDTH - PLOT_LEFT - MARGIN;
const PLOT_HEIGHT: u64 = 72;
const BAR_WIDTH_MAX: u64 = 28;
const LINE_HEIGHT: u64 = 18;

const STYLE: &str = "
    svg { color-scheme: light dark; font-family: system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif; font-size: 12.5px; }
    .page { fill: #ffffff; } .text { fill: #1f2933; } .muted { fill: #616e7c; }
    .bar { fill: #2f6fde; } .line { stroke: #d5dbe1; } .axis { stroke: #9aa5b1; }
    .title { font-size: 17px; font-weight: 600; } .name { font-size: 14px; font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #14181d; } .text { fill: #e4e7eb; } .muted { fill: #9aa5b1; }
      .bar { fill: #6ea3ff; } .line { stroke: #2d343c; } .axis { stroke: #616e7c; }
    }
  ";

/// Draws a forecast.
pub fn render_forecast_svg(forecast: &Forecast) -> String {
    let mut page = Page { body: String::new(), y: MARGIN };
    // Writing to a string cannot fail.
    let _: fmt::Result = page.forecast(forecast);
    let height = page.y + MARGIN / 2;
    let description: Vec<String> = forecast
        .tasks
        .iter()
        .take(TASKS_MAX)
        .map(|(name, task)| format!("{}: {}.", heading(name, task), sentence(name, task, forecast)))
        .collect();
    let (title, description) = (escaped(&title(forecast)), escaped(&description.join(" ")));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title description\">
  <title id=\"title\">{title}</title>
  <desc id=\"description\">{description}</desc>
  <style>{STYLE}</style>
  <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>
{body}</svg>
",
        body = page.body
    )
}

fn title(forecast: &Forecast) -> String {
    format!("Openings from {} on", forecast.from.format("%Y-%m-%d %H:%M UTC"))
}

struct Page {
    body: String,
    /// The base line of the last text.
    y: u64,
}

impl Page {
    fn forecast(&mut self, forecast: &Forecast) -> fmt::Result {
        self.y += 6;
        self.text(MARGIN, "text title", "start", &title(forecast))?;
        if forecast.tasks.len() > 1 {
            self.lines("muted", &total(forecast))?;
        }
        for (name, task) in forecast.tasks.iter().take(TASKS_MAX) {
            self.task(name, task, forecast)?;
        }
        if forecast.tasks.len() > TASKS_MAX {
            let more = forecast.tasks.len() - TASKS_MAX;
            self.y += LINE_HEIGHT;
            self.lines("muted", &format!("… and {more} more; name the tasks to see them"))?;
        }
        self.y += LINE_HEIGHT;
        for (name, channel) in forecast.channels.iter().take(TASKS_MAX) {
            self.lines("muted", &format!("channel {name}: {}", usage(channel, forecast)))?;
        }
        self.lines("muted", ASSUMPTION)
    }

    fn task(&mut self, name: &TaskName, task: &TaskForecast, forecast: &Forecast) -> fmt::Result {
        self.y += 34;
        self.text(MARGIN, "text name", "start", &heading(name, task))?;
        self.lines("text", &sentence(name, task, forecast))?;
        if let Some(columns) = columns(&task.openings, forecast, COLUMNS_MAX) {
            self.chart(&columns)?;
        }
        if let Some(held_by) = held_by(task) {
            self.lines("muted", &held_by)?;
        }
        Ok(())
    }

    fn chart(&mut self, columns: &Columns) -> fmt::Result {
        let top = self.y + LINE_HEIGHT;
        let bottom = top + PLOT_HEIGHT;
        let right = PLOT_LEFT + PLOT_WIDTH;
        for (y, class) in [(top, "line"), (top + PLOT_HEIGHT / 2, "line"), (bottom, "axis")] {
            writeln!(
                self.body,
                "  <line class=\"{class}\" x1=\"{PLOT_LEFT}\" y1=\"{y}\" x2=\"{right}\" y2=\"{y}\"/>"
            )?;
        }
        let Columns { first, last, days_each, counts, highest } = columns;
        for (y, label) in [(top, grouped(highest)), (bottom, "0".to_owned())] {
            self.y = y + 4;
            self.text(PLOT_LEFT - 8, "muted", "end", &label)?;
        }
        // Hundredths of a pixel, so that no rounding of a machine shows in the text.
        let step = (PLOT_WIDTH * 100 / counts.len().max(1) as u64).min(BAR_WIDTH_MAX * 100);
        let width = step - step / 6;
        for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let share = u128::from(*count) * u128::from(PLOT_HEIGHT) * 100 / u128::from(*highest);
            let height = u64::try_from(share).unwrap_or(PLOT_HEIGHT * 100).max(100);
            let day = *first + chrono::Days::new((index * days_each) as u64);
            writeln!(
                self.body,
                "  <rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{day}: {}</title></rect>",
                hundredths(PLOT_LEFT * 100 + index as u64 * step),
                hundredths(bottom * 100 - height),
                hundredths(width),
                hundredths(height),
                grouped(count)
            )?;
        }
        self.y = bottom + LINE_HEIGHT;
        let days = format!("{first} to {last}");
        self.text(PLOT_LEFT, "muted", "start", &format!("{days}, {}", columns.unit()))
    }

    fn lines(&mut self, class: &str, text: &str) -> fmt::Result {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > LINE_MAX {
                self.line(class, &line)?;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(class, &line)
    }

    fn line(&mut self, class: &str, text: &str) -> fmt::Result {
        self.y += LINE_HEIGHT;
        self.text(MARGIN, class, "start", text)
    }

    fn text(&mut self, x: u64, class: &str, anchor: &str, text: &str) -> fmt::Result {
        let (y, text) = (self.y, escaped(text));
        writeln!(
            self.body,
            "  <text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"
        )
    }
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
