//! NEXMark q3, second step: auctions joined with who sells there, over all time. The key is the person.
//!
//! Persons are never forgotten, because an auction may come at any time, and an auction waits for its seller for ever: one
//! whose seller lives elsewhere waits in vain. So the state grows as long as the job runs. That is what the query asks for.

use nexmark_events::Config;
use nexmark_events::side::{Seller, Side, Sides};
use tidewheel::{Context, Error, Fixed, Keyed, List, Raw, Record, Result, Value, operator};

/// Joins persons and auctions.
#[operator(keyed)]
struct Q3 {
    #[config]
    config: Config,
    /// The person, packed.
    #[state]
    seller: Value<Vec<u8>, Vec<u8>>,
    /// Auctions that have come before the person.
    #[state]
    waiting: List<u64, Fixed<u64>>,
}

impl Q3 {
    fn emit(&self, seller: &Seller<'_>, auction: u64, ctx: &mut Context<Self>) {
        ctx.emit_with(|out| self.config.results.write(&seller.sells(auction), out));
    }
}

impl Keyed for Q3 {
    type In = Sides;
    type Out = Raw;

    fn process(&mut self, side: Record<Side>, ctx: &mut Context<Self>) -> Result<()> {
        match *side {
            Side::Seller(seller) => {
                let waiting = self.waiting.iter().collect::<Result<Vec<u64>>>()?;
                for &auction in &waiting {
                    self.emit(&seller, auction, ctx);
                }
                if !waiting.is_empty() {
                    self.waiting.clear();
                }
                self.seller.set(&side.bytes().to_vec())
            }
            Side::Opened(opened) => match self.seller.get()? {
                Some(packed) => {
                    let seller = Seller::read(&packed).ok_or_else(|| Error::fail("the state is no packed person"))?;
                    self.emit(&seller, opened.auction, ctx);
                    Ok(())
                }
                None => self.waiting.push(&opened.auction),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Q3;
    use nexmark_events::side::{Opened, Seller, Side};
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    const ANN: Side<'_> = Side::Seller(Seller { id: 7, name: b"Ann Lee", city: b"Bend", state: b"OR" });

    fn send(q3: &mut Harness<Q3>, side: Side<'_>) {
        let mut packed = Vec::new();
        side.write(&mut packed);
        q3.send_bytes(7u64.to_le_bytes(), EventTime(0), packed);
    }

    #[test]
    fn auctions_meet_their_seller_whoever_comes_first() {
        let mut q3 = Harness::<Q3>::new();
        let opened = |auction| Side::Opened(Opened { seller: 7, auction });
        let told =
            |auction| format!(r#"{{"name":"Ann Lee","city":"Bend","state":"OR","auction":{auction}}}"#).into_bytes();
        send(&mut q3, opened(1));
        send(&mut q3, opened(2));
        assert!(q3.records().is_empty());
        send(&mut q3, ANN);
        send(&mut q3, opened(3));
        let values: Vec<Vec<u8>> = q3.records().into_iter().map(|record| record.value).collect();
        assert_eq!(values, [told(1), told(2), told(3)]);
        assert!(q3.list(|q3| &q3.waiting, 7u64.to_le_bytes()).is_empty());
    }
}
