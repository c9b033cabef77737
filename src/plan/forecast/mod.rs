//! What will happen: when each audience is exhausted, how many openings leave a day, what it can cost.

mod columns;
mod human;
mod json;
mod lane;
mod outlook;
mod simulation;
mod svg;
mod windows;
mod words;

pub use human::render_forecast;
pub use json::{forecast_document, render_forecast_json};
pub use outlook::{Binding, ChannelForecast, Exhausted, Forecast, Never, TaskForecast};
pub use simulation::{HORIZON_DAYS, forecast};
pub use svg::render_forecast_svg;

#[cfg(test)]
mod tests;
