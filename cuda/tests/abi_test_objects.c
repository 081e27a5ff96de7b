/* The library, contexts, buffers, events and handles. */
#include <stdlib.h>

#include "abi_test.h"

void test_library(void) {
  int32_t count = -1;
  int64_t total = 0, available = 0;
  CHECK(strlen(cunn.version()) > 0);
  CHECK(strstr(cunn.build_info(), "cpu:") != NULL);
  TEXT(cunn.status_name(CUNN_OK), "ok");
  TEXT(cunn.status_name(CUNN_OUT_OF_MEMORY), "out of memory");
  TEXT(cunn.status_name(-7), "unknown status");

  OK(cunn.device_count(&count, CUNN_CPU));
  EQUAL(count, 1);
  CHECK(strlen(cunn.device_name(CUNN_CPU, 0)) > 0);
  TEXT(cunn.device_note(CUNN_CPU), "");
  TEXT(cunn.device_name(CUNN_CPU, 1), "");
  OK(cunn.device_memory(&total, &available, CUNN_CPU, 0));
  CHECK(total >= available && available > 0);

  OK(cunn.device_count(&count, CUNN_CUDA));
  if (count == 0) CHECK(strlen(cunn.device_note(CUNN_CUDA)) > 0);
  EQUAL(cunn.device_count(&count, 9), CUNN_INVALID_ARGUMENT);
  EQUAL(cunn.device_count(NULL, CUNN_CPU), CUNN_INVALID_ARGUMENT);
  EQUAL(cunn.device_memory(NULL, &available, CUNN_CPU, 0), CUNN_INVALID_ARGUMENT);
  EQUAL(cunn.device_memory(&total, &available, CUNN_CPU, 1), CUNN_INVALID_ARGUMENT);
}

/* A failed create leaves a context for its text and destroy, and for nothing else. */
static void failed_create(int32_t status, const char *sentence, int32_t device, int32_t ordinal, int32_t threads,
                          const char *isa) {
  cunn_context context = 0;
  cunn_buffer buffer = 0;
  EQUAL(cunn.context_create(&context, device, ordinal, threads, isa), status);
  CHECK(context != 0);
  TEXT(cunn.context_error(context), sentence);
  EQUAL(cunn.buffer_create(context, &buffer, CUNN_F32, 1), CUNN_INVALID_ARGUMENT);
  EQUAL(cunn.context_synchronize(context), CUNN_INVALID_ARGUMENT);
  TEXT(cunn.context_error(context), sentence);
  TEXT(cunn.context_isa(context), "");
  OK(cunn.context_destroy(context));
  EQUAL(cunn.context_destroy(context), CUNN_INVALID_ARGUMENT);
}

void test_contexts(void) {
  static const char *const sets[] = {"scalar", "avx2", "avx512"};
  cunn_context context = 0;
  int32_t threads = 0, count = 0;
  int i;

  EQUAL(cunn.context_create(NULL, CUNN_CPU, 0, 1, NULL), CUNN_INVALID_ARGUMENT);
  failed_create(CUNN_INVALID_ARGUMENT, "context_create: device is 9, expected 0 (cpu), 1 (cuda) or 2 (simt)", 9, 0, 1,
                NULL);
  failed_create(CUNN_INVALID_ARGUMENT, "context_create: ordinal is 1, expected 0 to 0", CUNN_CPU, 1, 1, NULL);
  failed_create(CUNN_INVALID_ARGUMENT, "context_create: threads is -1, expected 0 to 1024", CUNN_CPU, 0, -1, NULL);
  failed_create(CUNN_INVALID_ARGUMENT, "context_create: isa is \"mmx\", expected scalar, avx2, avx512 or none",
                CUNN_CPU, 0, 1, "mmx");
  OK(cunn.device_count(&count, CUNN_CUDA));
  if (count == 0) {
    char sentence[512];
    snprintf(sentence, sizeof sentence, "context_create: there is no cuda device: %s", cunn.device_note(CUNN_CUDA));
    failed_create(CUNN_UNSUPPORTED, sentence, CUNN_CUDA, 0, 1, NULL);
  }

  for (i = 0; i < 3; ++i) {
    const int32_t status = cunn.context_create(&context, CUNN_CPU, 0, 2, sets[i]);
    CHECK(status == CUNN_OK || status == CUNN_UNSUPPORTED);
    if (status == CUNN_OK) {
      TEXT(cunn.context_isa(context), sets[i]);
      OK(cunn.context_threads(context, &threads));
      EQUAL(threads, 2);
    } else {
      CHECK(strstr(cunn.context_error(context), "the best here is") != NULL);
    }
    OK(cunn.context_destroy(context));
  }

  context = open_cpu(0);
  OK(cunn.context_threads(context, &threads));
  CHECK(threads >= 1);
  INVALID(context, cunn.context_threads(context, NULL), "context_threads: threads is null");
  OK(cunn.context_synchronize(context));
  TEXT(cunn.context_error(context), "");
  OK(cunn.context_destroy(context));
  EQUAL(cunn.context_destroy(context), CUNN_INVALID_ARGUMENT);
  EQUAL(cunn.context_synchronize(context), CUNN_INVALID_ARGUMENT);
  TEXT(cunn.context_error(context), "the context was destroyed or never existed");
  TEXT(cunn.context_error(0), "the context was destroyed or never existed");
  TEXT(cunn.context_error(-1), "the context was destroyed or never existed");
  TEXT(cunn.context_isa(context), "");
}

