//! A map with the SDK, for the benchmark of the boundary: every record's value with its first byte changed. Beside it:
//! `boundary-map`, the same written by hand.

use tidewheel::{Context, Raw, Record, Result, Stateless, operator};

/// Changes the first byte.
#[operator(stateless)]
struct Map;

impl Stateless for Map {
    type In = Raw;
    type Out = Raw;

    fn process(&mut self, value: Record<&[u8]>, ctx: &mut Context<Self>) -> Result<()> {
        ctx.emit_with(|out| {
            let first = out.len();
            out.extend_from_slice(&value);
            if let Some(byte) = out.get_mut(first) {
                *byte ^= 1;
            }
        });
        Ok(())
    }
}
