//! What is in a file, table by table.

/// A table with the columns that are in a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// In the store.
    pub name: &'static str,
    /// Without the namespace, which the header has.
    pub columns: &'static [Column],
    /// The columns by which rows are ordered.
    pub order: &'static [&'static str],
}

/// A column.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// In the store.
    pub name: &'static str,
    /// What it holds.
    pub value: Value,
    /// Whether it may be absent.
    pub optional: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// An id.
    Id,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// A time.
    Time,
    /// A whole number from 0 to 32,767.
    Small,
    /// A whole number from 0 to 2,147,483,647.
    Int,
    /// A whole number from 0.
    Big,
    /// True or false.
    Flag,
    /// Bytes.
    Bytes,
    /// Anything.
    Json,
    /// A vector.
    Vector,
}

const fn column(name: &'static str, value: Value) -> Column {
    Column { name, value, optional: false }
}

const fn optional(name: &'static str, value: Value) -> Column {
    Column { name, value, optional: true }
}

/// In an order in which rows only refer to rows before them, facts to facts aside.
pub const TABLES: &[Table] = &[
    Table {
        name: "namespaces",
        columns: &[column("last_change", Value::Big), column("clocked_to", Value::Time)],
        order: &[],
    },
    Table {
        name: "items",
        columns: &[
            column("id", Value::Id),
            column("kind", Value::Small),
            column("text", Value::Text),
            column("source", Value::Text),
            column("actor", Value::Text),
            column("session", Value::Text),
            column("valid_from", Value::Time),
            optional("valid_to", Value::Time),
            column("recorded_at", Value::Time),
            optional("retracted_at", Value::Time),
            optional("revised_at", Value::Time),
            column("reason", Value::Text),
            optional("embedding", Value::Vector),
            column("embedding_refused", Value::Flag),
        ],
        order: &["id"],
    },
    // Episodes that wait to be read for facts: those that were read are not read again.
    Table { name: "unextracted", columns: &[column("item_id", Value::Id)], order: &["item_id"] },
    Table { name: "unasked", columns: &[column("item_id", Value::Id)], order: &["item_id"] },
    Table {
        name: "extraction_costs",
        columns: &[
            column("hour", Value::Time),
            column("tier", Value::Small),
            column("episodes", Value::Big),
            column("facts", Value::Big),
            column("refused", Value::Big),
            column("tokens", Value::Big),
            column("micros", Value::Big),
        ],
        order: &["hour", "tier"],
    },
    Table {
        name: "versions",
        columns: &[
            column("item_id", Value::Id),
            column("valid_from", Value::Time),
            optional("valid_to", Value::Time),
            column("since", Value::Time),
            column("until", Value::Time),
            column("reason", Value::Text),
        ],
        order: &["item_id", "since"],
    },
    Table {
        name: "entities",
        columns: &[
            column("id", Value::Id),
            column("name", Value::Text),
            column("aliases", Value::Texts),
            column("type", Value::Text),
        ],
        order: &["id"],
    },
    Table {
        name: "merges",
        columns: &[
            column("id", Value::Id),
            column("from_id", Value::Id),
            column("into_id", Value::Id),
            column("merged_at", Value::Time),
            optional("undone_at", Value::Time),
        ],
        order: &["id"],
    },
    Table {
        name: "names",
        columns: &[column("called", Value::Text), column("entity_id", Value::Id)],
        order: &["called"],
    },
    Table {
        name: "facts",
        columns: &[
            column("id", Value::Id),
            column("subject_id", Value::Id),
            column("predicate", Value::Text),
            column("object", Value::Text),
            optional("object_id", Value::Id),
            optional("episode_id", Value::Id),
            column("functional", Value::Flag),
            optional("stated_to", Value::Time),
            optional("stale_since", Value::Time),
        ],
        order: &["id"],
    },
    Table {
        name: "grounds",
        columns: &[column("fact_id", Value::Id), column("ground_id", Value::Id)],
        order: &["fact_id", "ground_id"],
    },
    Table {
        name: "documents",
        columns: &[
            column("path", Value::Text),
            column("content", Value::Text),
            column("imported_at", Value::Time),
            optional("base", Value::Text),
            column("on_disk", Value::Flag),
            optional("writing", Value::Text),
            optional("before", Value::Text),
            optional("written_at", Value::Time),
            optional("removed_at", Value::Time),
        ],
        order: &["path"],
    },
    Table { name: "bank_folders", columns: &[column("folder", Value::Text)], order: &[] },
    Table {
        name: "bank_conflicts",
        columns: &[
            column("name", Value::Text),
            column("path", Value::Text),
            column("content", Value::Text),
            column("at", Value::Time),
            column("written", Value::Flag),
        ],
        order: &["name"],
    },
    Table {
        name: "bank_forgotten",
        columns: &[column("path", Value::Text), column("digest", Value::Bytes)],
        order: &["path", "digest"],
    },
    Table {
        name: "sections",
        columns: &[
            column("id", Value::Id),
            column("path", Value::Text),
            column("position", Value::Int),
            column("heading", Value::Text),
        ],
        order: &["id"],
    },
    Table {
        name: "actions",
        columns: &[
            column("id", Value::Big),
            column("position", Value::Big),
            column("at", Value::Time),
            column("actor", Value::Text),
            column("action", Value::Text),
            column("summary", Value::Text),
            column("details", Value::Text),
            column("run_id", Value::Text),
            optional("salt", Value::Bytes),
            column("digest", Value::Bytes),
            column("hash", Value::Bytes),
            optional("forgotten_by", Value::Big),
        ],
        order: &["position"],
    },
    Table {
        name: "chains",
        columns: &[column("length", Value::Big), column("head", Value::Bytes)],
        order: &[],
    },
    Table {
        name: "idempotency_keys",
        columns: &[
            column("key", Value::Text),
            column("content", Value::Bytes),
            column("answer", Value::Json),
            column("recorded_at", Value::Time),
        ],
        order: &["key"],
    },
    Table {
        name: "changes",
        columns: &[
            column("sequence", Value::Big),
            column("at", Value::Time),
            column("kind", Value::Small),
            column("item_id", Value::Id),
            column("item_kind", Value::Small),
        ],
        order: &["sequence"],
    },
    Table {
        name: "exports",
        columns: &[
            column("id", Value::Big),
            column("at", Value::Time),
            column("whole", Value::Flag),
        ],
        order: &["id"],
    },
    Table {
        name: "exported",
        columns: &[column("export_id", Value::Big), column("item_id", Value::Id)],
        order: &["export_id", "item_id"],
    },
];
