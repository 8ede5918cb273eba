// Frames: one piece of memory that carries columns across the boundary. The layout is in `wit/operator.wit`, interface `types`.

/** The ids of the columns that are used here. */
export const Column = {
  times: 1, keyEnds: 2, keys: 3, recordEnds: 4, cellEnds: 5, cells: 6, valueEnds: 7, values: 8,
  sources: 16, writes: 18, writeBytes: 19,
} as const;

/** In an end of a cell: there is no value. */
const ABSENT = 0x80000000;

/** A frame from the host, taken apart. */
export class FrameReader {
  private readonly view: DataView;
  private readonly places = new Map<number, [start: number, end: number]>();

  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const count = this.view.getUint32(0, true);
    let start = 8 + 8 * count;
    for (let entry = 0; entry < count; entry++) {
      const end = this.view.getUint32(12 + 8 * entry, true);
      this.places.set(this.view.getUint32(8 + 8 * entry, true), [start, end]);
      start = (end + 7) & ~7;
    }
  }

  /** The number of entries of a column; 0 if it is not there. */
  count(column: number, entryBytes: number): number {
    const [start, end] = this.places.get(column) ?? [0, 0];
    return (end - start) / entryBytes;
  }

  /** Entry `index` of a column of u32. */
  word(column: number, index: number): number {
    return this.view.getUint32(this.places.get(column)![0] + 4 * index, true);
  }

  /** Entry `index` of a pair of columns `X-ends` and `X`. */
  entry(ends: number, column: number, index: number): Uint8Array {
    const start = index === 0 ? 0 : this.word(ends, index - 1) % ABSENT;
    const [columnStart] = this.places.get(column) ?? [0];
    return this.bytes.subarray(columnStart + start, columnStart + this.word(ends, index) % ABSENT);
  }

  /** Cell `index`; `undefined` if there is no value. */
  cell(index: number): Uint8Array | undefined {
    const isAbsent = this.word(Column.cellEnds, index) >= ABSENT;
    return isAbsent ? undefined : this.entry(Column.cellEnds, Column.cells, index);
  }
}

/** A column under construction. */
export class ColumnWriter {
  private bytes = new Uint8Array(1024);
  length = 0;

  word(word: number): void {
    const at = this.reserve(4);
    for (let byte = 0; byte < 4; byte++) this.bytes[at + byte] = word >>> (8 * byte);
  }

  append(bytes: Uint8Array): void {
    // Reserving may replace the array, so it comes first.
    const at = this.reserve(bytes.length);
    this.bytes.set(bytes, at);
  }

  written(): Uint8Array {
    return this.bytes.subarray(0, this.length);
  }

  private reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(2 * this.length);
      larger.set(this.bytes.subarray(0, at));
      this.bytes = larger;
    }
    return at;
  }
}

/** Puts columns, named by rising ids, into one frame. */
export function writeFrame(columns: [id: number, column: ColumnWriter][]): Uint8Array {
  const header = new ColumnWriter();
  header.word(columns.length);
  header.word(0);
  let end = 8 + 8 * columns.length;
  const starts = columns.map(([id, column]) => {
    const start = (end + 7) & ~7;
    end = start + column.length;
    header.word(id);
    header.word(end);
    return start;
  });
  const frame = new Uint8Array(end);
  frame.set(header.written());
  columns.forEach(([, column], index) => frame.set(column.written(), starts[index]));
  return frame;
}
