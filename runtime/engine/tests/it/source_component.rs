//! The component of a source: its records are what that makes of what was read, its watermark follows the marks, and
//! neither depends on how records are put together in reads and calls.

use crate::common::{Parts, Running, TIMEOUT, TestJob, plan, resumed, sorted, wait_until};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use std::collections::BTreeMap;
use std::path::Path;
use tidewheel_connectors::Registry;
use tidewheel_connectors::memory::{MemoryConnector, MemoryRecord, MemorySink, MemorySource};
use tidewheel_engine::{After, JobOptions};
use tidewheel_state::BackendKind;
use tidewheel_types::job::JobSpec;

const SIZE_MS: i64 = 50;

/// By hand in Rust, and with each SDK.
const EVERYWHERE: [&str; 4] = ["marks", "marks-sdk", "marks-go", "marks-python"];

/// `COMPONENT` and `WATERMARK` are put in by the tests.
const JOB: &str = "
[sources.in]
connector = 'in'
event-time = { component = 'COMPONENT.wasm', limits = { output = '2KiB' } }
watermark = { WATERMARK }
on-error = 'dead-letter'
[operators.windows]
component = 'collect.wasm'
input = 'in'
window = { tumbling = '50ms' }
[sinks.out]
connector = 'out'
input = 'windows'
[sinks.late]
connector = 'late'
input = 'windows.late'
[sinks.aside]
connector = 'aside'
input = 'in.aside'
[sinks.letters]
connector = 'letters'
input = 'in.dead-letter'
";

/// The job's sinks.
struct Sinks {
    out: MemorySink,
    late: MemorySink,
    aside: MemorySink,
    letters: MemorySink,
}

fn job(component: &str, watermark: &str, source: &MemorySource) -> (TestJob, Sinks) {
    let job = TestJob::new(&text(component, watermark)).source("in", source);
    let (job, out) = job.sink("out");
    let (job, late) = job.sink("late");
    let (job, aside) = job.sink("aside");
    let (job, letters) = job.sink("letters");
    (job, Sinks { out, late, aside, letters })
}

fn text(component: &str, watermark: &str) -> String {
    JOB.replace("COMPONENT", component).replace("WATERMARK", watermark)
}

/// A record of these words, without time and key.
fn words(text: &str) -> MemoryRecord {
    MemoryRecord::new(0, "", text)
}

fn wait_for_splits(job: &Running, watermarks: &[i64]) {
    wait_until("the splits claim what they should", || {
        job.watermarks().1.iter().map(|split| split.watermark.0).eq(watermarks.iter().copied())
    });
}

fn wait_for_operator(job: &Running, ms: i64) {
    wait_until(&format!("the watermark of the windows is {ms}"), || {
        job.counters().nodes.iter().any(|node| node.name == "windows" && node.watermark.0 == ms)
    });
}

/// What the component does with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Twice,
    Drop,
    Aside,
    Refuse,
    /// It traps, names itself and traps, or makes a mark of a record that it rejects.
    Poison(&'static str),
}

#[derive(Clone, Debug)]
struct Item {
    kind: Kind,
    time: i64,
    key: char,
    /// How far the mark is behind the latest that is right.
    mark_behind: Option<i64>,
}

impl Item {
    fn is_set_aside(&self) -> bool {
        matches!(self.kind, Kind::Refuse | Kind::Poison(_))
    }
}

fn item() -> impl Strategy<Value = Item> {
    let poison = prop_oneof![Just("trap"), Just("blame"), Just("wrong"), Just("claim"), Just("broken")];
    let kind = prop_oneof![
        8 => Just(Kind::Plain),
        1 => Just(Kind::Twice),
        2 => Just(Kind::Drop),
        1 => Just(Kind::Aside),
        1 => Just(Kind::Refuse),
        1 => poison.prop_map(Kind::Poison),
    ];
    let mark_behind = proptest::option::weighted(0.2, 0i64..60);
    let fields = (kind, 0i64..400, proptest::sample::select(vec!['a', 'b', 'c']), mark_behind);
    fields.prop_map(|(kind, time, key, mark_behind)| Item { kind, time, key, mark_behind })
}

/// A split: its records as the source has them, and what is to come of them.
#[derive(Default)]
struct Model {
    records: Vec<MemoryRecord>,
    /// Key, start of the window, word.
    windowed: Vec<(char, i64, String)>,
    aside: usize,
    set_aside: usize,
    largest: Option<i64>,
    marked: Option<i64>,
}

