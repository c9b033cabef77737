//! The few words of the page itself, in the reader's language.

use axum::http::{HeaderMap, header};
use serde::Serialize;

/// Given to the template and to the script alike.
#[derive(Debug, Serialize)]
pub(super) struct Words {
    pub(super) language: &'static str,
    pub(super) title: &'static str,
    conversation: &'static str,
    message: &'static str,
    placeholder: &'static str,
    send: &'static str,
    earlier: &'static str,
    newer: &'static str,
    you: &'static str,
    typing: &'static str,
    sending: &'static str,
    waits: &'static str,
    not_sent: &'static str,
    retry: &'static str,
    discard: &'static str,
    offline: &'static str,
    nobody: &'static str,
    slow_down: &'static str,
    too_long: &'static str,
    today: &'static str,
    yesterday: &'static str,
    needs_script: &'static str,
    close: &'static str,
    #[serde(skip)]
    widget: WidgetWords,
    pub(super) missing: &'static str,
    pub(super) missing_hint: &'static str,
    pub(super) elsewhere: &'static str,
    pub(super) elsewhere_hint: &'static str,
    pub(super) away: &'static str,
    pub(super) away_hint: &'static str,
}

/// Said around the chat, on the site that it was put on.
#[derive(Debug, Serialize)]
pub(super) struct WidgetWords {
    language: &'static str,
    open: &'static str,
    close: &'static str,
    unread: &'static str,
    connecting: &'static str,
    failed: &'static str,
    retry: &'static str,
}

static ENGLISH: Words = Words {
    language: "en",
    title: "Chat with us",
    conversation: "Conversation",
    message: "Your message",
    placeholder: "Write a message…",
    send: "Send",
    earlier: "Show earlier messages",
    newer: "New messages",
    you: "You",
    typing: "is typing",
    sending: "Sending…",
    waits: "Waits for the connection",
    not_sent: "Not sent",
    retry: "Try again",
    discard: "Discard",
    offline: "No connection. What you write is kept and sent as soon as it is back.",
    nobody: "Nobody is here at the moment. What you write is kept in this browser and sent when somebody is.",
    slow_down: "That was a lot at once. The rest is sent in a moment.",
    too_long: "The message is too long",
    today: "Today",
    yesterday: "Yesterday",
    needs_script: "This chat needs JavaScript.",
    close: "Close the chat",
    widget: WidgetWords {
        language: "en",
        open: "Open the chat",
        close: "Close the chat",
        unread: "New messages:",
        connecting: "Connecting…",
        failed: "The chat cannot be reached at the moment.",
        retry: "Try again",
    },
    missing: "There is no chat here",
    missing_hint: "The address may have been changed, or mistyped.",
    elsewhere: "This chat is part of a site",
    elsewhere_hint: "It is shown on the site that it belongs to, and nowhere else.",
    away: "The chat is away for a moment",
    away_hint: "Please try again in a minute.",
};

static RUSSIAN: Words = Words {
    language: "ru",
    title: "Чат с нами",
    conversation: "Переписка",
    message: "Ваше сообщение",
    placeholder: "Напишите сообщение…",
    send: "Отправить",
    earlier: "Показать более ранние сообщения",
    newer: "Новые сообщения",
    you: "Вы",
    typing: "печатает",
    sending: "Отправляется…",
    waits: "Ждёт соединения",
    not_sent: "Не отправлено",
    retry: "Повторить",
    discard: "Удалить",
    offline: "Нет соединения. Всё, что вы напишете, сохранится и уйдёт, как только оно появится.",
    nobody: "Сейчас никого нет. Ваше сообщение сохранится в этом браузере и уйдёт, когда кто-нибудь появится.",
    slow_down: "Слишком много сразу. Остальное уйдёт через мгновение.",
    too_long: "Сообщение слишком длинное",
    today: "Сегодня",
    yesterday: "Вчера",
    needs_script: "Для этого чата нужен JavaScript.",
    close: "Закрыть чат",
    widget: WidgetWords {
        language: "ru",
        open: "Открыть чат",
        close: "Закрыть чат",
        unread: "Новых сообщений:",
        connecting: "Соединяемся…",
        failed: "Чат сейчас недоступен.",
        retry: "Повторить",
    },
    missing: "Здесь нет чата",
    missing_hint: "Возможно, адрес изменился или набран с ошибкой.",
    elsewhere: "Этот чат — часть сайта",
    elsewhere_hint: "Он открывается только на сайте, которому принадлежит.",
    away: "Чат ненадолго недоступен",
    away_hint: "Пожалуйста, попробуйте через минуту.",
};

impl Words {
    pub(super) fn for_widget(&self) -> &WidgetWords {
        &self.widget
    }

    /// The first language of `Accept-Language` that there are words in; English, where there is none.
    pub(super) fn of(headers: &HeaderMap) -> &'static Self {
        let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let mut wanted: Vec<(f32, &str)> = wanted
            .unwrap_or_default()
            .split(',')
            // Nobody reads more languages; the header is a stranger's.
            .take(20)
            .map(|entry| {
                let mut parts = entry.split(';').map(str::trim);
                let tag = parts.next().unwrap_or_default();
                let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
                (weight.unwrap_or(1.0), tag.split('-').next().unwrap_or_default())
            })
            .filter(|(weight, _)| *weight > 0.0)
            .collect();
        // Stable: of two that are wanted alike, the first.
        wanted.sort_by(|a, b| b.0.total_cmp(&a.0));
        let known = |language: &str| {
            [&ENGLISH, &RUSSIAN]
                .into_iter()
                .find(|words| words.language.eq_ignore_ascii_case(language))
        };
        wanted.iter().find_map(|(_, language)| known(language)).unwrap_or(&ENGLISH)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_page_speaks_the_readers_language() {
        for (wanted, language) in [
            ("ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
            ("en-US,en;q=0.9,ru;q=0.8", "en"),
            ("de,ru;q=0.5,en;q=0.4", "ru"),
            ("en;q=0.1, RU;q=0.7", "ru"),
            ("ru;q=0, en", "en"),
            ("kk", "en"),
            ("", "en"),
            (";;q=x,,", "en"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(wanted));
            assert_eq!(Words::of(&headers).language, language, "{wanted}");
        }
    }
}
