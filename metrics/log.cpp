#include "metrics/log.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <mutex>

namespace burstlet {
namespace {

constexpr std::size_t kQueueLines = 8192;

struct State {
  std::mutex mutex;
  std::shared_ptr<spdlog::logger> logger;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::atomic<int> verbosity{0};
  std::atomic<LogFormat> format{LogFormat::kText};
};

// Never destroyed: threads may log until the very end of the process.
State& GetState() {
  static State& state = *new State;
  return state;
}

std::shared_ptr<spdlog::logger> MakeSyncLogger() {
  auto logger = std::make_shared<spdlog::logger>("burstlet", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern("%v");
  return logger;
}

std::shared_ptr<spdlog::logger> Logger() {
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  if (!state.logger) state.logger = MakeSyncLogger();
  return state.logger;
}

void AppendQuoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string TimeText() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char buffer[64];
  const int length =
      snprintf(buffer, sizeof(buffer), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", parts.tm_year + 1900, parts.tm_mon + 1,
               parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000);
  return std::string(buffer, static_cast<std::size_t>(length));
}

std::string TextLine(char level, std::string_view message, LogPairs pairs) {
  std::string line(1, level);
  line += ' ';
  line += TimeText();
  line += ' ';
  AppendQuoted(line, message);
  for (const LogPair& pair : pairs) {
    line += ' ';
    line += pair.key;
    line += '=';
    if (pair.quoted) {
      AppendQuoted(line, pair.value);
    } else {
      line += pair.value;
    }
  }
  return line;
}

std::string JsonLine(std::string_view level, std::string_view message, LogPairs pairs) {
  std::string line = "{\"ts\":";
  AppendQuoted(line, TimeText());
  line += ",\"level\":";
  AppendQuoted(line, level);
  line += ",\"msg\":";
  AppendQuoted(line, message);
  for (const LogPair& pair : pairs) {
    line += ',';
    AppendQuoted(line, pair.key);
    line += ':';
    if (pair.quoted) {
      AppendQuoted(line, pair.value);
    } else {
      line += pair.value;
    }
  }
  line += '}';
  return line;
}

void Write(spdlog::level::level_enum level, std::string_view message, LogPairs pairs) {
  const bool json = GetState().format.load(std::memory_order_relaxed) == LogFormat::kJson;
  const bool error = level == spdlog::level::err;
  const bool warn = level == spdlog::level::warn;
  const std::string line = json ? JsonLine(error ? "error" : (warn ? "warning" : "info"), message, pairs)
                                : TextLine(error ? 'E' : (warn ? 'W' : 'I'), message, pairs);
  Logger()->log(level, line);
}

}  // namespace

void StartLog(LogFormat format, int verbosity) {
  State& state = GetState();
  state.format = format;
  state.verbosity = verbosity;
  const std::lock_guard lock(state.mutex);
  if (state.pool) return;
  state.pool = std::make_shared<spdlog::details::thread_pool>(kQueueLines, 1);
  state.logger = std::make_shared<spdlog::async_logger>("burstlet", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                                        state.pool, spdlog::async_overflow_policy::overrun_oldest);
  state.logger->set_pattern("%v");
  state.logger->flush_on(spdlog::level::info);
}

void StopLog() {
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  if (!state.pool) return;
  state.logger->flush();
  state.logger = MakeSyncLogger();
  state.pool.reset();
}

void SetLogVerbosity(int verbosity) { GetState().verbosity = verbosity; }

bool LogEnabled(int verbosity) { return verbosity <= GetState().verbosity.load(std::memory_order_relaxed); }

std::uint64_t DroppedLogLines() {
  State& state = GetState();
  const std::lock_guard lock(state.mutex);
  return state.pool ? state.pool->overrun_counter() : 0;
}

void Error(std::string_view message, LogPairs pairs) { Write(spdlog::level::err, message, pairs); }
void Warn(std::string_view message, LogPairs pairs) { Write(spdlog::level::warn, message, pairs); }
void Info(std::string_view message, LogPairs pairs) {
  if (LogEnabled(0)) Write(spdlog::level::info, message, pairs);
}
void V(int level, std::string_view message, LogPairs pairs) {
  if (LogEnabled(level)) Write(spdlog::level::info, message, pairs);
}

}  // namespace burstlet
