// The program's commands and flags. Flags override the configuration file.
#pragma once

namespace burstlet::provider {

/// Exit code: 0 done, 1 failed, 2 wrong usage or configuration (one line on standard error says which).
int RunCommandLine(int argc, char** argv);

}  // namespace burstlet::provider
