//! Writes the pairs of a join as text: both sides with a plus between them, a hyphen where there is none.

use tidewheel::{Context, Pair, Paired, Raw, Record, Result, Stateless, operator};

/// Writes pairs.
#[operator(stateless)]
struct PairText;

impl Stateless for PairText {
    type In = Pair<Raw, Raw>;
    type Out = Raw;

    fn process(&mut self, pair: Record<Paired<&[u8], &[u8]>>, ctx: &mut Context<Self>) -> Result<()> {
        let sides = [pair.left, pair.right].map(|side| side.unwrap_or(b"-"));
        ctx.emit_with(|out| out.extend_from_slice(&sides.join(&b'+')));
        Ok(())
    }
}
