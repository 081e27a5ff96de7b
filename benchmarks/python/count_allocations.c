/* Counts what Python's allocators hand out, by wrapping each of the three domains (PEP 445). The structure and the two
 * functions are part of CPython's stable documentation and looked up in the running interpreter, so that no header of
 * it is needed: cc -shared -fPIC -O2 count_allocations.c -o count_allocations.so -ldl */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>

typedef struct {
  void *context;
  void *(*malloc)(void *context, size_t size);
  void *(*calloc)(void *context, size_t count, size_t size);
  void *(*realloc)(void *context, void *pointer, size_t size);
  void (*free)(void *context, void *pointer);
} Allocator; /* PyMemAllocatorEx */

static Allocator original[3];
static atomic_int counting;
static atomic_llong calls, bytes;

static void count(size_t size) {
  if (!atomic_load_explicit(&counting, memory_order_relaxed)) return;
  atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&bytes, (long long)size, memory_order_relaxed);
}
static void *counted_malloc(void *context, size_t size) {
  const Allocator *to = context;
  count(size);
  return to->malloc(to->context, size);
}
static void *counted_calloc(void *context, size_t number, size_t size) {
  const Allocator *to = context;
  count(number * size);
  return to->calloc(to->context, number, size);
}
static void *counted_realloc(void *context, void *pointer, size_t size) {
  const Allocator *to = context;
  count(size);
  return to->realloc(to->context, pointer, size);
}
static void counted_free(void *context, void *pointer) {
  const Allocator *to = context;
  to->free(to->context, pointer);
}

/* 0, or -1 when this is not CPython. A small object of pymalloc is counted in its own domain, and the arena it may
 * need in none, so nothing is counted twice but what pymalloc passes on to the raw domain for being large. */
int install(void) {
  void (*get)(int, Allocator *) = (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
  void (*set)(int, Allocator *) = (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
  if (get == NULL || set == NULL) return -1;
  for (int domain = 0; domain < 3; ++domain) {
    get(domain, &original[domain]);
    Allocator counted = {&original[domain], counted_malloc, counted_calloc, counted_realloc, counted_free};
    set(domain, &counted);
  }
  return 0;
}
void start(void) {
  atomic_store(&calls, 0);
  atomic_store(&bytes, 0);
  atomic_store(&counting, 1);
}
void stop(void) { atomic_store(&counting, 0); }
void counted(long long *calls_out, long long *bytes_out) {
  *calls_out = atomic_load(&calls);
  *bytes_out = atomic_load(&bytes);
}
