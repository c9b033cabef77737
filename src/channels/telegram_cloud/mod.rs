//! The `telegram-cloud` kind: a person's account of Telegram, spoken to in its own protocol (MTProto).
//!
//! One connection an account, made when it is first needed. It is held by whoever holds the channel's lane; news that
//! comes over it only wakes, and what is new is asked for from the place where the last round ended.

mod account;
mod connection;
mod login;
mod messages;
mod peers;
mod place;
mod receiving;
mod refusals;
mod sealing;
mod session;
mod vault;

pub(super) use account::TelegramCloud;
pub use login::{SignIn, SignInFailed, SignedIn, Step, Whereto};
pub use session::AccountSession;
pub use vault::{Kept, KeptSession, NoVault, Reached, Vault, VaultAway};

/// As the reasons of outcomes name it.
const PROVIDER: &str = "Telegram";
