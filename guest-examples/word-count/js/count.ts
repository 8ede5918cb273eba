// Counts words: an operator with one value of state per key.

import { Column, ColumnWriter, FrameReader, writeFrame } from './frame';
import { decodeUtf8, encodeUtf8 } from './utf8';

/** World `keyed`. */
export const processor = {
  describe: () => ({
    name: 'count', version: '0.1.0', sdk: 'none',
    inputs: [{ name: 'main', format: 'text', schema: '' }],
    outputs: [{ name: 'main', format: 'json', schema: 'WordCount' }],
    states: [{
      name: 'count', kind: 'value', format: 'postcard', schema: 'u64', version: 1, oldest: 1, rides: true, ttlMs: 0, options: [],
    }],
    // None is set, but the SDKs of other languages declare one, and who goes on from a state declares what its timers were.
    timers: [{ name: 'timer', clock: 'event' }], options: [],
  }),

  open: () => {},

  /** Emits, for every word that comes, how often it has come so far. */
  process(_call: unknown, batch: Uint8Array): Uint8Array {
    const words = new FrameReader(batch);
    const [sources, ends, values] = [new ColumnWriter(), new ColumnWriter(), new ColumnWriter()];
    const [writes, writeBytes] = [new ColumnWriter(), new ColumnWriter()];
    let record = 0;
    for (let group = 0; group < words.count(Column.recordEnds, 4); group++) {
      const word = decodeUtf8(words.entry(Column.keyEnds, Column.keys, group));
      // There is one state, so a group has one cell, of the same index.
      const cell = words.cell(group);
      let count = cell === undefined ? 0 : readCount(cell);
      for (; record < words.word(Column.recordEnds, group); record++) {
        count += 1;
        sources.word(record);
        values.append(encodeUtf8(JSON.stringify({ word, count })));
        ends.word(values.length);
      }
      // Operation 0, put, is in the upper four bits.
      writes.word(group);
      writeBytes.append(encodeCount(count));
      writes.word(writeBytes.length);
    }
    return writeFrame([
      [Column.valueEnds, ends], [Column.values, values], [Column.sources, sources], [Column.writes, writes], [Column.writeBytes, writeBytes],
    ]);
  },

  onTimer: () => failed('no timer was set'),
  migrate: () => failed('there is no older version'),
};

/** Postcard writes a number seven bits a byte, the lowest first. */
function readCount(cell: Uint8Array): number {
  return cell.reduceRight((count, byte) => count * 0x80 + (byte & 0x7f), 0);
}

function encodeCount(count: number): Uint8Array {
  const bytes: number[] = [];
  for (; count >= 0x80; count = Math.floor(count / 0x80)) bytes.push(0x80 | (count & 0x7f));
  return Uint8Array.of(...bytes, count);
}

/** The call fails as a whole, and the job with it. */
function failed(message: string): never {
  throw { code: 1, message };
}
