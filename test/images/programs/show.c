// Prints what the container gave it (arguments, environment, ids, working directory), one fact a
// line, then waits for a signal, prints the signal's number and exits with it.
//
//   show [--once] ...     --once exits with 0 without waiting
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
  sigset_t all;
  gid_t groups[64];
  char cwd[4096];
  char host[256] = "";
  int count = getgroups(64, groups);
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 0; i < argc; i++) {
    printf("arg %d %s\n", i, argv[i]);
  }
  for (char **entry = environ; *entry != NULL; entry++) {
    printf("env %s\n", *entry);
  }
  gethostname(host, sizeof host - 1);
  printf("pid %d\nuid %d\ngid %d\ngroups", getpid(), getuid(), getgid());
  for (int i = 0; i < count; i++) {
    printf(" %d", groups[i]);
  }
  printf("\ncwd %s\nhostname %s\n", getcwd(cwd, sizeof cwd) ? cwd : strerror(errno), host);
  if (argc > 1 && strcmp(argv[1], "--once") == 0) {
    return 0;
  }
  for (;;) {
    int signo = 0;
    if (sigwait(&all, &signo) == 0 && signo != SIGCHLD && signo != SIGWINCH) {
      printf("signal %d\n", signo);
      return signo;
    }
  }
}
