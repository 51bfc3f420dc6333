//! The log of actions.

use alina_proto::memory::v1::{ListActionsRequest, VerifyActionsRequest};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::Asked;
use crate::{
    failure::Failure,
    output::{brief, rfc3339, table, when},
};

impl Asked {
    pub(super) async fn actions(mut self, run_id: String) -> Result<(), Failure> {
        let request = ListActionsRequest {
            namespace: self.namespace,
            run_id,
            ..ListActionsRequest::default()
        };
        let actions = self.memory.list_actions(request).await?.into_inner().actions;
        let value: Vec<Value> = actions
            .iter()
            .map(|action| {
                json!({
                    "id": action.id,
                    "at": rfc3339(action.at.as_ref()),
                    "actor": action.actor,
                    "action": action.action,
                    "summary": action.summary,
                    "details": serde_json::from_str::<Value>(&action.details_json).ok(),
                    "run_id": action.run_id,
                    "position": action.position,
                    "hash": action.hash,
                    "forgotten": action.forgotten,
                })
            })
            .collect();
        self.output.show(&Value::Array(value), |out| {
            let mut rows = table(["when", "who", "did", "what"]);
            for action in &actions {
                rows.add_row([
                    when(action.at.as_ref()),
                    action.actor.clone(),
                    action.action.clone(),
                    if action.forgotten {
                        "(forgotten)".to_owned()
                    } else {
                        brief(&action.summary, 80)
                    },
                ]);
            }
            writeln!(out, "{rows}")
        })
    }

    pub(super) async fn verify(
        mut self,
        known_position: u64,
        known_hash: String,
    ) -> Result<(), Failure> {
        let namespace = self.namespace;
        let request = VerifyActionsRequest { namespace, known_position, known_hash };
        let told = self.memory.verify_actions(request).await?.into_inner();
        let value = json!({
            "intact": told.intact,
            "length": told.length,
            "head": told.head,
            "tombstones": told.tombstones,
            "broken_at": told.broken_at,
            "problem": told.problem,
        });
        self.output.show(&value, |out| {
            if told.intact {
                let (length, tombstones) = (told.length, told.tombstones);
                let sign = "✓".green();
                writeln!(out, "{sign} {length} entries, {tombstones} of them forgotten: intact")?;
                writeln!(out, "  {}", format!("head {}", told.head).dimmed())?;
            }
            Ok(())
        })?;
        if told.intact {
            return Ok(());
        }
        let what = format!("the log is wrong at {}: {}", told.broken_at, told.problem);
        Err(Failure::other(what))
    }
}
