//! The database: it answers, fits this version, may be written, and its clock and zones are right.

use chrono::{DateTime, TimeDelta, Utc};

use super::check::Check;
use crate::{
    cli::failure::Failure,
    clock, config,
    service::DatabaseChoice,
    store::{
        Examination, Purpose, Rights, Schema, Store, StoreError,
        embedded::{Cluster, Durability, Embedded},
    },
};

/// Permits are decided by the database's clock; logs and people go by this machine's.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(1);

/// The database's checks, and what it is used for where that is known.
pub(super) async fn look(
    choice: &DatabaseChoice,
    zones: &[String],
) -> (Vec<Check>, Option<Purpose>) {
    match examine(choice, zones).await {
        Ok(found) => found,
        Err(error) => {
            let Failure { message, hint, .. } = Failure::of_error(&error);
            let remedy = hint.unwrap_or_else(|| "the message names the cause".to_owned());
            (vec![Check::fail("database", message, &remedy)], None)
        }
    }
}

async fn examine(
    choice: &DatabaseChoice,
    zones: &[String],
) -> anyhow::Result<(Vec<Check>, Option<Purpose>)> {
    // A private server lives as long as somebody uses it.
    let mut private = None;
    let (options, whose) = match choice {
        DatabaseChoice::Url(url) => (Store::parse_url(url)?, "the server".to_owned()),
        DatabaseChoice::Embedded { data } => {
            let shown = data.display();
            if Embedded::look(data, &config::search_path())? == Cluster::Absent {
                let message =
                    format!("a private server will be made in {shown} when one is needed");
                return Ok((vec![Check::ok("database", message)], None));
            }
            let program = std::env::current_exe()?;
            let path = config::search_path();
            let server = Embedded::open(data, &program, &path, Durability::Durable).await?;
            (private.insert(server).options(), format!("the private server in {shown}"))
        }
    };
    let mut examination = Examination::connect(options).await?;
    let version = examination.version().await?;
    let mut checks = vec![Check::ok("database", format!("{whose} is PostgreSQL {version}"))];
    let schema = examination.schema().await;
    let purpose = match schema {
        // A role that may not read it is told of below.
        Ok(Schema::Current) => examination.purpose().await.unwrap_or_default(),
        _ => None,
    };
    // One question that fails leaves the others their answers.
    let asked = [
        schema.map(|schema| schema_check(&schema)),
        examination.rights().await.map(|rights| rights_check(&rights)),
        examination.lacks_room().await.map(room_check),
        clock_check(&mut examination).await,
        examination.unknown_zones(zones).await.map(|unknown| zones_check(zones, &unknown)),
    ];
    checks.extend(asked.into_iter().map(|asked| {
        asked.unwrap_or_else(|error| {
            let Failure { message, hint, .. } = Failure::of_error(&error.into());
            Check::fail("database", message, &hint.unwrap_or_default())
        })
    }));
    examination.close().await?;
    Ok((checks, purpose))
}

fn schema_check(schema: &Schema) -> Check {
    let name = "migrations";
    match schema {
        Schema::Current => Check::ok(name, "the tables are this version's"),
        Schema::Empty => {
            Check::ok(name, "the database is empty; the first command makes its tables")
        }
        Schema::Behind(n) => Check::warn(
            name,
            format!("{n} of this version's are not done yet"),
            "the next command that uses the database does them; until then stop older versions",
        ),
        Schema::Foreign(versions) => Check::fail(
            name,
            format!("the database has {versions:?}, which this version does not know"),
            "use the version of nuncio that wrote them, or a newer one",
        ),
    }
}

fn rights_check(rights: &Rights) -> Check {
    let name = "rights";
    match rights {
        Rights::Enough => Check::ok(name, "the role may read, write and create tables"),
        Rights::ReadOnly => Check::fail(
            name,
            "the database may only be read",
            "connect to the primary, and not to a replica",
        ),
        Rights::NoCreate => Check::fail(
            name,
            "the role may not create tables",
            "GRANT CREATE ON SCHEMA public TO the role of NUNCIO_DATABASE_URL",
        ),
        Rights::Tables(tables) => Check::fail(
            name,
            format!("the role may not use {}", tables.join(", ")),
            "let the role own the tables, or GRANT it SELECT, INSERT, UPDATE and DELETE on them",
        ),
    }
}

