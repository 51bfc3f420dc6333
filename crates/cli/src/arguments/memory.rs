//! `alina memory`.

use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, Subcommand, ValueEnum};
use prost_types::Timestamp;

#[derive(Debug, Args)]
pub(crate) struct MemoryArguments {
    /// Whose memory; "default" when not given.
    #[arg(long, global = true, default_value = "")]
    pub(crate) namespace: String,
    #[command(subcommand)]
    pub(crate) command: Memory,
}

/// Of when a read is.
#[derive(Debug, Args)]
pub(crate) struct Times {
    /// What was true then: a day such as 2026-05-01, or a time such as 2026-05-01T12:00:00Z.
    #[arg(long, value_parser = moment)]
    pub(crate) as_of: Option<Timestamp>,
    /// What was known then.
    #[arg(long, value_parser = moment)]
    pub(crate) known_at: Option<Timestamp>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Memory {
    /// Find by words and by meaning.
    Search {
        /// What.
        query: String,
        /// How many.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
        #[command(flatten)]
        times: Times,
    },
    /// What an agent would be told: about a question, or at a session's beginning.
    Context(Context),
    /// Write something down.
    Remember {
        /// What.
        text: String,
    },
    /// Write a fact down: `alina memory fact Ana lives_in Porto --functional`.
    Fact {
        /// Whom it is about.
        subject: String,
        /// For example lives_in.
        predicate: String,
        /// What is said, or of whom.
        object: String,
        /// Whether the object is somebody or something that facts can be about.
        #[arg(long)]
        entity: bool,
        /// Only one object can be true at a time: this one ends the one before.
        #[arg(long)]
        functional: bool,
        /// When it became true; now when not given.
        #[arg(long, value_parser = moment)]
        from: Option<Timestamp>,
        /// When it ceased to be true.
        #[arg(long, value_parser = moment, requires = "from")]
        to: Option<Timestamp>,
        /// The id of a fact, episode or section it was concluded from; may be given several times.
        #[arg(long = "derived-from", value_name = "ID")]
        derived_from: Vec<String>,
    },
    /// What was true of somebody or something, and when, with what was believed before.
    Timeline {
        /// A name.
        entity: String,
        /// Only this predicate.
        #[arg(long, default_value = "")]
        predicate: String,
        /// Only what was true then or later.
        #[arg(long, value_parser = moment)]
        from: Option<Timestamp>,
        /// Only what was true before then.
        #[arg(long, value_parser = moment)]
        to: Option<Timestamp>,
        #[command(flatten)]
        times: Times,
    },
    /// Why a fact is believed, or stale: what it rests on, as a tree.
    Explain {
        /// Its id.
        id: String,
        #[command(flatten)]
        times: Times,
    },
    /// What is linked to somebody or something, as a tree.
    Neighbors {
        /// A name.
        entity: String,
        /// How far.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4))]
        hops: u32,
        /// At most so many facts.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
        /// Only this predicate; may be given several times.
        #[arg(long = "predicate")]
        predicates: Vec<String>,
        #[command(flatten)]
        times: Times,
    },
    /// A shortest way from one to another by facts.
    Path {
        /// A name.
        from: String,
        /// Another.
        to: String,
        /// How far.
        #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=6))]
        max_hops: u32,
        #[command(flatten)]
        times: Times,
    },
    /// Take a fact or an episode back; it is believed no more, and what rests on it is stale.
    Retract {
        /// Its id.
        id: String,
        /// Why, for people.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take a retraction back.
    Restore {
        /// Its id.
        id: String,
    },
    /// Correct when a fact was true.
    Revise {
        /// Its id.
        id: String,
        /// When it became true; as it was when not given.
        #[arg(long, value_parser = moment)]
        from: Option<Timestamp>,
        /// When it ceased to be true; it has no end when not given.
        #[arg(long, value_parser = moment)]
        to: Option<Timestamp>,
    },
    /// Let two entities be one: `alina memory merge "Bea Santos" Bea`. Can be undone.
    Merge {
        /// Who stands for both.
        into: String,
        /// The other.
        from: String,
    },
    /// Let an entity that was merged into another stand for itself again.
    Unmerge {
        /// A name of its own.
        name: String,
    },
    /// Entities that may be one, and why.
    Suggestions {
        /// At most so many.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
        limit: u32,
    },
    /// Delete for good, with everything derived. Without --yes it is only told what would go.
    Forget(Forget),
    /// What changes, as it changes.
    Watch {
        /// After this number; from the first that is kept when not given.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// End when there is no more instead of waiting.
        #[arg(long)]
        until_now: bool,
    },
    /// The documents of the memory bank.
    #[command(subcommand)]
    Bank(Bank),
    /// The log of significant actions, newest first.
    Actions {
        /// Only this run's.
        #[arg(long, default_value = "")]
        run: String,
    },
    /// Calculate the log's chain of hashes again. Exit code 1 when something is wrong with it.
    Verify {
        /// A place in the log whose hash is known from earlier.
        #[arg(long, default_value_t = 0, requires = "hash")]
        position: u64,
        /// That hash.
        #[arg(long, default_value = "", requires = "position")]
        hash: String,
    },
    /// Write the whole namespace into a file.
    Export(Export),
    /// Take a file of `alina memory export` in, where there is no namespace of its name yet.
    Import {
        /// The file; - for standard input.
        file: PathBuf,
    },
    /// How much is stored, and what taking facts out of what was said brings and costs.
    Stats,
}

impl Memory {
    /// Whether it goes on until it is interrupted, or as long as there is something to send.
    pub(super) fn streams(&self) -> bool {
        matches!(self, Self::Watch { until_now: false, .. } | Self::Export(_) | Self::Import { .. })
    }
}

#[derive(Debug, Args)]
pub(crate) struct Context {
    /// A question or task; may be left out at a session's beginning.
    pub(crate) query: Option<String>,
    /// What it is for; session-start when there is no question.
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    /// At most so many tokens.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(32..=32_768))]
    pub(crate) budget: u32,
    #[command(flatten)]
    pub(crate) times: Times,
}

/// What a context is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// To answer the question.
    Query,
    /// To begin with nothing in mind.
    SessionStart,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file; - for standard output.
    pub(crate) file: PathBuf,
    /// What it is written as.
    #[arg(long, default_value = "jsonl")]
    pub(crate) format: ExportFormat,
    /// Leave the vectors out: a third of the size.
    #[arg(long)]
    pub(crate) without_vectors: bool,
    #[command(flatten)]
    pub(crate) times: Times,
}

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// JSON Lines, for `alina memory import`.
    Jsonl,
    /// GraphML, for Gephi, yEd, networkx.
    Graphml,
}