impl Model {
    /// Earlier records tend to have earlier times, so that there is something to claim; no claim is wrong.
    fn of(split: usize, items: &[Item]) -> Model {
        let time = |place: usize| items[place].time + place as i64 * 5;
        let mut model = Model::default();
        for (place, item) in items.iter().enumerate() {
            if let (Kind::Poison(word), _) | (Kind::Refuse, word) = (item.kind, "refuse") {
                model.records.push(words(word));
                model.set_aside += 1;
                continue;
            }
            let (time, word) = (time(place), format!("r{split}-{place:03}"));
            let later = (place + 1..items.len()).filter(|&at| !items[at].is_set_aside());
            let first_later = later.map(|at| items[at].time + at as i64 * 5).min().unwrap_or(time + 1);
            let mark = item.mark_behind.map(|behind| first_later - 1 - behind);
            let what = match item.kind {
                Kind::Twice => " twice",
                Kind::Drop => " drop",
                Kind::Aside => " aside",
                _ => "",
            };
            let mark_word = mark.map(|mark| format!(" mark:{mark}")).unwrap_or_default();
            model.records.push(words(&format!("{word} at:{time} to:{}{what}{mark_word}", item.key)));
            model.marked = model.marked.max(mark);
            // The time of what is put aside may be what is wrong with it.
            if !matches!(item.kind, Kind::Drop | Kind::Aside) {
                model.largest = model.largest.max(Some(time));
            }
            let start = time - time % SIZE_MS;
            match item.kind {
                Kind::Plain => model.windowed.push((item.key, start, word)),
                Kind::Twice => model.windowed.extend([(item.key, start, word.clone()), (item.key, start, word)]),
                Kind::Aside => model.aside += 1,
                _ => {}
            }
        }
        model
    }

    fn watermark(&self, out_of_orderness_ms: Option<i64>) -> i64 {
        let of_times = out_of_orderness_ms.and_then(|ms| Some(self.largest? - ms - 1));
        of_times.max(self.marked).unwrap_or(i64::MIN)
    }
}

/// What the windows emit, those that have fired at `watermark`.
fn windows(models: &[Model], watermark: i64) -> Vec<Parts> {
    let mut windows: BTreeMap<(char, i64), Vec<&str>> = BTreeMap::new();
    for (key, start, word) in models.iter().flat_map(|model| &model.windowed) {
        windows.entry((*key, *start)).or_default().push(word);
    }
    let (mut fired, mut of_key): (Vec<Parts>, BTreeMap<char, usize>) = (Vec::new(), BTreeMap::new());
    for ((key, start), mut words) in windows {
        let number = of_key.entry(key).or_default();
        *number += 1;
        words.sort_unstable();
        let text = format!("{number} {} {}", words.len(), words.join(" "));
        fired.push((start + SIZE_MS - 1, key.to_string().into_bytes(), text.into_bytes()));
    }
    fired.retain(|(last, ..)| *last <= watermark);
    fired.sort();
    fired
}

/// A component, and a way to run the job.
struct Case<'a> {
    component: &'a str,
    /// Lengths of the pieces in which splits are pushed, in turn.
    pieces: &'a [usize],
    is_punctuated: bool,
    workers: usize,
}

