//! What is to be done about a document, by what its file and the store have.
//!
//! The steps are small, so that each is one transaction or one change of the file, and whoever stops
//! between two of them finds from what is there how to go on: an edit of both sides is first taken in
//! from the file, and then it is an agent's edit alone, which is written.

use super::merge::merge;

/// A document as the store has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// With the edits of agents.
    pub content: String,
    /// What file and store had in common last.
    pub base: Option<String>,
    /// Whether the base was in the file.
    pub on_disk: bool,
    /// What is being written into the file, unless that was given up.
    pub writing: Option<String>,
    /// What was in the file before an agent's edit was written that is the base now, if that was
    /// only just: whoever writes the file without a trace of the edit has not seen it.
    pub before: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing: all have the same.
    Rest,
    /// The file has what the store has or wrote: that is the base.
    Note,
    /// A person's edit is taken in: the file's text is the base, `content` what the store has then.
    TakeIn {
        /// The file's text, with the edits of agents.
        content: String,
    },
    /// An agent's edit is written over what is in the file, or into a file that was never there; that
    /// it is being written is noted first.
    Write,
    /// A person's edit, or his deletion, stands against an agent's: the store takes the file's, and
    /// what it had is set aside.
    SetAside,
    /// A person deleted the file.
    Remove,
}

/// What is to be done about a document whose file has the text `file`.
#[must_use]
pub fn step(file: Option<&str>, stored: Option<&Stored>) -> Step {
    match (file, stored) {
        (None, None) => Step::Rest,
        (Some(file), None) => Step::TakeIn { content: file.to_owned() },
        (None, Some(stored)) if !stored.on_disk => Step::Write,
        (None, Some(stored)) if stored.base.as_ref() == Some(&stored.content) => Step::Remove,
        (None, Some(_)) => Step::SetAside,
        (Some(file), Some(stored)) => both(file, stored),
    }
}

fn both(file: &str, stored: &Stored) -> Step {
    let base = stored.base.as_deref();
    let written = stored.writing.as_deref() == Some(file) && base != Some(file);
    if file == stored.content || written {
        return if base == Some(file) && stored.on_disk { Step::Rest } else { Step::Note };
    }
    let Some(base) = base else { return Step::SetAside };
    if file == base {
        return Step::Write;
    }
    // It was written, and a person who saw it went on from there before that could be noted.
    let writing = stored.writing.as_deref().filter(|writing| merge(base, file, writing).shared);
    let base = writing.unwrap_or(base);
    let unseen = stored.before.as_deref().is_some_and(|before| !merge(before, file, base).shared);
    if unseen {
        return Step::SetAside;
    }
    if stored.content == base {
        return Step::TakeIn { content: file.to_owned() };
    }
    match merge(base, file, &stored.content).text {
        Some(content) => Step::TakeIn { content },
        None => Step::SetAside,
    }
}

#[cfg(test)]
mod tests;
