//! Other systems that are told what happens: notices of changes, and reports of dialogues.

mod amocrm;
mod bitrix24;
mod http;
mod notice;
mod reporter;
mod telegram;
mod webhook;
mod words;

#[cfg(test)]
mod tests;

pub use http::{Http, HttpUnavailable};
pub use notice::{InvalidNoticeUrl, Notice, NoticeUrl, Notifier, NotifierUnavailable};
pub use reporter::{Reporter, Unconnectable};
