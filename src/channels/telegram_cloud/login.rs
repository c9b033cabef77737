//! Signing in and out: a code that Telegram sends to the account's owner, and their password where they have one.

use std::{fmt, time::Duration};

use grammers_crypto::two_factor_auth::{calculate_2fa, check_p_and_g};
use grammers_mtsender::InvocationError;
use grammers_tl_types::{enums, functions, types};

use super::{
    account::TelegramCloud,
    connection::{Connection, Unanswered},
    session::AccountSession,
    vault::KeptSession,
};
use crate::domain::attempt::{Outcome, OutcomeClass};

/// Between Telegram's data centres an account is sent on once.
const MOVES_MAX: usize = 2;

/// The numbers of the password's proof are of so many bytes.
const SRP_BYTES: usize = 256;

/// What Telegram's servers give: a safe prime, as was computed once, and 3 generates what it has to.
const PRIME: &str = "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4dbfa336f6e0ac925139543aed44cce7c3720fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f642477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4a4a695811051907e162753b56b0f6b410dba74d8a84b2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf6f4fadf034b10403119cd8e3b92fcc5b";
const GENERATOR: i32 = 3;

/// Where Telegram sends the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereto {
    /// To the app on the account's other devices.
    App,
    Sms,
    Call,
    Email,
    /// To a site that sells anonymous numbers.
    Fragment,
}

/// A sign-in that waits for the code, or for the password.
pub struct SignIn<'a> {
    account: &'a TelegramCloud,
    connection: Connection,
    code_hash: String,
    pub whereto: Whereto,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Done(SignedIn),
    /// The owner's words of help, where they gave some.
    PasswordWanted {
        hint: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The number of the account.
    pub user_id: i64,
    /// As its owner is called.
    pub name: String,
    /// The session as the database is to keep it.
    pub sealed: Vec<u8>,
}

/// Why it goes no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInFailed {
    #[error("the code is wrong")]
    WrongCode,
    #[error("the code is not good any more")]
    ExpiredCode,
    #[error("the password is wrong")]
    WrongPassword,
    #[error("Telegram lets this account try again only in {}", humantime::format_duration(*.0))]
    Wait(Duration),
    #[error("nobody with this number is on Telegram")]
    NotRegistered,
    #[error("Telegram wants a payment for the code, or another app; sign in on a phone first")]
    NoCode,
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Away(String),
}

impl fmt::Debug for SignIn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignIn")
    }
}

impl TelegramCloud {
    /// Has Telegram send a code to the owner of the account.
    pub(in crate::channels) async fn sign_in(&self) -> Result<SignIn<'_>, SignInFailed> {
        // Each sign-in agrees on a key of its own, so that none is used from two places.
        let connection = match self.vault_session().await {
            Some(session) => self.resumed(&session),
            None => self.stranger(),
        };
        let request = functions::auth::SendCode {
            phone_number: self.phone.reveal().to_owned(),
            api_id: self.api_id(),
            api_hash: self.api_hash.reveal().to_owned(),
            settings: types::CodeSettings {
                allow_flashcall: false,
                current_number: false,
                allow_app_hash: false,
                allow_missed_call: false,
                allow_firebase: false,
                unknown_number: false,
                logout_tokens: None,
                token: None,
                app_sandbox: None,
            }
            .into(),
        };
        let mut moves = 0;
        let sent = loop {
            let sent = connection.call(&request, self.deadline()).await;
            match sent.as_ref().err().and_then(home_of) {
                Some(data_centre) if moves < MOVES_MAX => {
                    moves += 1;
                    connection.move_to(data_centre).await;
                }
                _ => break sent?,
            }
        };
        let enums::auth::SentCode::Code(sent) = sent else { return Err(SignInFailed::NoCode) };
        let whereto = whereto(&sent.r#type).ok_or(SignInFailed::NoCode)?;
        Ok(SignIn { account: self, connection, code_hash: sent.phone_code_hash, whereto })
    }

    /// Ends the session with Telegram; `Ok` too where it had ended.
    pub(in crate::channels) async fn sign_out(&self) -> Result<(), Outcome> {
        let session = self.session().await?;
        let connection = self.resumed(&session);
        match connection.call(&functions::auth::LogOut {}, self.deadline()).await {
            Ok(_) => Ok(()),
            Err(failed) => match failed.of_other_call() {
                ended if ended.class == OutcomeClass::CredentialRefused => Ok(()),
                outcome => Err(outcome),
            },
        }
    }

    fn resumed(&self, session: &AccountSession) -> Connection {
        self.connection(session.unpacked(self.endpoint()))
    }

    /// A rehearsal cannot agree on a key, because it has none of Telegram's; its accounts have theirs already.
    async fn vault_session(&self) -> Option<AccountSession> {
        match self.vault.session().await {
            Ok(KeptSession::Open(session)) => Some(*session),
            _ => None,
        }
    }
}