/// Runs the job over these splits.
fn check(case: &Case<'_>, splits: &[Vec<Item>]) -> Result<(), TestCaseError> {
    let Case { component, pieces, is_punctuated, workers } = *case;
    // No record is so much behind another.
    let out_of_orderness_ms = (!is_punctuated).then_some(400);
    let models: Vec<Model> = splits.iter().enumerate().map(|(split, items)| Model::of(split, items)).collect();
    let source = MemorySource::new(models.len());
    let watermark =
        out_of_orderness_ms.map_or("punctuated = true".to_owned(), |ms| format!("out-of-orderness = '{ms}ms'"));
    let (job, sinks) = job(component, &watermark, &source);
    let job = job.start(workers);
    let mut rest: Vec<&[MemoryRecord]> = models.iter().map(|model| &model.records[..]).collect();
    for piece in pieces.iter().cycle() {
        if rest.iter().all(|records| records.is_empty()) {
            break;
        }
        for (split, records) in rest.iter_mut().enumerate() {
            let (now, later) = records.split_at((*piece).min(records.len()));
            source.split(split).push(now.iter().cloned());
            *records = later;
        }
    }
    let watermarks: Vec<i64> = models.iter().map(|model| model.watermark(out_of_orderness_ms)).collect();
    wait_for_splits(&job, &watermarks);
    let least = watermarks.iter().copied().min().unwrap_or(i64::MIN);
    wait_for_operator(&job, least);
    let fired = windows(&models, least);
    wait_until("the windows that are due have fired", || sinks.out.taken().len() >= fired.len());
    prop_assert_eq!(sorted(sinks.out.taken()), fired);

    (0..models.len()).for_each(|split| source.split(split).end());
    let counters = job.wait();
    prop_assert_eq!(sorted(sinks.out.committed()), windows(&models, i64::MAX));
    prop_assert!(sinks.late.committed().is_empty());
    prop_assert_eq!(sinks.aside.committed().len(), models.iter().map(|model| model.aside).sum::<usize>());
    let set_aside = models.iter().map(|model| model.set_aside).sum::<usize>();
    prop_assert_eq!(sinks.letters.committed().len(), set_aside);
    let counted = counters.nodes.iter().find(|node| node.name == "in").map(|node| node.rejected);
    prop_assert_eq!(counted, Some(set_aside as u64));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, max_shrink_iters: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn watermarks_and_windows_are_those_of_the_model(
        splits in vec(prop_oneof![vec(item(), 1..8), vec(item(), 8..120)], 1..4),
        pieces in vec(prop_oneof![1usize..4, 4usize..80], 1..6),
        is_punctuated in any::<bool>(),
        workers in 1usize..4,
    ) {
        check(&Case { component: "marks", pieces: &pieces, is_punctuated, workers }, &splits)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 10, failure_persistence: None, ..ProptestConfig::default() })]
    /// With the SDK of each language the watermarks and the windows are the same.
    #[test]
    fn watermarks_and_windows_are_those_of_the_model_in_every_language(
        splits in vec(vec(item(), 8..60), 1..3),
        is_punctuated in any::<bool>(),
    ) {
        for component in &EVERYWHERE[1..] {
            check(&Case { component, pieces: &[1, 20], is_punctuated, workers: 2 }, &splits)?;
        }
    }
}

#[test]
fn what_comes_behind_a_mark_is_late() {
    EVERYWHERE.into_iter().for_each(check_late);
}

fn check_late(component: &str) {
    let source = MemorySource::new(1);
    let (job, sinks) = job(component, "punctuated = true", &source);
    let job = job.start(2);
    let push = |texts: &[&str]| source.split(0).push(texts.iter().map(|text| words(text)));
    push(&["one at:30 to:a", "two at:900 to:a"]);
    wait_until("they are read", || source.split(0).waiting() == 0);
    push(&["three at:40 to:a mark:60"]);
    wait_for_operator(&job, 60);
    push(&["four at:49 to:a", "five at:61 to:a mark:10"]);
    push(&["mark:99"]);
    wait_for_operator(&job, 99);
    source.split(0).end();
    job.wait();
    let window = |last: i64, text: &str| (last, b"a".to_vec(), text.as_bytes().to_vec());
    // The last record is one itself, of the empty key, with the time that the source gave it: it is late as well.
    let fired = [window(49, "1 2 one three"), window(99, "2 1 five"), window(949, "3 1 two")];
    assert_eq!(sorted(sinks.out.committed()), fired);
    let late = sorted(sinks.late.committed());
    assert_eq!(late.iter().map(|(time, ..)| *time).collect::<Vec<_>>(), [0, 49]);
}

/// A call that is asked for later holds the read, not the worker, and nothing of it comes twice.
#[test]
fn a_call_may_be_asked_for_later() {
    EVERYWHERE.into_iter().for_each(check_later);
}

fn check_later(component: &str) {
    let source = MemorySource::new(2);
    let (job, sinks) = job(component, "punctuated = true", &source);
    source.split(0).push([words("one at:1 to:a"), words("later"), words("two at:2 to:a mark:3")]);
    let job = job.start(1);
    source.split(1).push([words("three at:4 to:a mark:3")]);
    wait_for_splits(&job, &[3, 3]);
    source.split(0).end();
    source.split(1).end();
    job.wait();
    let fired = sorted(sinks.out.committed());
    let texts: Vec<_> = fired.iter().map(|(_, key, text)| [key, text].map(|it| String::from_utf8_lossy(it))).collect();
    assert_eq!(texts, [["", "1 1 later"], ["a", "1 3 one three two"]]);
}