static void test_memory_account(cunn_context context) {
  int64_t before = 0, during = 0, after = 0, peak = 0;
  cunn_buffer buffer, view = 0;
  OK(cunn.context_memory(context, &before, &peak));
  buffer = make(context, CUNN_F32, 1 << 20);
  OK(cunn.buffer_view(context, &view, buffer, 16, 16));
  OK(cunn.context_memory(context, &during, &peak));
  EQUAL(during - before, 4 << 20);
  CHECK(peak >= during);
  OK(cunn.buffer_destroy(context, buffer));
  OK(cunn.context_memory(context, &after, &peak));
  EQUAL(after, during); /* the view still holds it */
  OK(cunn.buffer_destroy(context, view));
  OK(cunn.context_memory(context, &after, &peak));
  EQUAL(after, before);
}

static void test_views(cunn_context context) {
  const float values[6] = {1, 2, 3, 4, 5, 6};
  float got[6] = {0};
  cunn_buffer view = 0, inner = 0;
  const cunn_buffer buffer = make_f32(context, values, 6);
  int64_t count = 0, bytes = 0;
  int32_t dtype = -1;
  OK(cunn.buffer_view(context, &view, buffer, 1, 4));
  OK(cunn.buffer_view(context, &inner, view, 2, 2));
  OK(cunn.buffer_info(context, &dtype, &count, &bytes, inner));
  EQUAL(dtype, CUNN_F32);
  EQUAL(count, 2);
  EQUAL(bytes, 8);
  OK(cunn.buffer_destroy(context, buffer));
  OK(cunn.buffer_destroy(context, view));
  OK(cunn.buffer_download(context, got, inner, 0, 2));
  CHECK(got[0] == 4 && got[1] == 5);
  INVALID(context, cunn.buffer_view(context, &view, inner, 1, 2),
          "buffer_view: offset 1 and count 2, expected at most the 2 elements of the buffer");
  EQUAL(view, 0);
  INVALID(context, cunn.buffer_view(context, &view, inner, -1, 1), "buffer_view: offset is -1, expected at least 0");
  INVALID(context, cunn.buffer_view(context, &view, inner, INT64_MAX, INT64_MAX),
          "buffer_view: offset 9223372036854775807 and count 9223372036854775807, expected at most the 2 elements of "
          "the buffer");
  OK(cunn.buffer_destroy(context, inner));
}

