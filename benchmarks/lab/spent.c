/* spent PROGRAM ARG...: runs a program and says what it took, as JSON on standard output.
 *
 * A process begins with the peak memory of the process it was forked from, since Linux keeps the mark across exec. So
 * the one that forks has to be as small as this. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static double seconds(struct timeval t) { return (double)t.tv_sec + 1e-6 * (double)t.tv_usec; }

int main(int argc, char **argv) {
  if (argc < 2) return fputs("usage: spent PROGRAM ARG...\n", stderr), 2;
  const double started = now();
  const pid_t child = fork();
  if (child < 0) return perror("spent: fork"), 2;
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0) _exit(126);
    execvp(argv[1], argv + 1);
    fprintf(stderr, "spent: %s: %s\n", argv[1], strerror(errno));
    _exit(127);
  }
  int status;
  struct rusage used;
  if (wait4(child, &status, 0, &used) != child) return perror("spent: wait4"), 2;
  const double took = now() - started;
  if (WIFSIGNALED(status)) return fprintf(stderr, "spent: ended by signal %d\n", WTERMSIG(status)), 1;
  if (WEXITSTATUS(status) != 0) return WEXITSTATUS(status);
  printf("{\"seconds\": %.9f, \"cpu_seconds\": %.6f, \"peak_rss_bytes\": %lld}\n", took,
         seconds(used.ru_utime) + seconds(used.ru_stime),
#ifdef __APPLE__
         (long long)used.ru_maxrss
#else
         (long long)used.ru_maxrss * 1024
#endif
  );
  return 0;
}
