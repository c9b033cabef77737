//! What nuncio hosts itself: the chat page, chats within sites of others, the API of `api` channels, the webhooks of providers, and the server
//! under them.

mod api;
mod bounds;
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
mod surface;
mod visitor;
mod widget;
mod words;

pub use bounds::Bounds;
pub use listen::{Listening, listen};
pub use origin::{InvalidPublicUrl, PublicUrl};
pub use site::{Connect, FindSecret, Hosting};