static void test_wrap(cunn_context context) {
  float *host = calloc(9, sizeof *host);
  cunn_buffer buffer = 0;
  OK(cunn.buffer_wrap(context, &buffer, CUNN_F32, 8, host));
  OK(cunn.fill(context, buffer, 8, 3));
  CHECK(host[0] == 3 && host[7] == 3 && host[8] == 0);
  OK(cunn.buffer_destroy(context, buffer));
  CHECK(host[7] == 3); /* the memory is the caller's */
  INVALID(context, cunn.buffer_wrap(context, &buffer, CUNN_F32, 1, (char *)host + 2),
          "buffer_wrap: host is 2 bytes past a multiple of 4, expected alignment to f32");
  INVALID(context, cunn.buffer_wrap(context, &buffer, CUNN_F32, 1, NULL), "buffer_wrap: host is null");
  INVALID(context, cunn.buffer_wrap(context, &buffer, CUNN_U8, INT64_MAX - 64, (void *)(UINTPTR_MAX - 63)),
          "buffer_wrap: host and count 9223372036854775743 of u8 reach past the end of the address space");
  EQUAL(buffer, 0);
  free(host);
}

void test_buffers(void) {
  const cunn_context context = open_cpu(1);
  cunn_buffer buffer = 0;
  float got[4] = {7, 7, 7, 7};
  const float sent[2] = {1, 2};
  int64_t count = 0, bytes = 0;
  int32_t dtype = 0;
  const int64_t large = (int64_t)1 << 21;

  buffer = make(context, CUNN_F32, 4);
  OK(cunn.buffer_download(context, got, buffer, 0, 4));
  CHECK(got[0] == 0 && got[1] == 0 && got[2] == 0 && got[3] == 0);
  OK(cunn.buffer_upload(context, buffer, 1, 2, sent));
  OK(cunn.buffer_download(context, got, buffer, 0, 4));
  CHECK(got[0] == 0 && got[1] == 1 && got[2] == 2 && got[3] == 0);
  INVALID(context, cunn.buffer_upload(context, buffer, 3, 2, sent),
          "buffer_upload: offset 3 and count 2, expected at most the 4 elements of the buffer");
  INVALID(context, cunn.buffer_upload(context, buffer, 0, -1, sent), "buffer_upload: count is -1, expected at least 0");
  INVALID(context, cunn.buffer_upload(context, buffer, 0, 1, NULL), "buffer_upload: host is null");
  INVALID(context, cunn.buffer_download(context, NULL, buffer, 0, 1), "buffer_download: host is null");
  OK(cunn.buffer_upload(context, buffer, 4, 0, NULL));
  INVALID(context, cunn.buffer_info(context, NULL, &count, &bytes, buffer), "buffer_info: dtype is null");
  OK(cunn.buffer_destroy(context, buffer));

  buffer = make(context, CUNN_F32, large); /* a mapping of its own */
  OK(cunn.buffer_download(context, got, buffer, large - 4, 4));
  CHECK(got[3] == 0);
  OK(cunn.buffer_destroy(context, buffer));

  buffer = make(context, CUNN_Q4, 64);
  OK(cunn.buffer_info(context, &dtype, &count, &bytes, buffer));
  EQUAL(dtype, CUNN_Q4);
  EQUAL(bytes, 36);
  INVALID(context, cunn.buffer_download(context, got, buffer, 16, 32),
          "buffer_download: offset is 16, expected a multiple of 32 for q4");
  OK(cunn.buffer_destroy(context, buffer));
  INVALID(context, cunn.buffer_create(context, &buffer, CUNN_Q8, 33),
          "buffer_create: count is 33, expected a multiple of 32 for q8");
  EQUAL(buffer, 0);

  buffer = make(context, CUNN_F32, 0);
  OK(cunn.buffer_destroy(context, buffer));

  INVALID(context, cunn.buffer_create(context, NULL, CUNN_F32, 1), "buffer_create: buffer is null");
  INVALID(context, cunn.buffer_create(context, &buffer, 8, 1), "buffer_create: dtype is 8, expected 0 (f32) to 7 (q4)");
  INVALID(context, cunn.buffer_create(context, &buffer, CUNN_F32, -1),
          "buffer_create: count is -1, expected at least 0");
  INVALID(context, cunn.buffer_create(context, &buffer, CUNN_I64, (int64_t)1 << 60),
          "buffer_create: count is 1152921504606846976 elements of i64, whose bytes 63 bits cannot count");
  FAILS(context, cunn.buffer_create(context, &buffer, CUNN_F32, (int64_t)1 << 60), CUNN_OUT_OF_MEMORY,
        "buffer_create: no memory for 1152921504606846976 elements of f32 (4611686018427387904 bytes)");
  EQUAL(buffer, 0);

  test_memory_account(context);
  test_views(context);
  test_wrap(context);
  OK(cunn.context_destroy(context));
}

