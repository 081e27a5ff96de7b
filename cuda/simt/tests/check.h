// The checks of the simt tests: each prints what failed, with both values; the last line counts.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

inline int passed_checks = 0, failed_checks = 0;

// With --stop the first failure ends the program: mutants.py asks only whether there is one.
inline bool stop_at_failure = false;
inline void failed() {
  ++failed_checks;
  if (!stop_at_failure) return;
  std::fflush(stdout);
  std::_Exit(1);
}

inline bool check(bool good, const char* what, const char* file, int line) {
  if (good) {
    ++passed_checks;
  } else {
    std::printf("%s:%d: %s\n", file, line, what);
    failed();
  }
  return good;
}
template <class A, class B>
bool check_equal(A got, B want, const char* what, const char* file, int line) {
  if (got == A(want)) {
    ++passed_checks;
    return true;
  }
  std::printf("%s:%d: %s is %.9g, expected %.9g\n", file, line, what, double(got), double(want));
  failed();
  return false;
}
#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(got, want) check_equal((got), (want), #got, __FILE__, __LINE__)

inline int summary() {
  std::printf("%d passed, %d failed\n", passed_checks, failed_checks);
  return failed_checks == 0 ? 0 : 1;
}
