// Lines of a text into words: an operator that keeps nothing.

import { Column, ColumnWriter, FrameReader, writeFrame } from './frame';
import { decodeUtf8, encodeUtf8 } from './utf8';

/** World `stateless`. */
export const transformer = {
  describe: () => ({
    name: 'split', version: '0.1.0', sdk: 'none',
    inputs: [{ name: 'main', format: 'text', schema: '' }],
    outputs: [{ name: 'main', format: 'text', schema: '' }],
    states: [], timers: [], options: [],
  }),

  open: () => {},

  /** Emits every word of a line, in lower case, with the word as the key. */
  process(_call: unknown, batch: Uint8Array): Uint8Array {
    const lines = new FrameReader(batch);
    const [sources, ends, words] = [new ColumnWriter(), new ColumnWriter(), new ColumnWriter()];
    for (let line = 0; line < lines.count(Column.valueEnds, 4); line++) {
      const text = decodeUtf8(lines.entry(Column.valueEnds, Column.values, line));
      for (const word of text.toLowerCase().match(/[\p{Alphabetic}\p{Number}]+/gu) ?? []) {
        sources.word(line);
        words.append(encodeUtf8(word));
        ends.word(words.length);
      }
    }
    // The word is key and value.
    return writeFrame([
      [Column.keyEnds, ends], [Column.keys, words], [Column.valueEnds, ends], [Column.values, words], [Column.sources, sources],
    ]);
  },
};
