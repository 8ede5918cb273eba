//! `tidewheel watermarks`: how far event time has come in a running job, and what holds it back.

use super::{now_ms, running};
use crate::args;
use crate::render::{self, Align};
use crate::terminal;
use anyhow::Result;
use tidewheel_server::model::{SplitWatermark, Watermarks};
use tidewheel_types::Watermark;

/// Shows the watermark of each operator and sink, and what each split says.
pub(crate) fn execute(watermarks: &args::Watermarks) -> Result<()> {
    let job = running::find(&watermarks.job)?;
    let found = running::connect(&job)?.watermarks()?;
    if watermarks.json {
        return Ok(terminal::print_json(&serde_json::to_string(&found)?)?);
    }
    Ok(terminal::print(&text(&found, now_ms()))?)
}

fn text(found: &Watermarks, now_ms: i64) -> String {
    let (left, right) = (Align::Left, Align::Right);
    let since = |split: &SplitWatermark| render::span_ms(now_ms.saturating_sub(split.since_ms).max(0));
    let parts = found.parts.iter().map(|part| {
        let (source, split, time) = match &part.held_back_by {
            None => ("none".to_owned(), String::new(), String::new()),
            Some(split) => (split.source.clone(), split.split.clone(), since(split)),
        };
        let watermark = if part.ended { Watermark::MAX } else { watermark(part.watermark) };
        vec![part.name.clone(), part.kind.clone(), render::watermark(watermark), source, split, time]
    });
    let columns =
        [("NAME", left), ("KIND", left), ("WATERMARK", left), ("HELD BACK BY", left), ("SPLIT", left), ("FOR", right)];
    let parts = render::table(&columns, &parts.collect::<Vec<_>>());
    let splits = found.splits.iter().map(|split| {
        let watermark = render::watermark(watermark(split.watermark));
        vec![split.source.clone(), split.split.clone(), split.state.clone(), watermark, since(split)]
    });
    let columns = [("SOURCE", left), ("SPLIT", left), ("STATE", left), ("WATERMARK", left), ("FOR", right)];
    format!("{parts}\n{}", render::table(&columns, &splits.collect::<Vec<_>>()))
}

fn watermark(ms: Option<i64>) -> Watermark {
    ms.map_or(Watermark::MIN, Watermark)
}

#[cfg(test)]
mod tests {
    use super::text;
    use tidewheel_server::model::{PartWatermark, SplitWatermark, Watermarks};

    #[test]
    fn what_holds_back_and_what_does_not() {
        let split = |split: &str, state: &str, watermark, since_ms| SplitWatermark {
            source: "orders".to_owned(),
            split: split.to_owned(),
            state: state.to_owned(),
            watermark,
            since_ms,
        };
        let slow = split("b.jsonl", "active", Some(1_436_918_400_999), 97_000);
        let part = |name: &str, kind: &str| PartWatermark {
            name: name.to_owned(),
            kind: kind.to_owned(),
            watermark: Some(1_436_918_400_999),
            ended: false,
            held_back_by: Some(slow.clone()),
        };
        let over = PartWatermark { watermark: None, ended: true, held_back_by: None, ..part("old", "sink") };
        let splits = vec![split("a.jsonl", "idle", None, 98_900), slow.clone()];
        let found = Watermarks { parts: vec![part("rfm", "operator"), over], splits };
        assert_eq!(
            text(&found, 100_000),
            "NAME  KIND      WATERMARK             HELD BACK BY  SPLIT      FOR\n\
             rfm   operator  2015-07-15T00:00:00Z  orders        b.jsonl  3.0 s\n\
             old   sink      end                   none\n\
             \n\
             SOURCE  SPLIT    STATE   WATERMARK               FOR\n\
             orders  a.jsonl  idle    none                  1.1 s\n\
             orders  b.jsonl  active  2015-07-15T00:00:00Z  3.0 s\n"
        );
    }
}
