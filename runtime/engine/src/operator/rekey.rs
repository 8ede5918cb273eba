//! Gives records another key before they are exchanged by it.

use crate::error::EngineError;
use crate::inbox::Arrived;
use crate::outputs::Outputs;
use crate::refuse::{Refusals, Refused};
use crate::streams::Command;
use crate::task::{Flow, Logic, Moment};
use tidewheel_types::batch::KEY_BYTES_MAX;
use tidewheel_types::selector::Selector;
use tidewheel_types::{Batch, BytesColumn};

/// Sets the keys of `batch` to what `selector` finds in the values. Returns the records that have none, or one
/// that is too long, in rising order, with the reason; their key is empty.
pub(crate) fn set_keys(selector: &Selector, batch: &mut Batch) -> Vec<(usize, String)> {
    let mut keyless = Vec::new();
    let mut keys = BytesColumn::with_capacity(batch.len(), batch.len() * 16);
    for (index, value) in batch.values.iter().enumerate() {
        let start = keys.bytes().len();
        let found = selector.key(value, keys.bytes_mut()).map_err(|error| error.to_string());
        if let Err(reason) = found.and_then(|()| check_len(keys.bytes().len() - start)) {
            keys.abandon_entry();
            keyless.push((index, reason));
        }
        keys.end_entry();
    }
    batch.keys = keys;
    keyless
}

fn check_len(bytes: usize) -> Result<(), String> {
    match bytes <= KEY_BYTES_MAX {
        true => Ok(()),
        false => Err(format!("its key has {bytes} bytes, more than {KEY_BYTES_MAX}")),
    }
}

/// `batch` without the records `bad`, which are in rising order.
pub(crate) fn without(batch: &Batch, bad: impl IntoIterator<Item = usize>) -> Batch {
    let mut kept = Batch::default();
    let mut start = 0;
    for index in bad {
        kept.extend_from(batch, start..index);
        start = index + 1;
    }
    kept.extend_from(batch, start..batch.len());
    kept
}

/// The re-keying of one edge.
pub(crate) struct Rekey {
    selector: Selector,
    refusals: Refusals,
}

impl Rekey {
    pub(crate) fn new(selector: Selector, refusals: Refusals) -> Self {
        Rekey { selector, refusals }
    }
}

impl Logic for Rekey {
    fn records(&mut self, arrived: &mut Arrived, _: &Moment, outputs: &mut Outputs) -> Result<Flow, EngineError> {
        let mut batch = std::mem::take(&mut arrived.batch);
        let keyless = set_keys(&self.selector, &mut batch);
        if !keyless.is_empty() {
            for (index, reason) in &keyless {
                self.refusals.rejected(Refused { key: &[], ..Refused::of(&batch, *index, reason.clone()) })?;
            }
            batch = without(&batch, keyless.iter().map(|(index, _)| *index));
            self.refusals.emit(arrived.epoch, outputs);
        }
        outputs.emit(0, arrived.epoch, batch);
        Ok(Flow::Done)
    }

    fn fire(&mut self, _: &Moment, _: &mut Outputs) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }

    fn command(&mut self, _: &Command, _: &Moment) -> Result<Flow, EngineError> {
        Ok(Flow::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::{KEY_BYTES_MAX, set_keys, without};
    use tidewheel_types::selector::Selector;
    use tidewheel_types::{Batch, Origin};

    #[test]
    fn records_get_the_key_their_value_holds_and_those_without_are_named() {
        let mut batch = Batch::default();
        for value in ["{\"a\":1}", "{\"b\":2}", "{\"a\":\"x\"}"] {
            batch.push(0, b"old", value.as_bytes(), Origin::default());
        }
        let keyless = set_keys(&Selector::json("/a").unwrap(), &mut batch);
        assert_eq!(keyless, vec![(1, "no \"/a\" in the record".to_owned())]);
        let kept = without(&batch, [1]);
        assert_eq!(kept.keys.iter().collect::<Vec<_>>(), [&b"1"[..], b"x"]);
        assert_eq!(kept.values.get(1), b"{\"a\":\"x\"}");
    }

    #[test]
    fn a_key_is_as_long_as_state_can_keep_or_refused() {
        for (bytes, is_refused) in [(KEY_BYTES_MAX, false), (KEY_BYTES_MAX + 1, true)] {
            let mut batch = Batch::default();
            batch.push(0, b"", &vec![b'x'; bytes], Origin::default());
            let refused = set_keys(&Selector::bytes(&format!("0..{bytes}")).unwrap(), &mut batch);
            assert_eq!(!refused.is_empty(), is_refused, "{refused:?}");
            assert_eq!(batch.keys.get(0).len(), if is_refused { 0 } else { bytes });
        }
    }
}
