//! Other systems that are told what happens.

mod notice;

pub use notice::{InvalidNoticeUrl, Notice, NoticeUrl, Notifier, NotifierUnavailable};
