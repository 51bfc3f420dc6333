//! Recall by category.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde_json::{Value, json};

use crate::dataset::{Conversation, Question};

/// Among the first so many.
const DEPTHS: [usize; 3] = [5, 10, 20];
/// As the authors number them.
const CATEGORIES: [&str; 4] = ["multi-hop", "temporal", "open-domain", "single-hop"];

/// A question that was asked.
pub(crate) struct Asked {
    conversation: String,
    category: u64,
    recall: [f64; 3],
    took: Duration,
}

/// The average of some questions.
struct Line {
    name: String,
    questions: usize,
    recall: [f64; 3],
}

/// What is printed.
pub(crate) struct Report {
    lines: Vec<Line>,
    median: Duration,
    slowest: Duration,
}

impl Asked {
    /// `sources` are those of the results, best first.
    pub(crate) fn new(
        conversation: &Conversation,
        question: &Question,
        sources: &[&str],
        took: Duration,
    ) -> Self {
        let recall = DEPTHS.map(|depth| {
            let first = &sources[..sources.len().min(depth)];
            let found = question.evidence.iter().filter(|id| first.contains(&id.as_str()));
            found.count() as f64 / question.evidence.len() as f64
        });
        let (conversation, category) = (conversation.name.clone(), question.category);
        Self { conversation, category, recall, took }
    }
}

impl Report {
    pub(crate) fn of(asked: &[Asked]) -> Self {
        let mut groups: BTreeMap<String, Vec<&Asked>> = BTreeMap::new();
        for one in asked {
            let named = usize::try_from(one.category).ok().and_then(|n| n.checked_sub(1));
            let named = named.and_then(|at| CATEGORIES.get(at)).unwrap_or(&"other");
            let category = format!("category {} {named}", one.category);
            let conversation = format!("conversation {}", one.conversation);
            for group in [category, conversation, "all".to_owned()] {
                groups.entry(group).or_default().push(one);
            }
        }
        let mut lines: Vec<Line> = groups.iter().map(|(name, of)| Line::of(name, of)).collect();
        lines.sort_by_key(|line| line.name == "all");
        let mut times: Vec<Duration> = asked.iter().map(|asked| asked.took).collect();
        times.sort_unstable();
        Self {
            lines,
            median: times.get(times.len() / 2).copied().unwrap_or_default(),
            slowest: times.last().copied().unwrap_or_default(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let lines = self.lines.iter().map(|line| {
            let [five, ten, twenty] = line.recall;
            let recall = json!({ "5": five, "10": ten, "20": twenty });
            (line.name.clone(), json!({ "questions": line.questions, "recall": recall }))
        });
        json!({
            "groups": lines.collect::<serde_json::Map<_, _>>(),
            "search_ms": { "median": millis(self.median), "slowest": millis(self.slowest) },
        })
    }
}

impl Line {
    fn of(name: &str, asked: &[&Asked]) -> Self {
        let mean = |at: usize| {
            asked.iter().map(|asked| asked.recall[at]).sum::<f64>() / asked.len() as f64
        };
        Self { name: name.to_owned(), questions: asked.len(), recall: [mean(0), mean(1), mean(2)] }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<26} {:>9} {:>9} {:>10} {:>10}",
            "", "questions", "recall@5", "recall@10", "recall@20"
        )?;
        for line in &self.lines {
            let [five, ten, twenty] = line.recall;
            let (name, questions) = (&line.name, line.questions);
            writeln!(out, "{name:<26} {questions:>9} {five:>9.3} {ten:>10.3} {twenty:>10.3}")?;
        }
        let (median, slowest) = (millis(self.median), millis(self.slowest));
        write!(out, "a search took {median:.1} ms at the median, {slowest:.1} ms at most")
    }
}

fn millis(of: Duration) -> f64 {
    of.as_secs_f64() * 1e3
}
