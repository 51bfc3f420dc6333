//! Whether PostgreSQL and Redis answer.

use std::time::Duration;

use alina_service::Common;
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Finding, finding};
use crate::{session::Session, suite};

const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Asks those that should be running: all while the suite runs here, else those of other machines.
pub(super) async fn answers(session: &Session) -> Vec<Finding> {
    let Ok(common) = session.common() else { return Vec::new() };
    let running = suite::is_running(&session.layout);
    let mut findings = Vec::new();
    if running || !is_here(&common.postgres.url) {
        let asked = tokio::time::timeout(ANSWER_WITHIN, postgres(&common)).await;
        let said = asked.unwrap_or_else(|_| Err("no answer within 3 s".to_owned()));
        let mend = "see .alina/log/postgres.log, and postgres.url in config.yaml";
        findings.push(finding("PostgreSQL", said.map_err(|error| format!("{error}; {mend}"))));
    }
    if running || !is_here(&common.redis.url) {
        let asked = tokio::time::timeout(ANSWER_WITHIN, redis(&common.redis.url)).await;
        let said = asked.unwrap_or_else(|_| Err("no answer within 3 s".to_owned()));
        let mend = "everything works without it, only slower; see .alina/log/redis.log";
        findings.push(finding("Redis", said.map_err(|error| format!("{error}; {mend}"))));
    }
    findings
}

/// The host and port of `scheme://user@host:port/…`.
fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    authority.rsplit('@').next()
}

fn is_here(url: &str) -> bool {
    let host = authority(url).unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|here| host.starts_with(here))
}

async fn postgres(common: &Common) -> Result<String, String> {
    let options = common.postgres_options().map_err(|error| error.to_string())?;
    let asked = async {
        let mut connection = PgConnection::connect_with(&options).await?;
        let version: String =
            sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(version)
    };
    asked.await.map(|version| format!("{version} answers")).map_err(|error| error.to_string())
}

async fn redis(url: &str) -> Result<String, String> {
    let authority = authority(url).filter(|authority| !authority.is_empty());
    let authority = authority.ok_or_else(|| format!("`{url}` has no host"))?;
    let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
    let address = if has_port { authority.to_owned() } else { format!("{authority}:6379") };
    let asked = async {
        let mut stream = TcpStream::connect(&address).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 64];
        let count = stream.read(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer[..count]).trim().to_owned())
    };
    match asked.await {
        // Asking for a password is an answer, too.
        Ok(answer) if answer == "+PONG" || answer.starts_with("-NOAUTH") => {
            Ok(format!("{address} answers"))
        }
        Ok(answer) => Err(format!("{address} said `{answer}`")),
        Err(error) => Err(format!("{address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn redis_answers_until_it_is_gone() {
        let mut own = alina_testkit::redis().await;
        let url = own.url().to_owned();
        assert!(redis(&url).await.unwrap().ends_with(" answers"));
        own.kill().await;
        assert!(redis(&url).await.is_err());
    }

    #[test]
    fn stores_of_other_machines_are_told_apart() {
        assert!(is_here("postgres://alina@127.0.0.1:7632/alina"));
        assert!(is_here("redis://localhost/"));
        assert!(!is_here("postgres://alina@postgres:5432/alina"));
    }
}