#[test]
fn a_batch_job_fires_at_its_end_whatever_is_claimed() {
    let source = MemorySource::new(1);
    source.split(0).push([words("one at:10 to:a mark:500"), words("two at:20 to:a mark:9000")]);
    let (job, out) = {
        let text = format!("mode = 'batch'\n{}", text("marks", "punctuated = true"));
        let job = ["late", "aside", "letters"].into_iter().fold(TestJob::new(&text), |job, sink| job.sink(sink).0);
        job.source("in", &source).sink("out")
    };
    let job = job.start(1);
    wait_until("they are read", || source.split(0).waiting() == 0);
    source.split(0).push([words("three at:30 to:a")]);
    source.split(0).end();
    job.wait();
    let fired = sorted(out.committed());
    assert_eq!(fired, [(49, b"a".to_vec(), b"1 3 one three two".to_vec())]);
}

/// Options of an attempt that goes on from the newest checkpoint in `folder`.
fn going_on(folder: &Path, workers: usize) -> JobOptions {
    let state = (BackendKind::Memory, folder.join("state"));
    JobOptions { state, durability: Some(resumed(folder)), ..JobOptions::workers(workers) }
}

fn stop(job: Running) {
    let done = job.control().snapshot(None, After::Stop { drain: false });
    done.recv_timeout(TIMEOUT).expect("an answer").expect("a checkpoint");
    job.wait();
}

/// A restored split goes on with its watermark, also where another component is in between: there is nothing else to keep.
#[test]
fn a_restore_goes_on_with_the_watermark() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource::new(2);
    let begin = |component: &str, workers| {
        let text = text(component, "punctuated = true");
        let job = TestJob::new(&text.replace("input = 'in.aside'", "input = 'in'")).source("in", &source);
        let (job, out) = ["aside", "letters"].into_iter().fold(job, |job, sink| job.sink(sink).0).sink("out");
        let (job, late) = job.sink("late");
        (job.start_with(going_on(folder.path(), workers)), out, late)
    };
    let (job, ..) = begin("marks", 2);
    source.split(0).push([words("one at:70 to:a mark:60"), words("two at:72 to:a")]);
    source.split(1).push([words("three at:80 to:a mark:75")]);
    wait_for_splits(&job, &[60, 75]);
    wait_for_operator(&job, 60);
    stop(job);

    let (job, ..) = begin("echo", 3);
    wait_for_splits(&job, &[60, 75]);
    stop(job);

    let (job, out, late) = begin("marks", 1);
    wait_for_splits(&job, &[60, 75]);
    source.split(0).push([words("four at:49 to:a"), words("five at:90 to:a mark:85")]);
    wait_for_splits(&job, &[85, 75]);
    source.split(0).end();
    source.split(1).end();
    job.wait();
    assert_eq!(sorted(late.committed()).len(), 1, "it is behind the watermark of before");
    assert_eq!(sorted(out.committed()), [(99, b"a".to_vec(), b"1 4 five one three two".to_vec())]);
}

#[test]
fn only_the_component_of_a_source_makes_marks() {
    let text = "
[sources.in]
connector = 'in'
[operators.op]
component = 'marks.wasm'
input = 'in'
on-error = 'dead-letter'
[sinks.out]
connector = 'out'
input = 'op'
[sinks.letters]
connector = 'letters'
input = 'op.dead-letter'
";
    let source = MemorySource::of([vec![words("one"), words("two mark:3"), words("three")]]);
    let (job, out) = TestJob::new(text).source("in", &source).sink("out");
    let (job, letters) = job.sink("letters");
    job.run(1);
    assert_eq!(out.committed().iter().map(MemoryRecord::text).collect::<Vec<_>>(), ["one", "three"]);
    let [letter] = &letters.committed()[..] else { panic!("one record is set aside") };
    assert!(letter.text().contains("which only the component of a source may"), "{}", letter.text());
}

#[test]
fn a_component_that_does_not_fit_is_refused() {
    let refusal = |component: &str, input: &str| {
        let text = format!(
            "name = 'test'\n[sources.in]\nconnector = 'in'\nevent-time = {{ component = '{component}' }}\n\
             [sinks.out]\nconnector = 'out'\ninput = '{input}'\n"
        );
        let mut registry = Registry::empty();
        registry.register("in", MemoryConnector::source(MemorySource::new(1)));
        registry.register("out", MemoryConnector::sink(MemorySink::new()));
        let spec = JobSpec::parse(&text, "job.toml").expect("a job");
        plan(&spec, &registry).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(refusal("marks.wasm", "in.aside"), Ok(()));
    let world = "is of world aggregate, and the component of an event time is of world stateless";
    assert_eq!(refusal("sum.wasm", "in"), Err(format!("job.toml:2: [sources.in]: \"sum.wasm\" {world}")));
    let unknown = refusal("marks.wasm", "in.beside").expect_err("there is no such output");
    assert!(unknown.contains("\"in.beside\" is no output of \"in\""), "{unknown}");
}