fn room_check(lacks: Option<String>) -> Check {
    let name = "room";
    let Some(message) = lacks else { return Check::ok(name, "the database has room to write") };
    Check::fail(
        name,
        format!("the database has no room to write: {message}"),
        "free space on the server's disk, or make it larger; what waits goes on by itself then",
    )
}

async fn clock_check(examination: &mut Examination) -> Result<Check, StoreError> {
    let before = clock::now();
    let database = examination.now().await?;
    Ok(skew_check(skew(before, database, clock::now())))
}

/// How far the database's clock is surely off: it was read between two looks at ours.
fn skew(before: DateTime<Utc>, database: DateTime<Utc>, after: DateTime<Utc>) -> TimeDelta {
    if database < before {
        database - before
    } else if database > after {
        database - after
    } else {
        TimeDelta::zero()
    }
}

fn skew_check(skew: TimeDelta) -> Check {
    let seconds = skew.as_seconds_f64().abs();
    if skew.abs() <= SKEW_MAX {
        return Check::ok("clock", "this machine and the database agree");
    }
    let side = if skew > TimeDelta::zero() { "ahead of" } else { "behind" };
    Check::warn(
        "clock",
        format!("the database's clock is {seconds:.1} s {side} this machine's"),
        "set both by NTP: hours, limits and pauses go by the database's clock, logs by this one",
    )
}

fn zones_check(zones: &[String], unknown: &[String]) -> Check {
    if unknown.is_empty() {
        let message = match zones {
            [] => "no task needs one".to_owned(),
            _ => format!("the database knows {}", zones.join(", ")),
        };
        return Check::ok("time zones", message);
    }
    Check::fail(
        "time zones",
        format!("the database does not know {}", unknown.join(", ")),
        "update the server's time zone data (Debian: `apt-get install tzdata`), then restart it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn a_skew_is_what_the_way_there_and_back_cannot_explain() {
        let at = |ms| DateTime::<Utc>::UNIX_EPOCH + TimeDelta::milliseconds(ms);
        // Our two looks, the database's clock between them, and what is sure.
        let cases = [
            (10_000, 10_005, 10_010, 0, Verdict::Ok),
            (10_000, 10_900, 10_010, 890, Verdict::Ok),
            (10_000, 12_010, 10_010, 2_000, Verdict::Warn),
            (10_000, 8_000, 10_010, -2_000, Verdict::Warn),
            // An answer that took long proves nothing.
            (10_000, 14_000, 15_000, 0, Verdict::Ok),
        ];
        for (before, database, after, sure, verdict) in cases {
            let found = skew(at(before), at(database), at(after));
            assert_eq!(found, TimeDelta::milliseconds(sure), "{before} {database} {after}");
            assert_eq!(skew_check(found).verdict, verdict, "{found}");
        }
        let behind = skew_check(TimeDelta::seconds(-90));
        assert!(behind.message.contains("90.0 s behind"), "{behind:?}");
    }

    #[test]
    fn what_keeps_a_database_from_working_fails() {
        let cases = [
            (schema_check(&Schema::Current), Verdict::Ok),
            (schema_check(&Schema::Empty), Verdict::Ok),
            (schema_check(&Schema::Behind(2)), Verdict::Warn),
            (schema_check(&Schema::Foreign(vec![9])), Verdict::Fail),
            (rights_check(&Rights::Enough), Verdict::Ok),
            (rights_check(&Rights::ReadOnly), Verdict::Fail),
            (rights_check(&Rights::NoCreate), Verdict::Fail),
            (room_check(None), Verdict::Ok),
            (room_check(Some("No space left on device".to_owned())), Verdict::Fail),
            (zones_check(&["Asia/Omsk".into()], &[]), Verdict::Ok),
            (zones_check(&["Asia/Omsk".into()], &["Asia/Omsk".into()]), Verdict::Fail),
        ];
        for (check, verdict) in cases {
            assert_eq!(check.verdict, verdict, "{check:?}");
        }
    }
}
