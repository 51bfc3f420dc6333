//! The alert history in PostgreSQL.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Row, postgres::PgRow};

use alina_proto::Service;

use crate::{
    alerts::{Alert, Severity, Subject},
    error::Error,
};

/// The schema `monitor`.
#[derive(Debug, Clone)]
pub struct Store(PgPool);

impl Store {
    /// The pool's search path must begin with the schema `monitor`.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// Keeps an alert that began; again is the same as once.
    ///
    /// # Errors
    /// When PostgreSQL does not do it.
    pub async fn keep_raised(&self, alert: &Alert, at: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query(
            "insert into alerts (rule, subject, since, severity, summary, value, raised_at)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict do nothing",
        )
        .bind(&alert.rule)
        .bind(alert.subject.to_string())
        .bind(alert.since)
        .bind(alert.severity.name())
        .bind(&alert.summary)
        .bind(alert.value)
        .bind(at)
        .execute(&self.0)
        .await?;
        Ok(())
    }

    /// Keeps that an alert ended; again is the same as once.
    ///
    /// # Errors
    /// When PostgreSQL does not do it.
    pub async fn keep_resolved(&self, alert: &Alert, at: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query(
            "update alerts set resolved_at = greatest($4, since)
             where rule = $1 and subject = $2 and since = $3 and resolved_at is null",
        )
        .bind(&alert.rule)
        .bind(alert.subject.to_string())
        .bind(alert.since)
        .bind(at)
        .execute(&self.0)
        .await?;
        Ok(())
    }

    /// Ends the alerts raised before `start` that nobody ended: those of an earlier process of the
    /// monitor, which this one knows nothing of. Says which.
    ///
    /// # Errors
    /// When PostgreSQL does not do it.
    pub async fn end_those_before(&self, start: DateTime<Utc>) -> Result<Vec<Alert>, Error> {
        let rows = sqlx::query(
            "update alerts set resolved_at = greatest(now(), since)
             where resolved_at is null and raised_at < $1
             returning rule, subject, since, severity, summary, value",
        )
        .bind(start)
        .fetch_all(&self.0)
        .await?;
        rows.iter().map(|row| alert(row).map_err(Error::from)).collect()
    }
}

fn alert(row: &PgRow) -> Result<Alert, sqlx::Error> {
    let subject: &str = row.try_get("subject")?;
    let severity: &str = row.try_get("severity")?;
    Ok(Alert {
        rule: row.try_get("rule")?,
        // A service that there is no more is said to have been the machine.
        subject: subject.parse::<Service>().map_or(Subject::Machine, Subject::Service),
        severity: if severity == Severity::Critical.name() {
            Severity::Critical
        } else {
            Severity::Warning
        },
        summary: row.try_get("summary")?,
        value: row.try_get("value")?,
        since: row.try_get("since")?,
    })
}
