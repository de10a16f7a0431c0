// A web server of one page, which names the host it runs on and the version it was started with.
//
//   web [PORT]     default $PORT, else 80; VERSION is shown on the page
//
// It logs one line per request and ends at once on SIGTERM, also as PID 1.
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static void End(int signo) {
  (void)signo;
  _exit(0);
}

static int Listen(int port) {
  int one = 1;
  int off = 0;
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) {
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 64) == 0) {
      return fd;
    }
    close(fd);
  }
  fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&any, sizeof any) != 0 || listen(fd, 64) != 0) {
    return -1;
  }
  return fd;
}

// The whole request is read before the answer: closing with unread bytes would reset the
// connection under the client.
static int ReadRequest(int fd, char *line, int size) {
  char buffer[8192];
  int used = 0;
  while (used < (int)sizeof buffer - 1) {
    int n = read(fd, buffer + used, sizeof buffer - 1 - used);
    if (n <= 0) {
      return -1;
    }
    used += n;
    buffer[used] = 0;
    if (strstr(buffer, "\r\n\r\n") != NULL) {
      snprintf(line, size, "%.*s", (int)strcspn(buffer, "\r\n"), buffer);
      return 0;
    }
  }
  return -1;
}

static void Answer(int fd, const char *request) {
  char host[256] = "unknown";
  const char *version = getenv("VERSION");
  char body[512];
  char head[256];
  gethostname(host, sizeof host - 1);
  if (strncmp(request, "GET /healthz ", 13) == 0) {
    snprintf(body, sizeof body, "ok\n");
  } else {
    snprintf(body, sizeof body, "hello from %s, version %s\n", host, version ? version : "none");
  }
  int size = snprintf(head, sizeof head,
                      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                      "Connection: close\r\n\r\n",
                      strlen(body));
  if (write(fd, head, size) != size || write(fd, body, strlen(body)) < 0) {
    perror("write");
  }
}

int main(int argc, char **argv) {
  struct sigaction end = {.sa_handler = End};
  sigaction(SIGTERM, &end, NULL);
  sigaction(SIGINT, &end, NULL);
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *text = argc > 1 ? argv[1] : getenv("PORT");
  int port = text ? atoi(text) : 80;
  int listener = Listen(port);
  if (listener < 0) {
    perror("listen");
    return 1;
  }
  printf("listening on port %d\n", port);
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) {
      continue;
    }
    struct timeval limit = {.tv_sec = 5};
    char line[1024];
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (ReadRequest(fd, line, sizeof line) == 0) {
      Answer(fd, line);
      printf("%s\n", line);
    }
    close(fd);
  }
}
