//! How many records (timers, windows) a call gets: few enough that it is quick, and that neither what goes in nor what
//! comes out is ever near a limit because many were put together.

use std::ops::Range;
use std::time::Duration;
use tidewheel_types::keyed_state::{ABSENT, Cells};

/// How long a call should take: the slowest call of an epoch is everyone's latency.
const CALL_AIM: Duration = Duration::from_millis(1);

/// Records in a call: at first, and at most.
const RECORDS_START: usize = 1 << 10;
const RECORDS_MAX: usize = 1 << 14;

/// Bytes of records and riding state in a call; one larger record travels alone.
pub(super) const CALL_BYTES_MAX: usize = 4 << 20;

/// Bytes of riding state that are read for a call: what goes past them would not fit into it anyway. The first calls after
/// a restart know nothing of what is there.
const RIDING_BYTES_MAX: usize = 2 * CALL_BYTES_MAX;

/// Bytes that are read at once of keys and their states, should all be as large as the largest so far: columns end at
/// 2 GiB.
const READ_BYTES_MAX: usize = 1 << 30;

/// Bytes that a call should give at most, and their share of what it may give.
const OUTPUT_AIM_BYTES: usize = 4 << 20;
const OUTPUT_AIM_SHARE: u64 = 4;

/// What a record took lately, the largest first: after a record of a hundred bytes it takes a few calls with records of
/// ten until calls are sized for ten.
#[derive(Clone, Copy, Debug, Default)]
struct Lately(usize);

impl Lately {
    fn add(&mut self, bytes: usize, records: usize) {
        self.0 = (bytes / records.max(1)).max(self.0 - self.0.div_ceil(8));
    }

    /// How many such records make `bytes`.
    fn fit_in(self, bytes: usize) -> usize {
        bytes.checked_div(self.0).unwrap_or(RECORDS_MAX)
    }
}

/// Bytes that no cell has more of: of a few kilobytes all of them, which is near enough.
pub(super) fn cell_bytes_max(cells: &Cells) -> usize {
    if cells.bytes.len() <= READ_BYTES_MAX / RECORDS_MAX {
        return cells.bytes.len();
    }
    let ends = || cells.ends.iter().map(|end| end & !ABSENT);
    ends().zip(std::iter::once(0).chain(ends())).map(|(end, start)| end - start).max().unwrap_or(0) as usize
}

/// Makes cells ready for the riding state of so many records: of several no more is read than is of use, one has to do
/// with what it has.
pub(super) fn clear_for(cells: &mut Cells, records: usize) {
    cells.clear();
    cells.bytes_max = (records > 1).then_some(RIDING_BYTES_MAX);
}

/// The part of `piece` that a call should get, whose riding state was read. Another part has to be read again.
pub(super) fn fitting_state(piece: &Range<usize>, cells: &Cells) -> Range<usize> {
    let (records, bytes) = (piece.len(), cells.bytes.len());
    let by_bytes = match bytes <= CALL_BYTES_MAX {
        true => records,
        false => (records as u64 * CALL_BYTES_MAX as u64 / bytes as u64) as usize,
    };
    // What was left out may be more than all that was not.
    let by_cut = if cells.is_cut { records / 2 } else { records };
    piece.start..piece.start + by_bytes.min(by_cut).max(1)
}

/// The size of the next call of one kind.
#[derive(Clone, Debug)]
pub(super) struct CallSize {
    /// By how long the last calls took.
    by_time: usize,
    /// By what has been too many. It grows slowly: to find out again costs a call.
    by_failure: usize,
    /// By the bytes of riding state that a record brings, and those of output that it makes.
    state: Lately,
    output: Lately,
    output_aim: usize,
    /// As many as the job file allows.
    records_max: usize,
    /// The largest key and state of one record so far.
    read_max: usize,
}

impl CallSize {
    /// For calls that may give `output_bytes_max`, and get `records_max`.
    pub(super) fn new(output_bytes_max: u64, records_max: u64) -> Self {
        let share = usize::try_from(output_bytes_max / OUTPUT_AIM_SHARE).unwrap_or(usize::MAX);
        CallSize {
            by_time: RECORDS_START,
            by_failure: RECORDS_MAX,
            state: Lately::default(),
            output: Lately::default(),
            output_aim: share.min(OUTPUT_AIM_BYTES),
            records_max: usize::try_from(records_max).unwrap_or(RECORDS_MAX).min(RECORDS_MAX),
            read_max: 0,
        }
    }

    /// As many records as the next call should get.
    pub(super) fn records(&self) -> usize {
        let by_bytes = self.state.fit_in(CALL_BYTES_MAX).min(self.output.fit_in(self.output_aim));
        let by_read = READ_BYTES_MAX / self.read_max.max(1);
        self.by_time.min(self.by_failure).min(by_bytes).min(by_read).min(self.records_max).max(1)
    }

