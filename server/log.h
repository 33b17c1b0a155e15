// The server's log: lines with fields, to standard error, as text or as JSON. Only server/ logs.
//
// Thread rule: any thread. configure once, at start.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace sluice::log {

enum class Level { debug, info, warn, error };
enum class Format { text, json };

void configure(Format format, Level least);
bool enabled(Level level);

struct Field {
  Field(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const char* v) : name(n), value(v) {}
  template <typename T>
    requires std::is_arithmetic_v<T>
  Field(std::string_view n, T v) : name(n), value(std::to_string(v)), is_number(true) {}

  std::string_view name;
  std::string value;
  bool is_number = false;
};
using Fields = std::initializer_list<Field>;

// Control bytes in message and values are escaped: a hostile string cannot forge a line.
void write(Level level, std::string_view message, Fields fields = {});
inline void debug(std::string_view message, Fields fields = {}) { if (enabled(Level::debug)) write(Level::debug, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(Level::info, message, fields); }
inline void warn(std::string_view message, Fields fields = {}) { write(Level::warn, message, fields); }
inline void error(std::string_view message, Fields fields = {}) { write(Level::error, message, fields); }

}  // namespace sluice::log
