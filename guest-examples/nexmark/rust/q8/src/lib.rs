//! NEXMark q8, second step: who has opened an auction in the window that they are new in. The key is the person.

use nexmark_events::Config;
use nexmark_events::side::{NewSeller, Side, Sides};
use serde::{Deserialize, Serialize};
use tidewheel::{Aggregate, Context, Error, Raw, Record, Result, Window, operator};

/// Finds the persons who are new and sell.
#[operator(aggregate)]
struct Q8 {
    #[config]
    config: Config,
}

/// What a window has of a person.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// The name, if the person is new in it.
    name: Option<String>,
    /// Whether the person has opened an auction in it.
    sells: bool,
}

impl Aggregate for Q8 {
    type In = Sides;
    type Acc = Seen;
    type Out = Raw;

    fn accumulate(&self, seen: &mut Seen, side: Record<Side>) -> Result<()> {
        match *side {
            Side::Seller(seller) => seen.name = Some(String::from_utf8(seller.name.to_vec())?),
            Side::Opened(_) => seen.sells = true,
        }
        Ok(())
    }

    fn merge(&self, seen: &mut Seen, other: Seen) {
        seen.name = seen.name.take().or(other.name);
        seen.sells |= other.sells;
    }

    fn fire(&mut self, window: Window, seen: Seen, ctx: &mut Context<Self>) -> Result<()> {
        let Seen { name: Some(name), sells: true } = seen else { return Ok(()) };
        let id =
            ctx.key().number().ok_or_else(|| Error::fail("the key is no person: set key = { bytes = \"1..9\" }"))?;
        let result = NewSeller { id, name: name.as_bytes(), window_start: window.start.0 as u64 };
        ctx.emit_with(|out| self.config.results.write(&result, out));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Q8;
    use nexmark_events::side::{Opened, Seller, Side};
    use std::time::Duration;
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    fn send(q8: &mut Harness<Q8>, id: u64, time: i64, side: Side<'_>) {
        let mut packed = Vec::new();
        side.write(&mut packed);
        q8.send_bytes(id.to_le_bytes(), EventTime(time), packed);
    }

    #[test]
    fn a_person_is_told_once_if_new_and_selling_in_one_window() {
        let mut q8 = Harness::<Q8>::new().tumbling(Duration::from_secs(10));
        let seller = |id| Side::Seller(Seller { id, name: b"Ann Lee", city: b"Bend", state: b"OR" });
        let opened = |seller| Side::Opened(Opened { seller, auction: 1 });
        // Sells twice; sells before being there; sells in the next window only; does not sell; is not new.
        send(&mut q8, 1, 0, seller(1));
        send(&mut q8, 1, 5, opened(1));
        send(&mut q8, 1, 6, opened(1));
        send(&mut q8, 2, 1, opened(2));
        send(&mut q8, 2, 2, seller(2));
        send(&mut q8, 3, 9_999, seller(3));
        send(&mut q8, 3, 10_000, opened(3));
        send(&mut q8, 4, 0, seller(4));
        send(&mut q8, 5, 0, opened(5));
        q8.finish();
        let mut values: Vec<Vec<u8>> = q8.records().into_iter().map(|record| record.value).collect();
        values.sort();
        let told = |id| format!(r#"{{"id":{id},"name":"Ann Lee","window_start":0}}"#).into_bytes();
        assert_eq!(values, [told(1), told(2)]);
    }
}
