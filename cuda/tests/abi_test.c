/* A plain C99 consumer of the ABI: opens the library given on the command line, and a copy of it, as the languages do, and
 * provokes every status and every rule of cunn.h. */
#include "abi_test.h"

#include <dlfcn.h>
#include <stdlib.h>

struct library cunn;

static long passed, failed;

void check(int holds, const char *what, const char *file, int line) {
  if (holds) {
    ++passed;
    return;
  }
  ++failed;
  printf("%s:%d: %s does not hold\n", file, line, what);
}

void check_int(long long got, long long want, const char *what, const char *file, int line) {
  if (got == want) {
    ++passed;
    return;
  }
  ++failed;
  printf("%s:%d: %s is %lld, expected %lld\n", file, line, what, got, want);
}

void check_text(const char *got, const char *want, const char *what, const char *file, int line) {
  if (strcmp(got, want) == 0) {
    ++passed;
    return;
  }
  ++failed;
  printf("%s:%d: %s\n      says \"%s\"\n  expected \"%s\"\n", file, line, what, got, want);
}

cunn_context open_cpu(int threads) {
  cunn_context context = 0;
  OK(cunn.context_create(&context, CUNN_CPU, 0, threads, NULL));
  return context;
}

cunn_buffer make(cunn_context context, int32_t dtype, int64_t count) {
  cunn_buffer buffer = 0;
  OK(cunn.buffer_create(context, &buffer, dtype, count));
  return buffer;
}

cunn_buffer make_f32(cunn_context context, const float *values, int64_t count) {
  const cunn_buffer buffer = make(context, CUNN_F32, count);
  OK(cunn.buffer_upload(context, buffer, 0, count, values));
  return buffer;
}

cunn_buffer make_i32(cunn_context context, const int32_t *values, int64_t count) {
  const cunn_buffer buffer = make(context, CUNN_I32, count);
  OK(cunn.buffer_upload(context, buffer, 0, count, values));
  return buffer;
}

static int open_library(struct library *into, const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    printf("%s\n", dlerror());
    return 0;
  }
#define X(name)                                                                  \
  *(void **)&into->name = dlsym(library, "cunn_" #name);                         \
  if (into->name == NULL) {                                                      \
    printf("%s has no cunn_" #name "\n", path);                                  \
    return 0;                                                                    \
  }
  FUNCTIONS(X)
#undef X
  if (into->abi_version() != CUNN_ABI_VERSION) {
    printf("%s speaks ABI %d, expected %d\n", path, into->abi_version(), CUNN_ABI_VERSION);
    return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  static struct library copy;
  if (argc != 3) {
    printf("usage: abi_test LIBRARY COPY\n");
    return 2;
  }
  if (!open_library(&cunn, argv[1]) || !open_library(&copy, argv[2])) return 1;

  test_two_libraries(&copy);
  test_library();
  test_contexts();
  test_buffers();
  test_events();
  test_handles();
  test_arguments();
  test_every_op_checks_its_buffers();
  test_aliasing();
  test_empty_problems();
  test_values_on_the_device();
  test_graphs();
  test_busy();
  test_destroy_in_use();
  test_internal();
  test_float_environment();
  test_fork();

  printf("%ld passed, %ld failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
