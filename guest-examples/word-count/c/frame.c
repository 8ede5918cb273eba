#include "frame.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t ABSENT = 1u << 31;

static size_t padded(size_t len) { return (len + 7) & ~(size_t)7; }

uint32_t word_at(bytes_t words, size_t index) {
  uint32_t word;
  memcpy(&word, words.at + 4 * index, sizeof word);
  return word;
}

bytes_t column(bytes_t frame, uint32_t id) {
  uint32_t count = word_at(frame, 0);
  size_t start = 8 + 8 * (size_t)count;
  for (uint32_t entry = 0; entry < count; entry++) {
    uint32_t end = word_at(frame, 3 + 2 * entry);
    if (word_at(frame, 2 + 2 * entry) == id) return (bytes_t){frame.at + start, end - start};
    start = padded(end);
  }
  return (bytes_t){frame.at, 0};
}

bool is_absent(bytes_t cell_ends, size_t cell) { return word_at(cell_ends, cell) & ABSENT; }

bytes_t entry_at(bytes_t ends, bytes_t bytes, size_t index) {
  uint32_t start = index == 0 ? 0 : word_at(ends, index - 1) & ~ABSENT;
  return (bytes_t){bytes.at + start, (word_at(ends, index) & ~ABSENT) - start};
}

void append(growing_t *column, const void *bytes, size_t len) {
  if (len == 0) return;
  if (column->len + len > column->room) {
    column->room = 2 * (column->len + len);
    column->at = realloc(column->at, column->room);
    // Out of memory: the host tries the records again, fewer at a time.
    if (column->at == NULL) abort();
  }
  memcpy(column->at + column->len, bytes, len);
  column->len += len;
}

void append_word(growing_t *column, uint32_t word) { append(column, &word, sizeof word); }

growing_t write_frame(const written_t *columns, size_t count) {
  static const uint8_t padding[8];
  growing_t frame = {0};
  append_word(&frame, (uint32_t)count);
  append_word(&frame, 0);
  size_t start = 8 + 8 * count;
  for (size_t index = 0; index < count; index++) {
    append_word(&frame, columns[index].id);
    append_word(&frame, (uint32_t)(start + columns[index].bytes.len));
    start = padded(start + columns[index].bytes.len);
  }
  for (size_t index = 0; index < count; index++) {
    append(&frame, padding, padded(frame.len) - frame.len);
    append(&frame, columns[index].bytes.at, columns[index].bytes.len);
  }
  return frame;
}
