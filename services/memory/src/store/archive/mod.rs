//! A whole namespace, out and in.

mod export;
mod import;

pub use import::{Begun, Import, TakenIn};

use crate::knowledge::archive::{Table, Value};

/// What is selected so that a file can hold it: the columns, and vectors as base64 if they are wanted.
fn selected(table: &Table, vectors: bool) -> String {
    let columns = table.columns.iter().map(|column| match (column.value, vectors) {
        (Value::Vector, true) => format!(
            "translate(encode(halfvec_send({0}), 'base64'), E'\\n', '') AS {0}",
            column.name
        ),
        (Value::Vector, false) => format!("NULL AS {}", column.name),
        _ => column.name.to_owned(),
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// Ordered the same whatever the database's collation.
fn ordered(table: &Table) -> String {
    let columns = table.order.iter().map(|name| {
        let text = table.columns.iter().any(|one| one.name == *name && one.value == Value::Text);
        if text { format!("{name} COLLATE \"C\"") } else { (*name).to_owned() }
    });
    let columns: Vec<String> = columns.collect();
    if columns.is_empty() { String::new() } else { format!("ORDER BY {}", columns.join(", ")) }
}
