// The checks of the simt tests: each prints what failed, with both values; the last line counts.
#pragma once
#include <cmath>
#include <cstdio>
#include <cstring>

inline int passed_checks = 0, failed_checks = 0;

inline bool check(bool good, const char* what, const char* file, int line) {
  if (good) {
    ++passed_checks;
  } else {
    ++failed_checks;
    std::printf("%s:%d: %s\n", file, line, what);
  }
  return good;
}
template <class A, class B>
bool check_equal(A got, B want, const char* what, const char* file, int line) {
  if (got == A(want)) {
    ++passed_checks;
    return true;
  }
  ++failed_checks;
  std::printf("%s:%d: %s is %.9g, expected %.9g\n", file, line, what, double(got), double(want));
  return false;
}
#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQUAL(got, want) check_equal((got), (want), #got, __FILE__, __LINE__)

inline int summary() {
  std::printf("%d passed, %d failed\n", passed_checks, failed_checks);
  return failed_checks == 0 ? 0 : 1;
}
