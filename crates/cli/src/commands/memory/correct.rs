//! Corrections, and what followed from them.

use std::io::{self, Write};

use alina_proto::memory::v1::{Consequences, RestoreRequest, RetractRequest, ReviseRequest};
use owo_colors::OwoColorize;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Asked, day};
use crate::{failure::Failure, output::rfc3339};

impl Asked {
    pub(super) async fn retract(mut self, id: String, reason: String) -> Result<(), Failure> {
        let request = RetractRequest { namespace: self.namespace, id, reason };
        let done = self.memory.retract(request).await?.into_inner();
        let followed = done.consequences.unwrap_or_default();
        let value =
            json!({ "changed": done.changed, "consequences": consequences_json(&followed) });
        self.output.show(&value, |out| {
            let told =
                if done.changed { "it is believed no more" } else { "it was retracted before" };
            writeln!(out, "{} {told}", "✓".green())?;
            write_consequences(&followed, out)
        })
    }

    pub(super) async fn restore(mut self, id: String) -> Result<(), Failure> {
        let request = RestoreRequest { namespace: self.namespace, id };
        let done = self.memory.restore(request).await?.into_inner();
        let followed = done.consequences.unwrap_or_default();
        let value =
            json!({ "changed": done.changed, "consequences": consequences_json(&followed) });
        self.output.show(&value, |out| {
            let told = if done.changed { "it is believed again" } else { "it was not retracted" };
            writeln!(out, "{} {told}", "✓".green())?;
            write_consequences(&followed, out)
        })
    }

    pub(super) async fn revise(
        mut self,
        id: String,
        valid_from: Option<Timestamp>,
        valid_to: Option<Timestamp>,
    ) -> Result<(), Failure> {
        let request = ReviseRequest { namespace: self.namespace, id, valid_from, valid_to };
        let done = self.memory.revise(request).await?.into_inner();
        let followed = done.consequences.unwrap_or_default();
        let value = json!({
            "valid_from": rfc3339(done.valid_from.as_ref()),
            "valid_to": rfc3339(done.valid_to.as_ref()),
            "consequences": consequences_json(&followed),
        });
        self.output.show(&value, |out| {
            let (from, to) = (day(done.valid_from.as_ref(), ""), day(done.valid_to.as_ref(), ""));
            writeln!(out, "{} true {from} … {to}", "✓".green())?;
            write_consequences(&followed, out)
        })
    }
}

pub(super) fn consequences_json(followed: &Consequences) -> Value {
    json!({
        "now_stale": followed.now_stale,
        "now_holding": followed.now_holding,
        "revised": followed.revised,
    })
}

pub(super) fn write_consequences(followed: &Consequences, out: &mut dyn Write) -> io::Result<()> {
    for (ids, what) in [
        (&followed.now_stale, "stale now"),
        (&followed.now_holding, "holds again"),
        (&followed.revised, "ends at another time"),
    ] {
        for id in ids {
            writeln!(out, "  {id} {}", what.yellow())?;
        }
    }
    Ok(())
}
