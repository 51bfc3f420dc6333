//! Trees of lines.

use std::io::{self, Write};

/// A line with those under it.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) line: String,
    pub(super) under: Vec<Tree>,
}

impl Tree {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.line)?;
        self.write_under(out, "")
    }

    fn write_under(&self, out: &mut dyn Write, margin: &str) -> io::Result<()> {
        let last = self.under.len().saturating_sub(1);
        for (place, tree) in self.under.iter().enumerate() {
            let (branch, space) =
                if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            writeln!(out, "{margin}{branch}{}", tree.line)?;
            tree.write_under(out, &format!("{margin}{space}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_drawn() {
        let leaf = |line: &str| Tree { line: line.to_owned(), under: Vec::new() };
        let branch = Tree { line: "b".to_owned(), under: vec![leaf("c")] };
        let tree = Tree { line: "a".to_owned(), under: vec![branch, leaf("d")] };
        let mut text = Vec::new();
        tree.write(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "a\n├─ b\n│  └─ c\n└─ d\n");
    }
}
