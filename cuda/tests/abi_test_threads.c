/* More than one thread, more than one process, and what the library survives. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include "abi_test.h"

struct long_op {
  cunn_context context;
  cunn_buffer c, a, b;
  int64_t n;
  int32_t status;
  int done;
};

static void *run_long_op(void *argument) {
  struct long_op *op = argument;
  do {
    op->status = cunn.gemm(op->context, op->c, op->a, op->b, 0, 0, op->n, op->n, op->n, op->n, op->n, op->n, 1, 0);
  } while (op->status == CUNN_BUSY); /* the other thread may have been the first */
  __atomic_store_n(&op->done, 1, __ATOMIC_RELEASE);
  return NULL;
}

void test_busy(void) {
  struct long_op op;
  pthread_t thread;
  int64_t n;
  int seen = 0, text_held = 1;
  const cunn_context context = open_cpu(1);
  /* Larger and larger, until the second caller meets the first at work. */
  for (n = 256; n <= 4096 && !seen; n *= 2) {
    op.context = context;
    op.n = n;
    op.a = make(context, CUNN_F32, n * n);
    op.b = make(context, CUNN_F32, n * n);
    op.c = make(context, CUNN_F32, n * n);
    op.done = 0;
    CHECK(pthread_create(&thread, NULL, run_long_op, &op) == 0);
    while (!__atomic_load_n(&op.done, __ATOMIC_ACQUIRE)) {
      int32_t threads;
      if (cunn.context_threads(context, &threads) != CUNN_BUSY) continue;
      seen = 1;
      if (strcmp(cunn.context_error(context), "the context is in use by another thread") != 0 &&
          !__atomic_load_n(&op.done, __ATOMIC_ACQUIRE) && strcmp(cunn.context_error(context), "") != 0)
        text_held = 0;
    }
    pthread_join(thread, NULL);
    EQUAL(op.status, CUNN_OK);
    OK(cunn.buffer_destroy(context, op.a));
    OK(cunn.buffer_destroy(context, op.b));
    OK(cunn.buffer_destroy(context, op.c));
  }
  CHECK(seen);
  CHECK(text_held);
  OK(cunn.context_destroy(context));
}

/* One context destroys and makes buffers while others read through the same handles: every call succeeds or says that
 * the buffer is gone. The memory that a running call reads must stay, which the sanitizers watch. */
struct shared {
  cunn_buffer handle;
  int stop;
  long bad;
};

static void *read_shared(void *argument) {
  struct shared *shared = argument;
  cunn_context context = 0;
  cunn_buffer y = 0;
  if (cunn.context_create(&context, CUNN_CPU, 0, 1, NULL) != CUNN_OK ||
      cunn.buffer_create(context, &y, CUNN_F32, 1 << 14) != CUNN_OK) {
    __atomic_add_fetch(&shared->bad, 1, __ATOMIC_RELAXED);
    return NULL;
  }
  while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
    const cunn_buffer x = __atomic_load_n(&shared->handle, __ATOMIC_ACQUIRE);
    const int32_t status = cunn.scale_forward(context, y, x, 1 << 14, 2);
    if (status != CUNN_OK &&
        (status != CUNN_INVALID_ARGUMENT ||
         strcmp(cunn.context_error(context),
                "scale_forward: x was destroyed or never existed, expected a buffer") != 0))
      __atomic_add_fetch(&shared->bad, 1, __ATOMIC_RELAXED);
  }
  cunn.buffer_destroy(context, y);
  cunn.context_destroy(context);
  return NULL;
}

void test_destroy_in_use(void) {
  const cunn_context context = open_cpu(1);
  struct shared shared = {0, 0, 0};
  pthread_t threads[2];
  int i;
  int64_t before = 0, after = 0, peak = 0;
  OK(cunn.context_memory(context, &before, &peak));
  shared.handle = make(context, CUNN_F32, 1 << 14);
  for (i = 0; i < 2; ++i) CHECK(pthread_create(&threads[i], NULL, read_shared, &shared) == 0);
  for (i = 0; i < 500; ++i) {
    cunn_buffer fresh = 0;
    if (cunn.buffer_create(context, &fresh, CUNN_F32, 1 << 14) != CUNN_OK) ++shared.bad;
    fresh = __atomic_exchange_n(&shared.handle, fresh, __ATOMIC_ACQ_REL);
    if (cunn.buffer_destroy(context, fresh) != CUNN_OK) __atomic_add_fetch(&shared.bad, 1, __ATOMIC_RELAXED);
  }
  __atomic_store_n(&shared.stop, 1, __ATOMIC_RELEASE);
  for (i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  EQUAL(shared.bad, 0);
  OK(cunn.buffer_destroy(context, shared.handle));
  OK(cunn.context_synchronize(context));
  OK(cunn.context_memory(context, &after, &peak));
  EQUAL(after, before); /* what had to wait is given back */
  OK(cunn.context_destroy(context));
}

void test_internal(void) {
  cunn_context context = 0;
  cunn_buffer y;
  setenv("CUNN_TEST_FAULT", "fill", 1);
  context = open_cpu(1);
  unsetenv("CUNN_TEST_FAULT");
  y = make(context, CUNN_F32, 4);
  FAILS(context, cunn.fill(context, y, 4, 1), CUNN_INTERNAL,
        "fill: internal error: a fault was asked for by CUNN_TEST_FAULT");
  OK(cunn.scale_forward(context, y, y, 4, 1)); /* the context lives on */
  TEXT(cunn.context_error(context), "");
  OK(cunn.context_destroy(context));
}

/* Results do not depend on what the host program did to the floating-point environment, which it gets back. */
void test_float_environment(void) {
#if defined(__x86_64__)
  const cunn_context context = open_cpu(1);
  const float tiny = 1e-38f;
  float got = 0;
  const cunn_buffer x = make_f32(context, &tiny, 1), y = make(context, CUNN_F32, 1);
  const unsigned before = _mm_getcsr(), flushed = before | 0x8040; /* denormals are zero, in and out */
  _mm_setcsr(flushed);
  OK(cunn.scale_forward(context, y, x, 1, 0.125));
  CHECK((_mm_getcsr() & 0x8040) == 0x8040);
  _mm_setcsr(before);
  OK(cunn.buffer_download(context, &got, y, 0, 1));
  CHECK(got > 0 && got < 1.2e-38f);
  OK(cunn.context_destroy(context));
#endif
}

void test_fork(void) {
  const cunn_context context = open_cpu(2);
  const cunn_buffer y = make(context, CUNN_F32, 4);
  int status = -1;
  pid_t child;
  fflush(stdout);
  child = fork();
  if (child == 0) {
    cunn_context other = 5;
    int32_t count = 0, wrong = 0;
    wrong |= cunn.fill(context, y, 4, 1) != CUNN_DEVICE;
    wrong |= (cunn.context_synchronize(context) != CUNN_DEVICE) << 1;
    wrong |= (cunn.context_destroy(context) != CUNN_DEVICE) << 2;
    wrong |= (cunn.context_create(&other, CUNN_CPU, 0, 1, NULL) != CUNN_DEVICE || other != 0) << 3;
    wrong |= (cunn.device_count(&count, CUNN_CPU) != CUNN_DEVICE) << 4;
    wrong |= (strstr(cunn.context_error(context), "fork") == NULL) << 5;
    _exit(wrong);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  EQUAL(WEXITSTATUS(status), 0);
  OK(cunn.fill(context, y, 4, 1)); /* the parent goes on */
  OK(cunn.context_destroy(context));
}
