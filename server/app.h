// App: the composition root. Makes every part, in order, and takes them down in the other order.
//
//   start, then stop once
#pragma once

#include <memory>
#include <string>

#include "server/config.h"
#include "storage/model/result.h"

namespace sluice::server {

class App {
 public:
  // Errors are one line for people: port in use, locked or unwritable directory, bad certificate, not safe to expose.
  static Result<std::unique_ptr<App>> start(const Config& config);
  virtual ~App() = default;

  // "ready http=127.0.0.1:8080 netflow=127.0.0.1:2055 data=./sluice-data"
  virtual std::string ready_line() const = 0;
  // Stops receiving, finishes requests within the grace, seals. Errors: what could not be sealed (it is in the journal).
  virtual Status stop() = 0;
};

}  // namespace sluice::server
