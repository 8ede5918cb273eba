// Counts words: an operator of world `keyed` with one value of state per key.

#include "frame.h"
#include "keyed.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void exports_tidewheel_operator_processor_describe(exports_tidewheel_operator_processor_description_t *description) {
  memset(description, 0, sizeof *description);
  keyed_string_dup(&description->name, "count");
  keyed_string_dup(&description->version, "0.1.0");
  keyed_string_dup(&description->sdk, "none");
  tidewheel_operator_description_state_decl_t *count = calloc(1, sizeof *count);
  *count = (tidewheel_operator_description_state_decl_t){
      .kind = TIDEWHEEL_OPERATOR_DESCRIPTION_STATE_KIND_VALUE, .version = 1, .oldest = 1, .rides = true};
  keyed_string_dup(&count->name, "count");
  keyed_string_dup(&count->format, "postcard");
  keyed_string_dup(&count->schema, "u64");
  description->states = (tidewheel_operator_description_list_state_decl_t){count, 1};
  // None is set, but the SDKs of other languages declare one, and who goes on from a state declares what its timers were.
  tidewheel_operator_description_timer_decl_t *timer = calloc(1, sizeof *timer);
  timer->clock = TIDEWHEEL_OPERATOR_DESCRIPTION_CLOCK_EVENT;
  keyed_string_dup(&timer->name, "timer");
  description->timers = (tidewheel_operator_description_list_timer_decl_t){timer, 1};
}

bool exports_tidewheel_operator_processor_open(
    keyed_string_t *config, keyed_list_tuple2_string_string_t *options,
    exports_tidewheel_operator_processor_failure_t *failure) {
  (void)failure;
  keyed_string_free(config);
  keyed_list_tuple2_string_string_free(options);
  return true;
}

// What goes out: for each record its source and a value, and for each group its count.
typedef struct { growing_t sources, ends, values, writes, write_bytes; } counted_t;

// A word is of letters and digits, so nothing in it has to be escaped.
static void emit(counted_t *out, uint32_t record, bytes_t word, uint64_t count) {
  char number[24];
  append(&out->values, "{\"word\":\"", 9);
  append(&out->values, word.at, word.len);
  append(&out->values, "\",\"count\":", 10);
  append(&out->values, number, (size_t)snprintf(number, sizeof number, "%" PRIu64 "}", count));
  append_word(&out->ends, (uint32_t)out->values.len);
  append_word(&out->sources, record);
}

// Postcard writes a number seven bits a byte, the lowest first.
static uint64_t read_count(bytes_t cell) {
  uint64_t count = 0;
  for (size_t at = 0; at < cell.len; at++) count |= (uint64_t)(cell.at[at] & 0x7f) << (7 * at);
  return count;
}

static void append_count(growing_t *column, uint64_t count) {
  for (; count >= 0x80; count >>= 7) append(column, &(uint8_t){(uint8_t)(0x80 | count)}, 1);
  append(column, &(uint8_t){(uint8_t)count}, 1);
}

// Operation 0, put, is in the upper four bits of the group.
static void put_count(counted_t *out, uint32_t group, uint64_t count) {
  append_count(&out->write_bytes, count);
  append_word(&out->writes, group);
  append_word(&out->writes, (uint32_t)out->write_bytes.len);
}

static counted_t count_groups(bytes_t frame) {
  bytes_t key_ends = column(frame, KEY_ENDS), keys = column(frame, KEYS), record_ends = column(frame, RECORD_ENDS);
  bytes_t cell_ends = column(frame, CELL_ENDS), cells = column(frame, CELLS);
  counted_t out = {0};
  uint32_t record = 0;
  for (uint32_t group = 0; group < record_ends.len / 4; group++) {
    // There is one state, so a group has one cell, of the same index.
    uint64_t count = is_absent(cell_ends, group) ? 0 : read_count(entry_at(cell_ends, cells, group));
    for (; record < word_at(record_ends, group); record++) {
      emit(&out, record, entry_at(key_ends, keys, group), ++count);
    }
    put_count(&out, group, count);
  }
  return out;
}

// Emits, for every word that comes, how often it has come so far.
bool exports_tidewheel_operator_processor_process(
    exports_tidewheel_operator_processor_call_t *call, exports_tidewheel_operator_processor_frame_t *batch,
    exports_tidewheel_operator_processor_frame_t *emitted, exports_tidewheel_operator_processor_failure_t *failure) {
  (void)call, (void)failure;
  counted_t out = count_groups((bytes_t){batch->ptr, batch->len});
  const written_t columns[] = {
      {VALUE_ENDS, out.ends}, {VALUES, out.values}, {SOURCES, out.sources}, {WRITES, out.writes}, {WRITE_BYTES, out.write_bytes},
  };
  growing_t written = write_frame(columns, sizeof columns / sizeof *columns);
  *emitted = (exports_tidewheel_operator_processor_frame_t){written.at, written.len};
  free(out.sources.at), free(out.ends.at), free(out.values.at), free(out.writes.at), free(out.write_bytes.at);
  exports_tidewheel_operator_processor_frame_free(batch);
  return true;
}

static bool fail(exports_tidewheel_operator_processor_failure_t *failure, const char *message) {
  failure->code = 1;
  keyed_string_dup(&failure->message, message);
  return false;
}

bool exports_tidewheel_operator_processor_on_timer(
    exports_tidewheel_operator_processor_call_t *call, exports_tidewheel_operator_processor_frame_t *batch,
    exports_tidewheel_operator_processor_frame_t *emitted, exports_tidewheel_operator_processor_failure_t *failure) {
  (void)call, (void)emitted;
  exports_tidewheel_operator_processor_frame_free(batch);
  return fail(failure, "no timer was set");
}

bool exports_tidewheel_operator_processor_migrate(
    uint32_t state, uint32_t version, exports_tidewheel_operator_processor_frame_t *values,
    exports_tidewheel_operator_processor_frame_t *migrated, exports_tidewheel_operator_processor_failure_t *failure) {
  (void)state, (void)version, (void)migrated;
  exports_tidewheel_operator_processor_frame_free(values);
  return fail(failure, "there is no older version");
}
