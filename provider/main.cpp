// burstlet: turns this host into a serverless-container node. See README.md.
#include "provider/command_line.h"

int main(int argc, char** argv) { return burstlet::provider::RunCommandLine(argc, argv); }
