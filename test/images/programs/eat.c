// Takes memory, touches it, and holds it: to be ended for it, or to be measured.
//
//   eat MIB
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  long mib = argc > 1 ? atol(argv[1]) : 64;
  for (long i = 0; i < mib; i++) {
    char *piece = malloc(1 << 20);
    if (piece == NULL) {
      perror("malloc");
      return 1;
    }
    memset(piece, (int)i + 1, 1 << 20);
  }
  printf("holding %ld MiB\n", mib);
  fflush(stdout);
  for (;;) {
    pause();
  }
}
