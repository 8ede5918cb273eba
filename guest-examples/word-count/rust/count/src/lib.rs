//! Counts words: an operator with one value of state per key.

use serde::{Deserialize, Serialize};
use tidewheel::{Context, Json, Keyed, Record, Result, Text, Value, operator};

/// How often a word has come so far.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct WordCount {
    word: String,
    count: u64,
}

/// Emits, for every word that comes, how often it has come so far.
#[operator(keyed)]
struct Count {
    #[state]
    count: Value<u64>,
}

impl Keyed for Count {
    type In = Text;
    type Out = Json<WordCount>;

    fn process(&mut self, word: Record<&str>, ctx: &mut Context<Self>) -> Result<()> {
        let count = self.count.get()?.unwrap_or(0) + 1;
        ctx.emit(WordCount { word: word.to_string(), count });
        self.count.set(&count)
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, WordCount};
    use tidewheel::EventTime;
    use tidewheel::harness::Harness;

    #[test]
    fn counts_each_word_on_its_own() {
        let mut harness = Harness::<Count>::new();
        for word in ["tide", "wheel", "tide"] {
            harness.send(word, EventTime(0), word);
        }
        let counts = [("tide", 1), ("wheel", 1), ("tide", 2)];
        assert_eq!(harness.outputs(), counts.map(|(word, count)| WordCount { word: word.into(), count }));
        assert_eq!(harness.value(|op| &op.count, "tide"), Some(2));
    }
}
