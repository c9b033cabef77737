//! A server's address in the words of libpq's environment, for programs that are not ours.

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

/// What psql and its kin read. The password is among it: arguments would show it to everybody.
pub fn libpq_environment(options: &PgConnectOptions) -> Vec<(&'static str, String)> {
    let user = options.get_username();
    let host = match options.get_socket() {
        Some(folder) => folder.to_string_lossy().into_owned(),
        None => options.get_host().to_owned(),
    };
    let mut variables = vec![
        ("PGHOST", host),
        ("PGPORT", options.get_port().to_string()),
        ("PGUSER", user.to_owned()),
        ("PGDATABASE", options.get_database().unwrap_or(user).to_owned()),
        ("PGAPPNAME", "nuncio db psql".to_owned()),
    ];
    // The rest has no other way out; host and user are put in without marks, so ours stay out.
    let url = options.clone().host("localhost").username("nobody").to_url_lossy();
    let password = url.password().map(|encoded| {
        percent_encoding::percent_decode_str(encoded).decode_utf8_lossy().into_owned()
    });
    variables.extend(password.map(|password| ("PGPASSWORD", password)));
    for (name, value) in url.query_pairs() {
        let variable = match &*name {
            "sslmode" => "PGSSLMODE",
            "sslrootcert" => "PGSSLROOTCERT",
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            _ => continue,
        };
        variables.push((variable, value.into_owned()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn the_address_and_its_password_arrive_whole() {
        let options =
            Store::parse_url("postgres://an%40na:p%2Fw%40d@db.example:6432/sales?sslmode=require");
        let variables = libpq_environment(&options.unwrap());
        for wanted in [
            ("PGHOST", "db.example"),
            ("PGPORT", "6432"),
            ("PGUSER", "an@na"),
            ("PGPASSWORD", "p/w@d"),
            ("PGDATABASE", "sales"),
            ("PGSSLMODE", "require"),
        ] {
            let mut found = variables.iter().map(|(name, value)| (*name, value.as_str()));
            assert_eq!(found.rfind(|(name, _)| *name == wanted.0), Some(wanted));
        }
        let options = Store::parse_url("postgres://nuncio@%2Frun%2Fdb/x").unwrap();
        let variables = libpq_environment(&options);
        assert!(variables.contains(&("PGHOST", "/run/db".to_owned())), "{variables:?}");
        assert!(variables.iter().all(|(name, _)| *name != "PGPASSWORD"), "{variables:?}");
    }
}
