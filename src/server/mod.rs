//! What nuncio hosts itself: the chat page, the API of `api` channels, the webhooks of providers, and the server
//! under them.

mod api;
mod chat;
mod hooks;
mod hub;
mod limits;
mod listen;
mod origin;
mod page;
mod problem;
mod router;
mod site;
mod stream;
mod visitor;
mod words;

pub use listen::{Listening, listen};
pub use origin::{InvalidPublicUrl, PublicUrl};
pub use site::{Connect, FindSecret, Hosting};
