//! What will happen: when each audience is exhausted, how many openings leave a day, what it can cost.

mod facts;
mod lane;
mod outlook;
mod simulation;
mod windows;

pub use facts::{Block, ChannelFacts, ForecastFacts, Part, TaskFacts, TurnFacts};
pub use outlook::{Binding, ChannelForecast, Exhausted, Forecast, Never, TaskForecast};
pub use simulation::{HORIZON_DAYS, forecast};

#[cfg(test)]
mod tests;