void test_events(void) {
  const cunn_context context = open_cpu(1), other = open_cpu(1);
  cunn_event start = 0, end = 0;
  double milliseconds = -1;
  const cunn_buffer buffer = make(context, CUNN_F32, 1 << 16);
  OK(cunn.event_create(context, &start));
  OK(cunn.event_create(other, &end));
  INVALID(context, cunn.event_wait(context, start),
          "event_wait: event was never recorded, expected an event_record before");
  INVALID(context, cunn.event_elapsed(context, &milliseconds, start, end),
          "event_elapsed: start was never recorded, expected an event_record before");
  OK(cunn.event_record(context, start));
  OK(cunn.fill(context, buffer, 1 << 16, 1));
  OK(cunn.event_wait(other, start));
  OK(cunn.event_record(other, end));
  OK(cunn.event_elapsed(context, &milliseconds, start, end));
  CHECK(milliseconds > 0 && milliseconds < 60000);
  INVALID(context, cunn.event_elapsed(context, NULL, start, end), "event_elapsed: milliseconds is null");
  INVALID(context, cunn.event_create(context, NULL), "event_create: event is null");
  INVALID(context, cunn.event_record(context, buffer), "event_record: event is a buffer, expected an event");
  OK(cunn.event_destroy(context, start));
  INVALID(context, cunn.event_destroy(context, start),
          "event_destroy: event was destroyed or never existed, expected an event");
  OK(cunn.event_destroy(context, end));
  OK(cunn.buffer_destroy(context, buffer));
  OK(cunn.context_destroy(other));
  OK(cunn.context_destroy(context));
}

void test_handles(void) {
  const cunn_context context = open_cpu(1);
  cunn_context other;
  cunn_event event = 0;
  cunn_buffer first = make(context, CUNN_F32, 4), second;
  int i;
  OK(cunn.event_create(context, &event));
  INVALID(context, cunn.buffer_destroy(context, event), "buffer_destroy: buffer is an event, expected a buffer");
  INVALID(context, cunn.buffer_destroy(context, context), "buffer_destroy: buffer is a context, expected a buffer");
  INVALID(context, cunn.buffer_destroy(context, 0), "buffer_destroy: buffer is 0, expected a buffer");
  INVALID(context, cunn.buffer_destroy(context, INT64_MIN),
          "buffer_destroy: buffer is not of this library, expected a buffer");
  INVALID(context, cunn.buffer_destroy(context, INT64_MAX),
          "buffer_destroy: buffer is not of this library, expected a buffer");
  EQUAL(cunn.context_synchronize(first), CUNN_INVALID_ARGUMENT);
  TEXT(cunn.context_error(first), "the context was destroyed or never existed");
  OK(cunn.context_synchronize(context));

  /* A slot is used again, its handles are not. */
  OK(cunn.buffer_destroy(context, first));
  for (i = 0; i < 1000; ++i) {
    second = make(context, CUNN_F32, 4);
    CHECK(second != first);
    OK(cunn.buffer_destroy(context, second));
  }
  INVALID(context, cunn.buffer_destroy(context, first),
          "buffer_destroy: buffer was destroyed or never existed, expected a buffer");
  INVALID(context, cunn.fill(context, first, 4, 0),
          "fill: y was destroyed or never existed, expected a buffer");

  /* A buffer outlives the context that made it and serves the device's other contexts. */
  other = open_cpu(1);
  first = make(other, CUNN_F32, 4);
  OK(cunn.context_destroy(other));
  OK(cunn.fill(context, first, 4, 2));
  OK(cunn.buffer_destroy(context, first));
  OK(cunn.event_destroy(context, event));
  OK(cunn.context_destroy(context));
}
