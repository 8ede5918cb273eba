//! The line that shows, while a job runs on a terminal, how it is doing.

use crate::{render, terminal};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use tidewheel_engine::{JobMetrics, JobSnapshot};
use tidewheel_types::Watermark;

/// Five times a second.
const REFRESH: Duration = Duration::from_millis(200);

/// Over how many refreshes the rates are taken, so that they can be read.
const RATE_REFRESHES: usize = 5;

/// The live line; dropping it takes the line away.
pub(crate) struct LiveLine {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LiveLine {
    /// Shows the line until it is dropped. Without a terminal there is none.
    pub(crate) fn start(metrics: Arc<JobMetrics>) -> Option<LiveLine> {
        if !terminal::is_live() {
            return None;
        }
        let (stop, stopped) = mpsc::channel();
        let refresh = move || {
            let mut history = vec![(Instant::now(), metrics.snapshot())];
            while stopped.recv_timeout(REFRESH) == Err(RecvTimeoutError::Timeout) {
                let now = (Instant::now(), metrics.snapshot());
                terminal::show_live(&line(&history[0], &now, unix_ms()));
                if history.len() == RATE_REFRESHES {
                    history.remove(0);
                }
                history.push(now);
            }
        };
        // Without a thread the job runs all the same, only unseen.
        let thread = thread::Builder::new().name("live-line".to_owned()).spawn(refresh).ok()?;
        Some(LiveLine { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for LiveLine {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, and has then said so.
            let _ = thread.join();
        }
        terminal::clear_live();
    }
}

fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What happened from `before` to `now`.
fn line(before: &(Instant, JobSnapshot), now: &(Instant, JobSnapshot), unix_ms: i64) -> String {
    let seconds = (now.0 - before.0).as_secs_f64().max(1e-9);
    let rate =
        |count: fn(&JobSnapshot) -> u64| render::rate(count(&now.1).saturating_sub(count(&before.1)) as f64 / seconds);
    let watermark = now.1.watermark();
    let lag = match watermark {
        Watermark::MIN | Watermark::MAX => String::new(),
        Watermark(ms) => format!("  lag {}", render::span_ms(unix_ms.saturating_sub(ms))),
    };
    format!(
        "in {}/s  out {}/s  watermark {}{lag}  epoch {}",
        rate(JobSnapshot::records_in),
        rate(JobSnapshot::records_out),
        render::watermark(watermark),
        now.1.epoch,
    )
}