#[derive(Debug, Args)]
pub(crate) struct Forget {
    #[command(flatten)]
    pub(crate) target: ForgetTarget,
    /// Also what names the entity or actor.
    #[arg(long, conflicts_with_all = ["id", "session", "document"])]
    pub(crate) mentions: bool,
    /// Do it.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// One of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ForgetTarget {
    /// A fact or an episode.
    #[arg(long)]
    pub(crate) id: Option<String>,
    /// Somebody or something, the facts about it and the episodes they were learned from.
    #[arg(long)]
    pub(crate) entity: Option<String>,
    /// Everything an actor said or did.
    #[arg(long)]
    pub(crate) actor: Option<String>,
    /// Everything of a session.
    #[arg(long)]
    pub(crate) session: Option<String>,
    /// A document of the memory bank, by its path.
    #[arg(long)]
    pub(crate) document: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bank {
    /// Take the markdown files of a folder in.
    Import {
        /// The folder.
        folder: PathBuf,
    },
    /// Write the documents, and what was learned since, into a folder.
    Export {
        /// The folder; made when absent.
        folder: PathBuf,
    },
    /// The documents, how they stand to their files, conflicts, and files that cannot be kept in step.
    Status,
    /// A document, one section of it, or what is set aside in a conflict file.
    Show {
        /// Its path, for example progress.md.
        path: String,
        /// The heading of a section, and those above it before it; may be given several times.
        #[arg(long)]
        section: Vec<String>,
    },
    /// Edit a document or a section, as agents do; what a person edits in the file is kept.
    Edit(Edit),
    /// Look at the folder's files now, and wait until documents and files are in step.
    Sync {
        /// Take it as deleted what is not there, even when there is no file at all.
        #[arg(long)]
        accept_deletions: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Its path, for example progress.md; made when there is none.
    pub(crate) path: String,
    /// The heading of a section, and those above it before it; may be given several times.
    #[arg(long)]
    pub(crate) section: Vec<String>,
    #[command(flatten)]
    pub(crate) text: EditText,
    /// Why, for the log.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// One of them; - reads standard input.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct EditText {
    /// This instead of what is there.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) replace: Option<String>,
    /// This behind what is there.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,
}

/// A day, which begins at midnight UTC, or a time.
fn moment(text: &str) -> Result<Timestamp, String> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let day = day.and_then(|day| day.and_hms_opt(0, 0, 0)).map(|day| day.and_utc());
    let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc));
    let rule = "must be a day such as 2026-05-01 or a time such as 2026-05-01T12:00:00Z";
    day.or(time).map(alina_proto::time::timestamp).ok_or_else(|| rule.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read() {
        assert_eq!(moment("1970-01-02").unwrap().seconds, 86_400);
        assert_eq!(moment("1970-01-01T01:00:00+01:00").unwrap().seconds, 0);
        for wrong in ["yesterday", "2026-13-01", "2026-05-01T12:00", ""] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
