/* A library that is opened when the process has no number left for it says so, and gives out no handle. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "cunn.h"

static int failures = 0;

static void check(int holds, const char *what, const char *found) {
  if (holds) return;
  printf("%s: %s\n", what, found);
  ++failures;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    printf("usage: numbers_test LIBRARY\n");
    return 2;
  }
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    printf("%s\n", dlerror());
    return 1;
  }
  int32_t (*create)(cunn_context *, int32_t, int32_t, int32_t, const char *);
  int32_t (*destroy)(cunn_context);
  int32_t (*device_count)(int32_t *, int32_t);
  const char *(*error)(cunn_context);
  *(void **)&create = dlsym(library, "cunn_context_create");
  *(void **)&destroy = dlsym(library, "cunn_context_destroy");
  *(void **)&device_count = dlsym(library, "cunn_device_count");
  *(void **)&error = dlsym(library, "cunn_context_error");

  pthread_key_t key; /* what the numbers of libraries are made of: see handles.cpp */
  while (pthread_key_create(&key, NULL) == 0) {
  }

  int32_t count = 0;
  check(device_count(&count, CUNN_CPU) == CUNN_OK && count == 1, "devices", "not the one cpu");
  for (int again = 0; again < 2; ++again) {
    cunn_context context = 77;
    const int32_t status = create(&context, CUNN_CPU, 0, 1, NULL);
    char found[96];
    snprintf(found, sizeof found, "status %d, context %lld, expected %d and 0", (int)status, (long long)context,
             CUNN_UNSUPPORTED);
    check(status == CUNN_UNSUPPORTED && context == 0, "create", found);
    check(strstr(error(context), "no number left for this library") != NULL, "error", error(context));
    check(destroy(context) == CUNN_INVALID_ARGUMENT, "destroy", "not an invalid argument");
  }
  if (failures == 0) printf("numbers: all checks hold\n");
  return failures != 0;
}
