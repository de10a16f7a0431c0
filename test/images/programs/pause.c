// The container that does nothing: reaps what it is left with, and ends on SIGTERM or SIGINT.
//
// It runs as PID 1 of a pid namespace, where signals without a handler are ignored.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void End(int signo) {
  (void)signo;
  _exit(0);
}

static void Reap(int signo) {
  (void)signo;
  while (waitpid(-1, 0, WNOHANG) > 0) {
  }
}

int main(void) {
  struct sigaction end = {.sa_handler = End};
  struct sigaction reap = {.sa_handler = Reap, .sa_flags = SA_NOCLDSTOP | SA_RESTART};
  if (sigaction(SIGTERM, &end, 0) != 0 || sigaction(SIGINT, &end, 0) != 0 ||
      sigaction(SIGCHLD, &reap, 0) != 0) {
    return 1;
  }
  for (;;) {
    pause();
  }
}
