//! Jobs that run beside the benchmark, to be asked something.

use std::path::Path;
use std::process::Child;
use tidewheel_cluster::DataFolder;
use tidewheel_server::Client;

/// A process that does not outlive its value.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Records that the source has made; none if the job with this data folder does not answer yet.
pub(crate) fn records_of(data: &Path) -> f64 {
    let ask = || Client::over(DataFolder::connect_control(data).ok()?).ok()?.metrics().ok();
    ask().and_then(|metrics| metrics.parts.get("events")?.get("records_out").copied()).unwrap_or(0.0)
}
