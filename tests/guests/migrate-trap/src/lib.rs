//! As `migrating-2`, but a 13 that version 1 has written traps, one value of 14 in a call breaks the contract, and a 16 loops.

use fixture_kit::migrating::Migrating;
use fixture_kit::{Columns, Frame};

const MIGRATING: Migrating = Migrating { version: 2, oldest: 1 };

/// A function of its own, to be seen in a backtrace.
#[inline(never)]
fn look_at(value: &[u8]) -> bool {
    assert!(value != 13u32.to_le_bytes(), "a 13");
    while std::hint::black_box(value) == 16u32.to_le_bytes() {}
    value == 14u32.to_le_bytes()
}

fixture_kit::export_migrating!(MIGRATING, |version, values| {
    let columns = Columns::read(&values);
    if columns.entries(5).into_iter().map(|value| look_at(value.unwrap())).fold(false, |one, other| one | other) {
        return Ok(Frame::default().finish());
    }
    MIGRATING.migrate(version, &values)
});
