//! Progress on stderr: a live bar on a terminal, plain lines elsewhere, nothing when quiet.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// Between two plain lines.
const LINE: Duration = Duration::from_secs(10);

/// `update(done, note)` as often as wanted; the note says loss, tokens/s and the like. `begin` turns it
/// to the next part of the work.
pub struct ProgressBar {
    what: String,
    total: u64,
    quiet: bool,
    live: Option<indicatif::ProgressBar>,
    last_line: Instant,
    start: Instant,
}

impl ProgressBar {
    pub fn new(what: &str, total: u64, quiet: bool) -> Self {
        let live = (!quiet && stderr().is_terminal()).then(|| {
            let bar = indicatif::ProgressBar::new(total);
            let style = indicatif::ProgressStyle::with_template(
                "{prefix} {wide_bar} {pos}/{len} {msg} {eta}",
            );
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(what.to_string());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        Self {
            what: what.to_string(),
            total,
            quiet,
            live,
            last_line: now,
            start: now,
        }
    }

    /// From here on `update` counts `total` of `what`; nothing when that is what it counts already.
    pub fn begin(&mut self, what: &str, total: u64) {
        if (what, total) == (self.what.as_str(), self.total) {
            return;
        }
        (self.what, self.total) = (what.to_string(), total);
        self.start = Instant::now();
        if let Some(live) = &self.live {
            live.reset();
            live.set_length(total);
            live.set_prefix(what.to_string());
        }
    }

    pub fn update(&mut self, done: u64, note: &str) {
        if self.quiet {
            return;
        }
        if let Some(live) = &self.live {
            live.set_message(note.to_string());
            live.set_position(done);
            return;
        }
        if self.last_line.elapsed() < LINE && done != self.total {
            return;
        }
        self.last_line = Instant::now();
        let left = match done {
            0 => 0.0,
            done => {
                self.start.elapsed().as_secs_f64() / done as f64
                    * self.total.saturating_sub(done) as f64
            }
        };
        let (what, total) = (self.what.clone(), self.total);
        self.line(&format!("{what}: {done}/{total}  {note}  {left:.0} s left"));
    }

    /// A line of its own, above the bar.
    pub fn line(&mut self, text: &str) {
        if self.quiet {
            return;
        }
        match &self.live {
            Some(live) => live.println(text),
            // Progress that nobody can see is no reason to stop.
            None => drop(writeln!(stderr(), "{text}")),
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.abandon();
        }
    }
}
