//! Emits every record with what it says itself about its row: `"change":"delete"` and the like in its text.

use tidewheel::{Change, Context, Emit, Raw, Record, Result, Stateless, operator};

/// Says what a record is about.
#[operator(stateless)]
struct MarkChange;

impl Stateless for MarkChange {
    type In = Raw;
    type Out = Raw;

    fn process(&mut self, record: Record<&[u8]>, ctx: &mut Context<Self>) -> Result<()> {
        let says = |change: &str| record.windows(change.len()).any(|text| text == change.as_bytes());
        let change = match () {
            () if says("update-before") => Change::UpdateBefore,
            () if says("update-after") => Change::UpdateAfter,
            () if says("delete") => Change::Delete,
            () => Change::Insert,
        };
        ctx.emit_record(Emit::new(record.bytes()).change(change));
        Ok(())
    }
}
