//! A bar for people on a terminal; nothing else sees it.

use std::io::{IsTerminal, stderr};

use indicatif::{ProgressBar, ProgressStyle};

/// How far a piece of work is.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shown on standard error when `wanted` and that is a terminal.
    pub(crate) fn new(wanted: bool) -> Self {
        let shown = wanted && stderr().is_terminal();
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        Self { bar }
    }

    /// Begins to count bytes, `done` of them there already.
    pub(crate) fn bytes(&self, what: &str, total: Option<u64>, done: u64) {
        let template = match total {
            Some(_) => "{msg} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
            None => "{msg} {spinner} {bytes} {bytes_per_sec}",
        };
        self.begin(what, template, total, done);
    }

    /// Begins to count steps.
    pub(crate) fn steps(&self, what: &str, total: u64) {
        self.begin(what, "{msg} {bar:24} {pos}/{len} {elapsed}", Some(total), 0);
    }

    fn begin(&self, what: &str, template: &str, total: Option<u64>, done: u64) {
        let style = ProgressStyle::with_template(template);
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        self.bar.set_length(total.unwrap_or(0));
        self.bar.set_position(done);
        // The part that was there before counts for nothing in the rate.
        self.bar.reset_eta();
        self.bar.set_message(what.to_owned());
    }

    /// That much more is done.
    pub(crate) fn add(&self, more: u64) {
        self.bar.inc(more);
    }

    /// That much is done.
    pub(crate) fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// Takes it off the screen.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
