// The one Catch2 main of all unit test programs.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

// cpprestsdk keeps its thread pool and what hangs on it until the process ends; that is not ours to free.
extern "C" const char* __lsan_default_suppressions();  // NOLINT: the sanitizer's name for it
extern "C" const char* __lsan_default_suppressions() { return "leak:libcpprest\n"; }
