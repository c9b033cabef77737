//! Receiving: what the account's stream has after a place, asked for again and again.

use std::time::Duration;

use grammers_tl_types::{enums, functions};
use tokio::time::timeout;

use super::{
    super::driver::Polled,
    account::{Account, TelegramCloud},
    messages::{Part, people, read},
    place::Place,
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// A round of receiving ends after this where nothing arrives: it shows that the account still hears.
const LISTEN_FOR: Duration = Duration::from_secs(25);

impl TelegramCloud {
    /// What has arrived since the place of `cursor`; without one, from now on.
    pub(in crate::channels) async fn poll(&self, cursor: Option<&str>) -> Result<Polled, Outcome> {
        self.held_off().await;
        let account = self.account().await?;
        let polled = self.poll_by(&account, cursor).await;
        if let Err(outcome) = &polled {
            self.leave_if_refused(&account, outcome).await;
        }
        polled
    }

    async fn poll_by(&self, account: &Account, cursor: Option<&str>) -> Result<Polled, Outcome> {
        let Account { user_id, connection } = account;
        let Some(place) = cursor.and_then(|cursor| Place::read(cursor, *user_id)) else {
            let request = functions::updates::GetState {};
            let now = connection.call(&request, self.http.deadline()).await;
            let enums::updates::State::State(now) = now.map_err(|failed| failed.of_other_call())?;
            return Ok(nothing(Place::of(*user_id, &now)));
        };
        let (polled, something_came) = self.difference(account, place).await?;
        if something_came || timeout(LISTEN_FOR, connection.news()).await.is_err() {
            return Ok(polled);
        }
        if connection.is_closed() {
            // Another call ended it: the next round has a new one.
            return Ok(polled);
        }
        Ok(self.difference(account, place).await?.0)
    }

    /// What the stream has after the place, up to where it ends or Telegram cuts it, and whether that is anything.
    async fn difference(&self, account: &Account, place: Place) -> Result<(Polled, bool), Outcome> {
        let Account { user_id, connection } = account;
        let Place { pts, qts, date, .. } = place;
        let request = functions::updates::GetDifference {
            pts,
            pts_limit: None,
            pts_total_limit: None,
            date,
            qts,
            qts_limit: None,
        };
        let told = connection.call(&request, self.http.deadline()).await;
        let told = told.map_err(|failed| failed.of_other_call())?;
        let (part, next) = match told {
            enums::updates::Difference::Empty(now) => {
                return Ok((nothing(Place { date: now.date, ..place }), false));
            }
            enums::updates::Difference::TooLong(now) => {
                tracing::warn!(
                    "the account heard nothing for so long that Telegram does not tell it all; \
                     what was written meanwhile is in its app"
                );
                return Ok((nothing(Place { pts: now.pts, ..place }), true));
            }
            enums::updates::Difference::Difference(all) => {
                let enums::updates::State::State(now) = all.state;
                let part = Part {
                    messages: all.new_messages,
                    others: all.other_updates,
                    users: all.users,
                };
                (part, Place::of(*user_id, &now))
            }
            enums::updates::Difference::Slice(some) => {
                let enums::updates::State::State(there) = some.intermediate_state;
                let part = Part {
                    messages: some.new_messages,
                    others: some.other_updates,
                    users: some.users,
                };
                (part, Place::of(*user_id, &there))
            }
        };
        let met = people(&part);
        if !met.is_empty() {
            // Before the place moves on: they could not be answered otherwise.
            let remembered = self.vault.remember(&met).await;
            remembered.map_err(|away| Outcome::of(OutcomeClass::NotSent, away.to_string()))?;
        }
        let (received, raw) = read(&part, connection, *user_id);
        Ok((Polled { received, cursor: next.cursor(), raw }, true))
    }
}

fn nothing(place: Place) -> Polled {
    Polled { received: Vec::new(), cursor: place.cursor(), raw: Vec::new() }
}