    /// A call of `records` took this long.
    pub(super) fn took(&mut self, records: usize, took: Duration) {
        if records >= self.by_failure {
            self.by_failure = (self.by_failure + self.by_failure / 64 + 1).min(RECORDS_MAX);
        }
        if records * 2 < self.by_time {
            // A small call says little about a large one, but one that took too long says enough.
            if took > CALL_AIM {
                self.by_time = (records / 2).max(1);
            }
            return;
        }
        let aim = records as u128 * CALL_AIM.as_nanos() / took.as_nanos().max(1);
        self.by_time = (aim as usize).clamp(self.by_time / 2, self.by_time * 2).clamp(1, RECORDS_MAX);
    }

    /// More than this many records in a call have been too many.
    pub(super) fn too_many(&mut self, records: usize) {
        self.by_failure = records.clamp(1, self.by_failure);
    }

    /// The `records` of a call brought riding state of so many bytes.
    pub(super) fn state(&mut self, records: usize, bytes: usize) {
        self.state.add(bytes, records);
    }

    /// A record's key or state has so many bytes.
    pub(super) fn read(&mut self, bytes: usize) {
        self.read_max = self.read_max.max(bytes);
    }

    /// The `records` of a call made results of so many bytes.
    pub(super) fn output(&mut self, records: usize, bytes: usize) {
        self.output.add(bytes, records);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        CALL_AIM, CALL_BYTES_MAX, CallSize, READ_BYTES_MAX, RECORDS_MAX, RECORDS_START, cell_bytes_max, clear_for,
        fitting_state,
    };
    use std::time::Duration;
    use tidewheel_types::keyed_state::Cells;

    const QUICK: Duration = Duration::from_nanos(1);

    fn size() -> CallSize {
        CallSize::new(16 << 20, u64::MAX)
    }

    /// The size after many quick calls that are as large as they may be, each followed by `after`.
    fn grown(mut size: CallSize, after: impl Fn(&mut CallSize, usize)) -> usize {
        for _ in 0..1_000 {
            let records = size.records();
            size.took(records, QUICK);
            after(&mut size, records);
        }
        size.records()
    }

    #[test]
    fn calls_take_as_long_as_they_should() {
        assert_eq!(size().records(), RECORDS_START);
        assert_eq!(grown(size(), |_, _| {}), RECORDS_MAX);
        let mut slow = size();
        (0..20).for_each(|_| slow.took(slow.records(), CALL_AIM * slow.records() as u32));
        assert_eq!(slow.records(), 1, "a record takes as long as a call should");
        slow.took(1, Duration::from_secs(1));
        assert_eq!(slow.records(), 1);
    }

    #[test]
    fn calls_stay_under_what_fits_in_and_out() {
        assert_eq!(grown(size(), |size, records| size.output(records, records << 10)), (4 << 20) >> 10);
        let small = CallSize::new(64 << 10, u64::MAX);
        assert_eq!(grown(small, |size, records| size.output(records, records << 10)), 16, "a quarter of the limit");
        assert_eq!(grown(size(), |size, records| size.state(records, records << 12)), CALL_BYTES_MAX >> 12);
        assert_eq!(grown(size(), |size, _| size.read(1 << 20)), READ_BYTES_MAX >> 20);
        assert_eq!(grown(CallSize::new(16 << 20, 7), |_, _| {}), 7, "as the job file says");
        let mut once = size();
        once.output(1, 64 << 20);
        assert_eq!(once.records(), 1);
        assert_eq!(grown(once, |size, records| size.output(records, 0)), RECORDS_MAX, "it forgets");
    }

    #[test]
    fn what_was_too_many_is_tried_again_much_later() {
        let mut size = size();
        size.too_many(100);
        let calls = (1..).find(|_| {
            size.took(size.records(), QUICK);
            size.records() >= 200
        });
        assert!(calls.is_some_and(|calls| (30..100).contains(&calls)), "{calls:?} calls until twice as many");
    }

    #[test]
    fn riding_state_is_read_until_it_fits_and_never_more_than_twice_that() {
        // Of a hundred records: nothing, little, the half of what fits, all that fits, more than is ever read.
        let bytes_of = [0, 10, CALL_BYTES_MAX / 200, CALL_BYTES_MAX / 100, CALL_BYTES_MAX / 10, 3 * CALL_BYTES_MAX];
        for (bytes, fitting) in bytes_of.into_iter().zip([100, 100, 100, 100, 10, 1]) {
            let (mut piece, mut cells) = (7..107, Cells::default());
            loop {
                clear_for(&mut cells, piece.len());
                piece.clone().for_each(|_| cells.push(Some(&vec![0; bytes])));
                assert!(cells.bytes.len() <= 2 * CALL_BYTES_MAX || piece.len() == 1);
                let next = fitting_state(&piece, &cells);
                if next == piece {
                    break;
                }
                piece = next;
            }
            assert!(!cells.is_cut);
            assert!(piece.start == 7 && piece.len() * 3 >= fitting && piece.len() <= fitting, "{bytes}: {piece:?}");
        }
    }

    #[test]
    fn the_largest_cell_is_seen() {
        let mut cells = Cells::default();
        cells.push(None);
        cells.push(Some(&[1; 100_000]));
        cells.push(Some(&[2; 300_000]));
        cells.push(None);
        assert_eq!(cell_bytes_max(&cells), 300_000);
    }
}
