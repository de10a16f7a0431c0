// One run of a container, written down where every pod's runs are seen together.
//
//   witness DIR [--own DIR] [--for MS] [--fail RUNS]
//
// POD_UID, POD_NAME and CONTAINER say whose run it is. DIR/<uid>.<container> gets a line at its start; a lock on
// DIR/<name>.<container>.lock is held until the process is gone, however it goes, and who finds it taken says so in
// DIR/violations. `--own`: a folder of this pod alone, where nothing of another may be found. Ends with 0 on SIGTERM, or
// `--for` so many milliseconds; the first `--fail` runs end with 1 instead.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

static const char *uid, *name, *container, *folder;

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(70);
}

static int open_in(const char *dir, const char *first, const char *second, int flags) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s%s", dir, first, second);
  int fd = open(path, flags | O_CLOEXEC, 0666);
  if (fd < 0) {
    fail(path);
  }
  return fd;
}

static void violation(const char *what, const char *other) {
  char line[1024];
  int length = snprintf(line, sizeof line, "%s/%s (%s): %s (%s)\n", name, container, uid, what, other);
  int fd = open_in(folder, "violations", "", O_WRONLY | O_CREAT | O_APPEND);
  if (write(fd, line, (size_t)length) != length) {
    fail("violations");
  }
  close(fd);
}

// Contents of a small file from its beginning, "" when there are none.
static const char *contents(int fd, char *buffer, size_t size) {
  ssize_t got = pread(fd, buffer, size - 1, 0);
  buffer[got > 0 ? got : 0] = 0;
  return buffer;
}

static void put(int fd, const char *text) {
  if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) != (ssize_t)strlen(text)) {
    fail(text);
  }
}

static void take_lock(void) {
  char file[512], holder[128];
  snprintf(file, sizeof file, "%s.%s", name, container);
  int fd = open_in(folder, file, ".lock", O_RDWR | O_CREAT);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    contents(fd, holder, sizeof holder);
    violation(strcmp(holder, uid) == 0 ? "runs twice at once" : "met another pod of its name", holder);
    return;
  }
  put(fd, uid);  // stays open: the lock goes with the process
}

static void check_own(const char *own) {
  char found[128];
  int fd = open_in(own, container, ".owner", O_RDWR | O_CREAT);
  contents(fd, found, sizeof found);
  if (found[0] != 0 && strcmp(found, uid) != 0) {
    violation("found a folder of another pod", found);
  }
  put(fd, uid);
  close(fd);
}

// Writes the line of this run; which run of this container in this pod it is, from 1.
static int write_start(void) {
  char file[512], lines[4096];
  int runs = 0;
  snprintf(file, sizeof file, "%s.%s", uid, container);
  int fd = open_in(folder, file, "", O_RDWR | O_CREAT | O_APPEND);
  if (write(fd, "start\n", 6) != 6) {
    fail(file);
  }
  for (const char *at = contents(fd, lines, sizeof lines); *at != 0; at++) {
    runs += *at == '\n';
  }
  close(fd);
  return runs;
}

int main(int argc, char **argv) {
  const char *own = NULL;
  long milliseconds = 0, failures = 0;
  sigset_t term;
  sigemptyset(&term);
  sigaddset(&term, SIGTERM);
  sigprocmask(SIG_BLOCK, &term, NULL);
  uid = getenv("POD_UID");
  name = getenv("POD_NAME");
  container = getenv("CONTAINER");
  if (argc < 2 || argc % 2 != 0 || !uid || !name || !container) {
    fprintf(stderr, "witness DIR [--own DIR] [--for MS] [--fail RUNS], with POD_UID, POD_NAME, CONTAINER\n");
    return 64;
  }
  folder = argv[1];
  for (int i = 2; i < argc; i += 2) {
    if (strcmp(argv[i], "--own") == 0) {
      own = argv[i + 1];
    } else if (strcmp(argv[i], "--for") == 0) {
      milliseconds = atol(argv[i + 1]);
    } else if (strcmp(argv[i], "--fail") == 0) {
      failures = atol(argv[i + 1]);
    } else {
      fprintf(stderr, "witness: %s?\n", argv[i]);
      return 64;
    }
  }
  take_lock();
  if (own != NULL) {
    check_own(own);
  }
  int run = write_start();
  if (milliseconds == 0) {
    int signo;
    sigwait(&term, &signo);
    return 0;
  }
  struct timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  if (sigtimedwait(&term, NULL, &limit) >= 0) {
    return 0;
  }
  return run <= failures ? 1 : 0;
}