impl SignIn<'_> {
    pub async fn enter_code(&self, code: &str) -> Result<Step, SignInFailed> {
        let request = functions::auth::SignIn {
            phone_number: self.account.phone.reveal().to_owned(),
            phone_code_hash: self.code_hash.clone(),
            phone_code: Some(code.trim().to_owned()),
            email_verification: None,
        };
        match self.connection.call(&request, self.account.deadline()).await {
            Ok(signed_in) => self.done(signed_in),
            Err(failed) if failed.is("SESSION_PASSWORD_NEEDED") => {
                let hint = self.password().await?.hint.filter(|hint| !hint.trim().is_empty());
                Ok(Step::PasswordWanted { hint })
            }
            Err(failed) => Err(failed.into()),
        }
    }

    /// The password itself does not leave this machine.
    pub async fn enter_password(&self, password: &str) -> Result<Step, SignInFailed> {
        let types::account::Password { current_algo, srp_b, srp_id, .. } = self.password().await?;
        let strange =
            || SignInFailed::Refused("Telegram asks for the password in a new way".into());
        let (Some(algo), Some(srp_b), Some(srp_id)) = (current_algo, srp_b, srp_id) else {
            return Err(strange());
        };
        let enums::PasswordKdfAlgo::Sha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow(
            types::PasswordKdfAlgoSha256Sha256Pbkdf2Hmacsha512iter100000Sha256ModPow {
                salt1,
                salt2,
                g,
                p,
            },
        ) = algo
        else {
            return Err(strange());
        };
        let password = password.to_owned();
        // The secret number is ours, and no server's.
        let mut secret = vec![0; SRP_BYTES];
        getrandom::fill(&mut secret)
            .map_err(|_| SignInFailed::Away("this machine gives no random numbers".into()))?;
        // Seconds of arithmetic, most of them over whether a number is prime.
        let (m1, a) = tokio::task::spawn_blocking(move || {
            let sound = hex::encode(&p) == PRIME && g == GENERATOR || check_p_and_g(&p, &g);
            sound.then(|| calculate_2fa(&salt1, &salt2, &p, &g, srp_b, secret, password.as_bytes()))
        })
        .await
        .map_err(|_| strange())?
        .ok_or_else(|| SignInFailed::Refused("the server's numbers are not sound".into()))?;
        let proof = types::InputCheckPasswordSrp { srp_id, a: a.to_vec(), m1: m1.to_vec() };
        let request = functions::auth::CheckPassword { password: proof.into() };
        let signed_in = self.connection.call(&request, self.account.deadline()).await?;
        self.done(signed_in)
    }

    async fn password(&self) -> Result<types::account::Password, SignInFailed> {
        let request = functions::account::GetPassword {};
        let told = self.connection.call(&request, self.account.deadline()).await?;
        let enums::account::Password::Password(password) = told;
        Ok(password)
    }

    fn done(&self, signed_in: enums::auth::Authorization) -> Result<Step, SignInFailed> {
        let enums::auth::Authorization::Authorization(signed_in) = signed_in else {
            return Err(SignInFailed::NotRegistered);
        };
        let enums::User::User(user) = signed_in.user else {
            return Err(SignInFailed::NotRegistered);
        };
        let home = self.connection.home().and_then(|home| AccountSession::of(&home, user.id));
        let session = home.ok_or_else(|| SignInFailed::Away("no key was agreed on".into()))?;
        let sealed = self.account.seal(&session).map_err(SignInFailed::Away)?;
        let names = [user.first_name, user.last_name];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
        Ok(Step::Done(SignedIn { user_id: user.id, name, sealed }))
    }
}

/// The data centre where the account is at home, where Telegram says that it is elsewhere.
fn home_of(failed: &Unanswered) -> Option<i32> {
    let Unanswered::Failed(InvocationError::Rpc(error)) = failed else { return None };
    (error.code == 303).then_some(())?;
    i32::try_from(error.value?).ok()
}

fn whereto(sent: &enums::auth::SentCodeType) -> Option<Whereto> {
    use enums::auth::SentCodeType as Sent;
    Some(match sent {
        Sent::App(_) => Whereto::App,
        Sent::Sms(_) | Sent::FirebaseSms(_) | Sent::SmsWord(_) | Sent::SmsPhrase(_) => Whereto::Sms,
        Sent::Call(_) | Sent::FlashCall(_) | Sent::MissedCall(_) => Whereto::Call,
        Sent::EmailCode(_) => Whereto::Email,
        Sent::FragmentSms(_) => Whereto::Fragment,
        Sent::SetUpEmailRequired(_) => return None,
    })
}

impl From<Unanswered> for SignInFailed {
    fn from(failed: Unanswered) -> Self {
        for (name, itself) in [
            ("PHONE_CODE_INVALID", Self::WrongCode),
            ("PHONE_CODE_EMPTY", Self::WrongCode),
            ("PHONE_CODE_EXPIRED", Self::ExpiredCode),
            ("PASSWORD_HASH_INVALID", Self::WrongPassword),
            ("PHONE_NUMBER_UNOCCUPIED", Self::NotRegistered),
            ("PHONE_PASSWORD_FLOOD", Self::Wait(Duration::from_hours(24))),
        ] {
            if failed.is(name) {
                return itself;
            }
        }
        let Outcome { class, after, reason, .. } = failed.of_other_call();
        match (class, after) {
            (OutcomeClass::RetryAfter, Some(after)) => Self::Wait(after),
            (OutcomeClass::NotSent, _) => Self::Away(reason),
            _ => Self::Refused(reason),
        }
    }
}
