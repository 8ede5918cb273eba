//! A job whose newest checkpoint is lost: what it says, and what becomes of it when it may go back behind it.

use crate::recovery::{assert_same, expected, job};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tidewheel_tests::survival::{Running, results, signal, wait_until};
use tidewheel_tests::{Ended, folder_with, run, tidewheel};

#[track_caller]
fn succeed(ended: &Ended) {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// Runs the program in `folder` and gives what it writes to stdout.
#[track_caller]
fn tell(folder: &Path, arguments: &[&str]) -> String {
    let ended = run(folder, arguments);
    succeed(&ended);
    ended.stdout
}

/// A job of which the newest checkpoint is lost, and what is known of it.
struct Lost {
    folder: TempDir,
    /// The newest checkpoint that can be restored.
    older: u64,
    /// What the sinks have published since.
    since: [Vec<String>; 2],
}

impl Lost {
    /// Runs `spec` for a while, stops it, and does to its newest checkpoint what `lose` does: it is given the manifest and a
    /// file of state that only this checkpoint needs.
    fn after(spec: &str, lose: impl Fn(&Path, &Path)) -> Lost {
        let folder = folder_with(&[("job.toml", spec)]);
        let checkpoints = folder.path().join(".tidewheel/kill-me/checkpoints");
        let kept = || -> serde_json::Value {
            let store = checkpoints.display().to_string();
            serde_json::from_str(&tell(folder.path(), &["checkpoints", "--store", &store, "--json"])).expect("JSON")
        };
        let mut command = tidewheel();
        command.stdout(Stdio::null());
        let running = Running::start_by(command, folder.path(), &[]);
        wait_until("it has taken some checkpoints", || {
            fs::read_dir(checkpoints.join("slots")).is_ok_and(|slots| slots.count() >= 4)
        });
        // So that the newest checkpoint's output is published.
        tell(folder.path(), &["stop", ".tidewheel/kill-me"]);
        running.wait(folder.path());
        let mut slots: Vec<_> = fs::read_dir(checkpoints.join("slots")).expect("slots").flatten().collect();
        slots.sort_by_key(fs::DirEntry::file_name);
        let [before, newest] = [2, 1].map(|back| slots[slots.len() - back].path());
        let [before_text, newest_text] =
            [&before, &newest].map(|slot| fs::read_to_string(slot).expect("a slot is text"));
        let files = fs::read_dir(checkpoints.join("files")).expect("files").flatten();
        let own = files.map(|file| file.path()).find(|path| {
            let name = format!("/{}", path.file_name().expect("a name").to_string_lossy());
            newest_text.contains(&name) && !before_text.contains(&name)
        });
        let older = kept()["kept"][1]["id"].as_u64().expect("there are several");
        lose(&newest, &own.expect("each checkpoint adds a file"));
        let since = ["counts", "windows"].map(|sink| {
            let parts = fs::read_dir(folder.path().join(sink)).into_iter().flatten().flatten();
            let later = parts.filter(|part| {
                let name = part.file_name().to_string_lossy().into_owned();
                let number = name.strip_suffix(".jsonl").and_then(|stem| stem.rsplit('-').next()?.parse::<u64>().ok());
                number.is_some_and(|number| number > older)
            });
            let lines = later.flat_map(|part| {
                let text = fs::read_to_string(part.path()).expect("a part is text");
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            });
            lines.collect()
        });
        Lost { folder, older, since }
    }
}

/// A job with an exactly-once sink says what would be published twice, and does not do it by itself. Told to it does, and
/// publishes twice what it has said and nothing else.
#[test]
fn a_lost_checkpoint_is_gone_back_behind_only_when_duplicates_are_allowed() {
    let tear = |manifest: &Path, _: &Path| {
        let bytes = fs::read(manifest).expect("a manifest");
        fs::write(manifest, &bytes[..bytes.len() / 2]).expect("written");
    };
    let remove = |_: &Path, file: &Path| fs::remove_file(file).expect("removed");
    let flip = |_: &Path, file: &Path| {
        let mut bytes = fs::read(file).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(file, bytes).expect("written");
    };
    let ways: [&dyn Fn(&Path, &Path); 3] = [&tear, &remove, &flip];
    for (way, lose) in ways.into_iter().enumerate() {
        let Lost { folder, older, since } = Lost::after(&job("memory", "rate = 30000"), lose);
        let before = results(folder.path());
        let refused = run(folder.path(), &["run", "job.toml", "--quiet"]);
        assert_eq!(refused.code, 1, "way {way}: {}", refused.stderr);
        let offer = format!("\n\nhint: checkpoint {older}, ");
        let cost = "can be restored: with --allow-duplicates the job goes on from there, and what has been published since \
                    is published twice, by \"counts\", \"windows\"\n";
        assert!(refused.stderr.contains(&offer) && refused.stderr.ends_with(cost), "way {way}: {}", refused.stderr);
        assert_eq!(results(folder.path()), before, "nothing is published");

        // What comes after the restart is killed once, too: an attempt that has gone back is no reason to forget it.
        let running = Running::start(folder.path(), &["--allow-duplicates", "--set", "sources.bids.rate=100000"]);
        wait_until("something more is committed", || results(folder.path())[0].len() > before[0].len());
        running.workers().first().into_iter().for_each(|worker| signal(*worker, "KILL"));
        let stderr = folder.path().join("stderr");
        running.wait(folder.path());
        let said = fs::read_to_string(stderr).expect("what it said");
        assert!(said.contains(&format!("warning: going back to checkpoint {older}, ")), "way {way}: {said}");
        assert!(!since[0].is_empty(), "there was something to publish twice");
        let mut twice = expected();
        for (expected, since) in twice.iter_mut().zip(since) {
            expected.extend(since);
            expected.sort();
        }
        assert_same(&results(folder.path()), &twice);
    }
}

/// At-least-once is kept by a job that goes back by itself.
#[test]
fn a_lost_checkpoint_of_a_job_without_exactly_once_sinks_is_gone_back_behind() {
    let mut spec = job("memory", "rate = 30000");
    for (from, to) in [("[operators.per-window]", "[sinks.counts]"), ("[sinks.windows]", "[checkpoint]")] {
        let parts = spec.find(from).expect("it is there")..spec.find(to).expect("it is there");
        spec.replace_range(parts, "");
    }
    let spec = spec.replace("connector = \"file\"", "connector = \"stdout\"").replace("path = \"counts/\"", "");
    let remove = |_: &Path, file: &Path| fs::remove_file(file).expect("removed");
    let Lost { folder, older, .. } = Lost::after(&spec, remove);
    let ended = run(folder.path(), &["run", "job.toml", "--quiet", "--set", "sources.bids.rate=10000000"]);
    succeed(&ended);
    let warning = format!("warning: going back to checkpoint {older}, ");
    assert!(ended.stderr.contains(&warning) && ended.stderr.contains("comes again"), "{}", ended.stderr);
    let [counts, _] = expected();
    let mut told: Vec<&str> = ended.stdout.lines().collect();
    told.sort_unstable();
    assert!(
        told.len() > 1000 && told.iter().all(|line| counts.binary_search_by(|count| count.as_str().cmp(line)).is_ok())
    );
}
