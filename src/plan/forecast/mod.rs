//! What will happen: when each audience is exhausted, how many openings leave a day, what it can cost.

mod lane;
mod outlook;
mod simulation;
mod windows;

pub use outlook::{Binding, ChannelForecast, Exhausted, Forecast, Never, TaskForecast};
pub use simulation::{HORIZON_DAYS, forecast};

#[cfg(test)]
mod tests;
