//! Three versions of a text, two of them edited from the first, become one.
//!
//! By lines, as `diff3` does it: what one side alone changed is taken from it, what both changed in
//! the same way is taken once, and where both changed the same lines, or lines that touch, in
//! different ways, they are in conflict. Bytes of lines that nobody changed stay as they are.

use std::ops::Range;

use imara_diff::{Algorithm, Diff, InternedInput};

/// Two edits of the same base, put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// Both edits; nothing when they are in conflict.
    pub text: Option<String>,
    /// Whether the first side has something of what the second changed: it cannot have been edited
    /// without knowing the second.
    pub shared: bool,
}

/// Lines of the base that became others.
#[derive(Debug, Clone)]
struct Hunk {
    base: Range<usize>,
    side: Range<usize>,
}

/// One side's edit.
struct Side<'t> {
    lines: Vec<&'t str>,
    hunks: Vec<Hunk>,
}

impl<'t> Side<'t> {
    fn new(base: &[&str], text: &'t str) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut input = InternedInput::default();
        input.update_before(base.iter().copied());
        input.update_after(lines.iter().copied());
        let mut diff = Diff::compute(Algorithm::Histogram, &input);
        diff.postprocess_no_heuristic(&input);
        let wide = |range: Range<u32>| range.start as usize..range.end as usize;
        let hunks = diff
            .hunks()
            .map(|hunk| Hunk { base: wide(hunk.before), side: wide(hunk.after) })
            .collect();
        Self { lines, hunks }
    }

    /// What became of the base's lines `range`, which cut none of the hunks; `first` is the first
    /// hunk there, `last` the first after it.
    fn of(&self, range: &Range<usize>, first: usize, last: usize) -> &[&'t str] {
        let before = first.checked_sub(1).and_then(|at| self.hunks.get(at));
        let start = before.map_or(range.start, |hunk| hunk.side.end + range.start - hunk.base.end);
        let within = last.checked_sub(1).and_then(|at| self.hunks.get(at));
        let end = within.map_or(range.end, |hunk| hunk.side.end + range.end - hunk.base.end);
        self.lines.get(start..end).unwrap_or_default()
    }
}

/// Puts the edits `ours` and `theirs` of `base` together.
#[must_use]
pub fn merge(base: &str, ours: &str, theirs: &str) -> Merged {
    let lines: Vec<&str> = base.split_inclusive('\n').collect();
    let (ours, theirs) = (Side::new(&lines, ours), Side::new(&lines, theirs));
    let (mut text, mut conflict, mut shared) = (String::new(), false, false);
    let (mut at, mut mine, mut other) = (0, 0, 0);
    while let Some(group) = next_group(&ours.hunks[mine..], &theirs.hunks[other..]) {
        let Group { range, mine: of_mine, others: of_others } = group;
        push(&mut text, &lines[at..range.start]);
        let left = ours.of(&range, mine, mine + of_mine);
        let right = theirs.of(&range, other, other + of_others);
        if of_others == 0 {
            push(&mut text, left);
        } else if of_mine == 0 {
            push(&mut text, right);
        } else if left == right {
            shared = true;
            push(&mut text, left);
        } else {
            shared |= knows(&lines[range.clone()], left, right);
            match in_order(&lines, &range, left, right) {
                Some(ordered) => ordered.iter().for_each(|part| push_whole(&mut text, part)),
                None => conflict = true,
            }
        }
        at = range.end;
        mine += of_mine;
        other += of_others;
    }
    push(&mut text, &lines[at..]);
    Merged { text: (!conflict).then_some(text), shared }
}

/// Hunks of both sides that touch.
struct Group {
    range: Range<usize>,
    mine: usize,
    others: usize,
}

fn next_group(ours: &[Hunk], theirs: &[Hunk]) -> Option<Group> {
    let starts = [ours.first(), theirs.first()].into_iter().flatten();
    let start = starts.map(|hunk| hunk.base.start).min()?;
    let mut group = Group { range: start..start, mine: 0, others: 0 };
    loop {
        let touches = |hunk: &&Hunk| hunk.base.start <= group.range.end;
        let mine = ours.get(group.mine).filter(touches);
        let other = theirs.get(group.others).filter(touches);
        // Hunks of one side never touch each other: a group grows by the other side's only.
        let Some(hunk) = mine.or(other) else { return Some(group) };
        group.range.end = group.range.end.max(hunk.base.end);
        if mine.is_some() {
            group.mine += 1;
        } else {
            group.others += 1;
        }
    }
}

/// Whether `ours` has a line that `theirs` brought and the base does not have.
fn knows(base: &[&str], ours: &[&str], theirs: &[&str]) -> bool {
    let brought = |line: &&&str| !line.trim().is_empty() && !base.contains(line);
    theirs.iter().filter(brought).any(|line| ours.contains(line))
}

/// Two insertions at the same place of which one begins a section: the other belongs to the section
/// before it and comes first.
fn in_order<'s, 't>(
    base: &[&str],
    range: &Range<usize>,
    ours: &'s [&'t str],
    theirs: &'s [&'t str],
) -> Option<[&'s [&'t str]; 2]> {
    if !range.is_empty() || super::section::in_code(&base[..range.start]) {
        return None;
    }
    match (begins_section(ours), begins_section(theirs)) {
        (true, false) => Some([theirs, ours]),
        (false, true) => Some([ours, theirs]),
        _ => None,
    }
}

fn begins_section(lines: &[&str]) -> bool {
    let first = lines.iter().find(|line| !line.trim().is_empty());
    first.is_some_and(|line| super::super::markdown::heading(line.trim_end()).is_some())
}

fn push(text: &mut String, lines: &[&str]) {
    text.extend(lines.iter().copied());
}

/// With an end of line that the last line of a text may lack.
fn push_whole(text: &mut String, lines: &[&str]) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    push(text, lines);
}

#[cfg(test)]
mod tests;
