// Frames: one piece of memory that carries columns across the boundary. The layout is in `wit/operator.wit`, interface `types`.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The ids of the columns that are used here.
enum {
  KEY_ENDS = 2, KEYS = 3, RECORD_ENDS = 4, CELL_ENDS = 5, CELLS = 6, VALUE_ENDS = 7, VALUES = 8,
  SOURCES = 16, WRITES = 18, WRITE_BYTES = 19,
};

// Bytes of a frame, not copied.
typedef struct { const uint8_t *at; size_t len; } bytes_t;

// A column of a frame from the host; an empty one if it is not there.
bytes_t column(bytes_t frame, uint32_t id);

// Entry `index` of a column of u32.
uint32_t word_at(bytes_t words, size_t index);

// Entry `index` of a pair of columns `X-ends` and `X`. One of a cell without a value is empty; see `is_absent`.
bytes_t entry_at(bytes_t ends, bytes_t bytes, size_t index);

// Whether a cell has no value.
bool is_absent(bytes_t cell_ends, size_t cell);

// A column under construction. Begins as {0}; `free` its `at`.
typedef struct { uint8_t *at; size_t len, room; } growing_t;

void append(growing_t *column, const void *bytes, size_t len);
void append_word(growing_t *column, uint32_t word);

// A column of a frame for the host.
typedef struct { uint32_t id; growing_t bytes; } written_t;

// Puts `count` columns, in rising order of id, into one frame, which the caller owns.
growing_t write_frame(const written_t *columns, size_t count);
