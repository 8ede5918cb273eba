//! Lines of text into words: an operator that keeps nothing.

use tidewheel::{Context, Emit, Record, Result, Stateless, Text, operator};

/// Emits every word of a line, in lower case, with the word as the key.
#[operator(stateless)]
struct Split;

impl Stateless for Split {
    type In = Text;
    type Out = Text;

    fn process(&mut self, line: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        for word in line.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()) {
            let word = word.to_lowercase();
            ctx.emit_record(Emit::new(word.as_str()).key(&word));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Split;
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    #[test]
    fn splits_at_everything_that_is_no_letter() {
        let mut harness = Harness::<Split>::new();
        harness.send("", EventTime(0), "The wheel -- the tide's wheel!");
        assert_eq!(harness.outputs(), ["the", "wheel", "the", "tide", "s", "wheel"]);
    }

    #[test]
    fn the_word_is_the_key() {
        let mut harness = Harness::<Split>::new();
        harness.send("", EventTime(0), "Tide");
        assert_eq!(harness.records()[0].key, b"tide");
    }
}
