// The program's log: a constant message plus key-value pairs, as klog-like text or JSON lines.
//
// Error: somebody must act. Info: an object changed state. V(2): each sync. V(4): each request. The fixed keys are
// `pod` (namespace/name), `podUID`, `containerName`, `err`. Log an error or return it, never both.
// Threads: any. Lines go through a bounded asynchronous queue; what it drops is counted, nobody ever waits.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace burstlet {

/// One pair of a log line. Values keep their type so that JSON lines carry numbers as numbers.
struct LogPair {
  std::string_view key;
  std::string value;
  bool quoted = true;

  LogPair(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogPair(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogPair(std::string_view k, const char* v) : key(k), value(v) {}
  LogPair(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), quoted(false) {}
  template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>>>
  LogPair(std::string_view k, Number v) : key(k), value(std::to_string(v)), quoted(false) {}
};

using LogPairs = std::initializer_list<LogPair>;

enum class LogFormat { kText, kJson };

/// Starts the writer thread; lines go to standard error. Before it (and in tests) lines are written at once.
void StartLog(LogFormat format, int verbosity);
/// Writes out what is queued and ends the writer thread. Safe to call twice.
void StopLog();
/// May change while the program runs. Below 0 only warnings and errors are written.
void SetLogVerbosity(int verbosity);
bool LogEnabled(int verbosity);
/// Lines dropped because the queue was full.
std::uint64_t DroppedLogLines();

void Error(std::string_view message, LogPairs pairs = {});
void Warn(std::string_view message, LogPairs pairs = {});
void Info(std::string_view message, LogPairs pairs = {});
/// Info at verbosity `level`; the pairs are built by the caller, so guard costly ones with LogEnabled.
void V(int level, std::string_view message, LogPairs pairs = {});

}  // namespace burstlet
