//! The graph for other programs, as `GraphML` (<http://graphml.graphdrawing.org>): entities and
//! literals are nodes, facts are edges.

use std::fmt::Write;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

/// What is given away at once, in bytes, and an element more.
const PIECE: usize = 64 * 1024;

/// Data of nodes and edges: whose, name, type.
const KEYS: [(&str, &str, &str); 13] = [
    ("node", "label", "string"),
    ("node", "kind", "string"),
    ("node", "type", "string"),
    ("node", "aliases", "string"),
    ("edge", "label", "string"),
    ("edge", "sentence", "string"),
    ("edge", "valid_from", "string"),
    ("edge", "valid_to", "string"),
    ("edge", "recorded_at", "string"),
    ("edge", "holds", "boolean"),
    ("edge", "stale", "boolean"),
    ("edge", "functional", "boolean"),
    ("edge", "weight", "double"),
];

/// A fact as an edge.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Its id.
    pub id: Uuid,
    /// An entity.
    pub subject: Uuid,
    /// What is said.
    pub predicate: String,
    /// Of what: a literal, unless `object_id` is there.
    pub object: String,
    /// Of whom.
    pub object_id: Option<Uuid>,
    /// As a sentence.
    pub sentence: String,
    /// When it became true.
    pub valid_from: DateTime<Utc>,
    /// When it ceased.
    pub valid_to: Option<DateTime<Utc>>,
    /// When it was written down.
    pub recorded_at: DateTime<Utc>,
    /// Whether it was true at the time asked for.
    pub holds: bool,
    /// Whether something that it rests on was not.
    pub stale: bool,
    /// Whether its subject can have only one object at a time.
    pub functional: bool,
}

/// Writes a graph, piece by piece; nodes first.
#[derive(Debug)]
pub struct Graph {
    piece: String,
}

impl Graph {
    /// With the header. `name` is the graph's.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut piece = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:schemaLocation=\"http://graphml.graphdrawing.org/xmlns \
             http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd\">\n",
        );
        for (of, name, kind) in KEYS {
            // Writing to a string cannot fail, here and below.
            let _ = writeln!(
                piece,
                "  <key id=\"{of}_{name}\" for=\"{of}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>"
            );
        }
        let _ = writeln!(piece, "  <graph id=\"{}\" edgedefault=\"directed\">", escaped(name));
        Self { piece }
    }

    /// Adds an entity.
    pub fn entity(
        &mut self,
        id: Uuid,
        name: &str,
        kind: &str,
        aliases: &[String],
    ) -> Option<String> {
        let _ = writeln!(self.piece, "    <node id=\"{id}\">");
        self.data("node_label", name);
        self.data("node_kind", "entity");
        for (key, text) in [("node_type", kind), ("node_aliases", &aliases.join("\n"))] {
            if !text.is_empty() {
                self.data(key, text);
            }
        }
        self.piece.push_str("    </node>\n");
        self.full()
    }

    /// Adds what a fact says of its subject, as a node.
    pub fn literal(&mut self, fact: Uuid, text: &str) -> Option<String> {
        let _ = writeln!(self.piece, "    <node id=\"literal:{fact}\">");
        self.data("node_label", text);
        self.data("node_kind", "literal");
        self.piece.push_str("    </node>\n");
        self.full()
    }

    /// Adds a fact, whose nodes are there.
    pub fn fact(&mut self, edge: &Edge) -> Option<String> {
        let Edge { id, subject, .. } = edge;
        let target = edge.object_id.map_or_else(|| format!("literal:{id}"), |id| id.to_string());
        let _ =
            writeln!(self.piece, "    <edge id=\"{id}\" source=\"{subject}\" target=\"{target}\">");
        self.data("edge_label", &edge.predicate);
        self.data("edge_sentence", &edge.sentence);
        self.data("edge_valid_from", &rfc3339(edge.valid_from));
        if let Some(end) = edge.valid_to {
            self.data("edge_valid_to", &rfc3339(end));
        }
        self.data("edge_recorded_at", &rfc3339(edge.recorded_at));
        for (key, flag) in [
            ("edge_holds", edge.holds),
            ("edge_stale", edge.stale),
            ("edge_functional", edge.functional),
        ] {
            self.data(key, if flag { "true" } else { "false" });
        }
        // What can be relied on draws more.
        self.data("edge_weight", if edge.holds && !edge.stale { "1" } else { "0.25" });
        self.piece.push_str("    </edge>\n");
        self.full()
    }

    /// The last piece.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.piece.push_str("  </graph>\n</graphml>\n");
        self.piece
    }

    fn data(&mut self, key: &str, text: &str) {
        let _ = writeln!(self.piece, "      <data key=\"{key}\">{}</data>", escaped(text));
    }

    fn full(&mut self) -> Option<String> {
        (self.piece.len() >= PIECE).then(|| std::mem::take(&mut self.piece))
    }
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// As XML holds it; what XML cannot hold becomes U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Read as a line feed otherwise.
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' => escaped.push(char),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(
            escaped("a<b> & \"c\"\u{1}\r\n"),
            "a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}&#13;\n"
        );
    }
}
