// Lines of a text into words: an operator of world `stateless`.

#include "frame.h"
#include "stateless.h"

#include <limits.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

void exports_tidewheel_operator_transformer_describe(exports_tidewheel_operator_transformer_description_t *description) {
  memset(description, 0, sizeof *description);
  stateless_string_dup(&description->name, "split");
  stateless_string_dup(&description->version, "0.1.0");
  stateless_string_dup(&description->sdk, "none");
  // Without ports it has one input and one output, whose format is not said.
}

bool exports_tidewheel_operator_transformer_open(
    stateless_string_t *config, stateless_list_tuple2_string_string_t *options,
    exports_tidewheel_operator_transformer_failure_t *failure) {
  (void)failure;
  stateless_string_free(config);
  stateless_list_tuple2_string_string_free(options);
  setlocale(LC_CTYPE, "C.UTF-8");
  return true;
}

// What goes out: for each word its line, and the word itself, which is key and value.
typedef struct { growing_t sources, ends, words; } split_t;

static void end_word(split_t *out, uint32_t line, size_t *start) {
  if (out->words.len == *start) return;
  append_word(&out->sources, line);
  append_word(&out->ends, (uint32_t)out->words.len);
  *start = out->words.len;
}

static void split(bytes_t text, uint32_t line, split_t *out) {
  size_t start = out->words.len;
  mbstate_t state = {0};
  for (size_t at = 0; at < text.len;) {
    wchar_t letter = 0;
    size_t taken = mbrtowc(&letter, (const char *)text.at + at, text.len - at, &state);
    // The panic of a C program: the host finds the line, and the job says what becomes of it.
    if (taken > text.len) abort();
    at += taken == 0 ? 1 : taken;
    if (iswalnum((wint_t)letter)) {
      char lower[MB_LEN_MAX];
      append(&out->words, lower, wcrtomb(lower, (wchar_t)towlower((wint_t)letter), &state));
    } else {
      end_word(out, line, &start);
    }
  }
  end_word(out, line, &start);
}

// Emits every word of a line, in lower case, with the word as the key.
bool exports_tidewheel_operator_transformer_process(
    exports_tidewheel_operator_transformer_call_t *call, exports_tidewheel_operator_transformer_frame_t *batch,
    exports_tidewheel_operator_transformer_frame_t *emitted, exports_tidewheel_operator_transformer_failure_t *failure) {
  (void)call, (void)failure;
  bytes_t frame = {batch->ptr, batch->len};
  bytes_t ends = column(frame, VALUE_ENDS), lines = column(frame, VALUES);
  split_t out = {0};
  for (uint32_t line = 0; line < ends.len / 4; line++) split(entry_at(ends, lines, line), line, &out);
  const written_t columns[] = {
      {KEY_ENDS, out.ends}, {KEYS, out.words}, {VALUE_ENDS, out.ends}, {VALUES, out.words}, {SOURCES, out.sources},
  };
  growing_t written = write_frame(columns, sizeof columns / sizeof *columns);
  *emitted = (exports_tidewheel_operator_transformer_frame_t){written.at, written.len};
  free(out.sources.at), free(out.ends.at), free(out.words.at);
  exports_tidewheel_operator_transformer_frame_free(batch);
  return true;
}
