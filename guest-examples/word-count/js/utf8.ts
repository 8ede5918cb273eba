// Text as bytes and back: QuickJS has no TextDecoder and no TextEncoder.

/** The text in these bytes; what is no UTF-8 is an error. */
export function decodeUtf8(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at++];
    const more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let code = more === 0 ? first : first & (0x3f >> more);
    for (const end = at + more; at < end; at++) {
      if ((bytes[at] & 0xc0) !== 0x80) throw new Error(`no UTF-8 at byte ${at}`);
      code = (code << 6) | (bytes[at] & 0x3f);
    }
    text += String.fromCodePoint(code);
  }
  return text;
}

/** A text's bytes. */
export function encodeUtf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (code < 0x80) {
      bytes.push(code);
      continue;
    }
    const more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    // The upper bits of the first byte say how many follow.
    bytes.push(((0xf00 >> (more + 1)) & 0xff) | (code >> (6 * more)));
    for (let shift = 6 * (more - 1); shift >= 0; shift -= 6) bytes.push(0x80 | ((code >> shift) & 0x3f));
  }
  return Uint8Array.from(bytes);
}
